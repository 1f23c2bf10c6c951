with sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

statuses as (

    select * from {{ ref('int_statuses_pivoted') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_judged') }}

),

touched_sends as (

    select message_key, message_id, conversation_key, sent_at, is_notification, has_error, error_code, error_detail
    from sends
    where
        {{ is_touched() }}
        and is_kept

),

quoted_sends as (

    select
        context_key as message_key,
        min(case when is_answer then happened_at end) as quoted_at
    from inbound_messages
    where context_key in (select touched_sends.message_key from touched_sends)
    group by context_key

),

joined_sends as (

    select
        touched_sends.*,
        statuses.sent_status_at,
        statuses.delivered_at,
        {{ earliest('statuses.read_status_at', 'statuses.played_status_at') }} as read_at,
        statuses.failed_at,
        statuses.failure_code as failed_code,
        statuses.failure_detail as failed_detail,
        quoted_sends.quoted_at,
        quoted_sends.message_key is not null as is_quoted
    from touched_sends
    left join statuses
        on touched_sends.message_key = statuses.message_key
    left join quoted_sends
        on touched_sends.message_key = quoted_sends.message_key

),

judged_sends as (

    select
        *,
        (has_error or failed_at is not null)
        and delivered_at is null
        and read_at is null
        and not is_quoted as is_not_sent,
        -- An error of the send log has the time of the send; on a tie it is the earlier word.
        has_error and (failed_at is null or sent_at <= failed_at) as was_refused_first
    from joined_sends

),

final as (

    select
        message_key,
        message_id,
        conversation_key,
        sent_at,
        sent_status_at,
        delivered_at,
        read_at,
        failed_at,
        quoted_at,
        is_notification,
        is_not_sent,
        case when is_not_sent and was_refused_first then error_code when is_not_sent then failed_code end as failure_code,
        case when is_not_sent and was_refused_first then error_detail when is_not_sent then failed_detail end as failure_detail
    from judged_sends

)

select * from final
