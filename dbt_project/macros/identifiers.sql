{# Phone-like identifiers are compared as digits only (contract, section 2: `+55 11…` = `5511…`);
   any other, such as the user id `US.1349…`, as given. #}
{% macro comparable_identifier(text) -%}
    case
        when {{ matches(text, "^[+0-9 ().-]*[0-9][+0-9 ().-]*$") }} then {{ digits_only(text) }}
        else {{ text }}
    end
{%- endmacro %}

{% macro conversation_key() -%}
    {{ key_hash(['channel_id', 'contact_id']) }}
{%- endmacro %}
