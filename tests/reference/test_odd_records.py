"""Tests of the reference on odd records: each one lands or is rejected as expected, and the computation finishes."""

import json
import random
from pathlib import Path

import pytest

from tests import reference
from tests.data.hostile_logs import write_files
from tests.data.odd_records import FEEDS, GOOD, OddRecord, odd_records

RECORDS = odd_records(seed=1)


def _rejected(folder: Path, record: OddRecord) -> int:
    write_files(folder, record.feed, "odd.jsonl", [record.line])
    return len(reference.compute(folder).rejected)


def test_odd_records_land_or_are_rejected_as_expected(tmp_path: Path) -> None:
    known = [record for record in RECORDS if record.lands is not None]
    assert [str(record) for record in known if (_rejected(tmp_path / record.feed, record) == 0) != record.lands] == []


@pytest.mark.parametrize("feed", FEEDS)
def test_base_record_without_odd_values_lands(tmp_path: Path, feed: str) -> None:
    assert _rejected(tmp_path, OddRecord(feed, "good", json.dumps(GOOD[feed]).encode(), lands=True)) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_reference_computes_all_odd_records_together(tmp_path: Path, seed: int) -> None:
    records = odd_records(seed)
    random.Random(seed).shuffle(records)
    for feed in FEEDS:
        write_files(tmp_path, feed, "odd.jsonl", [record.line for record in records if record.feed == feed])
    expected = reference.compute(tmp_path)
    assert len(expected.notifications) > 50
    days = sorted(reference.tsv_rows(expected.session_starts))
    # In the report's time zone, the first readable moment is on the day before.
    assert (days[0], {len(day) for day in days}) == ("0001-01-02", {10})
