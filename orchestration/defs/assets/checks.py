"""Explain failed data tests in sentences, for the page of the check in the UI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# dagster-dbt reports this metadata only for failed tests. The UI can plot it if every evaluation has a number.
FAILED_ROWS = "dagster_dbt/failed_row_count"

_MEANING = {
    "accepted_values": "have an unknown value in `{column}`",
    "flags_cumulative": "have flags that contradict each other or `last_status`",
    "known_values": "have an unknown value",
    "no_nulls": "have no value in a column that requires one",
    "not_null": "have no `{column}`",
    "row_key": "have no `{column}` or share it with another row",
    "unique": "share their `{column}` with another row",
    "unique_combination": "have the same key columns as another row",
}


# The meta of tests whose failing rows contain no personal data, so that the explanation may list these rows.
NAMES_ROWS = "names_rows"
MOST_ROWS_NAMED = 20


def explain_failure(test: Mapping[str, Any], rows: int, named: Sequence[tuple[Any, ...]] = ()) -> str:
    """Return a sentence on a dbt test of the manifest that found `rows` failing rows; `named` are the first of them, to be listed.

    The sentence on a singular test ends with the comment at the top of its SQL.
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
    """Return the query of a singular test as dbt compiled it into its target folder."""
    return (target_dir / "compiled" / test["package_name"] / test["original_file_path"]).read_text(encoding="utf-8")
