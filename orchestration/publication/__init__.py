"""Publish the marts for BI: the published file, Parquet and PostgreSQL, with plain or masked contacts."""
