"""Build the marts from the raw tables: the record of builds, and dbt called inside this process."""
