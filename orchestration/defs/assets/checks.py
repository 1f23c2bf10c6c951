"""Describe data tests, and explain their failures, in sentences for the UI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# dagster-dbt reports this metadata only for failed tests. The UI can plot it if every evaluation has a number.
FAILED_ROWS = "dagster_dbt/failed_row_count"

# What dbt counts as a failing row: tests of values and keys group by them, so each counts once.
_COUNTED = {
    "accepted_values": "Unknown values of `{column}` in {model}",
    "flags_cumulative": "Rows of {model} with flags that contradict each other or `last_status`",
    "known_values": "Combinations with an unknown value in {model}",
    "no_nulls": "Rows of {model} without a value in a column that requires one",
    "not_null": "Rows of {model} without `{column}`",
    "one_row_kept": "Values of `{column}` in {model} of which not exactly one copy is kept",
    "relationships": "Rows of {model} with a `{column}` that the look-up does not have",
    "row_key": "Values of `{column}` in {model} that are null or occur in several rows",
    "unique": "Values of `{column}` in {model} that occur in several rows",
    "unique_combination": "Keys of {model} that occur in several rows",
}


# The meta of tests whose failing rows contain no personal data, so that the explanation may list these rows.
LISTS_ROWS = "lists_rows"
MAX_LISTED_ROWS = 20


def describe_check(test: Mapping[str, Any]) -> str:
    """Return a sentence on what a dbt test of the manifest finds; for a singular test, the comment at the top of its SQL."""
    return f"Finds {counted[0].lower()}{counted[1:]}." if (counted := _counted(test)) else _opening_comment(test["raw_code"])


def explain_failure(test: Mapping[str, Any], rows: int, listed: Sequence[tuple[Any, ...]] = ()) -> str:
    """Return a sentence on a dbt test of the manifest that found `rows` failing rows; `listed` are the first of them.

    The sentence on a singular test ends with the comment at the top of its SQL.
    """
    if (counted := _counted(test)) is None:
        return f"Rows found by {test['name']}: {rows:,}{_list_rows(rows, listed)}. {_opening_comment(test['raw_code'])}"
    return f"{counted}: {rows:,} ({test['name']})."


def _counted(test: Mapping[str, Any]) -> str | None:
    """Return what a generic test counts, or None for a singular one."""
    generic = test.get("test_metadata")
    if generic is None:
        return None
    # A test of a whole model may have an expression in place of a column.
    column = test.get("column_name") or generic.get("kwargs", {}).get("column_name")
    counted = _COUNTED.get(generic["name"], f"Rows of {{model}} that break the rule `{generic['name']}`")
    return counted.format(column=column, model=(test.get("attached_node") or "").rpartition(".")[2])


def _list_rows(rows: int, listed: Sequence[tuple[Any, ...]]) -> str:
    if not listed:
        return ""
    names = [", ".join(" ".join(str(value).split()) for value in row if value is not None) for row in listed]
    return f" ({'; '.join([*names, *([f'and {rows - len(listed):,} more'] if rows > len(listed) else [])])})"


def _opening_comment(sql: str) -> str:
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def compiled_sql(test: Mapping[str, Any], target_dir: Path) -> str:
    """Return the query of a singular test as dbt compiled it into its target folder."""
    return (target_dir / "compiled" / test["package_name"] / test["original_file_path"]).read_text(encoding="utf-8")
