"""From raw tables to marts: the record of builds, and dbt run in this process."""
