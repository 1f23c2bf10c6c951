"""Tests that a command that cannot start reports what to change, before or instead of a run of the job."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration import warehouse
from orchestration.cli import run as run_module
from orchestration.cli.main import main
from orchestration.identifiers import comparable_identifier
from tests.pipeline import Pipeline

HOLD = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"


def test_missing_landing_folder_is_reported(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    run = pipeline()
    run.landing = tmp_path / "nowhere"
    result = run.command()
    assert result.returncode == 2
    assert f"landing folder {run.landing} does not exist" in result.stderr
    assert "STARTS_LANDING" in result.stderr


def test_folder_without_feeds_is_reported(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    (run.landing / "photos").mkdir()
    result = run.command()
    assert result.returncode == 2
    assert "none of sends/, webhooks/" in result.stderr


@pytest.mark.parametrize("place", ["file", "file/data"])
def test_data_folder_that_is_a_file_is_reported(pipeline: Callable[..., Pipeline], tmp_path: Path, place: str) -> None:
    run = pipeline()
    (tmp_path / "file").touch()
    run.data = tmp_path / place
    result = run.command()
    assert result.returncode == 2
    assert f"STARTS_DATA is {run.data}, which is a file or below one" in result.stderr


def test_missing_folder_in_dagster_home_is_reported(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    result = pipeline(DAGSTER_HOME=str(tmp_path / "missing")).command()
    assert result.returncode == 2
    assert f"DAGSTER_HOME is {tmp_path / 'missing'}: write an existing folder" in result.stderr


def test_invalid_setting_is_reported(pipeline: Callable[..., Pipeline]) -> None:
    result = pipeline(STARTS_REPORT_TIMEZONE="America/Nowhere'; drop table x").command()
    assert result.returncode == 2
    assert "STARTS_REPORT_TIMEZONE" in result.stderr


@pytest.mark.parametrize("command", [("export",), ("compare", "download.tsv")])
def test_invalid_published_file_gives_a_readable_error(
    pipeline: Callable[..., Pipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    run = pipeline()
    run.settings.published_dir.mkdir(parents=True)
    run.settings.published_database.write_bytes(b"not what DuckDB wrote" * 1000)
    (tmp_path / "download.tsv").write_text("Id Usuario\tFecha/tiempo Inicio Sesión\n1\t2026-10-01 10:00\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STARTS_DATA", str(run.data))
    assert main(command) != 0
    assert re.search("[Rr]un the job", capsys.readouterr().err)


def test_finished_run_succeeds_although_the_next_one_holds_the_warehouse(
    pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pipeline()
    monkeypatch.setenv("STARTS_LANDING", str(made.landing))
    monkeypatch.setenv("STARTS_DATA", str(made.data))
    monkeypatch.setattr(run_module, "_run_job", lambda *_: SimpleNamespace(success=True))
    made.data.mkdir(parents=True)
    monkeypatch.setattr(warehouse, "_WAIT_FOR_FILE_SECONDS", 0.0)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(made.settings.warehouse_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert main(["run"]) == 0
    finally:
        holder.kill()
        holder.wait()
    assert "no summary: Another program holds" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("erase", "5511987650001"), ("replay",), ("rebuild",)])
def test_command_before_the_first_run_reports_that_nothing_has_landed(tmp_path: Path, command: tuple[str, ...]) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    result = made.command(*command)
    assert result.returncode == 2
    assert "Nothing has landed yet: run the job first." in result.stderr
    assert not made.data.exists()
    # A run that was killed at once leaves this state.
    made.data.mkdir()
    with warehouse.open_warehouse(made.settings):
        pass
    result = made.command(*command)
    assert result.returncode == 2
    assert "Nothing has landed yet: run the job first." in result.stderr


@pytest.mark.parametrize("contact", ["", "a", "      ", "+1 (23) 4"])
def test_too_short_contact_is_refused_before_anything_runs(tmp_path: Path, contact: str) -> None:
    made = Pipeline(tmp_path / "landing", tmp_path / "data", {})
    result = made.command("erase", contact)
    assert result.returncode == 2
    assert "too short for a person" in result.stderr
    assert not made.data.exists()


def test_contacts_are_compared_by_the_rules_of_the_contract() -> None:
    assert comparable_identifier("+55 (11) 98765-0001") == "5511987650001"
    assert comparable_identifier("US.1349") == "US.1349"


@pytest.mark.parametrize("days", ["0", "-1", "ten", "36501", "99999999999"])
def test_invalid_retention_is_refused(pipeline: Callable[..., Pipeline], days: str) -> None:
    result = pipeline(STARTS_RETENTION_DAYS=days).command("run")
    assert result.returncode == 2
    assert "STARTS_RETENTION_DAYS" in result.stderr
