{{ config(
    materialized='incremental',
    unique_key=['identifier_1', 'identifier_2'],
    incremental_strategy='delete+insert',
    post_hook="{{ drop_materialized_ctes() }}"
) }}

with statuses as (

    select * from {{ ref('stg_whatsapp__statuses') }}

),

inbound_messages as (

    select * from {{ ref('stg_whatsapp__inbound_messages') }}

),

identities as (

    select * from {{ ref('stg_whatsapp__identities') }}

),

botmaker_sessions as (

    select * from {{ ref('stg_botmaker__sessions') }}

),

-- The identifiers that one record names together; null if it names fewer.
records as (

    select
        recipient_identifier as identifier, user_id, parent_user_id,
        null as previous_identifier, null as previous_user_id, null as previous_parent_user_id, load_id
    from statuses
    union all
    select
        contact_identifier as identifier, user_id, parent_user_id,
        null as previous_identifier, null as previous_user_id, null as previous_parent_user_id, load_id
    from inbound_messages
    where not is_in_group
    union all
    select
        number_identifier as identifier, user_id, parent_user_id,
        previous_number_identifier as previous_identifier, previous_user_id, previous_parent_user_id, load_id
    from identities
    union all
    select
        contact_identifier as identifier, user_id, parent_user_id,
        null as previous_identifier, null as previous_user_id, null as previous_parent_user_id, load_id
    from botmaker_sessions

),

new_records as (

    {{ materialized_cte() }}
    select
        *,
        coalesce(
            identifier, user_id, parent_user_id, previous_identifier, previous_user_id, previous_parent_user_id
        ) as first_identifier
    from records
    where
        {{ loads_not_built('load_id') }}
        and coalesce(user_id, parent_user_id, previous_identifier, previous_user_id, previous_parent_user_id) is not null

),

-- Each identifier is linked only with the first one: the connected people are the same as with every pair.
pairs as (

    select first_identifier, user_id as other_identifier, load_id from new_records where user_id is not null
    union all
    select first_identifier, parent_user_id, load_id from new_records where parent_user_id is not null
    union all
    select first_identifier, previous_identifier, load_id from new_records where previous_identifier is not null
    union all
    select first_identifier, previous_user_id, load_id from new_records where previous_user_id is not null
    union all
    select first_identifier, previous_parent_user_id, load_id from new_records where previous_parent_user_id is not null

),

new_links as (

    select
        least(first_identifier, other_identifier) as identifier_1,
        greatest(first_identifier, other_identifier) as identifier_2,
        min(load_id) as first_load_id
    from pairs
    where first_identifier <> other_identifier
    group by least(first_identifier, other_identifier), greatest(first_identifier, other_identifier)

),

final as (

    select new_links.identifier_1, new_links.identifier_2, new_links.first_load_id
    from new_links
    {% if is_incremental() %}
    where not exists (
        select 1
        from {{ this }} as known_links
        where known_links.identifier_1 = new_links.identifier_1 and known_links.identifier_2 = new_links.identifier_2
    )
    {% endif %}

)

select * from final
