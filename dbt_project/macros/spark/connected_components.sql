{# Small-star and large-star (Kiveris et al., 2014): in turn, every identifier links its smaller neighbours, then its larger ones, to the
   smallest identifier in its neighbourhood, until each has one link, to the smallest identifier of its component. A round is two groupings
   of as many links as there were before, however large a component is.

   Of the worst components of 20 identifiers that a search found, none took more than 4 rounds; a chain of 100 takes 7. #}
{% macro spark__connected_components(links) -%}
    {%- set rounds = 7 -%}
    {{ spark__materialized_cte() }}
    with smaller_neighbours_0 as (

        select greatest(identifier_1, identifier_2) as identifier, collect_set(least(identifier_1, identifier_2)) as neighbours
        from {{ links }}
        group by greatest(identifier_1, identifier_2)

    ),

    {% for round in range(1, rounds + 1) %}
    neighbours_{{ round }} as (

        {{ spark_small_star('smaller_neighbours_' ~ (round - 1)) }}

    ),

    smaller_neighbours_{{ round }} as (

        select larger as identifier, collect_set(least(identifier, array_min(neighbours))) as neighbours
        from neighbours_{{ round }}
        lateral view explode(filter(neighbours, neighbour -> neighbour > identifier)) as larger
        group by larger

    ),

    {% endfor %}
    settled_neighbours as (

        {{ spark_small_star('smaller_neighbours_' ~ rounds) }}

    )

    select
        identifier,
        least(identifier, array_min(neighbours)) as component,
        array_min(neighbours) < identifier and size(neighbours) > 1 as is_open
    from settled_neighbours
{%- endmacro %}

{# A small-star step: all neighbours of each identifier, from its smaller ones. #}
{% macro spark_small_star(smaller_neighbours) -%}
    select link.identifier as identifier, collect_set(link.neighbour) as neighbours
        from {{ smaller_neighbours }}
        lateral view explode(flatten(transform(
            array_except(array_union(neighbours, array(identifier)), array(array_min(neighbours))),
            other -> array(
                struct(other as identifier, array_min(neighbours) as neighbour),
                struct(array_min(neighbours) as identifier, other as neighbour)
            )
        ))) as link
        group by link.identifier
{%- endmacro %}
