-- Contract, section 2.1: more than `max_identifiers_per_person` connected identifiers are taken for an error in the data, and
-- each stands for itself. A row is such an identifier, with how many are connected with it: list them with `dbt show`, or query
-- `intermediate.int_people_identified`; no log or page of ours names people.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'int_people_identified'}}}) }}

select identifier, component, connected_identifiers
from {{ ref('int_people_identified') }}
where connected_identifiers > {{ var('max_identifiers_per_person') }} or component = '(open)'
