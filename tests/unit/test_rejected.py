"""Tests of the command that lists rejected records: what it shows, what it hides, and how it works during a run."""

import csv
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from orchestration.cli.main import main
from orchestration.landing.feeds import FEED_NAMES, SENDS, WEBHOOKS
from orchestration.landing.land import land_feed
from orchestration.landing.rejections import Rejections, delete_old_payloads
from orchestration.landing.zone import LandingZone
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.marts import settings_of

NO_CHANNEL = '{"message_id": "m2", "sent_at": "2026-10-01T10:00:00Z", "contact_id": "5511987654321"}'
FILES = {
    "sends/a.jsonl": f'{{"message_id": "m1", "sent_at": "2026-10-01T10:00:00Z", "channel_id": "c", "contact_id": "1"}}\n{NO_CHANNEL}\n',
    "sends/b.jsonl": "not JSON \x1b[31m 5511987654321\n",
    "webhooks/w.jsonl": '{"object": 1}\n[]\n',
}


def land(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        for feed in (SENDS, WEBHOOKS):
            land_feed(warehouse, LandingZone(settings.landing, FEED_NAMES), feed)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = settings_of(tmp_path)
    settings.data.mkdir()
    for name, content in FILES.items():
        path = Path(settings.landing) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    land(settings)
    monkeypatch.setenv("STARTS_DATA", str(settings.data))
    monkeypatch.setenv("STARTS_LANDING", settings.landing)
    return settings


def test_records_are_listed_without_their_payload(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejected"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "4 rejected records in 3 files"
    assert len(lines) == 4
    assert any(line.startswith("  sends/a.jsonl, line 2: ") and "channel_id" in line for line in lines)
    assert not any("5511987654321" in line for line in lines)
    assert main(["rejected", "--feed", "sends"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 rejected records in 2 files of sends"
    assert main(["rejected", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["  … and 3 more: --limit, --csv"]


def test_payloads_are_shown_on_request_without_control_characters(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejected", "--feed", "sends", "--records"]) == 0
    out = capsys.readouterr().out
    assert f"    {NO_CHANNEL}\n" in out
    assert "    not JSON  [31m 5511987654321\n" in out


def test_corrected_file_is_marked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(settings.landing) / "sends/b.jsonl").write_text(FILES["sends/a.jsonl"].splitlines()[0])
    land(settings)
    assert main(["rejected"]) == 0
    marked = [line for line in capsys.readouterr().out.splitlines() if line.endswith("(the file has since been changed or removed)")]
    assert [line.partition(",")[0] for line in marked] == ["  sends/b.jsonl"]


def test_all_records_are_written_to_a_csv(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rejected.csv"
    for arguments, columns in (([], 6), (["--records"], 7)):
        assert main(["rejected", "--csv", str(path), *arguments]) == 0
        assert capsys.readouterr().out == f"4 rejected records in {path}\n"
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["feed", "file_name", "line_number", "reason", "landed_at", "is_in_zone", "record"][:columns]
        assert sorted(row[:3] for row in rows) == [
            ["sends", "sends/a.jsonl", "2"],
            ["sends", "sends/b.jsonl", "1"],
            ["webhooks", "webhooks/w.jsonl", "1"],
            ["webhooks", "webhooks/w.jsonl", "2"],
        ]
        assert ("5511987654321" in path.read_text()) == bool(arguments)
    assert path.stat().st_mode & 0o077 == 0
    assert {row[6] for row in rows} >= {NO_CHANNEL, "[]"}
    assert main(["rejected", "--csv", str(path), "--limit", "2", "--feed", "webhooks"]) == 0
    assert len(path.read_text().splitlines()) == 3
    assert main(["rejected", "--csv", str(tmp_path / "nowhere" / "r.csv")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_records_with_forgotten_payloads_stay_in_the_list(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute("update raw.rejected_records set landed_at = timestamp '2026-11-01 00:00:00'")
        assert delete_old_payloads(warehouse, date(2026, 11, 1)) == 0
        assert delete_old_payloads(warehouse, date(2026, 11, 2)) == 4
    assert main(["rejected", "--records"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_run_that_holds_the_warehouse_is_reported_in_one_sentence(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(settings.warehouse_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert main(["rejected"]) == 4
        assert capsys.readouterr().err == (
            f"rejected could not start: A run holds {settings.warehouse_path} open: try again when it has finished.\n"
        )
        holder.communicate("")
    assert main(["rejected"]) == 0


def test_command_without_a_usable_warehouse_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    assert main(["rejected"]) == 2
    assert "Nothing has landed yet" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "warehouse.duckdb").write_text("not a database")
    assert main(["rejected"]) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [(["--limit", "0"], "write a whole number above 0"), (["--feed", "x"], "invalid choice")])
def test_invalid_option_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rejected", *arguments])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("records", "rejected", "too_many"), [(100, 5, False), (100, 6, True), (19, 1, True), (0, 0, False)])
def test_rejected_records_are_too_many_above_the_limit(records: int, rejected: int, too_many: bool) -> None:
    assert Rejections(records, rejected, []).are_too_many(0.05) is too_many
