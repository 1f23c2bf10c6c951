with source as (

    select * from {{ source('raw', 'webhook_identities') }}

),

with_display_identifiers as (

    select
        *,
        {{ display_identifier('wa_id') }} as number_shown,
        {{ display_identifier('previous_wa_id') }} as previous_number_shown
    from source

),

renamed as (

    select
        -- ids
        {{ comparable_identifier('number_shown') }} as number_identifier,
        user_id,
        parent_user_id,
        {{ comparable_identifier('previous_number_shown') }} as previous_number_identifier,
        previous_user_id,
        previous_parent_user_id,

        -- strings
        kind,

        -- numerics
        _load_id as load_id

    from with_display_identifiers

),

final as (

    select * from renamed

)

select * from final
