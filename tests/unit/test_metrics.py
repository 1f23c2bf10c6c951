"""Tests of the metric definitions: complete, described, and equal to plain SQL even if MetricFlow is not installed."""

import csv
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.cli.metrics import check_ready
from orchestration.errors import StartsError
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.parsed import parsed_project
from tests.metrics import BILLED_MESSAGES, FACTS, FAILURE_GROUPS, NOTIFICATIONS, SESSION_STARTS, metric_value, plain_sql

BY_HAND = {
    "session_starts": 7,
    "session_starts_and_attempts": 9,
    "distinct_users": 6,
    "users_sent_to": 2,
    "users_who_replied": 1,
    "sends": 8,
    "not_sent": 2,
    "sent": 5,
    "delivery_rate": 4 / 5,
    "read_rate": 3 / 5,
    "reply_rate": 2 / 5,
    "reply_rate_of_read": 2 / 3,
    "reply_rate_of_users": 1 / 2,
    "new_user_share": 5 / 7,
    "returning_user_share": 2 / 7,
    "failure_rate": 2 / 8,
    "failure_rate_recipient": 1 / 8,
    "failure_rate_quality": 0,
    "median_seconds_to_read": 20,
    "p90_seconds_to_read": 28,
    "median_seconds_to_reply": 30,
    "mature_sends_1h": 4,
    "mature_sends_24h": 4,
    "mature_sends_72h": 2,
    "mature_sends_7d": 1,
    "mature_replied_24h": 1,
    "mature_replied_72h": 2,
    "reply_rate_within_1h": 1 / 4,
    "reply_rate_within_72h": 1,
    "reply_rate_within_72h_quoted": 1 / 2,
    "reply_rate_within_72h_window": 1 / 2,
    "reply_rate_within_7d_quoted": 0,
    "immature_share_24h": 1 / 5,
    "immature_share_72h": 3 / 5,
    "immature_share_7d": 4 / 5,
    "notifications": 8,
    "open_session_share": 2 / 8,
    "billed_messages_delivered": 4,
    "unpriced_share": 2 / 4,
    "cost": 0.068,
    "cost_per_delivered": 0.06 / 4,
    "cost_per_replied": 0.06 / 2,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parsed_project(Settings(data=tmp_path_factory.mktemp("parsed"))).json


@pytest.fixture(scope="module")
def metrics(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in manifest["metrics"].values()}


def test_metrics_are_those_checked_against_plain_sql(metrics: dict[str, dict[str, Any]]) -> None:
    assert set(metrics) == {*SESSION_STARTS, *NOTIFICATIONS, *BILLED_MESSAGES}


def test_every_metric_is_described_and_every_share_names_its_denominator(metrics: dict[str, dict[str, Any]]) -> None:
    for name, metric in metrics.items():
        assert metric["description"].strip(), name
        if metric["type"] == "ratio":
            assert f"Denominator: `{metric['type_params']['denominator']['name']}`" in metric["description"], name
        if "seconds" in name:
            assert "Over: " in metric["description"], name


def test_every_failure_group_has_a_rate() -> None:
    with (PROJECT_ROOT / "seeds" / "lookups" / "failure_reasons.csv").open(encoding="utf-8", newline="") as file:
        groups = {row["failure_group"] for row in csv.DictReader(file)}
    assert groups | {"unknown"} == set(FAILURE_GROUPS)


def test_every_semantic_model_has_the_dimensions_of_the_report_filters(manifest: dict[str, Any]) -> None:
    for model in manifest["semantic_models"].values():
        if model["name"] == "billed_messages":
            # Those of the report are joined through the session that a message started.
            assert "session_start" in {entity["name"] for entity in model["entities"]}
            continue
        assert {dimension["name"] for dimension in model["dimensions"]} >= {
            *("session_start_date", "origin", "channel_id", "line_number", "template_name", "notification_name", "user_type"),
            *("failure_group", "source"),
        }, model["name"]


def test_definitions_give_the_numbers_of_plain_sql(manifest: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> None:
    with duckdb.connect() as connection:
        connection.execute(FACTS)
        found = {name: metric_value(connection, manifest, metrics, metric) for name, metric in metrics.items()}
        expected = {}
        marts = {"fct_session_starts": SESSION_STARTS, "fct_notifications": NOTIFICATIONS, "fct_billed_messages": BILLED_MESSAGES}
        for mart, group in marts.items():
            row = connection.execute(plain_sql(group, mart)).fetchone()
            assert row is not None
            expected |= dict(zip(group, row, strict=True))
    assert found == pytest.approx(expected)
    assert {name: found[name] for name in BY_HAND} == pytest.approx(BY_HAND)


def test_documented_sql_equals_the_metrics(manifest: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", (PROJECT_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), re.DOTALL)
    with duckdb.connect() as connection:
        connection.execute(FACTS)
        row = connection.execute(sql).fetchone()
        names = ("sent", "mature_sends_72h", "mature_replied_72h")
        assert row == (*(metric_value(connection, manifest, metrics, metrics[name]) for name in names), 1)


def test_exposures_have_owners(manifest: dict[str, Any]) -> None:
    assert {exposure["name"] for exposure in manifest["exposures"].values()} == {
        *("daily_tsv", "published_marts", "conversation_start_metrics"),
    }
    for exposure in manifest["exposures"].values():
        assert exposure["owner"]["name"], exposure["name"]
        assert exposure["owner"]["email"], exposure["name"]


def test_metrics_command_needs_a_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.cli.metrics.find_spec", lambda _: object())
    with pytest.raises(StartsError, match="run the job first"):
        check_ready(Settings(data=tmp_path))
    monkeypatch.setattr("orchestration.cli.metrics.find_spec", lambda _: None)
    with pytest.raises(StartsError, match="--extra metrics"):
        check_ready(Settings(data=tmp_path))
