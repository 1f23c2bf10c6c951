"""Tests of what operators see in Dagster: owners and layers of assets, values of checks, partitions with a file, reasons of failures."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, FloatMetadataValue, IntMetadataValue, MetadataValue
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from orchestration.definitions import defs
from orchestration.defs.assets.outputs import REPORT_DAYS
from orchestration.defs.catalog import LAYER_TAG, with_owner_and_layer
from orchestration.defs.failures import reasons_for_failure
from orchestration.defs.partitions import show_existing_days
from tests.pipeline import Pipeline

TSV_OF_DAYS = AssetKey("session_starts_tsv_of_days")
SEND = {"channel_id": "1", "contact_id": "5511900000001", "template_name": "t"}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def instance_in_files(tmp_path: Path) -> Iterator[DagsterInstance]:
    """Yield an instance with file storage, like that of a data folder."""
    with DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as made:
        yield made


def _run(made: Pipeline, instance: DagsterInstance) -> Any:
    with patch.dict(os.environ, made.variables):
        return defs.resolve_job_def("conversation_starts").execute_in_process(
            instance=instance, raise_on_error=False, run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        )


def _put(made: Pipeline, name: str, *lines: str) -> None:
    (made.landing / "sends").mkdir(exist_ok=True)
    (made.landing / "sends" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sends(*days: int) -> list[str]:
    return [json.dumps({**SEND, "message_id": f"wamid.{day}", "sent_at": f"2026-10-{day:02}T12:00:00Z"}) for day in days]


def test_every_asset_has_an_owner_a_layer_and_a_kind() -> None:
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
    assert len(nodes) > 80
    for node in nodes:
        assert (node.owners, bool(node.kinds)) == (["team:conversation-starts"], True), node.key
    layers = {node.key.to_user_string(): node.tags[LAYER_TAG] for node in nodes}
    assert set(layers.values()) == {"fetch", "raw", "lookups", "staging", "intermediate", "marts", "outputs"}
    assert [layers[key] for key in ("raw/sends", "marts/fct_session_starts", "session_starts_tsv")] == ["raw", "marts", "outputs"]


def test_asset_of_a_new_group_requires_a_layer() -> None:
    from dagster import AssetSpec

    with pytest.raises(ValueError, match="The group new of a has no layer"):
        with_owner_and_layer(AssetSpec("a", group_name="new"))


@pytest.mark.thorough
def test_run_marks_days_with_a_file_and_its_checks_have_numbers(warm: Callable[..., Pipeline], instance: DagsterInstance) -> None:
    made = warm(STARTS_MAX_REJECTED_SHARE="0.5")
    _put(made, "1.jsonl", *_sends(1, 3), "not json")
    result = _run(made, instance)
    assert result.success
    assert instance.get_materialized_partitions(TSV_OF_DAYS) == {"2026-10-01", "2026-10-03"}

    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    of_dbt = {name: check for name, check in checks.items() if "unique_id" in check.metadata}
    assert len(of_dbt) > 40
    assert {repr(check.metadata.get("dagster_dbt/failed_row_count")) for check in of_dbt.values()} == {repr(MetadataValue.int(0))}
    without_numbers = [
        name
        for name, check in checks.items()
        if not any(isinstance(value, IntMetadataValue | FloatMetadataValue) for value in check.metadata.values())
    ]
    assert without_numbers == []
    numbers = {name: value.value for name, value in checks["few_records_rejected"].metadata.items()}
    assert numbers == {"new_records": 3, "new_records_rejected": 1, "rejected_share": pytest.approx(1 / 3), "max_rejected_share": 0.5}

    # Dagster deletes the run one day, but the files stay.
    instance.delete_run(result.run_id)
    assert instance.get_materialized_partitions(TSV_OF_DAYS) == {"2026-10-01", "2026-10-03"}


def test_run_stopped_by_a_check_fails_with_the_message_of_the_check(warm: Callable[..., Pipeline], instance: DagsterInstance) -> None:
    made = warm()
    _put(made, "1.jsonl", *_sends(1), "not json")
    result = _run(made, instance)
    (failed,) = [event for event in result.all_events if event.event_type is DagsterEventType.STEP_FAILURE]
    assert failed.step_key == "raw__landed_files"
    sentence = failed.step_failure_data.user_failure_data.description
    assert sentence.startswith("1 of 2 new records were rejected (50.0%")
    (check,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert check.description == sentence
    # There is no retry: the operator must act.
    assert [event for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY] == []


@pytest.mark.thorough
def test_build_stopped_by_a_check_fails_with_the_message_of_the_check(warm: Callable[..., Pipeline], instance: DagsterInstance) -> None:
    made = warm()
    _put(made, "1.jsonl", *_sends(1))
    assert made.run().success
    with duckdb.connect(str(made.settings.warehouse_path)) as warehouse:
        warehouse.execute("delete from raw.sends")
    _put(made, "2.jsonl", *_sends(3))
    result = _run(made, instance)
    (failed,) = [event for event in result.all_events if event.event_type is DagsterEventType.STEP_FAILURE]
    (check,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert check.metadata["dagster_dbt/failed_row_count"] == MetadataValue.int(1)
    description = failed.step_failure_data.user_failure_data.description
    assert description == f"The models or their checks failed, so nothing is published:\n{check.description}"
    assert reasons_for_failure(result.all_events) == [description]


@pytest.mark.parametrize("kind", ["instance", "instance_in_files"])
def test_materialized_partitions_match_the_files(kind: str, request: pytest.FixtureRequest) -> None:
    instance = request.getfixturevalue(kind)

    def marked() -> dict[str, int]:
        found = instance.fetch_materializations(TSV_OF_DAYS, limit=100).records
        return {record.partition_key or "": record.asset_materialization.metadata["dagster/row_count"].value for record in found[::-1]}  # pyright: ignore

    def shown_in_the_ui() -> set[str]:
        status = get_and_update_asset_status_cache_value(instance, TSV_OF_DAYS, REPORT_DAYS)
        assert status is not None
        return set(status.deserialize_materialized_partition_subsets(REPORT_DAYS).get_partition_keys())

    first, second, third = (date(2026, 10, day) for day in (1, 2, 3))
    show_existing_days(instance, TSV_OF_DAYS, {first: 10, second: 20}, [first, second])
    assert marked() == {"2026-10-01": 10, "2026-10-02": 20}
    assert shown_in_the_ui() == {"2026-10-01", "2026-10-02"}
    events = instance.fetch_materializations(TSV_OF_DAYS, limit=100).records
    show_existing_days(instance, TSV_OF_DAYS, {first: 10, second: 20}, [])
    assert len(instance.fetch_materializations(TSV_OF_DAYS, limit=100).records) == len(events)
    # One day was removed, one was added and one was rewritten.
    show_existing_days(instance, TSV_OF_DAYS, {first: 11, third: 30}, [first])
    assert marked() == {"2026-10-01": 11, "2026-10-03": 30}
    assert shown_in_the_ui() == {"2026-10-01", "2026-10-03"}
