{{ config(
    materialized='incremental',
    unique_key=['message_key', 'identifier'],
    incremental_strategy='delete+insert'
) }}

with statuses as (

    select * from {{ ref('stg_whatsapp__statuses') }}

),

-- int_identifiers_linked links the other identifiers of the status with this one.
new_recipients as (

    select
        message_key,
        coalesce(recipient_identifier, user_id, parent_user_id) as identifier,
        min(load_id) as first_load_id
    from statuses
    where {{ loads_not_built('load_id') }} and has_recipient
    group by message_key, coalesce(recipient_identifier, user_id, parent_user_id)

),

final as (

    select new_recipients.message_key, new_recipients.identifier, new_recipients.first_load_id
    from new_recipients
    {% if is_incremental() %}
    where not exists (
        select 1
        from {{ this }} as known_recipients
        where known_recipients.message_key = new_recipients.message_key and known_recipients.identifier = new_recipients.identifier
    )
    {% endif %}

)

select * from final
