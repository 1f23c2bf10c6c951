"""The Dagster assets, from source to report: landing, dbt models, publication, exports."""
