"""Dagster's side of the project: land, build, publish, export."""
