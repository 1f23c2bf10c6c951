"""Publish the marts for BI: a DuckDB file and Parquet files, each replaced as a whole or not at all.

The cost follows the days that changed: they are replaced in a copy of the last published file. A
reader that holds the old file open keeps it; the next one to open gets the new one.
"""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from orchestration.errors import StartsError
from orchestration.files import put_in_place, quoted
from orchestration.publication.masking import mask_fingerprint, prepare_masking, published_columns
from orchestration.settings import Settings
from orchestration.transform.builds import MARTS, FinishedBuild, days_changed_since, is_known


@dataclass
class Publication:
    """What was published: rows per mart, rows more than before, and the report days that were replaced (None: all of them)."""

    changed: bool
    rows: dict[str, int] = field(default_factory=dict)
    rows_more: dict[str, int] = field(default_factory=dict)
    days_replaced: list[date] | None = None


def publish(warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild) -> Publication:
    """Bring the published files up to a finished build; leave every byte alone if nothing changed."""
    target = settings.published_database
    target.parent.mkdir(parents=True, exist_ok=True)
    base = _published_build_id(warehouse, target, settings, build)
    days = None if base is None else days_changed_since(warehouse, base)
    if days == [] and _parquet_is_complete(settings):
        return Publication(changed=False, rows=_count_rows(warehouse, "marts"), days_replaced=[])
    try:
        return _publish_days(warehouse, settings, build, days)
    except duckdb.Error:
        if days is None:
            raise
        # What lies there is damaged somewhere inside: nothing of it is worth building upon.
        return _publish_days(warehouse, settings, build, None)


def _publish_days(warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild, days: list[date] | None) -> Publication:
    target = settings.published_database
    draft = _draft_of(target)
    _remove_draft(draft)
    if days is not None:
        shutil.copyfile(target, draft)
    warehouse.execute(f"attach {quoted(draft)} as draft")
    # A mart has no order of its own; keeping the warehouse's costs a third of the writing.
    warehouse.execute("set preserve_insertion_order = false")
    try:
        prepare_masking(warehouse, settings)
        rows_before = _count_rows(warehouse, "draft.main") if days is not None else dict.fromkeys(MARTS, 0)
        for mart in MARTS:
            if days is None:
                _write_mart(warehouse, settings, mart)
            else:
                _replace_days(warehouse, settings, mart, days)
        _write_publish_info(warehouse, settings, build)
        rows = _verify(warehouse)
        stale = [mart for mart in MARTS if days != [] or not _parquet_path(settings, mart).exists()]
        drafts = _write_parquet_drafts(warehouse, settings, stale)
    finally:
        warehouse.execute("reset preserve_insertion_order")
        warehouse.execute("detach draft")
    for parquet_draft, parquet in drafts:
        put_in_place(parquet_draft, parquet)
    # Last, because it carries the watermark: a kill before this line has the next run publish all of it again.
    put_in_place(draft, target)
    return Publication(True, rows, {mart: rows[mart] - rows_before[mart] for mart in MARTS}, days)


def _draft_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.draft")


def _remove_draft(draft: Path) -> None:
    """A run that was killed while it wrote leaves its draft behind."""
    draft.unlink(missing_ok=True)
    draft.with_name(draft.name + ".wal").unlink(missing_ok=True)


def _published_build_id(warehouse: duckdb.DuckDBPyConnection, target: Path, settings: Settings, build: FinishedBuild) -> int | None:
    """Return the build that the published file shows, or None if it cannot be built upon."""
    if not target.exists():
        return None
    try:
        with duckdb.connect(str(target), read_only=True) as published:
            row = published.execute("select build_id, build_started_at, definition_sha256, contacts from publish_info").fetchone()
    except duckdb.Error:
        return None
    if row is None or row[2:] != (build.definition_sha256, mask_fingerprint(settings)) or not is_known(warehouse, *row[:2]):
        return None
    return int(row[0])


def _columns(warehouse: duckdb.DuckDBPyConnection, mart: str) -> list[str]:
    rows = warehouse.execute(
        """
        select column_name
        from duckdb_columns()
        where database_name = current_database() and schema_name = 'marts' and table_name = $mart
        order by column_index
        """,
        {"mart": mart},
    ).fetchall()
    return [name for (name,) in rows]


def _write_mart(warehouse: duckdb.DuckDBPyConnection, settings: Settings, mart: str) -> None:
    columns = published_columns(_columns(warehouse, mart), settings)
    warehouse.execute(f"create or replace table draft.main.{mart} as select {columns} from marts.{mart}")
    comments = warehouse.execute(
        """
        select 'table', table_name, comment
        from (select table_name, comment, schema_name, database_name from duckdb_tables() union all
            select view_name, comment, schema_name, database_name from duckdb_views())
        where database_name = current_database() and schema_name = 'marts' and table_name = $mart and comment is not null
        union all
        select 'column', $mart || '.' || column_name, comment from duckdb_columns()
        where database_name = current_database() and schema_name = 'marts' and table_name = $mart and comment is not null
        """,
        {"mart": mart},
    ).fetchall()
    for kind, name, comment in comments:
        warehouse.execute(f"comment on {kind} draft.main.{name} is {quoted(comment)}")


def _replace_days(warehouse: duckdb.DuckDBPyConnection, settings: Settings, mart: str, days: list[date]) -> None:
    if not days:
        return
    columns = published_columns(_columns(warehouse, mart), settings)
    # Literals, because DuckDB prunes row groups by them and not by a bound list.
    literals = ", ".join(f"date '{day:%Y-%m-%d}'" for day in days)
    on_these_days = f"session_start_date in ({literals})"
    warehouse.execute(f"delete from draft.main.{mart} where {on_these_days}")
    warehouse.execute(f"insert into draft.main.{mart} by name select {columns} from marts.{mart} where {on_these_days}")


def _write_publish_info(warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild) -> None:
    warehouse.execute(
        """
        create or replace table draft.main.publish_info as
        select
            $published_at::timestamp as published_at,
            $build_id::bigint as build_id,
            $build_started_at::timestamp as build_started_at,
            $through_load_id::bigint as through_load_id,
            $report_timezone as report_timezone,
            $contacts as contacts,
            $definition as definition_sha256
        """,
        {
            "published_at": datetime.now(UTC).replace(tzinfo=None),
            "build_id": build.build_id,
            "build_started_at": build.started_at,
            "through_load_id": build.through_load_id,
            "report_timezone": settings.report_timezone,
            "contacts": mask_fingerprint(settings),
            "definition": build.definition_sha256,
        },
    )


def _verify(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Compare the draft with the marts, mart by mart, before anyone may see it."""
    expected, drafted = _count_rows(warehouse, "marts"), _count_rows(warehouse, "draft.main")
    if expected != drafted:
        raise StartsError(
            f"The published file would differ from the marts (rows {drafted}, not {expected}); it was left as it was. "
            "Delete it and run again."
        )
    return drafted


def _count_rows(warehouse: duckdb.DuckDBPyConnection, schema: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for mart in MARTS:
        row = warehouse.execute(f"select count(*) from {schema}.{mart}").fetchone()
        assert row is not None
        counts[mart] = int(row[0])
    return counts


def _parquet_path(settings: Settings, mart: str) -> Path:
    return settings.published_dir / "parquet" / f"{mart}.parquet"


def _parquet_is_complete(settings: Settings) -> bool:
    return all(_parquet_path(settings, mart).exists() for mart in MARTS)


def _write_parquet_drafts(warehouse: duckdb.DuckDBPyConnection, settings: Settings, marts: list[str]) -> list[tuple[Path, Path]]:
    drafts = []
    for mart in marts:
        path = _parquet_path(settings, mart)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        warehouse.execute(f"copy draft.main.{mart} to {quoted(draft)} (format parquet, compression zstd, compression_level 1)")
        drafts.append((draft, path))
    return drafts
