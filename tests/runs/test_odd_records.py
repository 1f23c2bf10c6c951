"""Tests that every run and the next one finish, whatever lands."""

import json
import random
from collections.abc import Callable

import pytest

from tests.data.hostile_logs import write_files
from tests.data.odd_records import FEEDS, odd_records, send
from tests.pipeline import Pipeline


@pytest.mark.parametrize("seed", [1])
@pytest.mark.thorough
def test_odd_records_never_stop_a_run(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run, records = pipeline(STARTS_MAX_REJECTED_SHARE="1"), odd_records(seed)
    random.Random(seed).shuffle(records)
    landed_as_expected = {}
    for feed in FEEDS:
        of_feed = [record for record in records if record.feed == feed]
        write_files(run.landing, feed, "odd.jsonl", [record.line for record in of_feed])
        landed_as_expected |= {(f"{feed}/odd.jsonl", number): record for number, record in enumerate(of_feed, 1)}

    assert run.run().success

    rejected = {(row["file_name"], row["line_number"]) for row in run.rows("raw.rejected_records", published=False)}
    known = {place: record for place, record in landed_as_expected.items() if record.lands is not None}
    assert [str(record) for place, record in known.items() if (place not in rejected) != record.lands] == []

    write_files(run.landing, "sends", "next.jsonl", [json.dumps(send(9999, message_id="wamid.next")).encode()])
    assert run.run().success
    assert "wamid.next" in {row["message_id"] for row in run.rows("fct_notifications")}
