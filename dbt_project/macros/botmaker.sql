{# A Botmaker session id is `<chatId>_<time>`. Ids with the same chat and the same second name the same session, whatever the precision of
   the time (contract, section 4.6). An id in another form is compared as it is. #}
{% macro comparable_session_id(session_id) -%}
    {%- set time = "regexp_extract(" ~ session_id ~ ", '[^_]*$', 0)" -%}
    coalesce(
        case when {{ matches(session_id, "^.+_[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})$") }} then
            substr({{ session_id }}, 1, length({{ session_id }}) - length({{ time }}) - 1)
            || '|' || cast({{ utc_second(time) }} as {{ dbt.type_string() }})
        end,
        {{ session_id }}
    )
{%- endmacro %}

{# Contract, section 4.6: other events of a session, and events without a message id, say nothing about a notification. #}
{% macro is_notification_event(name, message_id) -%}
    substr({{ name }}, 1, 13) = 'notification-' and {{ message_id }} is not null
{%- endmacro %}

{% macro botmaker_chat_link(chat_id) -%}
    'https://go.botmaker.com/#/chats/' || {{ chat_id }}
{%- endmacro %}
