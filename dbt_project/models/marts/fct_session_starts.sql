{# A view, because both parts are tables already: writing their 34 columns again took a sixth of a full build. #}
{{ config(materialized='view') }}

with notifications as (

    select * from {{ ref('fct_notifications') }}

),

starts_without_notification as (

    select * from {{ ref('int_starts_without_notification_unioned') }}

),

final as (

    select
        {{ session_start_columns() | join(',\n        ') }}
    from notifications
    where is_session_start
    union all
    select
        {{ session_start_columns() | join(',\n        ') }}
    from starts_without_notification

)

select * from final
