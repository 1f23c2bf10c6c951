"""Small pictures of a table for the Dagster UI."""

import duckdb
from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

_CELL_CHARACTERS = 80


def preview(connection: duckdb.DuckDBPyConnection, query: str) -> TableMetadataValue:
    """Show the rows of one of this package's own queries; long values are cut."""
    result = connection.execute(query)
    columns = [description[0] for description in result.description or []]
    records = [TableRecord({name: _cell(value) for name, value in zip(columns, row, strict=True)}) for row in result.fetchall()]
    return MetadataValue.table(records=records, schema=TableSchema(columns=[TableColumn(name) for name in columns]))


def _cell(value: object) -> str:
    return "" if value is None else str(value)[:_CELL_CHARACTERS]
