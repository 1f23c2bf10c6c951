"""The Dagster assets, in the order of the report: what lands, the models, what is published, what is exported."""
