{% macro duckdb__hash_of_definition(variables) -%}
    {%- set folder = project_folder() | replace("'", "''") -%}
    {#- In a glob pattern, `[`, `*` and `?` are special unless they are in brackets. -#}
    {%- set pattern = folder | replace('[', '[[]') | replace('*', '[*]') | replace('?', '[?]') -%}
    {%- set files -%}
        read_blob([
            '{{ pattern }}/dbt_project.yml', '{{ pattern }}/models/**', '{{ pattern }}/macros/**', '{{ pattern }}/tests/**',
            '{{ pattern }}/seeds/**'
        ])
    {%- endset -%}
    {%- set hash = run_query(
        "select sha256(concat_ws(chr(10), '" ~ variables | replace("'", "''") ~ "', 'duckdb ' || ltrim(version(), 'v'),"
        ~ " string_agg(path || ' ' || hash, chr(10) order by path)))"
        ~ " from (select substr(filename, length('" ~ folder ~ "') + 2) as path, sha256(content) as hash from " ~ files ~ ')'
        ~ " where regexp_matches(path, '[.](sql|yml|csv|md)$')"
    ) -%}
    {{ return(hash.rows[0][0]) }}
{%- endmacro %}
