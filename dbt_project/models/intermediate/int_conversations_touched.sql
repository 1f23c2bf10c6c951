{% set built_through = built_through_load_id() %}

-- Some of these are read only where there is a build to go on from.
-- noqa: disable=ST03
with sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

statuses as (

    select * from {{ ref('int_statuses_pivoted') }}

),

botmaker_sessions as (

    select * from {{ ref('int_botmaker_sessions_deduplicated') }}

),

botmaker_sent_results as (

    select * from {{ ref('int_botmaker_sent_results_merged') }}

),

channels_named as (

    select * from {{ ref('int_channels_named') }}

),

new_sends as (

    select message_key, conversation_key, channel_id, contact_id
    from sends
    where last_load_id > {{ built_through }}

),

new_messages as (

    select context_key, conversation_key, channel_id, contact_id
    from inbound_messages
    where last_load_id > {{ built_through }}

),

-- Events and messages come with the session's item, so that its load is theirs as well.
new_botmaker_sessions as (

    select conversation_key, channel_id, contact_id
    from botmaker_sessions
    where last_load_id > {{ built_through }}

),

{% if built_through > 0 %}
sends_with_news as (

    select message_key from statuses where last_load_id > {{ built_through }}
    union all
    select context_key from new_messages where context_key is not null

),

channels_renumbered as (

    select channel_id from channels_named where numbered_by_load_id > {{ built_through }}

),

sends_touched as (

    select conversation_key, channel_id, contact_id
    from sends
    where
        message_key in (select sends_with_news.message_key from sends_with_news)
        or channel_id in (select channels_renumbered.channel_id from channels_renumbered)

),

messages_touched as (

    select conversation_key, channel_id, contact_id
    from inbound_messages
    where
        -- A send that was not known when it was quoted now takes the answer from another one.
        context_key in (select new_sends.message_key from new_sends)
        or channel_id in (select channels_renumbered.channel_id from channels_renumbered)

),

botmaker_sessions_touched as (

    select conversation_key, channel_id, contact_id
    from botmaker_sessions
    where
        session_key in (select session_key from botmaker_sent_results where last_load_id > {{ built_through }})
        or channel_id in (select channels_renumbered.channel_id from channels_renumbered)

),
{% endif %}

conversations as (

    select conversation_key, channel_id, contact_id from new_sends
    union all
    select conversation_key, channel_id, contact_id from new_messages
    union all
    select conversation_key, channel_id, contact_id from new_botmaker_sessions
    {% if built_through > 0 %}
    union all
    select conversation_key, channel_id, contact_id from sends_touched
    union all
    select conversation_key, channel_id, contact_id from messages_touched
    union all
    select conversation_key, channel_id, contact_id from botmaker_sessions_touched
    {% endif %}

),

final as (

    select conversation_key, any_value(channel_id) as channel_id, any_value(contact_id) as contact_id
    from conversations
    group by conversation_key

)

select * from final
