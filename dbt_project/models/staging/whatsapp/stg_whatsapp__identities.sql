with source as (

    select * from {{ source('raw', 'webhook_identities') }}

),

shown as (

    select
        *,
        {{ contact_id_shown('wa_id') }} as number_shown,
        {{ contact_id_shown('previous_wa_id') }} as previous_number_shown
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

    from shown

),

final as (

    select * from renamed

)

select * from final
