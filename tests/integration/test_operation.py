"""What an operator does by hand: erase a person, replay what was rejected, build anew, keep only so long."""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest

from orchestration.cli.main import main
from orchestration.defs.assets import landing
from orchestration.exports.on_demand import export_selection
from orchestration.exports.filters import ExportSelection
from orchestration.landing.feeds import SENDS
from orchestration.maintenance.erasure import comparable, files_that_hold
from orchestration.settings import PROJECT_ROOT
from orchestration.warehouse import open_warehouse
from tests.pipeline import Pipeline
from tests.pipeline import comparable as rows_comparable

# Numbers that stand nowhere else, not in a unit test of the models either.
ERASED, OTHER = "5511987650001", "5511987650002"


def _wamid(contact: str, number: int) -> str:
    return "wamid." + base64.b64encode(b"\x1d\x0c" + contact.encode() + b"\x15\x02%d" % number).decode()


def _send(contact: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "message_id": _wamid(contact, number),
        "sent_at": f"2026-10-0{number}T12:00:00Z",
        "channel_id": "1",
        "contact_id": f"+{contact}",
        "template_name": "welcome",
        "chat_link": f"https://inbox.example/{contact}",
        **more,
    }


def _webhook(contact: str, number: int) -> dict[str, Any]:
    value = {
        "metadata": {"phone_number_id": "1"},
        "statuses": [{"id": _wamid(contact, number), "status": "read", "timestamp": "1791000000", "recipient_id": contact}],
        "messages": [{"id": _wamid(contact, 9), "from": contact, "type": "text", "timestamp": "1791000100"}],
    }
    return {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}


def _session(contact: str) -> dict[str, Any]:
    return {
        "id": f"CHAT{contact[-1]}_2026-10-05T10:00:00Z",
        "creationTime": "2026-10-05T10:00:00Z",
        "startingCause": "WhatsAppTemplate",
        "chat": {"chat": {"chatId": f"CHAT{contact[-1]}", "channelId": "line-1", "contactId": contact}},
        "events": [
            {
                "name": "notification-sent",
                "creationTime": "2026-10-05T10:00:00Z",
                "info": {"messageId": f"M{contact[-1]}", "whatsappTemplate": "w"},
            }
        ],
        "messages": [],
    }


def _put(run: Pipeline, name: str, *records: Any) -> None:
    path = run.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))


@pytest.fixture
def run(tmp_path: Path) -> Pipeline:
    """Two contacts in every feed, each with a record in quarantine."""
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
    for contact in (ERASED, OTHER):
        last = contact[-1]
        _put(
            made,
            f"sends/{last}.jsonl",
            _send(contact, 1),
            _send(contact, 4),
            json.dumps(_send(contact, 5)) + "}",
            {"message_id": f"refused-{last}", "contact_id": f"+55 (11) {contact[4:9]}-{contact[9:]}"},
        )
        _put(made, f"webhooks/{last}.jsonl", _webhook(contact, 1))
        _put(made, f"botmaker/sessions/{last}.jsonl", _session(contact))
        _put(made, f"botmaker/sent_results/{last}.jsonl", {"sessionId": _session(contact)["id"].replace("Z", ".000Z"), "status": {}})
    assert made.run().success
    return made


def _command(run: Pipeline, *arguments: str) -> int:
    shutil.copy(PROJECT_ROOT / "dagster.yaml", run.data.parent)
    settings = {"STARTS_LANDING": str(run.landing), "STARTS_DATA": str(run.data), "DAGSTER_HOME": str(run.data.parent), **run.environment}
    with patch.dict(os.environ, settings):
        return main(arguments)


def test_an_erased_contact_is_in_no_file_below_the_data_folder(run: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    export_selection(run.settings, ExportSelection(file_name="all.tsv"))
    export_selection(run.settings, ExportSelection(file_name="other.tsv", period_from="2027-01-01"))
    held = {path.name for path in files_that_hold(run.data, ERASED)}
    assert held >= {"warehouse.duckdb", "conversation_starts.duckdb", "fct_notifications.parquet", "all.tsv"}
    of_others = [row for row in run.rows("fct_session_starts") if row["contact_id"] == OTHER]
    assert len(of_others) == 4

    assert _command(run, "erase", "+55 (11) 98765-0001") == 0

    assert files_that_hold(run.data, ERASED) == []
    assert rows_comparable(run.rows("fct_session_starts")) == rows_comparable(of_others)
    assert (run.settings.exports_dir / "on_demand" / "other.tsv").exists()
    # In whatever groups the number was written, and whatever the precision of a session's time.
    rejected = [row["record"] for row in run.rows("raw.rejected_records", published=False)]
    assert (len(rejected), rejected.count("(erased)")) == (4, 2)
    assert not [record for record in rejected if "98765-0001" in record]
    assert [row["session_id"] for row in run.rows("raw.botmaker_sent_results", published=False)] == ["CHAT2_2026-10-05T10:00:00.000Z"]
    said = capsys.readouterr().out
    assert "2 of sends" in said
    assert f"sends/{ERASED[-1]}.jsonl" in said
    assert f"sends/{OTHER[-1]}.jsonl" not in said


def test_an_erased_contact_does_not_come_back_with_the_next_run(run: Pipeline) -> None:
    assert _command(run, "erase", ERASED) == 0
    _put(run, "sends/3.jsonl", _send(OTHER, 7))
    assert run.run().success
    assert {row["contact_id"] for row in run.rows("fct_session_starts")} == {OTHER}


def test_a_day_that_held_only_the_erased_contact_loses_its_tsv(run: Pipeline) -> None:
    _put(run, "sends/alone.jsonl", _send(ERASED, 8))
    assert run.run().success
    assert "sessionStartingCauses-2026-10-08.tsv" in run.tsv_bytes()
    assert _command(run, "erase", ERASED) == 0
    assert "sessionStartingCauses-2026-10-08.tsv" not in run.tsv_bytes()


@pytest.mark.parametrize("command", [("erase", ERASED), ("replay",), ("rebuild",)])
def test_before_the_first_run_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    assert _command(made, *command) == 2
    assert "Nothing has landed yet: run the job first." in capsys.readouterr().err
    assert not made.data.exists()
    # As a run that was killed at once leaves it.
    made.data.mkdir()
    with open_warehouse(made.settings):
        pass
    assert _command(made, *command) == 2
    assert "Nothing has landed yet: run the job first." in capsys.readouterr().err


@pytest.mark.parametrize("contact", ["", "a", "      ", "+1 (23) 4"])
def test_too_short_a_contact_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], contact: str) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    assert _command(made, "erase", contact) == 2
    assert f"{contact!r} is too short for a contact" in capsys.readouterr().err
    assert not made.data.exists()


def test_contacts_are_compared_as_the_contract_does() -> None:
    assert comparable("+55 (11) 98765-0001") == ERASED
    assert comparable("US.1349") == "US.1349"


def test_rebuilding_changes_no_mart_and_no_tsv(run: Pipeline) -> None:
    before, tsvs = rows_comparable(run.rows("fct_session_starts")), run.tsv_bytes()
    assert _command(run, "rebuild") == 0
    assert rows_comparable(run.rows("fct_session_starts")) == before
    assert run.tsv_bytes() == tsvs


def test_replaying_reads_files_again_and_counts_nothing_twice(run: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    def ledger() -> Any:
        rows = run.rows("raw.landed_files", published=False)
        return sorted((row["file_name"], row["records"], row["landed"], row["rejected"]) for row in rows)

    before, ledger_before = rows_comparable(run.rows("fct_session_starts")), ledger()
    assert _command(run, "replay") == 0
    assert "To be read again: sends/1.jsonl, sends/2.jsonl" in capsys.readouterr().out
    assert ledger() == ledger_before
    assert rows_comparable(run.rows("fct_session_starts")) == before
    assert len(run.rows("raw.sends", published=False)) == 4


def test_replaying_takes_in_what_a_newer_version_can_read(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
    _put(made, "sends/1.jsonl", _send(OTHER, 1), _send(OTHER, 2, chat_link=None))
    does_not_know_links = replace(SENDS, parse_sql=SENDS.parse_sql.replace("types[12] not in ('VARCHAR', 'NULL')", "types[12] <> 'NULL'"))
    with patch.object(landing, "SENDS", does_not_know_links):
        assert made.run().success
    assert len(made.rows("fct_notifications")) == 1
    assert _command(made, "replay") == 0
    assert len(made.rows("fct_notifications")) == 2
    assert made.rows("raw.rejected_records", published=False) == []


def test_what_has_left_the_landing_zone_is_not_taken_back(run: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows_comparable(run.rows("raw.sends", published=False))
    for path in run.landing.glob("sends/*"):
        path.unlink()
    assert _command(run, "replay") == 0
    assert "No file in the landing zone has rejected records" in capsys.readouterr().out
    assert rows_comparable(run.rows("raw.sends", published=False)) == before
    assert len(run.rows("raw.rejected_records", published=False)) == 4
    shutil.rmtree(run.landing)
    assert _command(run, "replay") == 2
    assert "does not exist" in capsys.readouterr().err
    assert rows_comparable(run.rows("raw.sends", published=False)) == before


def test_replayed_files_are_not_held_to_the_limit_on_their_own(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    _put(made, "sends/1.jsonl", *(_send(f"55119876{number:05}", 1) for number in range(40)))
    _put(made, "sends/2.jsonl", "not json")
    assert made.run().success
    assert _command(made, "replay") == 0
    assert len(made.rows("fct_notifications")) == 40


def test_there_may_be_nothing_to_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    _put(made, "sends/1.jsonl", _send(OTHER, 1))
    assert made.run().success
    assert _command(made, "replay") == 0
    assert "No file in the landing zone has rejected records" in capsys.readouterr().out


def test_exports_and_rejected_texts_are_kept_for_so_many_days(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
    today = datetime.now(ZoneInfo("America/Sao_Paulo"))
    for number, age in enumerate((0, 9, 10, 11)):
        sent_at = f"{today - timedelta(days=age):%Y-%m-%dT12:00:00-03:00}"
        _put(made, f"sends/{number}.jsonl", _send(f"551198765000{number}", number) | {"sent_at": sent_at})
    _put(made, "sends/bad.jsonl", "not json")
    assert made.run().success
    assert len(made.tsv_bytes()) == 4
    with open_warehouse(made.settings) as warehouse:
        warehouse.execute("update raw.rejected_records set landed_at = landed_at - interval 11 day")
    old = made.settings.exports_dir / "on_demand" / "old.tsv"
    old.parent.mkdir()
    old.touch()
    os.utime(old, (0, 0))

    made.environment["STARTS_RETENTION_DAYS"] = "10"
    assert made.run().success

    assert sorted(made.tsv_bytes()) == sorted(f"sessionStartingCauses-{today - timedelta(days=age):%Y-%m-%d}.tsv" for age in (0, 9, 10))
    assert not old.exists()
    (rejected,) = made.rows("raw.rejected_records", published=False)
    assert (rejected["reason"], rejected["record"]) == ("not JSON", None)
    assert len(made.rows("fct_notifications")) == 4
    assert _command(made, "rebuild") == 0
    assert len(made.tsv_bytes()) == 3


def test_what_a_longer_retention_keeps_comes_back(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    _put(made, "sends/1.jsonl", *(_send(OTHER, number) for number in (1, 4, 7)))
    assert made.run().success
    before = made.tsv_bytes()
    assert len(before) == 3
    made.environment["STARTS_RETENTION_DAYS"] = "1"
    assert made.run().success
    assert made.tsv_bytes() == {}
    made.environment["STARTS_RETENTION_DAYS"] = "36500"
    assert made.run().success
    assert made.tsv_bytes() == before


@pytest.mark.parametrize("days", ["0", "-1", "ten", "36501", "99999999999"])
def test_a_retention_that_makes_no_sense_is_refused(tmp_path: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "landing").mkdir()
    assert _command(Pipeline(tmp_path / "landing", tmp_path / "data", {"STARTS_RETENTION_DAYS": days}), "run") == 2
    assert "STARTS_RETENTION_DAYS" in capsys.readouterr().err


def test_docs_are_built_from_a_folder_with_any_name(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / 'it\'s "ours" $HOME', {})
    _put(made, "sends/1.jsonl", _send(OTHER, 1))

    def docs() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "STARTS_DATA": str(made.data)}
        command = [sys.executable, "-m", "orchestration", "docs"]
        return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=300)

    too_early = docs()
    assert (too_early.returncode, made.data.exists()) == (2, False)
    assert "yet: run `make run` first." in too_early.stderr
    assert made.run().success
    built = docs()
    assert built.returncode == 0, built.stdout
    catalog = json.loads(Path(built.stdout.strip()).with_name("catalog.json").read_text())
    assert "model.conversation_starts.fct_session_starts" in catalog["nodes"]
