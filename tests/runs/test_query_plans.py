"""Tests of DuckDB's plans for a full build: which expressions of a model it keeps in memory as a whole."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.pipeline import Pipeline


def _kept_in_memory(plan: dict[str, Any]) -> Iterator[str]:
    if plan["name"].strip() == "CTE":
        yield plan["extra_info"]["CTE Name"]
    for child in plan["children"]:
        yield from _kept_in_memory(child)


@pytest.mark.parametrize(
    ("model", "small"),
    [
        ("int_message_recipients", set()),
        ("int_statuses_merged", set()),
        ("int_sends_with_status", set()),
        ("fct_notifications", {"failure_reasons", "notifications"}),
        ("fct_billed_messages", {"markets", "rates"}),
    ],
)
def test_full_build_keeps_no_table_of_messages_in_memory(sample: Pipeline, model: str, small: set[str]) -> None:
    """DuckDB keeps a CTE that a query reads more than once in memory, and writes it to disk for a large history.

    `small` are look-ups, rates, and the notifications of Botmaker's sessions.
    """
    # The sample's only build was a full one.
    (file,) = (sample.settings.dbt_target_dir / "compiled").rglob(f"models/**/{model}.sql")
    with duckdb.connect(str(sample.settings.warehouse_path), read_only=True) as connection:
        row = connection.execute(f"explain (format json) {file.read_text(encoding='utf-8')}").fetchone()
    assert row is not None
    assert {name for plan in json.loads(row[1]) for name in _kept_in_memory(plan)} <= small
