"""The pipeline around the dbt project: land, build, publish, export."""
