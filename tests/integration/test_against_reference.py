"""Every row of the marts and every cell of the TSVs, against the contract computed a second time."""

from collections.abc import Callable

import pytest

from tests.comparison import assert_equals_the_reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_marts_and_tsvs_equal_the_reference(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "all.jsonl", sends)
    write_files(run.landing, "webhooks", "all.jsonl", webhooks, ending=b"\r\n")

    assert run.run().success

    assert_equals_the_reference(run)
