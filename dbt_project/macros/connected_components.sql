{# The connected components of a graph, as a query with the columns `identifier`, `component` (the smallest identifier of the component) and
   `is_open` (true if the component was too long to settle; see `rounds`).

   `links` names a relation with `identifier_1` and `identifier_2`, one row per link, in either direction. On DuckDB, one look at the direct
   neighbours settles nearly every component. Only the links that are still open after that are followed step by step, so that a million
   pairs take as long as one grouping. Spark has no recursive queries before 4.0; its version uses another algorithm. #}
{% macro connected_components(links) -%}
    {{ return(adapter.dispatch('connected_components', 'conversation_starts')(links)) }}
{%- endmacro %}
