"""Tests of what a build reports to Dagster, what it materialises, and what it leaves behind."""

import json
from collections.abc import Callable

import duckdb
import pytest
from dagster import AssetKey

from tests.pipeline import Pipeline

SEND = {"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["increment", "rebuild"])
def test_every_run_reports_every_check(pipeline: Callable[..., Pipeline], warm: Callable[..., Pipeline], kind: str) -> None:
    run = pipeline() if kind == "rebuild" else warm()
    (run.landing / "sends").mkdir(parents=True)
    reported = []
    batches = [[SEND], [SEND | {"message_id": "b", "contact_id": "5511900000002"}], []]
    for number, new in enumerate(batches if kind == "rebuild" else batches[1:]):
        if new:
            (run.landing / "sends" / f"{number}.json").write_text(json.dumps(new))
        result = run.run()
        assert result.success
        evaluations = result.get_asset_check_evaluations()
        # The newest event is a year old, which gives a warning.
        assert [evaluation.check_name for evaluation in evaluations if not evaluation.passed] in ([], ["no_feed_or_line_is_silent"])
        reported.append(sorted(str(evaluation.asset_check_key) for evaluation in evaluations))
    first, *others = reported
    assert others == [first] * len(others)
    assert len(first) == len(set(first))


@pytest.mark.thorough
def test_single_model_can_be_materialised_and_the_build_is_complete(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    (run.landing / "sends").mkdir(parents=True)
    (run.landing / "sends" / "1.json").write_text(json.dumps(SEND))
    assert run.materialize("raw/sends", "raw/landed_files").success
    one = AssetKey(["marts", "funnel_session_starts"])
    result = run.materialize(one.to_user_string())
    assert result.success
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {one}
    assert run.materialize("published_marts").success
    assert len(run.rows("fct_notifications")) == 1


@pytest.mark.thorough
def test_models_materialised_before_the_first_landing_are_empty(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    run.settings.warehouse_path.unlink()
    assert run.materialize("marts/funnel_session_starts").success
    assert run.rows("marts.fct_notifications", published=False) == []


def test_models_materialised_alone_respect_the_limit_on_rejected_records(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    (run.landing / "sends").mkdir(parents=True)
    (run.landing / "sends" / "1.jsonl").write_text(json.dumps(SEND) + "\nnot json\n")
    assert not run.run().success
    result = run.materialize("marts/funnel_session_starts")
    assert not result.success
    assert "1 of 2 new records were rejected" in str(result.all_events)
    assert not run.materialize("published_marts").success


@pytest.mark.thorough
def test_build_from_the_raw_tables_drops_tables_of_an_older_version(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    assert run.run().success
    with duckdb.connect(str(run.settings.warehouse_path)) as warehouse:
        tables = warehouse.execute("select table_name from duckdb_tables() where schema_name = 'intermediate'").fetchall()
        warehouse.execute("create table intermediate.int_of_an_older_version as select 1 as message_key")
    run.environment["STARTS_REPORT_TIMEZONE"] = "Asia/Tokyo"
    assert run.run().success
    with duckdb.connect(str(run.settings.warehouse_path)) as warehouse:
        assert warehouse.execute("select table_name from duckdb_tables() where schema_name = 'intermediate'").fetchall() == tables
