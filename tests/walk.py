"""The queries of `docs/walk.md` with their results: one line of the bundled logs on its way to a cell of a TSV."""

import re
from collections.abc import Iterator

import duckdb

from orchestration.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "walk.md"
_SHOWN = re.compile(r"```sql\n(?P<query>.*?)```\n\n```\n(?P<rows>.*?)```", re.DOTALL)


def shown() -> Iterator[tuple[str, str]]:
    """Yield each query of the page with the text that follows it."""
    for found in _SHOWN.finditer(PAGE.read_text(encoding="utf-8")):
        yield found["query"], found["rows"]


def answered(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the rows of a query in the format of the page: one column per line."""
    result = connection.execute(query)
    names = [column[0] for column in result.description or []]
    width = max(map(len, names)) + 2
    rows = [[f"{name:<{width}}{_text(value)}" for name, value in zip(names, row, strict=True)] for row in result.fetchall()]
    return "\n\n".join("\n".join(row) for row in rows) + "\n"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
