"""Tests of the dbt project as a whole: its unit tests, its documentation, its layers."""

import json
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.landing.migrations import prepare_raw_schema
from orchestration.publication.person_columns import Mask, masks_of_marts
from orchestration.settings import Settings
from orchestration.transform.builds import MARTS, Build
from orchestration.transform.invocation import DbtError, common_arguments, invoke
from orchestration.transform.parsed import parsed_project
from orchestration.transform.runner import DBT_THREAD, START_EVENTS, build_arguments, run_dbt, stop_dbt, stream_dbt

# These tests share one build.
pytestmark = pytest.mark.xdist_group("dbt_project")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a warehouse with every model built over empty raw tables; unit tests take their column types from it."""
    made = Settings(data=tmp_path_factory.mktemp("empty"))
    with duckdb.connect(str(made.warehouse_path)) as connection:
        prepare_raw_schema(connection)
    _, failure = run_dbt(made, ["build", "--empty", "--exclude-resource-type", "unit_test", *common_arguments(made)])
    assert failure is None, failure
    return made


@pytest.fixture(scope="module")
def manifest(settings: Settings) -> dict[str, Any]:
    return parsed_project(settings).json


def _models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_unit_tests_of_the_models_pass(settings: Settings, manifest: dict[str, Any]) -> None:
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    # These models only rename columns or generate a calendar.
    plain = {
        "stg_whatsapp__channels",
        "stg_botmaker__channels",
        "stg_botmaker__session_messages",
        "metricflow_time_spine",
        "int_newest_events",
    }
    assert {model["name"] for model in _models(manifest)} - tested == plain
    _, failure = run_dbt(settings, ["test", "--select", "test_type:unit", *common_arguments(settings)])
    assert failure is None, failure
    results = json.loads((settings.dbt_target_dir / "run_results.json").read_text(encoding="utf-8"))["results"]
    assert {result["unique_id"] for result in results if result["unique_id"].startswith("unit_test")} == set(manifest["unit_tests"])


def test_unit_tests_give_rows_of_the_model_itself_as_sql(manifest: dict[str, Any]) -> None:
    """Require SQL for `this`: `dbt build` runs unit tests before the model's first build, and other formats take types from its table."""
    of_itself = {
        name: given["format"] for name, test in manifest["unit_tests"].items() for given in test["given"] if given["input"] == "this"
    }
    assert of_itself
    assert set(of_itself.values()) == {"sql"}, of_itself


def _is_dbt_at_work() -> bool:
    return any(thread.name == DBT_THREAD for thread in threading.enumerate())


def test_dbt_streams_events_and_stops_when_the_stream_is_closed(settings: Settings) -> None:
    views = ["run", "--select", "path:models/staging", "--no-write-json", *common_arguments(settings)]
    events, failure = run_dbt(settings, views)
    assert failure is None
    stream = stream_dbt(settings, views)
    first = next(stream)
    assert first["info"]["name"] in START_EVENTS
    assert first["data"]["total"] == len(events) / 2
    assert _is_dbt_at_work()
    stream.close()
    assert not _is_dbt_at_work()
    # A stream that is neither read to its end nor closed, as after an interrupt.
    left = stream_dbt(settings, views)
    next(left)
    stop_dbt()
    assert not _is_dbt_at_work()
    rest = []
    with pytest.raises(DbtError, match="dbt stopped"):
        rest.extend(left)
    assert len(rest) < len(events) - 1


def test_dbt_failure_is_raised_after_the_events(settings: Settings) -> None:
    stream = stream_dbt(settings, ["run", "--select", "stg_send_log__sends", "--vars", "not yaml: [", "--no-write-json"])
    with pytest.raises(DbtError, match="dbt stopped"):
        list(stream)
    assert not _is_dbt_at_work()


def test_project_parses_without_warnings_and_deprecations(settings: Settings) -> None:
    invoke(settings, ["--warn-error", "parse", "--no-partial-parse", "--show-all-deprecations", *common_arguments(settings)])


def test_every_model_has_its_own_yaml_and_a_description(manifest: dict[str, Any]) -> None:
    for model in _models(manifest):
        assert model["description"].strip(), model["name"]
        assert Path(model["patch_path"].split("://")[1]).stem == model["name"]


def test_marts_enforce_contracts_and_describe_every_column(manifest: dict[str, Any]) -> None:
    marts = [model for model in _models(manifest) if model["schema"] == "marts"]
    assert {mart["name"] for mart in marts} == set(MARTS)
    for mart in marts:
        assert mart["config"]["contract"]["enforced"], mart["name"]
        for column in mart["columns"].values():
            assert column["description"].strip(), (mart["name"], column["name"])


def test_every_column_of_the_marts_has_a_comment_in_the_database(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        rows = connection.execute(
            "select table_name, column_name from duckdb_columns() where schema_name = 'marts' and comment is null"
        ).fetchall()
    assert rows == []


@pytest.mark.parametrize(("layer", "may_read"), [("staging", {"source"}), ("marts", {"intermediate", "marts", "seed"})])
def test_layer_reads_only_allowed_layers(manifest: dict[str, Any], layer: str, may_read: set[str]) -> None:
    for model in _models(manifest):
        if model["schema"] != layer:
            continue
        for parent in model["depends_on"]["nodes"]:
            kind = parent.split(".")[0]
            room = manifest["nodes"][parent]["schema"] if kind == "model" else kind
            # The record of builds is not data: it only shows which build was the last.
            assert room in may_read or parent.endswith("state.builds"), (model["name"], parent)


def _selected(settings: Settings, *, is_increment: bool) -> set[str]:
    from dbt.cli.main import dbtRunner

    _, *arguments = build_arguments(settings, Build(1, 1, "", is_increment))
    listed = [argument for argument in arguments if argument != "--full-refresh"]
    manifest = parsed_project(settings).manifest()
    result = dbtRunner(manifest).invoke(["ls", "--output", "json", "--output-keys", "unique_id", "--quiet", *listed])
    assert isinstance(result.result, list), result.exception
    selected = {json.loads(line)["unique_id"] for line in result.result}
    return {name for name in selected if name.split(".")[0] in {"model", "seed", "test"}}


def test_increment_leaves_out_only_views_and_look_ups_with_their_own_tests(settings: Settings, manifest: dict[str, Any]) -> None:
    nodes = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] != "operation"}
    left_out = {
        name
        for name, node in nodes.items()
        if node["resource_type"] == "seed"
        or (node["config"]["materialized"] == "view" and node["schema"] != "marts")
        or (node["resource_type"] == "test" and all(parent.startswith("seed.") for parent in node["depends_on"]["nodes"]))
    }
    everything = _selected(settings, is_increment=False)
    assert everything == set(nodes)
    assert everything - _selected(settings, is_increment=True) == left_out


def _macros_below(manifest: dict[str, Any], node: dict[str, Any]) -> set[str]:
    """Return the macros that a model calls, directly or through other macros."""
    found: set[str] = set()
    left = list(node["depends_on"]["macros"])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += manifest["macros"][name]["depends_on"]["macros"]
    return found


def test_views_do_not_depend_on_the_run(manifest: dict[str, Any]) -> None:
    """An increment does not recreate views, so a view that depends on a run would do the work of the run that created it."""
    of_a_run = {
        f"macro.conversation_starts.{name}"
        for name in ("built_through_load_id", "loads_not_merged", "rates_changed", "days_after_watermark")
    }
    assert of_a_run <= set(manifest["macros"])
    knowing = {model["name"] for model in _models(manifest) if _macros_below(manifest, model) & of_a_run}
    assert {"int_messages_to_bill", "int_sends_with_status"} <= knowing
    views = {model["name"] for model in _models(manifest) if model["config"]["materialized"] == "view"}
    assert not views & knowing


def test_every_column_of_every_model_is_described(settings: Settings, manifest: dict[str, Any]) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        built = connection.execute("select schema_name, table_name, column_name from duckdb_columns() where not internal").fetchall()
    described = {
        (model["schema"], model["name"], name)
        for model in _models(manifest)
        for name, column in model["columns"].items()
        if column["description"]
    }
    rooms = {schema for schema, _, _ in described}
    lookups = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "seed"}
    assert {column for column in built if column[0] in rooms and column[1] not in lookups} == described


def test_every_column_of_every_source_is_described(settings: Settings, manifest: dict[str, Any]) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        built = connection.execute("select schema_name, table_name, column_name from duckdb_columns() where not internal").fetchall()
    described = {
        (source["schema"], source["name"], name)
        for source in manifest["sources"].values()
        for name, column in source["columns"].items()
        if column["description"]
    }
    tables = {(schema, table) for schema, table, _ in described}
    assert len(tables) == len(manifest["sources"])
    assert {column for column in built if column[:2] in tables} == described


def test_exposure_of_published_marts_lists_every_mart(manifest: dict[str, Any]) -> None:
    exposure = manifest["exposures"]["exposure.conversation_starts.published_marts"]
    assert {node.rpartition(".")[2] for node in exposure["depends_on"]["nodes"]} == set(MARTS)


def test_documentation_has_its_own_overview_page(manifest: dict[str, Any]) -> None:
    assert "fct_session_starts" in manifest["docs"]["doc.conversation_starts.__overview__"]["block_contents"]


def test_every_column_of_every_mart_declares_a_mask(manifest: dict[str, Any]) -> None:
    """A new text column must not be published or previewed unmasked by mistake."""
    masks = masks_of_marts(manifest)
    declared = {model["name"]: set(model["columns"]) for model in _models(manifest) if model["schema"] == "marts"}
    assert {mart: declared[mart] - set(masks[mart]) for mart in declared} == {mart: set() for mart in MARTS}


def test_column_has_the_same_mask_in_every_mart(manifest: dict[str, Any]) -> None:
    """Joins of masked marts depend on this."""
    of_column: dict[str, set[Mask]] = {}
    for of_mart in masks_of_marts(manifest).values():
        for column, mask in of_mart.items():
            of_column.setdefault(column, set()).add(mask)
    assert [column for column, masks in of_column.items() if len(masks) > 1] == []
    personal = {column: mask for column, (mask,) in of_column.items() if mask is not Mask.NONE}
    assert personal == {
        **dict.fromkeys(("person_id", "contact_id", "customer_id"), Mask.IDENTIFIER),
        **dict.fromkeys(("session_start_id", "session_id", "message_id"), Mask.ID),
        "chat_link": Mask.LINK,
        **dict.fromkeys(("failure_code", "failure_detail", "agent_groups"), Mask.TEXT),
    }


def test_daily_marts_have_no_personal_column(manifest: dict[str, Any]) -> None:
    masks = masks_of_marts(manifest)
    assert {mask for mart in MARTS if not mart.startswith("fct_") for mask in masks[mart].values()} == {Mask.NONE}
