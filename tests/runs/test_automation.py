"""Schedules, sensors and alerts, evaluated without waiting for a clock or a daemon."""

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from dagster import (
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

from orchestration.definitions import defs
from orchestration.defs.jobs import WRITER_TAG
from orchestration.defs.resources import WarehouseResource
from orchestration.defs.schedules import daily_export
from orchestration.defs.sensors import new_files, tell_of_failures
from orchestration.errors import StartsError
from orchestration.warehouse import writer_lock
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


def test_everything_is_off_but_the_hourly_schedule() -> None:
    repository = defs.get_repository_def()
    schedules = {made.name: made.default_status for made in repository.schedule_defs}
    sensors = {made.name: made.default_status for made in repository.sensor_defs}
    assert schedules.pop("hourly") is DefaultScheduleStatus.RUNNING
    assert set(schedules.values()) == {DefaultScheduleStatus.STOPPED}
    assert set(sensors.values()) == {DefaultSensorStatus.STOPPED}


def test_fetching_from_botmaker_keeps_nobody_from_writing(pipeline: Pipeline) -> None:
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


def test_a_zone_that_looks_again_as_it_did_before_starts_a_run(pipeline: Pipeline, instance: DagsterInstance) -> None:
    context, bad = build_sensor_context(instance=instance), pipeline.landing / "sends" / "bad.jsonl"
    requests = [new_files(context)]
    bad.write_text("not json\n")
    requests.append(new_files(context))
    bad.unlink()
    requests.append(new_files(context))
    # Dagster starts no second run for a key that it knows.
    assert [request.run_key for request in requests if isinstance(request, RunRequest)] == [None, None, None]


def test_files_that_come_during_a_run_start_the_next_one(pipeline: Pipeline, instance: DagsterInstance) -> None:
    context = build_sensor_context(instance=instance)
    new_files(context)
    run = instance.create_run_for_job(defs.resolve_job_def("conversation_starts"), status=DagsterRunStatus.STARTED)
    (pipeline.landing / "sends" / "b.jsonl").write_text(json.dumps({**SEND, "message_id": "wamid.2"}) + "\n")
    assert isinstance(new_files(context), SkipReason)
    instance.delete_run(run.run_id)
    assert isinstance(new_files(context), RunRequest)


def test_a_landing_zone_that_is_away_is_told_and_starts_nothing(pipeline: Pipeline, instance: DagsterInstance) -> None:
    shutil.rmtree(pipeline.landing)
    answer = new_files(build_sensor_context(instance=instance))
    assert isinstance(answer, SkipReason)
    assert "does not exist" in (answer.skip_message or "")


def test_the_daily_export_asks_for_yesterday_in_the_reports_zone() -> None:
    # 02:00 UTC is still the evening of the 9th in São Paulo, whose yesterday is the 8th.
    answer = daily_export(build_schedule_context(scheduled_execution_time=datetime(2026, 10, 10, 2, 0, tzinfo=UTC)))
    assert isinstance(answer, RunRequest)
    assert answer.partition_key == "2026-10-08"


def test_a_backfill_writes_lost_and_damaged_days_again(pipeline: Pipeline, instance: DagsterInstance) -> None:
    assert pipeline.run().success
    (tsv,) = pipeline.tsv_bytes().values()
    path = next(pipeline.settings.exports_dir.glob("*.tsv"))
    path.write_bytes(b"damaged")
    job = defs.resolve_job_def("export_days")
    days = {"dagster/asset_partition_range_start": "2026-09-30", "dagster/asset_partition_range_end": "2026-10-02"}
    assert job.execute_in_process(instance=instance, tags=days).success
    assert path.read_bytes() == tsv
    path.unlink()
    assert job.execute_in_process(instance=instance, partition_key="2026-10-01").success
    assert path.read_bytes() == tsv


class _Chat(BaseHTTPRequestHandler):
    heard: list[dict[str, Any]]
    status = 200

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.end_headers()

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
    """Run the job over a landing zone that is too bad to publish, and return the failure sensor's context."""
    (pipeline.landing / "sends" / "bad.jsonl").write_text("not json\n" * 3)
    job = defs.resolve_job_def("conversation_starts")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    return build_run_status_sensor_context(
        sensor_name="tell_of_failures", dagster_event=failure, dagster_instance=instance, dagster_run=result.dagster_run
    ).for_run_failure()


def test_a_failed_run_tells_the_chat_why(
    pipeline: Pipeline, instance: DagsterInstance, chat: tuple[str, type[_Chat]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, handler = chat
    # From `.env`, as every variable may be.
    (tmp_path / ".env").write_text(f"STARTS_ALERT_URL={address}\n")
    monkeypatch.setattr("orchestration.settings.ENV_FILE", tmp_path / ".env")
    tell_of_failures(_fail(pipeline, instance))
    (message,) = handler.heard
    assert "conversation_starts failed" in message["text"]
    assert "records were rejected" in message["text"]


def test_a_chat_that_is_away_breaks_nothing_and_its_address_stays_secret(
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
    tell_of_failures(_fail(pipeline, instance))
    said = "".join(capfd.readouterr()) + caplog.text
    assert "could not be sent" in said
    assert "s3cret" not in said
