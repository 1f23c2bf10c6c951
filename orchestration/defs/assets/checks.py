"""What a failed data test means, in a sentence for the page of the check."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# dbt's integration reports it of failed tests alone; a number of every evaluation makes a plot.
FAILED_ROWS = "dagster_dbt/failed_row_count"

_MEANING = {
    "accepted_values": "hold a value of `{column}` that is not one of the known ones",
    "flags_cumulative": "have flags that contradict one another or `last_status`",
    "known_values": "hold a value that is not one of the known ones",
    "no_nulls": "lack a value that every row must have",
    "not_null": "have no `{column}`",
    "row_key": "have no `{column}` or share it with another row",
    "unique": "share their `{column}` with another row",
    "unique_combination": "share the columns that name a row with another row",
}


# A test whose rows are of no person says so (`meta`), and they are named.
NAMES_ROWS = "names_rows"
MOST_ROWS_NAMED = 20


def explain_failure(test: Mapping[str, Any], rows: int, named: Sequence[tuple[Any, ...]] = ()) -> str:
    """Explain a dbt test of the manifest that found failing rows, of which `named` are the first.

    A singular test opens with what a row means.
    """
    generic = test.get("test_metadata")
    if generic is None:
        return f"Rows found by {test['name']}: {rows:,}{_names(rows, named)}. {_opening_comment(test['raw_code'])}"
    meaning = _MEANING.get(generic["name"], f"break the rule `{generic['name']}`")
    model = (test.get("attached_node") or "").rpartition(".")[2]
    return f"Rows of {model} that {meaning.format(column=test.get('column_name'))}: {rows:,} ({test['name']})."


def _names(rows: int, named: Sequence[tuple[Any, ...]]) -> str:
    if not named:
        return ""
    names = [", ".join(" ".join(str(value).split()) for value in row if value is not None) for row in named]
    return f" ({'; '.join([*names, *([f'and {rows - len(named):,} more'] if rows > len(named) else [])])})"


def _opening_comment(sql: str) -> str:
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def compiled_sql(test: Mapping[str, Any], target_dir: Path) -> str:
    """Return the query of a singular test as dbt has run it below its target folder."""
    return (target_dir / "compiled" / test["package_name"] / test["original_file_path"]).read_text(encoding="utf-8")
