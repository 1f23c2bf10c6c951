"""Tests of operator commands: erase a person, replay rejected records, rebuild, and delete by retention."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest

from orchestration.defs.assets import landing
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection
from orchestration.landing.feeds import SENDS
from orchestration.maintenance.erasure import files_containing
from orchestration.settings import PROJECT_ROOT
from orchestration.warehouse import open_warehouse
from tests.pipeline import Pipeline
from tests.pipeline import comparable as rows_comparable

# These numbers occur nowhere else, not even in a unit test of the models.
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


@pytest.fixture(scope="module")
def two_contacts(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return two contacts in every feed, each with a record in quarantine, landed and published."""

    def build(folder: Path) -> None:
        made = Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
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

    return made_once("two_contacts", build)


@pytest.fixture
def run(two_contacts: Path, tmp_path: Path) -> Pipeline:
    shutil.copytree(two_contacts, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Pipeline(tmp_path / "landing", tmp_path / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})


def test_erased_contact_is_in_no_file_of_the_data_folder(run: Pipeline) -> None:
    export_selection(run.settings, ExportSelection(file_name="all.tsv"))
    export_selection(run.settings, ExportSelection(file_name="other.tsv", period_from="2027-01-01"))
    held = {path.name for path in files_containing(run.data, [ERASED])}
    assert held >= {"warehouse.duckdb", "conversation_starts.duckdb", "2026-10.parquet", "all.tsv"}
    of_others = [row for row in run.rows("fct_session_starts") if row["contact_id"] == OTHER]
    assert len(of_others) == 4

    erased = run.command("erase", "+55 (11) 98765-0001")
    assert erased.returncode == 0

    assert files_containing(run.data, [ERASED]) == []
    assert rows_comparable(run.rows("fct_session_starts")) == rows_comparable(of_others)
    # Exports about other people are deleted too: a masked export contains no name to search for.
    assert list((run.settings.exports_dir / "on_demand").iterdir()) == []
    # Whatever the grouping of the number's digits and the precision of a session's time.
    rejected = [row["record"] for row in run.rows("raw.rejected_records", published=False)]
    assert (len(rejected), rejected.count("(erased)")) == (4, 2)
    assert not [record for record in rejected if "98765-0001" in record]
    assert [row["session_id"] for row in run.rows("raw.botmaker_sent_results", published=False)] == ["CHAT2_2026-10-05T10:00:00.000Z"]
    assert "2 of sends" in erased.stdout
    assert f"sends/{ERASED[-1]}.jsonl" in erased.stdout
    assert f"sends/{OTHER[-1]}.jsonl" not in erased.stdout


@pytest.mark.thorough
def test_other_spelling_of_an_erased_number_is_in_no_file(run: Pipeline) -> None:
    # Most wamids contain Brazilian numbers without their 9, also in statuses without a recipient.
    short = ERASED[:4] + ERASED[5:]
    status = {"id": _wamid(short, 8), "status": "delivered", "timestamp": "1791000000"}
    value = {"metadata": {"phone_number_id": "1"}, "statuses": [status]}
    _put(run, "webhooks/short.jsonl", {"entry": [{"changes": [{"field": "messages", "value": value}]}]})
    texts = {"chat_link": f"https://wa.me/{short}", "customer_id": _wamid(short, 9), "error": {"details": f"not to +{short}"}}
    _put(run, "sends/short.jsonl", _send(OTHER, 6, **texts), f"+55 11 8765-0001 {_wamid(short, 7)}")
    assert run.run().success
    assert {path.name for path in files_containing(run.data, [short])} >= {"warehouse.duckdb", "conversation_starts.duckdb"}

    for command in (("erase", ERASED), ("rebuild", "--from-landing")):
        assert run.command(*command).returncode == 0
        assert files_containing(run.data, [ERASED, short]) == []
        (row,) = (row for row in run.rows("fct_notifications") if row["chat_link"] == "(erased)")
        assert (row["customer_id"], row["failure_detail"]) == ("(erased)", "(erased)")


@pytest.mark.thorough
def test_rows_that_landed_before_they_were_linked_to_an_erased_person_are_removed(run: Pipeline) -> None:
    def of(contact: str, number: int, **more: Any) -> dict[str, Any]:
        return _send(contact, number, **{"contact_id": contact, "message_id": f"wamid.{contact}", "chat_link": None} | more)

    _put(run, "sends/before.jsonl", of("BR.222", 6), _send(OTHER, 6, message_id="wamid.text", chat_link="x/BR.222"))
    assert run.run().success
    assert run.command("erase", ERASED).returncode == 0
    assert {row["contact_id"] for row in run.rows("fct_notifications")} == {OTHER, "BR.222"}
    others = len(run.rows("fct_notifications")) - 1
    # From feeds that are read before the webhooks.
    _put(run, "sends/new.jsonl", of("BR.111", 6), of("5511933330001", 7), of("BR.444", 8, message_id=_wamid(ERASED, 1)))
    _put(run, "botmaker/sessions/new.jsonl", _session("5511933330001") | {"id": "CHAT9_2026-10-07T10:00:00Z"})
    webhook = _webhook(ERASED, 8)
    value = webhook["entry"][0]["changes"][0]["value"]
    value["messages"][0]["from_user_id"] = "BR.111"
    value["messages"] += [
        {"id": "wamid.q", "from": "5511933330001", "type": "text", "timestamp": "1791000300", "context": {"id": _wamid(ERASED, 4)}}
    ]
    value["contacts"] = [{"wa_id": ERASED, "user_id": "BR.222"}]
    _put(run, "webhooks/new.jsonl", webhook)
    done = run.command()
    assert done.returncode == 0
    assert "Deleted 5 rows of erased people that had landed before" in done.stderr
    assert {row["contact_id"] for row in run.rows("fct_notifications")} == {OTHER}
    assert len(run.rows("fct_notifications")) == others
    assert {row["chat_link"] for row in run.rows("fct_notifications")} >= {"(erased)"}
    for row in run.rows("raw.landed_files", published=False):
        assert row["records"] == row["landed"] + row["rejected"] + row["erased"], row
    # The result is the same as if everything had arrived after the erasure, and nothing is left to do.
    before = rows_comparable(run.rows("fct_notifications"))
    assert "had landed before" not in run.command().stderr
    assert run.command("rebuild", "--from-landing").returncode == 0
    assert rows_comparable(run.rows("fct_notifications")) == before


@pytest.mark.thorough
def test_erased_contact_does_not_return_with_the_next_run(run: Pipeline) -> None:
    assert run.command("erase", ERASED).returncode == 0
    _put(run, "sends/3.jsonl", _send(OTHER, 7))
    assert run.run().success
    assert {row["contact_id"] for row in run.rows("fct_session_starts")} == {OTHER}


@pytest.mark.thorough
def test_revoked_erasure_restores_records_even_from_copied_or_moved_files(run: Pipeline) -> None:
    # The landing zone of this test is already a copy.
    before = rows_comparable(run.rows("fct_session_starts"))
    assert run.command("erase", ERASED).returncode == 0
    assert "not erased here" in run.command("erase", OTHER, "--revoke").stdout
    (run.landing / f"sends/{ERASED[-1]}.jsonl").rename(run.landing / "sends/moved.jsonl")
    assert "reads 4 files with erased records again" in run.command("erase", ERASED, "--revoke").stdout
    assert "not erased here" in run.command("erase", ERASED, "--revoke").stdout
    assert run.run().success
    assert rows_comparable(run.rows("fct_session_starts")) == before


@pytest.mark.thorough
def test_day_with_only_the_erased_contact_loses_its_tsv(run: Pipeline) -> None:
    _put(run, "sends/alone.jsonl", _send(ERASED, 8))
    assert run.run().success
    assert "sessionStartingCauses-2026-10-08.tsv" in run.tsv_bytes()
    assert run.command("erase", ERASED).returncode == 0
    assert "sessionStartingCauses-2026-10-08.tsv" not in run.tsv_bytes()


@pytest.mark.thorough
def test_rebuild_changes_no_mart_and_no_tsv(run: Pipeline) -> None:
    before, tsvs = rows_comparable(run.rows("fct_session_starts")), run.tsv_bytes()
    assert run.command("rebuild").returncode == 0
    assert rows_comparable(run.rows("fct_session_starts")) == before
    assert run.tsv_bytes() == tsvs


@pytest.mark.thorough
@pytest.mark.parametrize(("command", "keeps"), [(("rebuild",), True), (("replay",), True), (("erase", ERASED), False)])
def test_only_an_erasure_removes_exports_and_the_previous_version(run: Pipeline, command: tuple[str, ...], keeps: bool) -> None:
    export, _ = export_selection(run.settings, ExportSelection())
    version = run.settings.published_database.resolve()
    done = run.command(*command)
    assert done.returncode == 0
    assert (export.exists(), version.exists()) == (keeps, keeps)
    if keeps:
        assert ", 0 more than before" in done.stdout


@pytest.mark.thorough
def test_replay_reads_files_again_and_counts_nothing_twice(run: Pipeline) -> None:
    def ledger() -> Any:
        rows = run.rows("raw.landed_files", published=False)
        return sorted((row["file_name"], row["records"], row["landed"], row["rejected"]) for row in rows)

    before, ledger_before = rows_comparable(run.rows("fct_session_starts")), ledger()
    replayed = run.command("replay")
    assert replayed.returncode == 0
    assert "To be read again: sends/1.jsonl, sends/2.jsonl" in replayed.stdout
    assert ledger() == ledger_before
    assert rows_comparable(run.rows("fct_session_starts")) == before
    assert len(run.rows("raw.sends", published=False)) == 4


@pytest.mark.thorough
def test_replay_lands_records_that_a_newer_version_can_read(warm: Callable[..., Pipeline]) -> None:
    made = warm(STARTS_MAX_REJECTED_SHARE="1")
    _put(made, "sends/1.jsonl", _send(OTHER, 1), _send(OTHER, 2, chat_link=None))
    does_not_know_links = replace(SENDS, parse_sql=SENDS.parse_sql.replace("types[12] not in ('VARCHAR', 'NULL')", "types[12] <> 'NULL'"))
    with patch.object(landing, "SENDS", does_not_know_links):
        assert made.run().success
    assert len(made.rows("fct_notifications")) == 1
    assert made.command("replay").returncode == 0
    assert len(made.rows("fct_notifications")) == 2
    assert made.rows("raw.rejected_records", published=False) == []


@pytest.mark.thorough
def test_replay_keeps_rows_of_files_that_left_the_landing_zone(run: Pipeline) -> None:
    before = rows_comparable(run.rows("raw.sends", published=False))
    for path in run.landing.glob("sends/*"):
        path.unlink()
    replayed = run.command("replay")
    assert replayed.returncode == 0
    assert "No file in the landing zone has rejected records" in replayed.stdout
    assert rows_comparable(run.rows("raw.sends", published=False)) == before
    assert len(run.rows("raw.rejected_records", published=False)) == 4
    shutil.rmtree(run.landing)
    replayed = run.command("replay")
    assert replayed.returncode == 2
    assert "does not exist" in replayed.stderr
    assert rows_comparable(run.rows("raw.sends", published=False)) == before


@pytest.mark.thorough
def test_replayed_files_are_not_checked_against_the_limit_on_their_own(warm: Callable[..., Pipeline]) -> None:
    made = warm()
    _put(made, "sends/1.jsonl", *(_send(f"55119876{number:05}", 1) for number in range(40)))
    _put(made, "sends/2.jsonl", "not json")
    assert made.run().success
    assert made.command("replay").returncode == 0
    assert len(made.rows("fct_notifications")) == 40


@pytest.mark.thorough
def test_replay_without_rejected_records_does_nothing(warm: Callable[..., Pipeline]) -> None:
    made = warm()
    _put(made, "sends/1.jsonl", _send(OTHER, 1))
    assert made.run().success
    replayed = made.command("replay")
    assert replayed.returncode == 0
    assert "No file in the landing zone has rejected records" in replayed.stdout


@pytest.mark.thorough
def test_exports_and_rejected_texts_are_deleted_after_the_retention_period(warm: Callable[..., Pipeline]) -> None:
    made = warm(STARTS_MAX_REJECTED_SHARE="1")
    today = datetime.now(ZoneInfo("America/Sao_Paulo"))
    for number, age in enumerate((0, 9, 10, 11)):
        sent_at = f"{today - timedelta(days=age):%Y-%m-%dT12:00:00-03:00}"
        _put(made, f"sends/{number}.jsonl", _send(f"551198765000{number}", number) | {"sent_at": sent_at})
    _put(made, "sends/bad.jsonl", "not json")
    assert made.run().success
    assert len(made.tsv_bytes()) == 4
    with open_warehouse(made.settings) as warehouse:
        # In UTC it may be a day later than in the time zone of the report.
        warehouse.execute("update raw.rejected_records set landed_at = landed_at - interval 12 day")
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
    assert made.command("rebuild").returncode == 0
    assert len(made.tsv_bytes()) == 3


@pytest.mark.thorough
def test_longer_retention_restores_the_exports(warm: Callable[..., Pipeline]) -> None:
    made = warm()
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


@pytest.mark.thorough
@pytest.mark.xdist_group("dbt_target")
def test_docs_are_built_from_a_folder_with_any_name(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / 'it\'s "ours" $HOME', {})
    _put(made, "sends/1.jsonl", _send(OTHER, 1))

    def docs() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "STARTS_DATA": str(made.data)}
        command = [sys.executable, "-m", "orchestration", "docs"]
        return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=300)

    too_early = docs()
    assert (too_early.returncode, made.data.exists()) == (2, False)
    assert "yet: run `python -m orchestration` first." in too_early.stderr
    assert made.run().success
    built = docs()
    assert built.returncode == 0, built.stdout
    catalog = json.loads(Path(built.stdout.strip()).with_name("catalog.json").read_text())
    assert "model.conversation_starts.fct_session_starts" in catalog["nodes"]
