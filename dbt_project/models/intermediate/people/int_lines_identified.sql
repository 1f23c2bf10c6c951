{{ config(
    materialized='incremental',
    unique_key=['given_channel_id', 'given_line_number'],
    incremental_strategy='delete+insert',
    post_hook="{{ drop_materialized_ctes() }}"
) }}

with lines_seen as (

    select * from {{ ref('int_lines_seen') }}

),

channels as (

    select * from {{ ref('channels') }}

),

shown_sightings as (

    select
        given_channel_id,
        given_line_number,
        {{ display_identifier('given_channel_id') }} as channel_id_shown,
        {{ digits_only('given_line_number') }} as line_number,
        max(case when is_web_chat then 1 else 0 end) = 1 as is_web_chat
    from lines_seen
    group by given_channel_id, given_line_number

),

sightings as (

    {{ materialized_cte() }}
    select
        given_channel_id,
        given_line_number,
        is_web_chat,
        nullif(line_number, '') as line_number,
        case
            when channel_id_shown <> given_channel_id and {{ is_number('channel_id_shown') }} then channel_id_shown
        end as number_as_channel_id,
        nullif({{ comparable_identifier('channel_id_shown') }}, '') as channel_identifier,
        nullif({{ comparable_identifier('line_number') }}, '') as number_identifier
    from shown_sightings

),

-- A channel id that is written as a number (`+55 11 4000`) is a number; digits alone may be a WhatsApp id.
numbers_seen as (

    select line_number, number_identifier from sightings where number_identifier is not null
    union
    select number_as_channel_id as line_number, channel_identifier as number_identifier
    from sightings
    where number_as_channel_id is not null

),

shown_channels as (

    select
        channel_id,
        platform,
        {{ display_identifier('channel_id') }} as channel_id_shown,
        {{ digits_only('line_number') }} as line_number
    from channels

),

seed_lines as (

    select
        channel_id,
        platform,
        nullif(line_number, '') as line_number,
        {{ comparable_identifier('channel_id_shown') }} as channel_identifier,
        nullif({{ comparable_identifier('line_number') }}, '') as number_identifier
    from shown_channels

),

identifier_pairs as (

    select channel_identifier as identifier_1, number_identifier as identifier_2 from sightings
    union
    select channel_identifier as identifier_1, number_identifier as identifier_2 from seed_lines

),

-- noqa: disable=ST03
links as (

    select identifier_1, identifier_2
    from identifier_pairs
    where identifier_1 <> identifier_2

),

identifiers as (

    select channel_identifier as identifier from sightings where channel_identifier is not null
    union
    select number_identifier as identifier from sightings where number_identifier is not null
    union
    select channel_identifier as identifier from seed_lines
    union
    select number_identifier as identifier from seed_lines where number_identifier is not null

),

-- The linter does not know `using key`.
-- noqa: disable=all
components as (

    {{ connected_components('links') }}

),
-- noqa: enable=all

identifiers_with_component as (

    {{ materialized_cte() }}
    select
        identifiers.identifier,
        coalesce(components.component, identifiers.identifier) as component
    from identifiers
    left join components
        on identifiers.identifier = components.identifier

),

-- A channel id in the seed keeps its own line; a number that the seed gives to two channels belongs to the smaller one.
identifiers_of_seed as (

    select channel_identifier as identifier, channel_id, 1 as priority from seed_lines
    union all
    select number_identifier as identifier, channel_id, 2 as priority from seed_lines where number_identifier is not null

),

seed_line_of_identifier as (

    select
        identifier,
        coalesce(min(case when priority = 1 then channel_id end), min(channel_id)) as channel_id
    from identifiers_of_seed
    group by identifier

),

seed_line_of_component as (

    select identifiers_with_component.component, min(identifiers_of_seed.channel_id) as channel_id
    from identifiers_of_seed
    inner join identifiers_with_component
        on identifiers_of_seed.identifier = identifiers_with_component.identifier
    group by identifiers_with_component.component

),

-- For a line that is not in the seed: the smallest channel id that is not a number, else the smallest number.
channel_ids_of_components as (

    select identifiers_with_component.component, min(sightings.given_channel_id) as channel_id
    from sightings
    inner join identifiers_with_component
        on sightings.channel_identifier = identifiers_with_component.identifier
    where not exists (select 1 from numbers_seen where numbers_seen.number_identifier = sightings.channel_identifier)
    group by identifiers_with_component.component

),

numbers_of_components as (

    select identifiers_with_component.component, min(numbers_seen.line_number) as line_number
    from numbers_seen
    inner join identifiers_with_component
        on numbers_seen.number_identifier = identifiers_with_component.identifier
    group by identifiers_with_component.component

),

lines_of_identifiers as (

    {{ materialized_cte() }}
    select
        identifiers_with_component.identifier,
        coalesce(
            seed_line_of_identifier.channel_id,
            seed_line_of_component.channel_id,
            channel_ids_of_components.channel_id,
            numbers_of_components.line_number
        ) as channel_id
    from identifiers_with_component
    left join seed_line_of_identifier
        on identifiers_with_component.identifier = seed_line_of_identifier.identifier
    left join seed_line_of_component
        on identifiers_with_component.component = seed_line_of_component.component
    left join channel_ids_of_components
        on identifiers_with_component.component = channel_ids_of_components.component
    left join numbers_of_components
        on identifiers_with_component.component = numbers_of_components.component

),

smallest_numbers as (

    select lines_of_identifiers.channel_id, min(numbers_seen.line_number) as line_number
    from numbers_seen
    inner join lines_of_identifiers
        on numbers_seen.number_identifier = lines_of_identifiers.identifier
    group by lines_of_identifiers.channel_id

),

-- The seed takes precedence; for a line that is not in the seed, Botmaker decides.
web_chats as (

    select distinct lines_of_identifiers.channel_id
    from sightings
    inner join lines_of_identifiers
        on sightings.channel_identifier = lines_of_identifiers.identifier
    where sightings.is_web_chat

),

identified_lines as (

    select
        sightings.given_channel_id,
        sightings.given_line_number,
        lines_of_identifiers.channel_id,
        coalesce(seed_lines.line_number, smallest_numbers.line_number) as line_number,
        case
            when seed_lines.channel_id is not null then coalesce(seed_lines.platform, 'whatsapp')
            when web_chats.channel_id is not null then 'webchat'
            else 'whatsapp'
        end as platform
    from sightings
    inner join lines_of_identifiers
        on coalesce(sightings.channel_identifier, sightings.number_identifier) = lines_of_identifiers.identifier
    left join seed_lines
        on lines_of_identifiers.channel_id = seed_lines.channel_id
    left join smallest_numbers
        on lines_of_identifiers.channel_id = smallest_numbers.channel_id
    left join web_chats
        on lines_of_identifiers.channel_id = web_chats.channel_id

),

{% if is_incremental() %}
known_lines as (

    select * from {{ this }}

),

final as (

    select
        identified_lines.given_channel_id,
        identified_lines.given_line_number,
        identified_lines.channel_id,
        identified_lines.line_number,
        identified_lines.platform,
        case
            when
                identified_lines.channel_id = known_lines.channel_id
                and coalesce(identified_lines.line_number, '') = coalesce(known_lines.line_number, '')
                and identified_lines.platform = known_lines.platform
                then known_lines.changed_load_id
            else {{ newest_load_id() }}
        end as changed_load_id
    from identified_lines
    left join known_lines
        on identified_lines.given_channel_id = known_lines.given_channel_id
        and identified_lines.given_line_number = known_lines.given_line_number

)
{% else %}
final as (

    select
        given_channel_id,
        given_line_number,
        channel_id,
        line_number,
        platform,
        {{ newest_load_id() }} as changed_load_id
    from identified_lines

)
{% endif %}

select * from final
