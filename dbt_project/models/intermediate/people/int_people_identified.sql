{{ config(
    materialized='incremental',
    unique_key='identifier',
    incremental_strategy='delete+insert',
    post_hook="{{ drop_materialized_ctes() }}"
) }}

with identifiers_linked as (

    select * from {{ ref('int_identifiers_linked') }}

),

messages_linked as (

    select * from {{ ref('int_messages_linked') }}

),

all_links as (

    select identifier_1, identifier_2 from identifiers_linked
    union
    select identifier_1, identifier_2 from messages_linked where identifier_2 is not null

),

{% if is_incremental() %}
identifiers_with_changes as (

    select identifier_1 as identifier from identifiers_linked where {{ loads_not_built('first_load_id') }}
    union
    select identifier_2 as identifier from identifiers_linked where {{ loads_not_built('first_load_id') }}
    union
    select identifier_1 as identifier from messages_linked where {{ loads_not_built('last_load_id') }}
    union
    select identifier_2 as identifier from messages_linked where {{ loads_not_built('last_load_id') }} and identifier_2 is not null

),

components_with_changes as (

    select distinct known_people.component
    from {{ this }} as known_people
    inner join identifiers_with_changes
        on known_people.identifier = identifiers_with_changes.identifier

),

-- Whole components as they were: new links connect them, and removed links split them.
identifiers_to_connect as (

    select identifier from identifiers_with_changes
    union
    select known_people.identifier
    from {{ this }} as known_people
    inner join components_with_changes
        on known_people.component = components_with_changes.component

),

links as (

    select all_links.identifier_1, all_links.identifier_2
    from all_links
    where all_links.identifier_1 in (select identifiers_to_connect.identifier from identifiers_to_connect)

),
{% else %}
links as (

    select * from all_links

),

identifiers_to_connect as (

    select identifier_1 as identifier from links
    union
    select identifier_2 as identifier from links

),
{% endif %}

-- The linter does not know `using key`.
-- noqa: disable=all
components as (

    {{ connected_components('links') }}

),
-- noqa: enable=all

-- Components that are too long to settle are far beyond the limit of a person. One name for all of them keeps together what must be
-- recomputed together.
identifiers_connected as (

    select
        identifiers_to_connect.identifier,
        case
            when components.is_open then '(open)'
            else coalesce(components.component, identifiers_to_connect.identifier)
        end as component
    from identifiers_to_connect
    left join components
        on identifiers_to_connect.identifier = components.identifier

),

component_names as (

    select
        component,
        count(*) as identifiers,
        min(case when {{ is_number('identifier') }} then identifier end) as smallest_number,
        min(case when {{ is_user_id('identifier') }} then identifier end) as smallest_user_id,
        min(identifier) as smallest_identifier
    from identifiers_connected
    group by component

),

people as (

    {{ materialized_cte() }}
    select
        identifiers_connected.identifier,
        identifiers_connected.component,
        component_names.identifiers as connected_identifiers,
        case
            when
                component_names.identifiers > {{ var('max_identifiers_per_person') }} or identifiers_connected.component = '(open)'
                then identifiers_connected.identifier
            else coalesce(component_names.smallest_number, component_names.smallest_user_id, component_names.smallest_identifier)
        end as person_id
    from identifiers_connected
    inner join component_names
        on identifiers_connected.component = component_names.component

),

{% if is_incremental() %}
people_with_previous_group as (

    select
        people.*,
        known_people.component as component_before,
        known_people.regrouped_load_id as regrouped_load_id_before,
        known_people.person_id is null or known_people.person_id <> people.person_id as is_regrouped
    from people
    left join {{ this }} as known_people
        on people.identifier = known_people.identifier

),

regrouped_components as (

    select component from people_with_previous_group where is_regrouped
    union
    select component_before as component from people_with_previous_group where is_regrouped and component_before is not null

),

final as (

    select
        identifier,
        component,
        connected_identifiers,
        person_id,
        case
            when
                component in (select regrouped_components.component from regrouped_components)
                or component_before in (select regrouped_components.component from regrouped_components)
                then {{ newest_load_id() }}
            else regrouped_load_id_before
        end as regrouped_load_id
    from people_with_previous_group

)
{% else %}
final as (

    select
        identifier,
        component,
        connected_identifiers,
        person_id,
        {{ newest_load_id() }} as regrouped_load_id
    from people

)
{% endif %}

select * from final
