"""Every row of the marts and every cell of the TSVs, against the contract computed a second time."""

import csv
from collections.abc import Callable

import pytest

from tests import reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline, comparable


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_marts_and_tsvs_equal_the_reference(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "all.jsonl", sends)
    write_files(run.landing, "webhooks", "all.jsonl", webhooks, ending=b"\r\n")

    assert run.run().success

    expected = reference.compute(run.landing)
    assert comparable(run.rows("fct_session_starts")) == comparable(expected.session_starts)
    assert comparable(run.rows("fct_notifications")) == comparable(expected.notifications)
    counted = {
        (*(row[key] for key in reference.KEYS), row["stage_order"], row["stage"]): row["notifications"]
        for row in run.rows("funnel_session_starts")
    }
    assert counted == reference.funnel(expected.session_starts)
    counted = {
        (*(row[key] for key in reference.KEYS), row["last_status"]): row["notifications"] for row in run.rows("status_session_starts")
    }
    assert counted == reference.statuses(expected.session_starts)
    rejected = {(row["file_name"], row["line_number"]) for row in run.rows("raw.rejected_records", published=False)}
    assert rejected == set(expected.rejected)

    days = reference.tsv_rows(expected.session_starts)
    written = {}
    for path in run.settings.exports_dir.glob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", strict=True)
        assert header == list(reference.TSV_FIELDS)
        written[path.stem.removeprefix("sessionStartingCauses-")] = rows
    assert written == days
