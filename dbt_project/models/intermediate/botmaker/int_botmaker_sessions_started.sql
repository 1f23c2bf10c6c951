with sessions as (

    select * from {{ ref('int_botmaker_sessions_deduplicated') }}

),

sent_results as (

    select * from {{ ref('int_botmaker_sent_results_merged') }}

),

sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

starting_causes as (

    select * from {{ ref('starting_causes') }}

),

people as (

    select * from {{ ref('int_people_identified') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

message_keys_of_logs as (

    select message_key from sends
    union all
    select message_key from inbound_messages

),

sessions_to_recompute as (

    select *
    from sessions
    where
        {{ is_to_recompute() }}
        and is_kept
        and {{ 'true' if var('include_testers') else 'not is_tester' }}
        -- A session's id identifies a row of the marts, like the id of a message of the logs. The two have different forms; if they are
        -- equal all the same, the message keeps its row.
        and not exists (
            select 1 from message_keys_of_logs where message_keys_of_logs.message_key = {{ key_hash(['sessions.session_id']) }}
        )

),

sessions_in_threads as (

    select
        sessions_to_recompute.*,
        lines_identified.channel_id,
        coalesce(people.person_id, sessions_to_recompute.contact_identifier) as person_id,
        lines_named.platform = 'webchat' as is_web_chat
    from sessions_to_recompute
    inner join lines_identified
        on sessions_to_recompute.given_channel_id = lines_identified.given_channel_id
        and lines_identified.given_line_number = ''
    inner join lines_named
        on lines_identified.channel_id = lines_named.channel_id
    left join people
        on sessions_to_recompute.contact_identifier = people.identifier

),

sessions_with_origin as (

    select
        sessions_in_threads.*,
        {{ key_hash(['sessions_in_threads.channel_id', 'sessions_in_threads.person_id']) }} as thread_key,
        case
            when sent_results.session_key is not null then 'mass_notification'
            when {{ lower_case('sessions_in_threads.starting_cause') }} = 'referral' and sessions_in_threads.is_web_chat
                then 'referred_webchat'
            else coalesce(starting_causes.origin, 'other')
        end as origin
    from sessions_in_threads
    left join sent_results
        on sessions_in_threads.session_key = sent_results.session_key
    left join starting_causes
        on {{ lower_case('sessions_in_threads.starting_cause') }} = {{ lower_case('starting_causes.starting_cause') }}

),

final as (

    select
        session_key,
        session_id,
        thread_key,
        channel_id,
        person_id,
        contact_id,
        customer_id,
        session_started_at,
        customer_created_at,
        origin,
        origin in {{ push_origins() }} as is_started_by_push
    from sessions_with_origin

)

select * from final
