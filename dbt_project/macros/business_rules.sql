{# Rules of the contract that more than one model needs. #}

{# A UTC time as local time in the report's time zone, and its report day. #}
{% macro report_time(timestamp) -%}
    {{ time_in_zone(timestamp, var('report_timezone')) }}
{%- endmacro %}

{% macro report_date(timestamp) -%}
    cast({{ report_time(timestamp) }} as date)
{%- endmacro %}

{# The day on WhatsApp's bill for a UTC time (contract, section 5). #}
{% macro billing_date(timestamp) -%}
    cast({{ time_in_zone(timestamp, var('billing_timezone') or var('report_timezone')) }} as date)
{%- endmacro %}

{# The form in which names of markets in rate cards are compared: letters only. #}
{% macro market_key(text) -%}
    lower({{ letters_only("replace(" ~ text ~ ", '&', 'and')") }})
{%- endmacro %}

{# Contract, section 4.4. A seed maps Botmaker's `startingCause` to the same values. #}
{% macro origin_of_send(notification_name, template_name) -%}
    case
        when {{ notification_name }} is not null then 'mass_notification'
        when {{ template_name }} is not null then 'whatsapp_template'
        else 'other'
    end
{%- endmacro %}

{% macro origins_in_report() -%}
    ('mass_notification', 'whatsapp_template', 'referred_campaign', 'referred_webchat')
{%- endmacro %}

{# Origins of sessions that a push started, that is, a notification. #}
{% macro push_origins() -%}
    ('mass_notification', 'whatsapp_template')
{%- endmacro %}

{# Contract, section 4.3: the seed defines when each kind of inbound message counts. A kind that is not in the seed always counts; a message
   in a group never does. #}
{% macro meets_condition(condition, message) -%}
    not {{ message }}.is_in_group
        and case coalesce({{ condition }}, 'always')
            when 'always' then true
            when 'with_referral' then {{ message }}.has_referral
            when 'with_emoji' then {{ message }}.has_reaction_emoji
            else false
        end
{%- endmacro %}

{# Contract, section 4.2: flags are cumulative. `send` has the status times and `is_not_sent`. #}
{% macro send_flags(send) -%}
    {{ send }}.replied_at is not null as is_replied,
        coalesce({{ send }}.read_at, {{ send }}.replied_at) is not null as is_read,
        coalesce({{ send }}.delivered_at, {{ send }}.read_at, {{ send }}.replied_at) is not null as is_delivered,
        not {{ send }}.is_not_sent
        and coalesce({{ send }}.sent_status_at, {{ send }}.delivered_at, {{ send }}.read_at, {{ send }}.replied_at) is not null as is_sent
{%- endmacro %}

{% macro last_status(send) -%}
    case
            when {{ send }}.is_not_sent then 'not_sent'
            when {{ send }}.is_replied then 'replied'
            when {{ send }}.is_read then 'read'
            when {{ send }}.is_delivered then 'delivered'
            when {{ send }}.is_sent then 'sent'
            else 'pending'
        end
{%- endmacro %}

{# Contract, section 4.8. `reasons` is the seed's row for the send's code, `unknown_reason` the row for all other codes. #}
{% macro failure_columns(send, reasons, unknown_reason) -%}
    case when {{ send }}.is_not_sent then coalesce({{ reasons }}.failure_group, 'unknown') end as failure_group,
        case when {{ send }}.is_not_sent then coalesce({{ reasons }}.failure_action, {{ unknown_reason }}.failure_action) end as failure_action,
        case when {{ send }}.is_not_sent then coalesce({{ reasons }}.label_en, {{ unknown_reason }}.label_en) end as failure_reason
{%- endmacro %}

{# Contract, section 4.8: a code that a tool wrote as a decimal, such as `131049.0`, is read as the whole number. #}
{% macro normalized_failure_code(code) -%}
    coalesce(nullif({{ whole_number_from_text(code) }}, ''), nullif({{ code }}, ''))
{%- endmacro %}

{# Contract, section 4.6: Botmaker gives WhatsApp's code as the last number in parentheses, such as `(131049.0)` or `(#131049)`, or as the
   whole text, such as `131049.0`. #}
{% macro failure_code_from_text(text) -%}
    coalesce(
            nullif({{ regexp_group(text, '(?s)^.*[(] *#?([0-9]+)([.]0+)? *[)]', 1) }}, ''),
            nullif({{ whole_number_from_text(text) }}, '')
        )
{%- endmacro %}

{% macro whole_number_from_text(text) -%}
    {{ regexp_group(text, '^ *([0-9]+)([.]0+)? *$', 1) }}
{%- endmacro %}

{# The earlier of two times; either may be null. #}
{% macro earliest(time_1, time_2) -%}
    least(coalesce({{ time_1 }}, {{ time_2 }}), coalesce({{ time_2 }}, {{ time_1 }}))
{%- endmacro %}

{# Contract, section 4.7. `first_session_started_at` is null for a thread in which no session has started. #}
{% macro user_type(first_session_started_at, customer_created_at, session_started_at) -%}
    case
        when {{ first_session_started_at }} < {{ session_started_at }} then 'returning'
        when {{ customer_created_at }} < {{ session_started_at }} - interval '{{ var("new_user_tolerance_seconds") }}' second then 'returning'
        else 'new'
    end
{%- endmacro %}

{# The columns that both fact tables share, in the order of section 5 of the contract. #}
{% macro session_start_columns() -%}
    {{ return([
        'session_start_id', 'session_id', 'session_started_at', 'session_start_date', 'origin', 'is_in_report',
        'channel_id', 'channel_name', 'line_number', 'person_id', 'contact_id', 'customer_id', 'user_type',
        'message_id', 'template_name', 'template_language', 'notification_name',
        'sent_at', 'delivered_at', 'read_at', 'replied_at', 'first_reply_at', 'reply_evidence', 'failed_at',
        'is_not_sent', 'is_sent', 'is_delivered', 'is_read', 'is_replied', 'last_status',
        'failure_code', 'failure_group', 'failure_action', 'failure_reason', 'failure_detail',
        'agent_groups', 'chat_link', 'source',
    ]) }}
{%- endmacro %}

{# The keys of the daily marts: the report's day and its filters. #}
{% macro report_keys(prefix='') -%}
    {%- set keys = [] -%}
    {%- for key in ['session_start_date', 'origin', 'channel_id', 'line_number', 'template_name', 'notification_name', 'user_type'] -%}
        {%- do keys.append(prefix ~ key) -%}
    {%- endfor -%}
    {{ return(keys) }}
{%- endmacro %}
