"""Write the marts into a version's DuckDB file before readers see it: all rows, or only the changed ones."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from orchestration.files import quoted
from orchestration.publication.marts import PUBLISHED_MARTS, PUBLISHED_TABLES, SESSION_STARTS, PublishedMart, PublishedTable
from orchestration.publication.masking import prepare_masking, published_rows
from orchestration.publication.parquet import ChangedParts, DayPart
from orchestration.publication.person_columns import Masks, masks_in_force
from orchestration.settings import Settings
from orchestration.transactions import transaction


@contextmanager
def attached(warehouse: duckdb.DuckDBPyConnection, database: Path, *, read_only: bool) -> Iterator[None]:
    """Attach a version's file to the warehouse as `draft`."""
    warehouse.execute(f"attach {quoted(database)} as draft{' (read_only)' if read_only else ''}")
    try:
        yield
    finally:
        warehouse.execute("detach draft")


def write_marts(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, days_by_mart: Mapping[str, list[date]] | None
) -> dict[str, ChangedParts]:
    """Write the draft's tables, or replace only the given days of each mart; return which parts of the marts changed."""
    prepare_masking(warehouse, settings)
    masks = masks_in_force(settings)
    # The order of a mart's rows has no meaning, and keeping it takes a third of the writing time.
    warehouse.execute("set preserve_insertion_order = false")
    try:
        if days_by_mart is None:
            for table in PUBLISHED_TABLES:
                _write_table(warehouse, settings, table, masks)
            _create_view(warehouse)
            _copy_comments(warehouse)
            return {}
        changed: dict[str, ChangedParts] = {}
        for table in PUBLISHED_TABLES:
            if days_by_mart[table.mart.name]:
                for mart, parts in _replace_rows(warehouse, settings, table, masks, days_by_mart[table.mart.name]).items():
                    changed[mart] = _merge_changes(changed.get(mart, {}), parts)
        return changed
    finally:
        warehouse.execute("reset preserve_insertion_order")


def _merge_changes(one: ChangedParts, other: ChangedParts) -> ChangedParts:
    """Merge the changes of one mart that is stored in two tables."""
    together = dict(one)
    for part, columns in other.items():
        known = together.get(part, frozenset())
        together[part] = None if known is None or columns is None else known | columns
    return together


def _columns(warehouse: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    schema, name = relation.split(".")
    rows = warehouse.execute(
        """
        select column_name
        from duckdb_columns()
        where database_name = current_database() and schema_name = $schema and table_name = $name
        order by column_index
        """,
        {"schema": schema, "name": name},
    ).fetchall()
    return [column for (column,) in rows]


def _write_table(warehouse: duckdb.DuckDBPyConnection, settings: Settings, table: PublishedTable, masks: Masks) -> None:
    rows = published_rows(_columns(warehouse, table.source), table.source, settings, masks.get(table.mart.name, {}))
    warehouse.execute(f"create schema if not exists draft.{table.schema}")
    warehouse.execute(f"create table draft.{table.name} as {rows}")


def _create_view(warehouse: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(_columns(warehouse, f"marts.{SESSION_STARTS}"))
    parts = [
        f"select {columns} from {table.name} where {condition}"
        for table in PUBLISHED_TABLES
        for mart, condition in table.shown_by
        if mart.name == SESSION_STARTS
    ]
    # A view stores the names in its query. `draft.…` would not be found once readers attach the file under another name.
    with warehouse.cursor() as in_draft:
        in_draft.execute("use draft")
        in_draft.execute(f"create view {SESSION_STARTS} as {' union all '.join(parts)}")


def _copy_comments(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Copy the comments of the warehouse's marts and columns to the draft."""
    comments = warehouse.execute(
        """
        with relations as (
            select database_name, schema_name, table_name as name, comment from duckdb_tables()
            union all
            select database_name, schema_name, view_name as name, comment from duckdb_views()
        ),
        comments as (
            select name as mart, null as column_name, comment
            from relations
            where database_name = current_database() and schema_name = 'marts' and comment is not null
            union all
            select table_name, column_name, comment
            from duckdb_columns()
            where database_name = current_database() and schema_name = 'marts' and comment is not null
        )
        select
            case
                when column_name is not null then 'column'
                when mart = $view then 'view'
                else 'table'
            end,
            concat_ws('.', mart, column_name),
            comment
        from comments
        where list_contains($marts, mart)
        """,
        {"marts": [mart.name for mart in PUBLISHED_MARTS], "view": SESSION_STARTS},
    ).fetchall()
    write_comments(warehouse, comments)


def write_comments(warehouse: duckdb.DuckDBPyConnection, comments: Iterable[tuple[str, str, str]]) -> None:
    """Write comments on tables, views and columns of the draft, as (`table`, `view` or `column`; name; comment)."""
    # In one transaction, because each commit waits for the disk.
    with transaction(warehouse):
        for kind, name, comment in comments:
            warehouse.execute(f"comment on {kind} draft.main.{name} is {quoted(comment)}")


def _replace_rows(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, table: PublishedTable, masks: Masks, days: list[date]
) -> dict[str, ChangedParts]:
    """Replace the changed rows of some days; return which parts change in each mart that shows the table.

    Rows are compared by their fingerprints, which takes a third of the time of writing all rows of the days.
    """
    on_these_days, columns, drafted = table.mart.is_on(days), _columns(warehouse, table.source), f"draft.{table.name}"
    # Two hashes of 64 bits, as the models compare rows (`row_fingerprint` of the dbt project).
    fingerprint = "struct_pack(first := hash({0}), second := hash('second', {0})) as fingerprint".format(", ".join(columns))
    now = f"({published_rows(columns, table.source, settings, masks.get(table.mart.name, {}), on_these_days, with_row_id=True)})"
    before = f"(select rowid as row_id, * from {drafted} where {on_these_days})"
    for name, rows in (("now", now), ("before", before)):
        warehouse.execute(f"create or replace temp table fingerprints_{name} as select row_id, {fingerprint} from {rows}")
    for name, rows, these, others in (("inserted", now, "now", "before"), ("deleted", before, "before", "now")):
        warehouse.execute(
            f"create or replace temp table {name}_rows as from {rows} "
            f"where row_id in (select row_id from fingerprints_{these} anti join fingerprints_{others} using (fingerprint))"
        )
    changed = {mart.name: _changed_parts(warehouse, mart, condition) for mart, condition in table.shown_by}
    warehouse.execute(f"delete from {drafted} where rowid in (select row_id from deleted_rows)")
    warehouse.execute(f"insert into {drafted} by name select * exclude (row_id) from inserted_rows")
    for temp_table in ("fingerprints_now", "fingerprints_before", "inserted_rows", "deleted_rows"):
        warehouse.execute(f"drop table {temp_table}")
    return changed


def _changed_parts(warehouse: duckdb.DuckDBPyConnection, mart: PublishedMart, condition: str) -> ChangedParts:
    """Compare the inserted rows of a mart with the deleted ones: if each has a counterpart with the same key, only columns changed."""
    columns = _columns(warehouse, f"marts.{mart.name}")
    key = columns if mart.order == ("all",) else [mart.date_column, *mart.order]
    compared = [column for column in columns if column not in key]
    differences = ", ".join(f"bool_or(deleted.{column} is distinct from inserted.{column})" for column in compared)
    same_key = " and ".join(f"deleted.{column} is not distinct from inserted.{column}" for column in key)
    with_part = f"select *, {mart.day} as day_of_row, {mart.is_late} as is_late"
    found = warehouse.execute(
        f"""
        select
            coalesce(inserted.day_of_row, deleted.day_of_row),
            coalesce(inserted.is_late, deleted.is_late),
            bool_or(inserted.day_of_row is null or deleted.day_of_row is null),
            {differences or "false"}
        from ({with_part} from inserted_rows where {condition}) as inserted
        full join ({with_part} from deleted_rows where {condition}) as deleted
            on {same_key}
        group by all
        """
    ).fetchall()
    return {
        DayPart(day, is_late): None
        if is_other_row
        else frozenset(column for column, differs in zip(compared, different, strict=False) if differs)
        for day, is_late, is_other_row, *different in found
    }
