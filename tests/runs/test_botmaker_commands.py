"""Tests of fetching from Botmaker as a command and in Dagster, alone and before a run of the job."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from filelock import FileLock

from orchestration.botmaker.fetch import FETCHES
from orchestration.settings import PROJECT_ROOT
from tests.botmaker_server import TOKEN, BotmakerServer, Fault, botmaker_server
from tests.botmaker_site import pages_below
from tests.pipeline import Pipeline

DAY = timedelta(days=1)


def site(server: BotmakerServer, folder: Path, **more: str) -> Pipeline:
    """Return a pipeline with an empty landing zone that is filled from the server."""
    (folder / "landing" / "sends").mkdir(parents=True, exist_ok=True)
    return Pipeline(folder / "landing", folder / "data", {**server.environment, **more})


def recent(server: BotmakerServer, count: int) -> list[str]:
    """Add sessions of the last few minutes, by the real clock, to the server."""
    start = datetime.now(UTC) - timedelta(minutes=count + 5)
    ids = []
    for n in range(count):
        created_at = (start + timedelta(minutes=n)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        ids.append(f"CHAT{n:03}_{created_at}")
        server.add_session(ids[-1], created_at)
    return ids


def test_fetch_command_prints_one_line_per_window(tmp_path: Path) -> None:
    with botmaker_server(page_size=2) as server:
        recent(server, 3)
        server.add_notification("n1", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), None, {"customerId": "c"})
        server.channels = [{"id": "c"}]
        server.templates = [{"name": "t"}]
        result = site(server, tmp_path).command("botmaker", "fetch")
        assert result.returncode == 0, result.stderr
        assert sum(line.startswith("sessions: ") for line in result.stdout.splitlines()) in (7, 8)
        assert "sent_results: n1 (1 of 1): 1 page, 1 items" in result.stdout
        assert "fetched    sessions: 3 items" in result.stdout
        folders = {path.name for path in (tmp_path / "landing" / "botmaker").iterdir()}
        assert folders == {"sessions", "sent_results", "sent_results_lists", "channels", "whatsapp_templates"}
        day = (datetime.now(UTC) - 2 * DAY).date().isoformat()
        again = site(server, tmp_path).command("botmaker", "fetch", "--from", day, "--to", day)
        assert again.returncode == 0, again.stderr
        assert "(1 of 2)" in again.stdout
        assert "channels: nothing new" in again.stdout
        assert not list((tmp_path / "landing").rglob("*.draft"))


@pytest.mark.parametrize(
    ("arguments", "more", "code", "words"),
    [
        ((), {"BOTMAKER_ACCESS_TOKEN": ""}, 2, "could not start: BOTMAKER_ACCESS_TOKEN is not set"),
        ((), {"BOTMAKER_BASE_URL": "http://example.com"}, 2, "BOTMAKER_BASE_URL"),
        ((), {"STARTS_LANDING": ""}, 2, "Set STARTS_LANDING"),
        (("--from", "soon"), {}, 2, "neither a day"),
        (("--from", "soon"), {"BOTMAKER_ACCESS_TOKEN": ""}, 2, "neither a day"),
        (("--sweeep",), {}, 2, "unrecognized arguments"),
        ((), {"BOTMAKER_ACCESS_TOKEN": "wrong-one"}, 5, "failed: Botmaker refused the token for sessions (HTTP 401)"),
    ],
)
def test_fetch_command_has_exit_codes_for_failed_starts_and_failures(
    tmp_path: Path, arguments: tuple[str, ...], more: dict[str, str], code: int, words: str
) -> None:
    with botmaker_server() as server:
        result = site(server, tmp_path, **more).command("botmaker", "fetch", *arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "wrong-one" not in result.stderr + result.stdout


def test_concurrent_fetch_is_refused(tmp_path: Path) -> None:
    with botmaker_server() as server:
        made = site(server, tmp_path)
        made.data.mkdir()
        with FileLock(made.data / ".botmaker.lock"):
            result = made.command("botmaker", "fetch")
    assert (result.returncode, server.requests) == (4, [])
    assert "Another fetch" in result.stderr


def test_killed_fetch_resumes_without_repeated_pages(tmp_path: Path) -> None:
    with botmaker_server(page_size=2) as server:
        ids = recent(server, 9)
        made = site(server, tmp_path)
        answer, calls = server._next, []

        def kill_at_third(query: dict[str, str]) -> tuple[int, Any]:
            calls.append(query)
            if len(calls) == 3:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            return answer(query)

        with patch.object(server, "_next", side_effect=kill_at_third):
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestration", "botmaker", "fetch"],
                cwd=PROJECT_ROOT,
                env={**os.environ, **made.variables},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            process.wait(120)
        assert process.returncode == -signal.SIGKILL
        before = pages_below(tmp_path / "landing" / "botmaker")
        asked_before = [request.url for request in server.requests]
        killed_at = asked_before[-1]
        result = made.command("botmaker", "fetch")
        assert result.returncode == 0, result.stderr
        asked_after = [request.url for request in server.requests[len(asked_before) :]]
        # Only the page whose answer the kill interrupted is requested again.
        assert set(asked_before) & set(asked_after) == {killed_at}
        assert len(asked_after) == len(set(asked_after))
        pages = pages_below(tmp_path / "landing" / "botmaker")
        assert pages.items() >= before.items()
        found = [item["id"] for name, body in pages.items() if name.startswith("sessions/") for item in json.loads(body)["items"]]
        assert found == ids


@pytest.mark.thorough
def test_run_builds_after_a_fetch_and_not_after_a_failed_one(tmp_path: Path) -> None:
    with botmaker_server() as server:
        failed = site(server, tmp_path, BOTMAKER_ACCESS_TOKEN="wrong-one").command("botmaker", "run")
        assert failed.returncode == 5
        assert not (tmp_path / "data" / "published").exists()
        result = site(server, tmp_path).command("botmaker", "run")
        assert result.returncode == 0, result.stderr
        assert result.stdout.index("botmaker fetch finished") < result.stdout.index("conversation_starts finished")
        assert (tmp_path / "data" / "published" / "conversation_starts.duckdb").exists()


def job(name: str, config: dict[str, Any] | None = None, instance: Any = None) -> Any:
    from orchestration.definitions import defs

    return defs.resolve_job_def(name).execute_in_process(
        raise_on_error=False,
        instance=instance,
        run_config={
            "ops": {"fetch_botmaker": {"config": config or {}}},
            "loggers": {"console": {"config": {"log_level": "DEBUG"}}},
        },
    )


def everything_below(folder: Path) -> bytes:
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def test_backfill_in_dagster_reports_its_counts(tmp_path: Path) -> None:
    with botmaker_server(page_size=2) as server:
        recent(server, 3)
        server.fail(Fault("broken", "/sessions"))
        yesterday = (datetime.now(UTC) - DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
        with patch.dict(os.environ, site(server, tmp_path).variables):
            result = job("botmaker_backfill", {"period_from": yesterday})
        assert result.success
        metadata = {
            event.asset_key.to_user_string(): {name: value.value for name, value in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
        }
    assert set(metadata) == {f"botmaker/{feed}" for feed in FETCHES}
    sessions = metadata["botmaker/sessions"]
    assert (sessions["windows"], sessions["items"], sessions["retries"]) == (2, 3, 1)
    # It depends on the time of day how many of the three sessions are before midnight, on pages of their own.
    assert sessions["pages"] in (2, 3, 4)
    assert sessions["requests"] == sessions["pages"] + sessions["retries"]
    assert sessions["bytes"] > 0


def test_single_run_of_the_job_fetches_lands_and_publishes(empty_build: Path, tmp_path: Path) -> None:
    shutil.copytree(empty_build, tmp_path / "data", symlinks=True)
    with botmaker_server(page_size=2) as server:
        recent(server, 3)
        with patch.dict(os.environ, site(server, tmp_path).variables):
            assert job("botmaker_starts").success
    with duckdb.connect(str(tmp_path / "data" / "published" / "conversation_starts.duckdb"), read_only=True) as published:
        assert published.execute("select source, count(*) from fct_session_starts group by source").fetchall() == [("botmaker", 3)]


def test_token_is_in_no_file_or_output_of_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from dagster import DagsterInstance

    caplog.set_level(logging.DEBUG)
    home = tmp_path / "home"
    home.mkdir()
    with botmaker_server(page_size=2) as server, DagsterInstance.local_temp(str(home)) as instance:
        recent(server, 3)
        server.add_notification("n1", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), None, {"customerId": "c"})
        server.channels = [{"id": "c", "token": "telegram-secret"}]
        server.fail(Fault("status", status=500), Fault("broken"))
        with patch.dict(os.environ, site(server, tmp_path).variables):
            good = job("botmaker_backfill", instance=instance)
            # The server's refusal repeats the token that it received.
            server.token = "another"
            bad = job("botmaker_backfill", instance=instance)
        assert good.success
        assert not bad.success
        server.token = TOKEN
        server.fail(Fault("status", status=400, body=json.dumps({"errors": [{"message": f"no {TOKEN}"}]}).encode()))
        command = subprocess.run(
            [sys.executable, "-m", "orchestration", "botmaker", "fetch"],
            cwd=PROJECT_ROOT,
            env={**os.environ, **site(server, tmp_path).variables},
            capture_output=True,
            text=True,
        )
        assert command.returncode == 5
    reasons = [event.event_specific_data.user_failure_data.description for event in bad.all_events if event.is_step_failure]
    assert "set BOTMAKER_ACCESS_TOKEN to it" in reasons[0]
    captured = capfd.readouterr()
    left_behind = b"".join(
        [
            everything_below(tmp_path),
            repr([event for result in (good, bad) for event in result.all_events]).encode(),
            caplog.text.encode(),
            (captured.out + captured.err + command.stdout + command.stderr).encode(),
        ]
    )
    assert b"HTTP 500" in left_behind
    assert TOKEN.encode() not in left_behind
    assert b"telegram-secret" not in left_behind
