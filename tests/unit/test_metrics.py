"""The metrics as they are defined: complete, described, and the same as plain SQL where MetricFlow is not installed."""

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
from tests.metrics import FAILURE_GROUPS, NOTIFICATIONS, SESSION_STARTS, plain_sql

AGGREGATES = {
    "count": "count({0})",
    "count_distinct": "count(distinct {0})",
    "sum_boolean": "count(*) filter ({0})",
    "median": "percentile_cont(0.5) within group (order by {0})",
    "percentile": "percentile_cont({1}) within group (order by {0})",
}

# One send of each last status, one more that was not sent, an answer without a read receipt, and two starts by people.
FACTS = """
    create table fct_session_starts as
    select
        *,
        message_id is not null and last_status = 'not_sent' as is_not_sent,
        coalesce(last_status in ('sent', 'delivered', 'read', 'replied'), false) as is_sent,
        coalesce(last_status in ('delivered', 'read', 'replied'), false) as is_delivered,
        coalesce(last_status in ('read', 'replied'), false) as is_read,
        case when message_id is not null then last_status = 'replied' end as is_replied,
        timestamp '2026-10-01 12:00:00' as sent_at,
        sent_at + to_seconds(seconds_to_read) as read_at,
        sent_at + to_seconds(seconds_to_answer) as replied_at
    from (values
        ('a', 'a', 'a', 'u1', 'new', true, 'sent', null, null, null),
        ('b', 'b', 'b', 'u1', 'returning', true, 'delivered', null, null, null),
        ('c', 'c', 'c', 'u2', 'new', true, 'read', null, 10, null),
        ('d', 'd', 'd', 'u2', 'returning', true, 'replied', null, 30, 60),
        ('e', 'e', 'e', 'u3', 'new', true, 'replied', null, null, 120),
        ('f', null, 'f', 'u4', 'new', true, 'not_sent', 'recipient', null, null),
        ('g', null, 'g', 'u5', 'new', true, 'not_sent', 'unknown', null, null),
        ('h', 'h', null, 'u6', 'new', true, null, null, null, null),
        ('i', 'i', 'i', 'u7', 'new', true, 'pending', null, null, null),
        ('j', 'j', null, 'u8', 'new', false, null, null, null, null)
    ) as facts (
        session_start_id, session_id, message_id, contact_id, user_type, is_in_report, last_status, failure_group,
        seconds_to_read, seconds_to_answer
    );
    create table fct_notifications as
    select *, session_id is not null as is_session_start from fct_session_starts where message_id is not null
"""
BY_HAND = {
    "session_starts": 7,
    "session_starts_and_attempts": 9,
    "distinct_users": 7,
    "users_sent_to": 3,
    "users_who_answered": 2,
    "sends": 8,
    "not_sent": 2,
    "sent": 5,
    "delivery_rate": 4 / 5,
    "read_rate": 3 / 5,
    "answer_rate": 2 / 5,
    "answer_rate_of_read": 2 / 3,
    "answer_rate_of_users": 2 / 3,
    "new_user_share": 5 / 7,
    "returning_user_share": 2 / 7,
    "failure_rate": 2 / 8,
    "failure_rate_recipient": 1 / 8,
    "failure_rate_quality": 0,
    "median_seconds_to_read": 20,
    "p90_seconds_to_read": 28,
    "median_seconds_to_answer": 90,
    "notifications": 8,
    "open_session_share": 2 / 8,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parsed_project(Settings(data=tmp_path_factory.mktemp("parsed"))).json


@pytest.fixture(scope="module")
def metrics(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in manifest["metrics"].values()}


def test_the_metrics_are_those_that_are_checked_against_plain_sql(metrics: dict[str, dict[str, Any]]) -> None:
    assert set(metrics) == {*SESSION_STARTS, *NOTIFICATIONS}


def test_every_metric_is_described_and_every_share_names_its_denominator(metrics: dict[str, dict[str, Any]]) -> None:
    for name, metric in metrics.items():
        assert metric["description"].strip(), name
        if metric["type"] == "ratio":
            assert f"Denominator: `{metric['type_params']['denominator']['name']}`" in metric["description"], name
        if "seconds" in name:
            assert "Over: " in metric["description"], name


def test_every_failure_group_has_its_rate() -> None:
    with (PROJECT_ROOT / "seeds" / "lookups" / "failure_reasons.csv").open(encoding="utf-8", newline="") as file:
        groups = {row["failure_group"] for row in csv.DictReader(file)}
    assert groups | {"unknown"} == set(FAILURE_GROUPS)


def test_the_report_can_be_asked_by_its_filters(manifest: dict[str, Any]) -> None:
    for model in manifest["semantic_models"].values():
        assert {dimension["name"] for dimension in model["dimensions"]} >= {
            *("session_start_date", "origin", "channel_id", "line_number", "template_name", "notification_name", "user_type"),
            *("failure_group", "source"),
        }, model["name"]


def test_definitions_give_the_numbers_of_plain_sql(manifest: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> None:
    with duckdb.connect() as connection:
        connection.execute(FACTS)
        found = {name: _value(connection, manifest, metrics, metric) for name, metric in metrics.items()}
        expected = {}
        for group, mart in ((SESSION_STARTS, "fct_session_starts"), (NOTIFICATIONS, "fct_notifications")):
            row = connection.execute(plain_sql(group, mart)).fetchone()
            assert row is not None
            expected |= dict(zip(group, row, strict=True))
    assert found == pytest.approx(expected)
    assert {name: found[name] for name in BY_HAND} == pytest.approx(BY_HAND)


def test_exposures_have_owners(manifest: dict[str, Any]) -> None:
    assert {exposure["name"] for exposure in manifest["exposures"].values()} == {
        *("daily_tsv", "published_marts", "conversation_start_metrics"),
    }
    for exposure in manifest["exposures"].values():
        assert exposure["owner"]["name"], exposure["name"]
        assert exposure["owner"]["email"], exposure["name"]


def test_metrics_need_a_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.cli.metrics.find_spec", lambda _: object())
    with pytest.raises(StartsError, match="run the job first"):
        check_ready(Settings(data=tmp_path))
    monkeypatch.setattr("orchestration.cli.metrics.find_spec", lambda _: None)
    with pytest.raises(StartsError, match="--extra metrics"):
        check_ready(Settings(data=tmp_path))


def _value(
    connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any], metrics: dict[str, dict[str, Any]], metric: dict[str, Any]
) -> float | None:
    """Work a metric out from its definition alone, as MetricFlow would."""
    parts = metric["type_params"]
    if metric["type"] == "simple":
        return _measured(connection, manifest, parts["measure"]["name"], _conditions(metric))
    numerator, denominator = (
        _measured(connection, manifest, metrics[part["name"]]["type_params"]["measure"]["name"], _conditions(metrics[part["name"]], part))
        for part in (parts["numerator"], parts["denominator"])
    )
    return numerator / denominator


def _conditions(*filtered: dict[str, Any]) -> list[str]:
    filters = [one["where_sql_template"] for part in filtered if part["filter"] for one in part["filter"]["where_filters"]]
    return [re.sub(r"\{\{ Dimension\('\w+?__(\w+)'\) \}\}", r"\1", one) for one in filters]


def _measured(connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any], measure_name: str, conditions: list[str]) -> float:
    for model in manifest["semantic_models"].values():
        for measure in model["measures"]:
            if measure["name"] == measure_name:
                percentile = (measure["agg_params"] or {}).get("percentile")
                aggregate = AGGREGATES[measure["agg"]].format(measure["expr"], percentile)
                table = model["node_relation"]["alias"]
                row = connection.execute(f"select {aggregate} from {table} where {' and '.join(conditions) or 'true'}").fetchone()
                assert row is not None
                return row[0]
    raise AssertionError(measure_name)
