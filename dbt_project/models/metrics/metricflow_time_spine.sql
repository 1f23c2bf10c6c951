with days as (

    select {{ day_series('2015-01-01', '2050-01-01') }} as date_day

),

final as (

    select cast(date_day as date) as date_day
    from days

)

select * from final
