"""What a failed data test means, in a sentence for the page of the check."""

from collections.abc import Mapping
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


def explain_failure(test: Mapping[str, Any], rows: int) -> str:
    """Explain a dbt test of the manifest that found failing rows. A singular test opens with what a row means."""
    generic = test.get("test_metadata")
    if generic is None:
        return f"Rows found by {test['name']}: {rows:,}. {_opening_comment(test['raw_code'])}"
    meaning = _MEANING.get(generic["name"], f"break the rule `{generic['name']}`")
    model = (test.get("attached_node") or "").rpartition(".")[2]
    return f"Rows of {model} that {meaning.format(column=test.get('column_name'))}: {rows:,} ({test['name']})."


def _opening_comment(sql: str) -> str:
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)
