"""Tests of schedules, sensors and alerts, evaluated without waiting for a clock or a daemon."""

import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from dagster import (
    AssetCheckSeverity,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    SkipReason,
    build_init_resource_context,
    build_run_status_sensor_context,
    build_schedule_context,
    build_sensor_context,
)

from orchestration.alerts import failure_alert, send_alert
from orchestration.botmaker.fetch import FETCHES
from orchestration.cli.main import main
from orchestration.definitions import defs
from orchestration.defs.assets.landing import _specs
from orchestration.defs.jobs import WRITER_TAG
from orchestration.defs.resources import WarehouseResource
from orchestration.defs.schedules import daily_export, nightly_check
from orchestration.defs.sensors import new_files, notify_on_run_failure
from orchestration.errors import StartsError
from orchestration.landing.feeds import BOTMAKER_FEEDS, SENDS
from orchestration.warehouse import open_warehouse, writer_lock
from tests.pipeline import Pipeline

SEND = {"message_id": "wamid.1", "sent_at": "2026-10-01T12:00:00Z", "channel_id": "1", "contact_id": "5511900000001", "template_name": "t"}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    made = Pipeline(landing=tmp_path / "landing", data=tmp_path / "data", environment={})
    (made.landing / "sends").mkdir(parents=True)
    (made.landing / "sends" / "a.jsonl").write_text(json.dumps(SEND) + "\n")
    monkeypatch.setenv("STARTS_LANDING", str(made.landing))
    monkeypatch.setenv("STARTS_DATA", str(made.data))
    return made


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def test_only_the_hourly_run_and_the_nightly_check_are_on_by_default() -> None:
    repository = defs.get_repository_def()
    schedules = {made.name: made.default_status for made in repository.schedule_defs}
    sensors = {made.name: made.default_status for made in repository.sensor_defs}
    assert {schedules.pop(name) for name in ("hourly", "nightly_check")} == {DefaultScheduleStatus.RUNNING}
    assert set(schedules.values()) == {DefaultScheduleStatus.STOPPED}
    assert set(sensors.values()) == {DefaultSensorStatus.STOPPED}


@pytest.mark.thorough
def test_nightly_check_reads_every_written_row_and_byte(pipeline: Pipeline) -> None:
    assert pipeline.run().success
    tsv = pipeline.settings.exports_dir / "sessionStartingCauses-2026-10-01.tsv"
    whole = tsv.read_bytes()
    # With the same size and time, only a hash shows the difference.
    stat = tsv.stat()
    tsv.chmod(0o644)
    tsv.write_bytes(whole[:-2] + b"X\n")
    os.utime(tsv, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with patch.dict(os.environ, pipeline.variables), DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("conversation_starts")
        assert job.execute_in_process(instance=instance).success
        assert tsv.read_bytes() != whole
        (request,) = nightly_check.evaluate_tick(build_schedule_context()).run_requests or []
        assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert tsv.read_bytes() == whole


@pytest.mark.thorough
def test_run_checks_new_data_and_nightly_check_all_rows(pipeline: Pipeline) -> None:
    """Check a row of an old day with contradictory flags, which only another program can write."""

    def land(number: int, day: int) -> None:
        send = {**SEND, "message_id": f"wamid.{number}", "sent_at": f"2026-10-{day:02d}T12:00:00Z", "contact_id": f"55119{number:08d}"}
        (pipeline.landing / "sends" / f"{number}.jsonl").write_text(json.dumps(send) + "\n")

    def damage() -> None:
        with open_warehouse(pipeline.settings) as connection:
            connection.execute("update marts.fct_notifications set last_status = 'replied' where message_id = 'wamid.1'")

    land(2, 20)
    assert pipeline.run().success
    damage()
    published = pipeline.rows("fct_notifications")
    flags_check = "flags_cumulative_fct_notifications_"
    with patch.dict(os.environ, pipeline.variables), DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("conversation_starts")
        (nightly,) = nightly_check.evaluate_tick(build_schedule_context()).run_requests or []

        def failed_checks(**arguments: Any) -> set[str]:
            run = job.execute_in_process(instance=instance, raise_on_error=False, **arguments)
            checks = run.get_asset_check_evaluations()
            failed = {check.check_name for check in checks if not check.passed and check.severity is AssetCheckSeverity.ERROR}
            assert run.success == (not failed)
            return failed

        # Nothing has landed, or only data of another day.
        assert failed_checks() == set()
        land(3, 20)
        assert failed_checks() == set()
        assert len(pipeline.rows("fct_notifications")) == len(published) + 1
        # The row's day has new data.
        land(4, 1)
        assert failed_checks() == {flags_check}
        assert len(pipeline.rows("fct_notifications")) == len(published) + 1
        # The view of session starts has the row too, but in a build it is checked only after the fact's own checks.
        assert failed_checks(run_config=nightly.run_config) == {flags_check}
        # The checks of new data would not find the row again, so everything is rebuilt.
        assert failed_checks() == set()
        assert len(pipeline.rows("fct_notifications")) == len(published) + 2
        assert failed_checks(run_config=nightly.run_config) == set()
        damage()
        assert flags_check in failed_checks(run_config=nightly.run_config)
        assert not pipeline.materialize("published_marts").success
        land(5, 20)
        assert failed_checks() == set()
        assert failed_checks(run_config=nightly.run_config) == set()
    assert len(pipeline.rows("fct_notifications")) == len(published) + 3
    assert {row["last_status"] for row in pipeline.rows("fct_notifications")} == {"pending"}


def test_only_an_opened_warehouse_holds_the_writer_lock(pipeline: Pipeline) -> None:
    made = WarehouseResource()
    with made.yield_for_execution(build_init_resource_context()):
        with writer_lock(pipeline.settings):
            pass
        with made.open(), pytest.raises(StartsError, match="Another run is writing"), writer_lock(pipeline.settings):
            pass
        with pytest.raises(StartsError, match="Another run is writing"), writer_lock(pipeline.settings):
            pass
    with writer_lock(pipeline.settings):
        pass
    sweep = defs.get_repository_def().get_schedule_def("botmaker_weekly_sweep")
    assert sweep.job_name == "botmaker_backfill"
    assert WRITER_TAG.items().isdisjoint(defs.resolve_job_def("botmaker_backfill").run_tags.items())


def test_new_files_start_one_run(pipeline: Pipeline, instance: DagsterInstance) -> None:
    context = build_sensor_context(instance=instance)
    assert isinstance(new_files(context), RunRequest)
    assert isinstance(new_files(context), SkipReason)
    (pipeline.landing / "sends" / "b.jsonl").write_text(json.dumps({**SEND, "message_id": "wamid.2"}) + "\n")
    assert isinstance(new_files(context), RunRequest)


def test_zone_that_returns_to_an_earlier_state_starts_a_run(pipeline: Pipeline, instance: DagsterInstance) -> None:
    context, bad = build_sensor_context(instance=instance), pipeline.landing / "sends" / "bad.jsonl"
    requests = [new_files(context)]
    bad.write_text("not json\n")
    requests.append(new_files(context))
    bad.unlink()
    requests.append(new_files(context))
    # Dagster starts no second run for a known run key.
    assert [request.run_key for request in requests if isinstance(request, RunRequest)] == [None, None, None]


def test_files_that_arrive_during_a_run_start_the_next_run(pipeline: Pipeline, instance: DagsterInstance) -> None:
    context = build_sensor_context(instance=instance)
    new_files(context)
    run = instance.create_run_for_job(defs.resolve_job_def("conversation_starts"), status=DagsterRunStatus.STARTED)
    (pipeline.landing / "sends" / "b.jsonl").write_text(json.dumps({**SEND, "message_id": "wamid.2"}) + "\n")
    assert isinstance(new_files(context), SkipReason)
    instance.delete_run(run.run_id)
    assert isinstance(new_files(context), RunRequest)


def test_missing_landing_zone_is_reported_and_starts_no_run(pipeline: Pipeline, instance: DagsterInstance) -> None:
    shutil.rmtree(pipeline.landing)
    answer = new_files(build_sensor_context(instance=instance))
    assert isinstance(answer, SkipReason)
    assert "does not exist" in (answer.skip_message or "")


def test_daily_export_covers_yesterday_in_the_time_zone_of_the_report() -> None:
    # 02:00 UTC is still the evening of the 9th in São Paulo, so yesterday is the 8th.
    answer = daily_export(build_schedule_context(scheduled_execution_time=datetime(2026, 10, 10, 2, 0, tzinfo=UTC)))
    assert isinstance(answer, RunRequest)
    assert answer.partition_key == "2026-10-08"


def test_botmaker_jobs_have_the_expected_assets_and_stopped_schedules() -> None:
    def keys(name: str) -> set[str]:
        return {key.to_user_string() for key in defs.resolve_job_def(name).asset_layer.selected_asset_keys}

    fetched = {f"botmaker/{feed}" for feed in FETCHES}
    assert keys("conversation_starts") & fetched == set()
    assert keys("botmaker_backfill") == fetched
    assert keys("botmaker_starts") == keys("conversation_starts") | fetched
    for name, job in (("botmaker_daily", "botmaker_starts"), ("botmaker_weekly_sweep", "botmaker_backfill")):
        schedule = defs.resolve_schedule_def(name)
        assert schedule.default_status is DefaultScheduleStatus.STOPPED
        assert (schedule.job_name, schedule.execution_timezone) == (job, "America/Sao_Paulo")
    for feed in BOTMAKER_FEEDS:
        assert {dep.asset_key.to_user_string() for spec in _specs(feed) for dep in spec.deps} == {feed.name}
    assert all(not list(spec.deps) for spec in _specs(SENDS))


class _Chat(BaseHTTPRequestHandler):
    heard: list[dict[str, Any]]
    status = 200
    # Delay between the bytes of the status line.
    seconds_between = 0.0

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        with suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"HTTP/1.1 200 OK" if self.seconds_between else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(self.seconds_between)
            self.send_response(self.status)
            self.end_headers()

    def do_GET(self) -> None:
        # This server does not serve Botmaker's API.
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def chat() -> Iterator[tuple[str, type[_Chat]]]:
    handler = type("Chat", (_Chat,), {"heard": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", handler
    server.shutdown()


def _fail(pipeline: Pipeline, instance: DagsterInstance) -> Any:
    """Run the job over a landing zone with too many rejections to publish, and return the failure sensor's context."""
    (pipeline.landing / "sends" / "bad.jsonl").write_text("not json\n" * 3)
    job = defs.resolve_job_def("conversation_starts")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    return build_run_status_sensor_context(
        sensor_name="notify_on_run_failure", dagster_event=failure, dagster_instance=instance, dagster_run=result.dagster_run
    ).for_run_failure()


def test_failed_run_posts_the_reason_to_the_chat(
    pipeline: Pipeline, instance: DagsterInstance, chat: tuple[str, type[_Chat]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, handler = chat
    # Set in `.env`, like any other variable.
    (tmp_path / ".env").write_text(f"STARTS_ALERT_URL={address}\n")
    monkeypatch.setattr("orchestration.settings.ENV_FILE", tmp_path / ".env")
    notify_on_run_failure(_fail(pipeline, instance))
    (message,) = handler.heard
    assert "conversation_starts failed" in message["text"]
    assert "records were rejected" in message["text"]


def test_unreachable_chat_stops_no_sensor_and_its_address_stays_secret(
    pipeline: Pipeline,
    instance: DagsterInstance,
    chat: tuple[str, type[_Chat]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, handler = chat
    handler.status = 500
    monkeypatch.setenv("STARTS_ALERT_URL", address)
    caplog.set_level(logging.DEBUG)
    notify_on_run_failure(_fail(pipeline, instance))
    said = "".join(capfd.readouterr()) + caplog.text
    assert "could not be sent" in said
    assert "s3cret" not in said


def test_failed_run_of_the_command_line_posts_the_reason(
    pipeline: Pipeline, chat: tuple[str, type[_Chat]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address, handler = chat
    (pipeline.landing / "sends" / "bad.jsonl").write_text("not json\n" * 3)
    monkeypatch.setenv("STARTS_ALERT_URL", address)
    assert main([]) == 3
    (message,) = handler.heard
    assert re.match(r"conversation_starts failed \(run [0-9a-f-]{36}\):\n.*records were rejected", message["text"])
    assert "s3cret" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "heading"),
    [
        ([], {"STARTS_LANDING": "/nowhere"}, 2, "conversation_starts could not start"),
        ([], {"STARTS_LANGUAGE": "xx"}, 2, "conversation_starts could not start"),
        (["botmaker", "run"], {"BOTMAKER_ACCESS_TOKEN": ""}, 2, "botmaker fetch could not start"),
        (
            ["botmaker", "fetch"],
            {"BOTMAKER_ACCESS_TOKEN": "token", "BOTMAKER_BASE_URL": "http://127.0.0.1:{port}"},
            5,
            "botmaker fetch failed",
        ),
    ],
)
def test_failed_start_or_fetch_is_posted(
    pipeline: Pipeline,
    chat: tuple[str, type[_Chat]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    heading: str,
) -> None:
    address, handler = chat
    monkeypatch.setenv("STARTS_ALERT_URL", address)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(port=httpx.URL(address).port))
    assert main(arguments) == code
    said = capfd.readouterr()
    (message,) = handler.heard
    assert message["text"].startswith(f"{heading}:\n")
    assert message["text"].partition("\n")[2] in said.err
    assert "s3cret" not in said.out + said.err


def test_unexpected_error_is_posted_with_its_type(
    pipeline: Pipeline, chat: tuple[str, type[_Chat]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, handler = chat
    monkeypatch.setenv("STARTS_ALERT_URL", address)

    def surprise(*_: object) -> None:
        raise RuntimeError("a number such as 5511987650001")

    monkeypatch.setattr("orchestration.cli.run._run_job", surprise)
    with pytest.raises(RuntimeError):
        main([])
    assert [message["text"] for message in handler.heard] == ["conversation_starts failed:\nRuntimeError: see the run's log."]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://127.0.0.1:1/s3cret",
        "not an address s3cret",
        "s3cret",
        "ftp://s3cret/",
        "http://[s3cret",
        "http://127.0.0.1:99999/s3cret",
        "https://s3cret\udce9/",
        "{chat}?redirected",
    ],
)
def test_unreachable_chat_changes_no_exit_code_and_its_address_stays_secret(
    pipeline: Pipeline,
    chat: tuple[str, type[_Chat]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    address: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    chat[1].status = 302
    monkeypatch.setenv("STARTS_ALERT_URL", address.format(chat=chat[0]))
    monkeypatch.setenv("STARTS_LANDING", "/nowhere")
    assert main([]) == 2
    said = "".join(capfd.readouterr()) + caplog.text
    assert ("could not be sent" in said) == bool(address)
    assert "s3cret" not in said


def test_alert_is_text_that_a_chat_accepts(chat: tuple[str, type[_Chat]]) -> None:
    address, handler = chat
    logged: list[str] = []
    send_alert(address, failure_alert("failed", ["half \ud83d", "x" * 10_000]), log=logged.append)
    (message,) = handler.heard
    assert message["text"].startswith("failed:\nhalf ?\nxxx")
    assert (len(message["text"]), logged) == (4_000, [])
