"""Tests that metrics with the same name in the dashboard, MetricFlow and a run's summary have the same value."""

from collections import defaultdict
from dataclasses import asdict
from typing import Any, NamedTuple

import duckdb
import pytest
import yaml

from bi.superset.import_dashboard import BUNDLE
from orchestration.run_report import report_of
from orchestration.settings import Settings
from orchestration.transform.parsed import parsed_project
from tests.metrics import FACTS, metric_value

# The other marts over the same rows, with the columns that the dashboard's metrics read and the keys that its filters need.
OTHER_MARTS = """
    alter table fct_session_starts add column origin varchar default 'whatsapp_template';
    alter table fct_session_starts add column channel_id varchar default 'line';
    alter table fct_session_starts add column channel_name varchar;
    alter table fct_session_starts add column line_number varchar;
    alter table fct_session_starts add column template_name varchar default 'offer';
    alter table fct_session_starts add column notification_name varchar;
    alter table fct_session_starts add column session_start_date date default date '2026-10-01';
    alter table fct_session_starts add column delivered_at timestamp;
    alter table fct_billed_messages add column channel_id varchar default 'line';
    alter table fct_billed_messages add column billed_date date default date '2026-10-02';
    alter table fct_billed_messages add column line_number varchar;
    alter table fct_billed_messages add column person_id varchar;
    alter table fct_billed_messages add column market varchar;
    alter table fct_billed_messages add column pricing_model varchar;
    alter table fct_billed_messages add column pricing_category varchar;
    alter table fct_billed_messages add column pricing_type varchar;
    alter table fct_billed_messages add column rate decimal(18, 8);
    alter table fct_billed_messages add column currency varchar;
    -- A session that was started by a message without a name: it has a reply, and is not in the report.
    update fct_session_starts set is_sent = true, is_delivered = true, is_read = true, is_replied = true where not is_in_report;
    create table report as select * from fct_session_starts where is_in_report;
    create table session_starts_daily as
    select
        'line' as channel_id, count(session_id) as session_starts,
        count(message_id) as notifications, count(*) filter (is_replied) as replied,
        count(*) filter (not is_not_sent and not is_replied) as not_replied
    from report;
    create table status_session_starts as
    select 'line' as channel_id, last_status, count(*) as notifications from report where message_id is not null group by all;
    create table sends_by_hour as
    select
        'line' as channel_id, session_start_date, 1 as weekday, 12 as hour, count(*) filter (is_sent) as sent,
        count(*) filter (first_reply_at <= sent_at + interval '24' hour) as replied_within_24h
    from report where message_id is not null group by session_start_date;
    create table funnel_session_starts as
    select 'line' as channel_id, * from (unpivot (
        select count(*) filter (is_sent) as sent, count(*) filter (is_delivered) as delivered, count(*) filter (is_read) as read,
            count(*) filter (is_replied) as replied
        from report
    ) on sent, delivered, read, replied into name stage value notifications)
"""
# In Superset, a sum over a mart's column cannot have the column's name.
SUM_OF_COLUMN = "total_"


class Definition(NamedTuple):
    """A metric as one place defines it, with its value over the rows above."""

    place: str
    name: str
    label: str
    number: Any


def load(folder: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((BUNDLE / folder).rglob("*.yaml"))]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> list[Definition]:
    manifest = parsed_project(Settings(data=tmp_path_factory.mktemp("parsed"))).json
    metrics = {metric["name"]: metric for metric in manifest["metrics"].values()}
    found = []
    with duckdb.connect() as connection:
        connection.execute(FACTS)
        connection.execute(OTHER_MARTS)
        for name, metric in metrics.items():
            found.append(Definition("metrics", name, metric["label"], metric_value(connection, manifest, metrics, metric)))
        for dataset in load("datasets"):
            source = f"({dataset['sql']})"
            for metric in dataset["metrics"]:
                row = connection.execute(f"select {metric['expression']} from {source}").fetchone()
                assert row is not None
                name = metric["metric_name"].removeprefix(SUM_OF_COLUMN)
                found.append(Definition(dataset["table_name"], name, metric["verbose_name"], row[0]))
        connection.execute("create schema marts; create view marts.fct_session_starts as from main.fct_session_starts")
        summary = asdict(report_of(connection))
        assert set(summary) - set(metrics) == {"pending", "started_by_a_person"}
        found += [Definition("summary", name, metrics[name]["label"], summary[name]) for name in set(summary) & set(metrics)]
    return found


def test_metric_name_has_one_value_and_one_label_everywhere(definitions: list[Definition]) -> None:
    by_name, by_label = defaultdict(list), defaultdict(list)
    for definition in definitions:
        by_name[definition.name].append(definition)
        by_label[definition.label].append(definition)
    for name, same in by_name.items():
        assert {one.label for one in same} == {same[0].label}, name
        assert len({round(one.number, 9) if isinstance(one.number, float) else one.number for one in same}) == 1, same
    for label, same in by_label.items():
        assert {one.name for one in same} == {same[0].name}, label


def test_shared_metrics_have_the_same_name_in_both_places(definitions: list[Definition]) -> None:
    names = {True: set[str](), False: set[str]()}
    for definition in definitions:
        names[definition.place == "metrics"].add(definition.name)
    windows = ("1h", "24h", "72h", "7d")
    assert names[True] & names[False] == {
        *("session_starts", "session_starts_and_attempts", "distinct_users", "sends", "not_sent", "sent", "delivered", "read", "replied"),
        *("failure_rate", "users_sent_to", "users_who_replied", "reply_rate_of_users", "delivery_rate", "read_rate", "reply_rate"),
        *(f"{name}_{window}" for window in windows for name in ("mature_sends", "reply_rate_within", "immature_share")),
        *(f"reply_rate_within_{window}_{evidence}" for window in windows for evidence in ("quoted", "window")),
        *("cost", "cost_of_session_starts", "cost_per_delivered", "cost_per_replied", "billed_messages", "billed_messages_delivered"),
        *("charged_messages", "unpriced_messages", "unpriced_share"),
    }


def test_single_number_chart_has_the_title_of_its_metric() -> None:
    labels = {
        (dataset["uuid"], metric["metric_name"]): metric["verbose_name"] for dataset in load("datasets") for metric in dataset["metrics"]
    }
    titles = {
        chart["slice_name"]: labels[chart["dataset_uuid"], chart["params"]["metric"]]
        for chart in load("charts")
        if chart["viz_type"] == "big_number_total"
    }
    assert len(titles) == 12
    assert titles == {title: title for title in titles}
