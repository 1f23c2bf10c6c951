"""Tests of the summary that a run prints: what the run did, what there is in total, and numbers that add up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestration.transform import time_zones
from tests.pipeline import Pipeline

SEND = {"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}


def _send(number: int, **fields: Any) -> dict[str, Any]:
    return SEND | {"message_id": f"m{number}", "contact_id": f"551190000000{number}"} | fields


def _put(run: Pipeline, name: str, *records: object) -> None:
    path = run.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records))


@pytest.fixture
def run(warm: Callable[..., Pipeline]) -> Pipeline:
    made = warm(STARTS_MAX_REJECTED_SHARE="0.5")
    _put(made, "sends/1.jsonl", _send(1), _send(2, error={"code": 131026, "title": "Undeliverable"}), _send(3), "not json")
    return made


@pytest.mark.thorough
def test_json_summary_has_the_run_and_the_totals(run: Pipeline) -> None:
    first = run.command("--json")
    assert first.returncode == 0
    data = json.loads(first.stdout)
    assert (data["status"], data["reasons"], data["seconds"] > 0) == ("finished", [], True)
    landed = {"files": 1, "files_set_aside": 0, "records": 4, "landed": 3, "rejected": 1, "erased": 0}
    assert data["this_run"]["landed"]["sends"] == data["in_all"]["landed"]["sends"] == landed
    report = data["in_all"]["report"]
    assert {name: report[name] for name in ("session_starts_and_attempts", "distinct_users", "not_sent", "pending")} == {
        "session_starts_and_attempts": 3, "distinct_users": 3, "not_sent": 1, "pending": 2,
    }  # fmt: skip
    parts = ("not_sent", "pending", "sent", "started_by_a_person")
    assert report["session_starts_and_attempts"] == sum(report[name] for name in parts)
    assert (data["this_run"]["tsvs_written"], data["in_all"]["daily_tsvs"]) == (1, 1)

    _put(run, "sends/2.jsonl", _send(4, sent_at=1790946000))
    data = json.loads(run.command("run", "--json", "--quiet").stdout)["this_run"]
    assert data["landed"]["sends"] == landed | {"records": 1, "landed": 1, "rejected": 0}
    assert (data["report_days_changed"], data["rows_written"]["fct_session_starts"], data["rows_more"]["fct_session_starts"]) == (1, 1, 1)
    assert (data["tsvs_written"], data["tsvs_removed"]) == (1, 0)

    nothing_new = run.command()
    assert nothing_new.stdout.splitlines()[2:4] == [
        "  this run   new: 0 files with 0 records: 0 landed, 0 rejected",
        "  this run   no report day changed; 0 daily TSVs written",
    ]
    assert "  landed     sends: 2 files with 5 records: 4 landed, 1 rejected" in nothing_new.stdout
    assert "  report     4 starts by 4 users: 1 not sent, 3 pending, 0 sent, 0 started by a person" in nothing_new.stdout


@pytest.mark.thorough
def test_steps_are_printed_to_stderr_and_the_dagster_log_only_with_verbose(run: Pipeline) -> None:
    shown = run.command()
    steps = [line.split()[0] for line in shown.stderr.splitlines()]
    assert steps == ["land", "land", "land", "build", "publish", "export"]
    assert "sends: 1 file with 4 records: 3 landed, 1 rejected (" in shown.stderr
    assert " of " in shown.stderr.splitlines()[3]
    done, of, total, *_ = shown.stderr.splitlines()[3].split()[1:]
    assert (done, of) == (total, "of")
    assert shown.stdout.startswith("\nconversation_starts finished in ")
    quiet = run.command("--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    with pytest.raises(AssertionError, match="usage"):
        assert "usage" not in run.command("run", "--quiet", "--verbose").stderr


def test_failed_run_gives_a_json_summary_too(run: Pipeline, tmp_path: Path) -> None:
    _put(run, "sends/2.jsonl", *["not json"] * 9)
    failed = run.command("run", "--json", "--quiet")
    assert failed.returncode == 3
    data = json.loads(failed.stdout)
    assert (data["status"], data["in_all"]) == ("failed", None)
    assert data["this_run"]["landed"]["sends"]["rejected"] == 10
    assert "10 of 13 new records were rejected" in data["reasons"][0]
    assert data["reasons"][0] in failed.stderr
    run.landing = tmp_path / "nowhere"
    not_started = run.command("--json")
    assert (not_started.returncode, json.loads(not_started.stdout)["status"]) == (2, "could_not_start")


@pytest.mark.thorough
def test_unknown_causes_are_listed_with_counts_and_people_are_not(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    for number, cause in enumerate(["Whim", "Whim", "WhatsAppTemplate", "Dream"]):
        ids = {"chatId": f"CHAT{number}", "channelId": "boti-whatsapp-1", "contactId": "5511900000001"}
        session = {
            "id": f"CHAT{number}_2026-10-03T01:00:00Z",
            "creationTime": "2026-10-03T01:00:00Z",
            "startingCause": cause,
            "chat": {"chat": ids},
        }
        _put(run, f"botmaker/sessions/{number}.jsonl", session)
    # One more than a person may have.
    identities = [{"wa_id": "5511900000001", "user_id": f"BR.{number}"} for number in range(20)]
    _put(run, "webhooks/1.jsonl", {"entry": [{"changes": [{"field": "user_id_update", "value": {"user_id_update": identities}}]}]})
    done = run.command()
    assert done.returncode == 0
    assert "warn_unknown_starting_causes: 2 (Dream, 1; Whim, 2)" in done.stderr
    assert "warn_too_many_identifiers_of_one_person: 21. " in done.stderr
    assert "5511900000001" not in done.stderr + done.stdout


@pytest.mark.thorough
def test_landing_zone_without_files_is_reported(warm: Callable[..., Pipeline]) -> None:
    """Simulate the empty mount point of a disk that is not mounted."""
    made = warm()
    made.landing.mkdir(exist_ok=True)
    said = f"landing zone: empty: {made.landing} has no file to read in any of sends/, webhooks/"
    done = made.command()
    assert done.returncode == 0
    assert said in done.stderr
    _put(made, "sends/1.jsonl", _send(1))
    assert "landing zone: empty" not in made.command().stderr


@pytest.mark.thorough
def test_other_rules_of_the_time_zone_give_a_warning(run: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_zones, "_rules", lambda _: ZoneInfo("UTC"))
    assert "warning   DuckDB has other rules for the time zone America/Sao_Paulo from" in run.command().stderr
    assert "warning" not in run.command().stderr
