{% macro duckdb__connected_components(links) -%}
    {#- 19 rounds settle a component of at most 20 identifiers. Lines have no such limit and may need more. -#}
    {%- set rounds = 64 -%}
    with recursive directed_links as (

        select identifier_1, identifier_2 from {{ links }}
        union all
        select identifier_2 as identifier_1, identifier_1 as identifier_2 from {{ links }}

    ),

    nearest_labels as (

        select identifier_1 as identifier, min(least(identifier_1, identifier_2)) as label
        from directed_links
        group by identifier_1

    ),

    open_links as (

        select distinct labels_1.label as label_1, labels_2.label as label_2
        from directed_links
        inner join nearest_labels as labels_1
            on directed_links.identifier_1 = labels_1.identifier
        inner join nearest_labels as labels_2
            on directed_links.identifier_2 = labels_2.identifier
        where labels_1.label <> labels_2.label

    ),

    settled_labels (label, component, rounds) using key (label) as (

        select distinct label_1 as label, label_1 as component, 0 as rounds
        from open_links
        union
        select open_links.label_2, min(settled_labels.component), max(settled_labels.rounds) + 1
        from settled_labels
        inner join open_links
            on settled_labels.label = open_links.label_1
        inner join recurring.settled_labels as known_labels
            on open_links.label_2 = known_labels.label
        where settled_labels.component < known_labels.component and settled_labels.rounds < {{ rounds }}
        group by open_links.label_2

    ),

    open_components as (

        select distinct labels_1.component
        from open_links
        inner join settled_labels as labels_1
            on open_links.label_1 = labels_1.label
        inner join settled_labels as labels_2
            on open_links.label_2 = labels_2.label
        where labels_1.component <> labels_2.component

    )

    select
        nearest_labels.identifier,
        coalesce(settled_labels.component, nearest_labels.label) as component,
        open_components.component is not null as is_open
    from nearest_labels
    left join settled_labels
        on nearest_labels.label = settled_labels.label
    left join open_components
        on settled_labels.component = open_components.component
{%- endmacro %}
