"""Tests of DuckDB's plans for the queries of a build: no join of all pairs of rows, and no large table in memory."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from tests.pipeline import Pipeline

SEND = {"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}


def operators_of(warehouse: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the details of each operator in the plan of a query."""
    left = json.loads(warehouse.execute(f"explain (format json) {query}").fetchall()[0][1])
    while left:
        operator = left.pop()
        yield operator["name"].strip(), operator["extra_info"]
        left += operator["children"]


@pytest.mark.thorough
def test_no_query_compares_all_pairs_of_rows_of_two_tables(sample: Pipeline, warm: Callable[..., Pipeline]) -> None:
    increment = warm()
    (increment.landing / "sends").mkdir(parents=True)
    (increment.landing / "sends" / "1.json").write_text(json.dumps([SEND]))
    assert increment.run().success
    for run in (sample, increment):
        compiled = run.compiled_queries()
        assert {"int_sends_described" if run is sample else "int_sends_with_status", "fct_notifications"} <= set(compiled)
        with duckdb.connect(str(run.settings.warehouse_path), read_only=True) as warehouse:
            assert {name: joins for name, query in compiled.items() if (joins := joins_without_hash(warehouse, query))} == {}


def joins_without_hash(warehouse: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """Return the join conditions that contain an equality and are still tested on every pair of rows, according to DuckDB's query plan."""
    conditions = [str(details.get("Condition", "")) for name, details in operators_of(warehouse, query) if name == "BLOCKWISE_NL_JOIN"]
    return [condition for condition in conditions if " = " in condition]


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

    `small` are look-ups, rates, and the notifications of Botmaker's sessions. The sample's only build was a full one.
    """
    with duckdb.connect(str(sample.settings.warehouse_path), read_only=True) as warehouse:
        operators = operators_of(warehouse, sample.compiled_queries()[model])
        assert {details["CTE Name"] for name, details in operators if name == "CTE"} <= small
