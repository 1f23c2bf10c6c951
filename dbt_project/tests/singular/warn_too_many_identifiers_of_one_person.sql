-- More than `max_identifiers_per_person` connected identifiers are treated as an error in the data, and each counts as its own person
-- (contract, section 2.1). A row is such an identifier, with the number of identifiers connected to it. Logs and pages of this project name
-- no people: list the rows with `dbt show`, or query `intermediate.int_people_identified`.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'int_people_identified'}}}) }}

select identifier, component, connected_identifiers
from {{ ref('int_people_identified') }}
where connected_identifiers > {{ var('max_identifiers_per_person') }} or component = '(open)'
