"""Tests of the Superset dashboard: its files agree with the marts, and a real Superset shows the marts' numbers.

The second half needs a Superset: SUPERSET_PYTHON is the Python of an environment with Superset; STARTS_TEST_SUPERSET=1 installs one (a
minute or two, from PyPI).
"""

import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from bi.superset.import_dashboard import (
    BUNDLE,
    DASHBOARD_SLUG,
    LANGUAGES,
    PLACEHOLDER,
    TEXT_KEYS,
    ImportFailedError,
    SupersetClient,
    pack,
    published_path,
    translated,
    translations,
)
from orchestration.exports.tsv import TSV_COLUMNS
from orchestration.settings import SAMPLE_LOGS, Settings
from orchestration.transform.parsed import parsed_project
from tests.bi.chart_in_sql import chart_sql, metric_sql, source_of
from tests.bi.report_in_sql import EXPECTED, WORDS, expected_rows
from tests.bi.superset_server import SupersetServer, install_superset, running_superset
from tests.metrics import metric_value
from tests.pipeline import Pipeline
from tests.tiers import thorough

# Charts whose result has one value per series in each row. In the SQL, each series has its own row.
SERIES = ("Sends by day and last status", "Cost by day and template", "Messages by day and price")
# The marts that datasets show with all their columns.
MARTS = {name: name for name in ("session_starts_daily", "status_session_starts", "funnel_session_starts", "sends_by_hour")}
MARTS |= {"report_session_starts": "fct_session_starts", "report_costs": "fct_billed_messages"}
# These tests share one Superset.
pytestmark = pytest.mark.xdist_group("superset")
BUNDLE_FILES = sorted(BUNDLE.rglob("*.yaml"))
# The dashboard's filters as its filter bar sends them, and the same filters in SQL.
FILTERS = {
    "nothing": ([], None, "true"),
    "period": ([], "2026-10-05 : 2026-10-12", "session_start_date between date '2026-10-05' and date '2026-10-11'"),
    "origin": ([("session_started_by", ["WhatsApp template"])], None, "origin = 'whatsapp_template'"),
    "line": ([("whatsapp_line", ["Tienda Argentina", "+56224978800"])], None, "line_number in ('541152780101', '56224978800')"),
    "template": (
        [("template_or_campaign", ["oferta_relampago"])],
        None,
        "template_name = 'oferta_relampago' and notification_name is null",
    ),
    "campaign": (
        [("template_or_campaign", ["Primavera 2026 · oferta_relampago", "Primavera 2026 · convite_evento"])],
        None,
        "template_name in ('oferta_relampago', 'convite_evento') and notification_name = 'Primavera 2026'",
    ),
    "user type": ([("user_kind", ["New"])], None, "user_type = 'new'"),
    "all five": (
        [
            ("session_started_by", ["Mass notification"]),
            ("whatsapp_line", ["Loja Brasil"]),
            ("template_or_campaign", ["Primavera 2026 · oferta_relampago"]),
            ("user_kind", ["Returning"]),
        ],
        "2026-10-05 : 2026-11-01",
        "session_start_date between date '2026-10-05' and date '2026-10-31' and origin = 'mass_notification' "
        "and line_number = '551140028922' and template_name = 'oferta_relampago' "
        "and notification_name = 'Primavera 2026' and user_type = 'returning'",
    ),
}


# The tables that MetricFlow reads under a filter; a billed message has the origin and user type of the session that it started.
FILTERED_MARTS = """
    create table publish_info as from published.publish_info;
    create table fct_session_starts as from published.fct_session_starts where {0};
    create table fct_billed_messages as
    select billed.*
    from published.fct_billed_messages as billed
    where message_id in (
        select message_id
        from (
            select messages.*, starts.origin, starts.user_type, messages.billed_date as session_start_date
            from published.fct_billed_messages as messages
            left join published.fct_session_starts as starts using (session_start_id)
        )
        where {0}
    )
"""


@pytest.fixture(scope="module")
def bundled(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Return the bundled logs, run once, in a landing zone to which a test can add files."""
    folder = tmp_path_factory.mktemp("bi")
    shutil.copytree(SAMPLE_LOGS, folder / "landing")
    shutil.copytree(sample.data, folder / "data", symlinks=True)
    return Pipeline(folder / "landing", folder / "data", {})


@pytest.fixture(scope="module")
def published(bundled: Pipeline) -> Path:
    return bundled.settings.published_database


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parsed_project(Settings(data=tmp_path_factory.mktemp("parsed"))).json


@cache
def load(folder: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((BUNDLE / folder).rglob("*.yaml"))]


def datasets() -> dict[str, dict[str, Any]]:
    return {dataset["uuid"]: dataset for dataset in load("datasets")}


def dashboard() -> dict[str, Any]:
    (only,) = load("dashboards")
    return only


def columns_of(dataset: dict[str, Any]) -> set[str]:
    return {column["column_name"] for column in dataset["columns"]}


def metrics_of(dataset: dict[str, Any]) -> set[str]:
    return {metric["metric_name"] for metric in dataset["metrics"]}


def charts_by_name() -> dict[str, dict[str, Any]]:
    return {chart["slice_name"]: chart for chart in load("charts")}


def test_every_file_belongs_to_one_bundle() -> None:
    assert {file.relative_to(BUNDLE).parts[0] for file in BUNDLE_FILES} == {
        "metadata.yaml",
        "databases",
        "datasets",
        "charts",
        "dashboards",
    }
    (database,) = load("databases")
    parts = [database, *load("datasets"), *load("charts"), dashboard()]
    assert len({part["uuid"] for part in parts}) == len(parts) == len(BUNDLE_FILES) - 1
    assert {dataset["database_uuid"] for dataset in load("datasets")} == {database["uuid"]}
    assert {chart["dataset_uuid"] for chart in load("charts")} <= set(datasets())


def test_connection_is_a_read_only_placeholder() -> None:
    (database,) = load("databases")
    assert database["sqlalchemy_uri"] == PLACEHOLDER
    assert database["extra"]["engine_params"]["connect_args"] == {"read_only": True}
    assert not any(database[right] for right in ("allow_dml", "allow_ctas", "allow_cvas", "allow_csv_upload"))


def test_no_file_contains_a_machine_path_or_a_secret() -> None:
    for file in [*BUNDLE_FILES, BUNDLE / "import_dashboard.py"]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(home|tmp|root|Users|work|srv|var|opt|mnt)/|\b[A-Z]:\\", text), file
        assert file.suffix == ".py" or not re.search(r"(?i)passw|secret|token|encrypted", text), file


def test_dashboard_contains_every_chart_once() -> None:
    placed = [part["meta"] for part in dashboard()["position"].values() if isinstance(part, dict) and part["type"] == "CHART"]
    charts = charts_by_name()
    assert sorted(meta["uuid"] for meta in placed) == sorted(chart["uuid"] for chart in charts.values())
    assert all(charts[meta["sliceName"]]["uuid"] == meta["uuid"] for meta in placed)
    assert len({meta["chartId"] for meta in placed}) == len(placed)
    assert set(charts) == set(EXPECTED), "every chart has its SQL in report_in_sql.py"


def test_layout_is_one_consistent_tree() -> None:
    position = dashboard()["position"]
    parts = {name: part for name, part in position.items() if isinstance(part, dict)}
    children = [child for part in parts.values() for child in part.get("children", [])]
    assert sorted(children) == sorted(set(parts) - {"ROOT_ID", "GRID_ID", "HEADER_ID"})
    for name, part in parts.items():
        assert part["id"] == name
        assert [name] == [child for child in parts.get(part.get("parents", [""])[-1], {}).get("children", []) if child == name] or (
            part["type"] in ("ROOT", "GRID", "HEADER")
        )
        if part["type"] == "ROW":
            assert sum(parts[child]["meta"]["width"] for child in part["children"]) == 12, name


def test_charts_are_wide_enough_for_a_narrow_screen() -> None:
    # Superset scales its 12 columns to the window: at 800 px a column has 60 px, and a table or chart of 3 columns truncates its words.
    kinds = {chart["slice_name"]: chart["viz_type"] for chart in load("charts")}
    for part in dashboard()["position"].values():
        if isinstance(part, dict) and part["type"] == "CHART":
            assert part["meta"]["width"] >= (4 if kinds[part["meta"]["sliceName"]] == "big_number_total" else 5), part["meta"]["sliceName"]


def test_first_page_has_the_report_and_second_page_time_and_costs() -> None:
    position = dashboard()["position"]
    pages = {
        tab: {
            position[child]["meta"]["sliceName"]
            for row in position[tab]["children"]
            for child in position[row]["children"]
            if position[child]["type"] == "CHART"
        }
        for tab in position["TABS-pages"]["children"]
    }
    assert list(pages) == ["TAB-report", "TAB-when"]
    by_uuid = {name: datasets()[chart["dataset_uuid"]]["table_name"] for name, chart in charts_by_name().items()}
    assert {by_uuid[name] for name in pages["TAB-when"]} == {"sends_by_hour", "sends_over_time", "report_costs"}
    assert not {by_uuid[name] for name in pages["TAB-report"]} & {"sends_by_hour", "sends_over_time", "report_costs"}


def test_every_filter_applies_to_every_chart() -> None:
    filters = dashboard()["metadata"]["native_filter_configuration"]
    assert [each["name"] for each in filters] == ["Period", "Started by", "Line", "Template or campaign", "User type"]
    assert filters[0]["filterType"] == "filter_time"
    # Superset counts a default period back from today, so old data, such as the bundled logs, would show no rows.
    assert all(not each["defaultDataMask"]["filterState"] for each in filters), "without a choice all data is shown"
    for each in filters[1:]:
        ((column, dataset),) = [(target["column"]["name"], target["datasetUuid"]) for target in each["targets"]]
        assert column in columns_of(datasets()[dataset])
        assert each["scope"] == {"rootPath": ["ROOT_ID"], "excluded": []}
        for chart in load("charts"):
            assert column in columns_of(datasets()[chart["dataset_uuid"]]), (each["name"], chart["slice_name"])
    for chart in load("charts"):
        periods = [part for part in chart["params"]["adhoc_filters"] if part["operator"] == "TEMPORAL_RANGE"]
        assert [part["subject"] for part in periods] == [datasets()[chart["dataset_uuid"]]["main_dttm_col"]], chart["slice_name"]


def test_filters_offer_names_and_no_empty_value(published: Path) -> None:
    offered: dict[str, set[Any]] = {}
    with duckdb.connect(str(published), read_only=True) as connection:
        for each in dashboard()["metadata"]["native_filter_configuration"][1:]:
            (target,) = each["targets"]
            column = target["column"]["name"]
            rows = connection.execute(f"select distinct {column} from {source_of(datasets()[target['datasetUuid']])}").fetchall()
            offered[each["name"]] = {value for (value,) in rows}
    assert all(None not in values for values in offered.values())
    assert offered["Line"] == {"Loja Brasil", "Tienda Argentina", "+56224978800"}, "the name, or else the number"
    assert {"oferta_relampago", "Primavera 2026 · oferta_relampago", "No template"} <= offered["Template or campaign"]


def named(params: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the columns and metrics in a chart's settings."""
    groupby = params.get("groupby", [])
    columns = {*([groupby] if isinstance(groupby, str) else groupby), *params.get("all_columns", []), *filter(None, [params.get("x_axis")])}
    columns |= {part["subject"] for part in params["adhoc_filters"]} | {json.loads(order)[0] for order in params.get("order_by_cols", [])}
    metrics = {*params.get("metrics", []), *params.get("percent_metrics", [])}
    return columns, metrics | set(filter(None, [params.get("metric"), params.get("timeseries_limit_metric")]))


def asked(query: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the columns and metrics in a chart's stored query."""
    columns = {column if isinstance(column, str) else column["sqlExpression"] for column in query["columns"]}
    ordered = {name for name, _ in query.get("orderby", [])} - columns
    columns |= {part["col"] for part in query["filters"]} | {name for name in ordered if not query.get("metrics")}
    return columns, {*query.get("metrics", []), *(ordered if query.get("metrics") else ())}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_chart_uses_only_columns_and_metrics_of_its_dataset(name: str) -> None:
    chart = charts_by_name()[name]
    dataset = datasets()[chart["dataset_uuid"]]
    columns, metrics = named(chart["params"])
    assert columns <= columns_of(dataset)
    assert metrics <= metrics_of(dataset)
    assert chart["params"]["viz_type"] == chart["viz_type"]
    for query in json.loads(chart["query_context"])["queries"]:
        assert asked(query) == (columns, metrics), "the stored query matches the chart's settings"
        stored = {(part["col"], part["op"], part.get("val")) for part in query["filters"]}
        assert stored == {(part["subject"], part["operator"], part.get("comparator")) for part in chart["params"]["adhoc_filters"]}


def test_datasets_have_the_columns_and_comments_of_the_published_marts(published: Path) -> None:
    with duckdb.connect(str(published), read_only=True) as connection:
        for dataset in load("datasets"):
            mart = MARTS.get(dataset["table_name"], "fct_session_starts")
            rows = connection.execute(
                "select column_name, data_type, comment from duckdb_columns() where schema_name = 'main' and table_name = $mart",
                {"mart": mart},
            ).fetchall()
            stored = {name: (type_, comment) for name, type_, comment in rows}
            shown = {column["column_name"]: (column["type"], column["description"]) for column in dataset["columns"]}
            assert stored
            assert {name: stored[name] for name in shown if name in stored} == {name: shown[name] for name in shown if name in stored}, mart
            assert dataset["table_name"] not in MARTS or set(stored) <= set(shown)
            assert all(description for _, description in shown.values())
            assert all(metric["description"] and metric["verbose_name"] for metric in dataset["metrics"])


def test_every_column_and_metric_can_be_computed(published: Path) -> None:
    with duckdb.connect(str(published), read_only=True) as connection:
        for dataset in load("datasets"):
            source = f"({dataset['sql']})"
            columns = ", ".join(
                f'{column["expression"] or column["column_name"]} as "{column["column_name"]}"' for column in dataset["columns"]
            )
            shown = connection.execute(f"select {columns} from {source}")
            kinds = {name: str(kind) for name, kind, *_ in shown.description or []}
            assert set(kinds) == columns_of(dataset)
            metrics = ", ".join(f'{metric["expression"]} as "{metric["metric_name"]}"' for metric in dataset["metrics"])
            row = connection.execute(f"select {metrics} from {source}").fetchone()
            assert row is not None
            assert None not in row
            nothing = connection.execute(f"select {metrics} from {source} where false").fetchone()
            assert nothing is not None, "no metric fails if a filter leaves no rows"


def test_only_the_chart_with_the_chat_link_renders_html() -> None:
    # A Superset table renders HTML unless its settings forbid it, and template names and failure reasons come from outside.
    rendering = {name for name, chart in charts_by_name().items() if chart["params"].get("allow_render_html", chart["viz_type"] == "table")}
    linked = {name for name, chart in charts_by_name().items() if "chat" in chart["params"].get("all_columns", [])}
    assert rendering == linked == {"Session starts in detail"}
    expressions = {column["column_name"]: column["expression"] or "" for dataset in load("datasets") for column in dataset["columns"]}
    assert {name for name, expression in expressions.items() if "<a " in expression} == {"chat"}


def test_every_code_and_colour_has_its_label(published: Path) -> None:
    with duckdb.connect(str(published), read_only=True) as connection:
        for dataset in load("datasets"):
            expressions = {column["column_name"]: column["expression"] for column in dataset["columns"]}
            for code, label in (
                ("origin", "session_started_by"),
                ("last_status", "status"),
                ("user_type", "user_kind"),
                ("cost_basis", "price"),
            ):
                for value, word in WORDS[label if label == "price" else code].items() if label in expressions else ():
                    row = connection.execute(f"select {expressions[label]} from (select $value as {code})", {"value": value}).fetchone()
                    assert row == (word,), (dataset["table_name"], value)
    series = {label for name in ("last_status", "user_type", "status_in_order", "price") for label in WORDS[name].values()}
    metrics = {metric["metric_name"]: metric["verbose_name"] for dataset in load("datasets") for metric in dataset["metrics"]}
    lines = charts_by_name()["Delivered, read and replied over time"]["params"]["metrics"]
    colours = dashboard()["metadata"]["label_colors"]
    # A line that is a metric gets its colour from the metric's name, and its legend from the label.
    assert set(colours) == series | {"Not replied"} | {*lines} | {metrics[name] for name in lines}
    assert all(colours[f"{place} {word}"] == colours[word] for place, word in enumerate(WORDS["last_status"].values(), start=1))


def test_detail_download_has_every_column_of_the_tsv(published: Path, bundled: Pipeline) -> None:
    other_names = {"session_started_at": "session_started_at_local", "template_or_notification_name": "template_or_notification"}
    chart = charts_by_name()["Session starts in detail"]
    downloaded = set(chart["params"]["all_columns"])
    columns = {
        column.name: next(name for name in (other_names.get(column.name), f"{column.name}_local", column.name) if name in downloaded)
        for column in TSV_COLUMNS
    }
    with duckdb.connect(str(published), read_only=True) as connection:
        shown = ", ".join(f'"{shown}"::varchar as "{name}"' for name, shown in columns.items())
        times = [name for name in columns if name.endswith("_at")]
        rows = f"select {shown} from {source_of(datasets()[chart['dataset_uuid']])}"
        connection.execute(
            f"create temp table detail as select * replace ({', '.join(f'left({name}, 19) as {name}' for name in times)}) from ({rows})"
        )
        connection.execute(
            "create temp table tsv as from read_csv($files, delim = '\t', header = true, all_varchar = true, union_by_name = true)",
            {"files": str(bundled.data / "exports" / "sessionStartingCauses-*.tsv")},
        )
        for side, other in (("detail", "tsv"), ("tsv", "detail")):
            assert connection.execute(f"select * from {side} except all select * from {other}").fetchall() == []
    assert chart["params"]["column_config"] == {name: {"visible": False} for name in chart["params"]["all_columns"][9:]}


@pytest.mark.parametrize("chart", sorted(EXPECTED))
@pytest.mark.parametrize("filtered_by", ["all five", *thorough(*(name for name in FILTERS if name != "all five"))])
def test_charts_query_the_numbers_of_the_marts(published: Path, chart: str, filtered_by: str) -> None:
    selected, period, predicate = FILTERS[filtered_by]
    expected = expected_rows(published, chart, predicate)
    assert expected
    definition = charts_by_name()[chart]
    with duckdb.connect(str(published), read_only=True) as connection:
        rows = connection.execute(chart_sql(definition, datasets()[definition["dataset_uuid"]], selected, period)).fetchall()
    shown = [row for row in rows if chart not in SERIES or row[-1] is not None]
    assert comparable(shown) == comparable(expected)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("filtered_by", FILTERS)
def test_dashboard_metric_equals_the_semantic_metric_under_every_filter(
    published: Path, manifest: dict[str, Any], filtered_by: str
) -> None:
    selected, period, predicate = FILTERS[filtered_by]
    metrics = {metric["name"]: metric for metric in manifest["metrics"].values()}
    compared = set[str]()
    with duckdb.connect() as connection, duckdb.connect(str(published), read_only=True) as marts:
        connection.execute(f"attach '{published}' as published (read_only)")
        connection.execute(FILTERED_MARTS.format(predicate))
        for dataset in load("datasets"):
            for metric in dataset["metrics"]:
                name = metric["metric_name"].removeprefix("total_")
                if name in metrics:
                    row = marts.execute(metric_sql(metric, dataset, selected, period)).fetchone()
                    assert row is not None
                    expected = metric_value(connection, manifest, metrics, metrics[name])
                    assert row[0] == pytest.approx(expected, rel=1e-9), (dataset["table_name"], name)
                    compared.add(name)
    assert len(compared) == 45


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (
            "https://inbox.example.com/c?a=1&b=2",
            '<a href="https://inbox.example.com/c?a=1&amp;b=2" target="_blank" rel="noopener">Open chat</a>',
        ),
        ("javascript:alert(1)", None),
        ('https://example.com/"onclick="alert(1)', None),
        ("https://example.com/'><script>", None),
        ("https://example.com/\nhttps://other", None),
        (None, None),
    ],
)
def test_only_web_addresses_become_links(link: str | None, shown: str | None) -> None:
    (chat,) = [column["expression"] for dataset in load("datasets") for column in dataset["columns"] if column["column_name"] == "chat"]
    assert duckdb.execute(f"select {chat} from (select $link::varchar as chat_link)", {"link": link}).fetchone() == (shown,)


@pytest.mark.parametrize("path", ["/data/published/conversation_starts.duckdb", '/with space/it\'s "quoted": #1/ação.duckdb'])
def test_packed_bundle_points_to_the_file(path: str) -> None:
    with zipfile.ZipFile(io.BytesIO(pack(path))) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {name.removeprefix("bundle/") for name in texts} == {file.relative_to(BUNDLE).as_posix() for file in BUNDLE_FILES}
    (database,) = [yaml.safe_load(text) for name, text in texts.items() if "/databases/" in name]
    assert database["sqlalchemy_uri"] == f"duckdb:///{path}"
    assert PLACEHOLDER not in "".join(texts.values())


def packed(language: str) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(pack("/data/starts.duckdb", language))) as archive:
        return {name: yaml.safe_load(archive.read(name)) for name in archive.namelist()}


def texts_of(part: Any, key: str = "") -> list[str]:
    """Return the texts of a bundle that people read, line by line."""
    if isinstance(part, dict):
        return [text for name, value in part.items() for text in texts_of(value, name)]
    if isinstance(part, list):
        names = [one["name"] for one in part] if key == "native_filter_configuration" else []
        return [*names, *(text for value in part for text in texts_of(value, key))]
    return [line for line in part.split("\n") if line] if isinstance(part, str) and key in TEXT_KEYS else []


def words_of(bundle: dict[str, Any]) -> set[str]:
    """Return the words with which calculated columns replace codes."""
    expressions = [column["expression"] or "" for part in bundle.values() for column in part.get("columns", [])]
    return {
        word
        for expression in expressions
        for word in re.findall(r"'([A-Z][^']*|\d [A-Z][^']*)'|>(Open chat)<", expression)
        for word in word
        if word
    }


def test_translations_cover_exactly_the_texts_of_the_bundle() -> None:
    bundle = packed("en")
    needed = {text for part in bundle.values() for text in texts_of(part)} | words_of(bundle) | {*dashboard()["metadata"]["label_colors"]}
    needed -= {*charts_by_name()["Delivered, read and replied over time"]["params"]["metrics"]}
    with (BUNDLE / "translations.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["en"] for row in rows} == needed
    assert [row["en"] for row in rows] == sorted(needed), "one row each, in order"
    assert all(row[language].strip() for row in rows for language in LANGUAGES)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("language", ["pt", "es"])
def test_translated_bundle_differs_only_in_its_texts(language: str) -> None:
    english, other, texts = packed("en"), packed(language), translations(language)
    assert list(other) == list(english)
    for name, part in english.items():
        assert [texts[text] for text in texts_of(part)] == texts_of(other[name]), name
        assert _codes(part) == _codes(other[name]), name
    titles = [part["slice_name"] for name, part in other.items() if "/charts/" in name]
    assert len(set(titles)) == len(titles)
    (layout,) = [part for name, part in other.items() if "/dashboards/" in name]
    placed = [part["meta"]["sliceName"] for part in layout["position"].values() if isinstance(part, dict) and part["type"] == "CHART"]
    assert sorted(placed) == sorted(titles)
    assert set(layout["metadata"]["label_colors"]) >= {texts[word] for word in WORDS["status_in_order"].values()}


def _codes(part: Any, key: str = "") -> Any:
    """Return a bundle without its texts: only uuids, queries, settings, and expressions without words."""
    if isinstance(part, dict):
        kept = {name: value for name, value in part.items() if name not in TEXT_KEYS and name != "label_colors"}
        return {name: _codes(value, name) for name, value in kept.items()}
    if isinstance(part, list):
        filters = key == "native_filter_configuration"
        return [_codes({name: value for name, value in one.items() if name != "name"} if filters else one) for one in part]
    return re.sub(r"'[^']*'|>[^<]*<", "", part) if key == "expression" and isinstance(part, str) else part


@pytest.mark.sampled(2)
@pytest.mark.parametrize("language", ["pt", "es"])
def test_translated_columns_can_be_computed_and_metrics_keep_their_expressions(published: Path, language: str) -> None:
    english, other, texts = packed("en"), packed(language), translations(language)
    with duckdb.connect(str(published), read_only=True) as connection:
        for name, dataset in english.items():
            if "/datasets/" not in name:
                continue
            assert [metric["expression"] for metric in dataset["metrics"]] == [metric["expression"] for metric in other[name]["metrics"]]
            for column, translated in zip(dataset["columns"], other[name]["columns"], strict=True):
                column_name = column["column_name"]
                if column["expression"] and column_name != "chat":
                    source, source_in_other = source_of(dataset), source_of(other[name])
                    values = {value for (value,) in connection.execute(f"select distinct {column_name} from {source}").fetchall()}
                    shown = {value for (value,) in connection.execute(f"select distinct {column_name} from {source_in_other}").fetchall()}
                    assert {texts.get(value, value) for value in values} == shown, (name, translated["verbose_name"])


def test_untranslated_text_stops_the_import() -> None:
    with pytest.raises(ImportFailedError, match="no translation of 'A new chart'"):
        translated({"slice_name": "A new chart"}, translations("pt"))


def test_connection_keeps_the_link_to_the_newest_version(tmp_path: Path) -> None:
    version, link = tmp_path / "1.duckdb", tmp_path / "starts.duckdb"
    version.touch()
    link.symlink_to(version.name)
    assert published_path(str(link), elsewhere=False) == str(link)


@pytest.mark.parametrize("path", ["relative.duckdb", "/what?.duckdb"])
def test_path_that_a_connection_cannot_contain_is_refused(path: str) -> None:
    with pytest.raises(ImportFailedError, match="absolute path"):
        pack(path)


# --- in a real Superset


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupersetServer]:
    given = os.environ.get("SUPERSET_PYTHON")
    if not given and os.environ.get("STARTS_TEST_SUPERSET") != "1":
        pytest.skip("need a Superset (set SUPERSET_PYTHON to the Python of its environment, or STARTS_TEST_SUPERSET=1 to have one made)")
    python = Path(given).absolute() if given else install_superset(tmp_path_factory.mktemp("superset-environment") / "venv")
    with running_superset(python, tmp_path_factory.mktemp("superset")) as server:
        yield server


def run_import(server: SupersetServer, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    settings = {"SUPERSET_URL": server.url, "SUPERSET_USERNAME": server.username, "SUPERSET_PASSWORD": server.password}
    return subprocess.run(
        [sys.executable, str(BUNDLE / "import_dashboard.py"), *arguments], env=settings | environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def imported(superset: SupersetServer, published: Path) -> SupersetClient:
    """Return a client after two imports: the second overwrites the first, whose file does not exist."""
    elsewhere = run_import(superset, "/nowhere/conversation_starts.duckdb", "--elsewhere")
    assert elsewhere.returncode == 1
    done = run_import(superset, str(published))
    assert done.returncode == 0, done.stderr
    assert f"/superset/dashboard/{DASHBOARD_SLUG}/" in done.stdout
    assert superset.password not in elsewhere.stderr + done.stdout + done.stderr
    return superset.client()


def shown_rows(client: SupersetClient, chart: str, selected: list[tuple[str, list[str]]], period: str | None) -> list[tuple[Any, ...]]:
    """Return the rows that a chart shows under the dashboard's filters, requested as the dashboard does."""
    charts = client.call(f"/api/v1/dashboard/{DASHBOARD_SLUG}/charts")["result"]
    (chart_id,) = [each["id"] for each in charts if each["slice_name"] == chart]
    context = json.loads(client.call(f"/api/v1/chart/{chart_id}")["result"]["query_context"])
    query = context["queries"][0]
    query["filters"] += [{"col": column, "op": "IN", "val": values} for column, values in selected]
    query |= {"time_range": period} if period else {}
    # One page of the detail would not be enough for the comparison.
    query |= {"row_limit": 50000} if "row_offset" in query else {}
    (result, *_) = client.call("/api/v1/chart/data", context | {"queries": [query]})["result"]
    assert not result["rejected_filters"]
    times = {name for name, kind in zip(result["colnames"], result["coltypes"], strict=True) if kind == 2}
    rows = [{name: in_time(value) if name in times else value for name, value in row.items() if name != "rank"} for row in result["data"]]
    return [tuple(row.values()) for row in (unpivoted(rows) if chart in SERIES else rows)]


def in_time(milliseconds: float | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)


def unpivoted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn one row per day into one row per series, as in the SQL."""
    return [
        {"day": day, "series": series, "value": value}
        for row in rows
        for (_, day), *parts in [row.items()]
        for series, value in parts
        if value is not None
    ]


def comparable(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Sort rows; times are rounded to milliseconds, which Superset returns, and floats to nine decimals."""
    return sorted(tuple(_comparable(value) for value in row) for row in rows)


def _comparable(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return f"{value:.9f}" if isinstance(value, (int, float)) else repr(value)


@pytest.mark.parametrize("chart", sorted(EXPECTED))
@pytest.mark.parametrize("filtered_by", FILTERS)
def test_superset_shows_the_numbers_of_the_marts(imported: SupersetClient, published: Path, chart: str, filtered_by: str) -> None:
    selected, period, predicate = FILTERS[filtered_by]
    expected = expected_rows(published, chart, predicate)
    assert expected
    assert comparable(shown_rows(imported, chart, selected, period)) == comparable(expected)


def test_charts_are_in_order(imported: SupersetClient) -> None:
    statuses = [row[0] for row in shown_rows(imported, "Last statuses in numbers", [], None)]
    assert statuses == [word for word in WORDS["last_status"].values() if word in statuses]
    assert [row[0] for row in shown_rows(imported, "Funnel of sends that went out", [], None)] == ["Sent", "Delivered", "Read", "Replied"]
    assert [row[0] for row in shown_rows(imported, "Reply rates within a window", [], None)] == ["1 h", "24 h", "72 h", "7 d"]
    in_order = [row[0] for row in shown_rows(imported, "Sends by last status", [], None)]
    assert in_order == [word for word in WORDS["status_in_order"].values() if word in in_order]
    for chart, place in (
        ("Session starts in detail", 0),
        ("Last sends by template or notification", -1),
        ("Reasons of failure", 2),
        ("Cost by template", 1),
    ):
        values = [row[place] for row in shown_rows(imported, chart, [], None)]
        assert values == sorted(values, reverse=True), chart


def test_download_has_every_column(imported: SupersetClient) -> None:
    # Some columns of the detail are hidden on the page and shown only in the download.
    charts = imported.call(f"/api/v1/dashboard/{DASHBOARD_SLUG}/charts")["result"]
    (chart_id,) = [each["id"] for each in charts if each["slice_name"] == "Session starts in detail"]
    context = json.loads(imported.call(f"/api/v1/chart/{chart_id}")["result"]["query_context"])
    (result, *_) = imported.call("/api/v1/chart/data", context)["result"]
    assert result["colnames"] == charts_by_name()["Session starts in detail"]["params"]["all_columns"]


def test_import_reports_its_failures(superset: SupersetServer, published: Path) -> None:
    refused = run_import(superset, str(published), SUPERSET_PASSWORD="not-the-password")
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert "not-the-password" not in refused.stdout + refused.stderr
    missing = run_import(superset, str(published.with_name("missing.duckdb")))
    assert missing.returncode == 1
    assert "make run" in missing.stderr


def test_new_numbers_appear_without_a_restart(imported: SupersetClient, bundled: Pipeline, published: Path) -> None:
    (before,) = shown_rows(imported, "Session starts", [], None)
    send = {"message_id": "wamid.bi", "sent_at": "2026-11-20T12:00:00Z", "channel_id": "108234567890101", "contact_id": "5511900000009"}
    with gzip.open(bundled.landing / "sends" / "later.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(send | {"template_name": "pedido_enviado"}) + "\n")
    assert bundled.run().success
    assert shown_rows(imported, "Session starts", [], None) == [(before[0] + 1,)]
    for chart in EXPECTED:
        assert comparable(shown_rows(imported, chart, [], None)) == comparable(expected_rows(published, chart, "true")), chart
    assert "2 Pending" in [row[0] for row in shown_rows(imported, "Sends by last status", [], None)]


@pytest.mark.parametrize(("language", "title"), [("es", "Inicios de sesión"), ("pt", "Inícios de sessão"), ("en", "Session starts")])
def test_import_in_another_language_changes_only_texts(
    superset: SupersetServer, imported: SupersetClient, published: Path, language: str, title: str
) -> None:
    done = run_import(superset, str(published), "--language", language)
    assert done.returncode == 0, done.stderr
    charts = imported.call(f"/api/v1/dashboard/{DASHBOARD_SLUG}/charts")["result"]
    assert len(charts) == len(EXPECTED)
    assert comparable(shown_rows(imported, title, [], None)) == comparable(expected_rows(published, "Session starts", "true"))
