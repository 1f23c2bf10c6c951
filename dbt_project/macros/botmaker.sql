{# A Botmaker session id is `<chatId>_<time>`. Ids with the same chat and the same second name the same session, whatever the precision of
   the time (contract, section 4.6). An id in another form is compared as it is. #}
{% macro comparable_session_id(session_id) -%}
    {%- set time = "regexp_extract(" ~ session_id ~ ", '[^_]*$', 0)" -%}
    coalesce(
        case when {{ matches(session_id, "^.+_" ~ iso_time_with_offset() ~ "$") }} then
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

{# Hours to 23 and offsets to 17:59: each engine also reads some times and offsets beyond these, but not the same ones. #}
{% macro iso_time_with_offset() -%}
    [0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?(Z|[+-](0[0-9]|1[0-7]):?[0-5][0-9])
{%- endmacro %}
