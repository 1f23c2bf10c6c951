"""The thorough check of the publication: every row of the published file against the marts, and of its Parquet against that file."""

from collections.abc import Collection, Iterable
from datetime import date

import duckdb

from orchestration.files import quoted
from orchestration.publication.marts import PUBLISHED_MARTS, month_of
from orchestration.publication.masking import prepare_masking, published_rows
from orchestration.publication.person_columns import masks_in_force
from orchestration.publication.versions import PARQUET, Version
from orchestration.settings import Settings
from orchestration.transform.builds import UNDATED


def days_that_differ(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, version: Version, changed_days: Collection[date]
) -> list[date]:
    """Return the report days whose published rows differ from those of the marts, except days that changed since."""
    prepare_masking(warehouse, settings)
    masks = masks_in_force(settings)
    different: set[date] = set()
    warehouse.execute(f"attach {quoted(version.database)} as published (read_only)")
    try:
        for mart in PUBLISHED_MARTS:
            columns = [name for (name,) in warehouse.execute(f"select column_name from (describe published.main.{mart.name})").fetchall()]
            rows = published_rows(columns, f"marts.{mart.name}", settings, masks.get(mart.name, {}))
            query = f"""
                with expected as ({_by_day(mart.day, columns, rows)}),
                found as ({_by_day(mart.day, columns, f"from published.main.{mart.name}")})
                select day from expected full join found using (day) where expected.content is distinct from found.content
            """
            different |= {day for (day,) in warehouse.execute(query).fetchall()}
    finally:
        warehouse.execute("detach published")
    return sorted(different - set(changed_days))


def parquet_that_differs(connection: duckdb.DuckDBPyConnection, version: Version, names: Iterable[str]) -> list[str]:
    """Return which of a version's Parquet files differ from its DuckDB file or cannot be read."""
    different = []
    connection.execute(f"attach {quoted(version.database)} as published (read_only)")
    try:
        for name in sorted(names):
            if not name.startswith(f"{PARQUET}/"):
                continue
            mart, month = name.removeprefix(f"{PARQUET}/").removesuffix(".parquet").split("/")
            date_column = next(each.date_column for each in PUBLISHED_MARTS if each.name == mart)
            of_month = f"{date_column} is null"
            if month != month_of(UNDATED):
                of_month = f"{date_column} >= date '{month}-01' and {date_column} < date '{month}-01' + interval 1 month"
            columns = [column for (column,) in connection.execute(f"select column_name from (describe published.main.{mart})").fetchall()]
            content = f"select {_content(columns)} from"
            try:
                rows = connection.execute(
                    f"({content} published.main.{mart} where {of_month}) except ({content} read_parquet({quoted(version.folder / name)}))"
                ).fetchall()
            except duckdb.Error:
                different.append(name)
                continue
            if rows:
                different.append(name)
    finally:
        connection.execute("detach published")
    return different


def _by_day(day: str, columns: Collection[str], rows: str) -> str:
    return f"select {day} as day, {_content(columns)} as content from ({rows}) group by all"


def _content(columns: Collection[str]) -> str:
    """Return the SQL of a value that depends on every cell but not on the order of rows."""
    return f"count(*) || ' rows, ' || coalesce(sum(hash({', '.join(columns)})::hugeint), 0)"
