"""Compare a finished run with the reference: facts, daily marts, quarantine, ledger and TSVs."""

import csv
from typing import Any
from zoneinfo import ZoneInfo

from tests import reference
from tests.pipeline import Pipeline, comparable


def assert_equals_the_reference(run: Pipeline) -> None:
    """Compare every row and cell that a run has written with the reference for its landing zone."""
    expected = reference.compute(run.landing)
    _assert_marts(run, expected, published=True)
    _assert_ledger(run, expected)
    assert _tsvs(run) == reference.tsv_rows(expected.session_starts)


def assert_marts_equal_the_reference(run: Pipeline, *, published: bool = False) -> None:
    """Compare every row of the marts, in the warehouse or as published, with the reference for the landing zone."""
    _assert_marts(run, reference.compute(run.landing, run.settings.report_timezone), published=published)


def _assert_marts(run: Pipeline, expected: reference.Expected, *, published: bool) -> None:
    def rows(mart: str) -> list[dict[str, Any]]:
        return run.rows(mart if published else f"marts.{mart}", published=published)

    assert comparable(rows("fct_session_starts")) == comparable(expected.session_starts)
    assert comparable(rows("fct_notifications")) == comparable(expected.notifications)
    assert comparable(rows("fct_billed_messages")) == comparable(expected.billed_messages)
    stages = {
        (*(row[key] for key in reference.KEYS), row["stage_order"], row["stage"]): row["notifications"]
        for row in rows("funnel_session_starts")
    }
    assert stages == reference.funnel(expected.session_starts)
    statuses = {(*(row[key] for key in reference.KEYS), row["last_status"]): row["notifications"] for row in rows("status_session_starts")}
    assert statuses == reference.statuses(expected.session_starts)
    days = {
        tuple(row[key] for key in reference.KEYS): tuple(
            row[count] for count in ("session_starts", "notifications", "replied", "not_replied")
        )
        for row in rows("session_starts_daily")
    }
    assert days == reference.daily(expected.session_starts)
    hours = {
        (*(row[key] for key in reference.KEYS), row["weekday"], row["hour"]): tuple(row[count] for count in reference.HOURLY_COUNTS)
        for row in rows("sends_by_hour")
    }
    assert hours == reference.by_hour(expected.session_starts, ZoneInfo(run.settings.report_timezone))


def _assert_ledger(run: Pipeline, expected: reference.Expected) -> None:
    rejected = [(row["file_name"], row["line_number"]) for row in run.rows("raw.rejected_records", published=False)]
    assert sorted(rejected) == sorted(expected.rejected)
    ledger = {
        row["content_sha256"]: (row["records"], row["landed"], row["rejected"], row["status"])
        for row in run.rows("raw.landed_files", published=False)
    }
    assert ledger == expected.ledger
    other_kinds = [row["_file_name"] for row in run.rows("raw.webhook_other_kinds", published=False)]
    assert sorted(other_kinds) == sorted(expected.other_kinds)


def _tsvs(run: Pipeline) -> dict[str, list[list[str]]]:
    written = {}
    for path in run.settings.exports_dir.glob("*.tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", strict=True)
        assert header == list(reference.TSV_FIELDS)
        written[path.stem.removeprefix("sessionStartingCauses-")] = rows
    return written
