"""Tests that compare every row of the marts and every cell of the TSVs with the reference implementation of the contract."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.comparison import assert_equals_the_reference
from tests.data.generate_logs import generate
from tests.data.hostile_logs import TIDY_HEADER, hostile_rates, hostile_records, write_files
from tests.pipeline import Pipeline
from tests.tiers import thorough


@pytest.mark.parametrize("seed", [1, *thorough(2)])
def test_marts_and_tsvs_equal_the_reference(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "all.jsonl", sends)
    write_files(run.landing, "webhooks", "all.jsonl", webhooks, ending=b"\r\n")
    tidy, of_meta = hostile_rates(seed)
    write_files(run.landing, "rates", "own.csv", [TIDY_HEADER, *tidy])
    write_files(run.landing, "rates", "2026-10-01-usd.csv", of_meta, ending=b"\r\n")
    write_files(run.landing, "rates", "no-day.csv", [b"Market,Currency,Marketing", b"Brazil,USD,1"])

    assert run.run().success

    assert_equals_the_reference(run)
    found = {(row["cost_basis"], row["is_charged"]) for row in run.rows("fct_billed_messages")}
    assert found == {("free", False), ("rate_card", True), ("unpriced", True), ("unpriced", False)}


@pytest.mark.thorough
def test_thousands_of_shuffled_records_equal_the_reference(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    """Use more records than fit into one DuckDB vector, so that ties come out in a different order each time."""
    generate(tmp_path / "logs", sends=6000, days=10, compression="none")
    rnd = random.Random(3)
    run = pipeline()
    for feed in ("sends", "webhooks"):
        lines = [line for path in sorted((tmp_path / "logs" / feed).iterdir()) for line in path.read_bytes().splitlines()]
        for batch in ("all", "again"):
            rnd.shuffle(lines)
            write_files(run.landing, feed, f"{batch}.jsonl", lines)
            lines = lines[: len(lines) // 2]

    assert run.run().success

    assert_equals_the_reference(run)
