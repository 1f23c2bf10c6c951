{# The connected components of a graph, as a query with the columns `identifier`, `component` (the smallest identifier of the
   component) and `is_open` (the component is so long that it was not settled; see `rounds`).

   `links` names a relation with `identifier_1` and `identifier_2`, one row per link, in any direction. Nearly every component
   is settled by one look at the direct neighbours; only the links that are still open after it are followed step by step, so
   that a million pairs take as long as one grouping. Spark has no recursive query before 4.0; its version squares the graph. #}
{% macro connected_components(links) -%}
    {{ return(adapter.dispatch('connected_components', 'conversation_starts')(links)) }}
{%- endmacro %}
