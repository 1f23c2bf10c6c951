{# Identifiers of people and lines (contract, sections 2.1 and 2.2).

   `display_identifier` and `comparable_identifier` are the only place that defines the spelling rules. They are plain SQL that every engine
   understands and call no macro of another file, because the orchestration also renders this file for landing, masking and erasure
   (`orchestration/identifiers.py`). #}

{# Characters that may occur between the digits of a number, and before them. #}
{% macro phone_punctuation() -%}
    + ().-
{%- endmacro %}

{# Spark expands a computed value as often as a rule names it, and again wherever the result is read, until the generated code no longer
   fits into a Java method. A function of one parameter contains the value and the rule only once. The orchestration renders without a
   target, for DuckDB. #}
{% macro is_for_spark() -%}
    {{ 'yes' if target is defined and target.type != 'duckdb' }}
{%- endmacro %}

{# An identifier of digits only is a number; one such as `US.1349…` is a WhatsApp user id. Most identifiers are numbers, so this test
   determines the cost of all of them: 0.2 CPU seconds for 2.4M, where `translate` to a text without digits takes 0.7. #}
{% macro is_number(identifier) -%}
    {%- if is_for_spark() -%}
    {{ identifier }} rlike '^[0-9]+\\z'
    {%- else -%}
    regexp_full_match({{ identifier }}, '[0-9]+')
    {%- endif -%}
{%- endmacro %}

{# An identifier as people read it: a JID or address becomes its number, a phone-like text becomes its digits, any other text stays as
   given. Twilio writes an address as `whatsapp:+5511…`; `5511…@s.whatsapp.net` and `…@c.us` (with `:12` for a device) are JIDs. #}
{% macro display_identifier(text) -%}
    {%- if is_for_spark() -%}
    aggregate(array({{ text }}), '', (none, given) -> {{ display_identifier_rule('given') }})
    {%- else -%}
    {{ display_identifier_rule(text) }}
    {%- endif -%}
{%- endmacro %}

{% macro display_identifier_rule(text) -%}
    {%- set bare -%}
        regexp_replace(regexp_replace({{ text }}, '^[wW][hH][aA][tT][sS][aA][pP][pP]:', ''), '(:[0-9]+)?@([sS][.][wW][hH][aA][tT][sS][aA][pP][pP][.][nN][eE][tT]|[cC][.][uU][sS]){{ '\\\\z' if is_for_spark() else '$' }}', '')
    {%- endset -%}
    {%- set digits = "translate(" ~ bare ~ ", '" ~ phone_punctuation() ~ "', '')" -%}
    case
        -- Most identifiers are digits already, and the expressions below cost ten times as much.
        when {{ is_number(text) }} then {{ text }}
        when {{ bare }} = '' then {{ text }}
        when not {{ is_number(digits) }} then {{ bare }}
        else {{ digits }}
    end
{%- endmacro %}

{# The one spelling of a shown identifier in which identifiers are compared. Each rule makes two spellings of a number the same:
   - Brazil added a 9 to mobile numbers (8 digits that begin with 6 to 9) between 2012 and 2016; WhatsApp still uses the short form for
     older accounts. Landlines begin with 2 to 5 and do not change.
   - Argentina writes mobile numbers with a 9 after the country code in international form, and without it at home.
   - Mexico dropped the 1 after the country code in 2019; WhatsApp still posts it. #}
{% macro comparable_identifier(shown) -%}
    {%- if is_for_spark() -%}
    aggregate(array({{ shown }}), '', (none, given) -> {{ comparable_identifier_rule('given') }})
    {%- else -%}
    {{ comparable_identifier_rule(shown) }}
    {%- endif -%}
{%- endmacro %}

{% macro comparable_identifier_rule(shown) -%}
    case
        when not {{ is_number(shown) }} then {{ shown }}
        when length({{ shown }}) = 12 and {{ shown }} like '55%' and substr({{ shown }}, 5, 1) between '6' and '9'
            then substr({{ shown }}, 1, 4) || '9' || substr({{ shown }}, 5)
        when length({{ shown }}) = 12 and {{ shown }} like '54%' then '549' || substr({{ shown }}, 3)
        when length({{ shown }}) = 13 and {{ shown }} like '521%' then '52' || substr({{ shown }}, 4)
        else {{ shown }}
    end
{%- endmacro %}

{% macro is_user_id(identifier) -%}
    {{ identifier }} like '__.%' and translate(substr({{ identifier }}, 1, 2), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', '') = ''
{%- endmacro %}
