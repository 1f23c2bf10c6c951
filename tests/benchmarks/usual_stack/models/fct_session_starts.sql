with sessions as (
    select * from {{ ref('int_sessions') }}
),

sends as (
    select * from {{ ref('int_sends_with_status') }} where is_notification
),

replies as (
    select * from {{ ref('int_replies') }}
),

referrals as (
    select message_id, line_number from {{ ref('stg_messages') }} where referral_source_type is not null
),

failure_reasons as (
    select * from {{ source('lookups', 'failure_reasons') }}
),

joined as (
    select
        sessions.message_id as session_start_id,
        sessions.session_started_at,
        sessions.channel_id,
        sessions.contact_id,
        sessions.is_first_session
        and coalesce(sends.customer_created_at >= sessions.session_started_at - interval 60 seconds, true) as is_new_user,
        sends.* exclude (channel_id, contact_id, quoted_at, line_number),
        coalesce(sends.line_number, referrals.line_number) as line_number,
        least(sends.quoted_at, replies.replied_at) as replied_at,
        least(sends.quoted_at, replies.first_reply_at) as first_reply_at,
        coalesce(sends.is_not_sent, false) as has_failed,
        coalesce(sends.error_code, sends.failed_code)::varchar as failure_code
    from sessions
    left join sends on sessions.message_id = sends.message_id
    left join replies on sessions.message_id = replies.message_id
    left join referrals on sessions.message_id = referrals.message_id
    where sends.message_id is not null or referrals.message_id is not null
),

flagged as (
    select
        *,
        replied_at is not null as is_replied,
        coalesce(read_at, replied_at) is not null as is_read,
        coalesce(delivered_at, read_at, replied_at) is not null as is_delivered,
        not has_failed and coalesce(sent_status_at, delivered_at, read_at, replied_at) is not null as is_sent
    from joined
),

final as (
    select
        flagged.customer_id,
        flagged.contact_id,
        flagged.session_started_at,
        flagged.channel_id,
        flagged.is_new_user,
        coalesce(flagged.notification_name, flagged.template_name) as template_or_notification_name,
        flagged.has_failed as is_not_sent,
        flagged.is_sent,
        flagged.is_delivered,
        flagged.is_read,
        case when flagged.message_id is not null then flagged.is_replied end as is_replied,
        case when flagged.has_failed then coalesce(failure_reasons.label_en, 'Unknown reason') end as failure_reason,
        case
            when flagged.has_failed
                then coalesce(flagged.error_details, flagged.error_title, flagged.failed_details, flagged.failed_title)
        end as failure_detail,
        flagged.sent_at,
        flagged.delivered_at,
        flagged.read_at,
        flagged.replied_at,
        flagged.agent_groups,
        case
            when flagged.message_id is null then null
            when flagged.has_failed then 'not_sent'
            when flagged.is_replied then 'replied'
            when flagged.is_read then 'read'
            when flagged.is_delivered then 'delivered'
            when flagged.is_sent then 'sent'
            else 'pending'
        end as last_status,
        case
            when flagged.notification_name is not null then 'mass_notification'
            when flagged.template_name is not null then 'whatsapp_template'
            else 'referred_campaign'
        end as origin,
        flagged.line_number,
        case when flagged.has_failed then flagged.failure_code end as failure_code,
        flagged.session_start_id,
        flagged.chat_link,
        flagged.contact_id as person_id,
        flagged.first_reply_at,
        case when flagged.has_failed then coalesce(failure_reasons.failure_action, 'none') end as failure_action
    from flagged
    left join failure_reasons on flagged.failure_code = failure_reasons.failure_code
)

select * from final
