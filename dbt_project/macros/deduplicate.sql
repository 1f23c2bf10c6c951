{# Keep the first copy of every message (or of every `key`) under a total order, whatever arrived first (contract, section 4.1).

   Copies of one id that differ in the other columns of `grain` stay as rows with `is_kept` false: when a better copy moves an id to another
   conversation, the conversation that it leaves must be recomputed as well. `copies` counts the raw rows behind a row; `last_load_id` is
   the last load that touched the id.

   Few ids occur twice, so only those are sorted and all others pass through (3 times faster than `row_number` over all rows at 1M sends).
   Expects a CTE with the name in `new_rows`, and ends with the CTE `final`. #}
{% macro deduplicate(new_rows, columns, grain, order, key='message_key') %}
candidates as (

    {{ new_and_known_rows(new_rows, columns, key) }}

),

repeated_keys as (

    select {{ key }}
    from candidates
    group by {{ key }}
    having count(*) > 1

),

single_rows as (

    select {{ columns | join(', ') }}, copies, last_load_id, true as is_kept
    from candidates
    where not exists (select 1 from repeated_keys where repeated_keys.{{ key }} = candidates.{{ key }})

),

repeated_rows as (

    select
        {{ columns | join(', ') }},
        cast(sum(copies) over (partition by {{ grain | join(', ') }}) as bigint) as copies,
        max(last_load_id) over (partition by {{ key }}) as last_load_id,
        row_number() over (partition by {{ grain | join(', ') }} order by {{ order | join(', ') }}) as rank_in_grain
    from candidates
    where {{ key }} in (select repeated_keys.{{ key }} from repeated_keys)

),

-- Chosen among the remaining rows: equal copies tie, and two windows over all copies could choose different ones.
ranked_rows as (

    select
        {{ columns | join(', ') }},
        copies,
        last_load_id,
        row_number() over (partition by {{ key }} order by {{ order | join(', ') }}) = 1 as is_kept
    from repeated_rows
    where rank_in_grain = 1

),

final as (

    select {{ columns | join(', ') }}, cast(copies as bigint) as copies, last_load_id, is_kept from single_rows
    union all
    select {{ columns | join(', ') }}, copies, last_load_id, is_kept from ranked_rows

)
{% endmacro %}
