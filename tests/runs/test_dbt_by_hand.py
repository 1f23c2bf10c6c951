"""Tests that `dbt build` by hand leaves correct marts or refuses, and that the job continues from them (contract, section 7).

`test_dbt_by_hand_in_any_order.py` tests any order of runs; these tests cover what is refused, with which messages, and what state that
leaves.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import yaml
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.selected_resources import set_selected_resources
from jinja2 import Template

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.landing.migrations import RAW_SCHEMA_VERSION, prepare_raw_schema
from orchestration.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from orchestration.transform import builds
from orchestration.transform.builds import invalidate_builds
from tests.by_hand import (
    ENVIRONMENT,
    NO_UNIT_TESTS,
    NOT_THESE,
    NOTHING_LANDED,
    ODD,
    RAW_ASSETS,
    copy_of_the_project,
    dbt_by_hand,
    dbt_cut_short,
)
from tests.comparison import assert_marts_equal_the_reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline, query


def add_files(run: Pipeline, part: int, parts: int = 3) -> None:
    """Write one of several files of each feed into the landing zone."""
    sends, webhooks = hostile_records(11, sends=60)
    write_files(run.landing, "sends", f"{part}.jsonl", [line for line in sends if ODD not in line][part::parts])
    write_files(run.landing, "webhooks", f"{part}.jsonl", webhooks[part::parts])


@pytest.fixture
def landed(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> Pipeline:
    """Return a pipeline with a finished build, and files that have landed since and are not in a build yet."""

    def fill(folder: Path) -> None:
        run = Pipeline(folder / "landing", folder / "data", ENVIRONMENT)
        add_files(run, 0)
        assert run.materialize(*RAW_ASSETS).success
        assert run.materialize("marts/fct_notifications").success
        add_files(run, 1)
        assert run.materialize(*RAW_ASSETS).success

    shutil.copytree(made_once("dbt_by_hand", fill), tmp_path / "run", symlinks=True)
    return Pipeline(tmp_path / "run" / "landing", tmp_path / "run" / "data", ENVIRONMENT)


@pytest.fixture
def fresh(pipeline: Callable[..., Pipeline]) -> Pipeline:
    run = pipeline(**ENVIRONMENT)
    run.data.mkdir(parents=True)
    return run


@pytest.fixture
def unbuilt(fresh: Pipeline) -> Pipeline:
    """Return a pipeline with empty raw tables and no models."""
    with duckdb.connect(str(fresh.settings.warehouse_path)) as warehouse:
        prepare_raw_schema(warehouse)
    return fresh


def builds_of(run: Pipeline) -> list[dict[str, Any]]:
    return sorted(run.rows("state.builds", published=False), key=lambda build: build["build_id"])


def state(run: Pipeline) -> dict[str, Any]:
    """Return the state that a refused run must not change."""
    tables = ("state.builds", "state.variables", "state.changed_days", "state.watermarks", "marts.fct_notifications")
    return {table: query(run.settings.warehouse_path, f"from {table} order by all", read_only=False) for table in tables}


@pytest.mark.thorough
def test_run_that_would_leave_wrong_marts_is_refused_with_one_sentence(landed: Pipeline) -> None:
    before = state(landed)
    for arguments, sentence in (
        (("run", "-s", "fct_notifications"), "fct_notifications cannot be built without "),
        (("run", "-s", "fct_billed_messages"), "fct_billed_messages cannot be built without "),
        (
            ("run", "-s", "int_starts_without_notification_unioned"),
            "int_starts_without_notification_unioned cannot be built without fct_billed_messages, fct_notifications, ",
        ),
        (("build", "-s", "+fct_session_starts"), "cannot be built without fct_billed_messages, funnel_session_starts"),
        (("build", "--exclude", "int_sends_replied"), "cannot be built without int_sends_replied: run `dbt build`"),
        (("run", "--full-refresh", "-s", "+fct_notifications"), "fct_notifications cannot be built without"),
        (("build", "--empty", "-s", "stg_send_log__sends"), "--empty would hide landed data"),
        (("build", "--vars", "{report_timezone: UTC}"), "The marts were built with report_timezone America/Sao_Paulo, not UTC: add --vars"),
        (("run", "-s", "funnel_session_starts", "--vars", "{session_timeout_hours: 1}"), NOT_THESE),
    ):
        refusal = dbt_by_hand(landed, *arguments).refusal
        assert refusal is not None, arguments
        assert sentence in refusal, arguments
        assert state(landed) == before, arguments
    # Also of files that the ledger no longer lists.
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        warehouse.execute("delete from raw.landed_files")
    assert "--empty would hide landed data" in str(dbt_by_hand(landed, "build", "--empty", "-s", "stg_send_log__sends").refusal)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("folder", "options"), [(DBT_PROJECT_DIR, ()), (PROJECT_ROOT, ("--project-dir", "dbt_project", "--profiles-dir", "dbt_project"))]
)
def test_definition_equals_that_of_the_job_from_any_folder(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch, folder: Path, options: tuple[str, ...]
) -> None:
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        # An earlier build, of an older definition.
        warehouse.execute(
            "insert into state.builds by name select * replace (0 as build_id, 'older' as definition_sha256) from state.builds"
        )
    before = state(landed)["state.builds"]
    monkeypatch.chdir(folder)
    assert dbt_by_hand(landed, "run", "-s", "int_sends_deduplicated", options=options).success
    # A mart that is rebuilt alone is complete: no other table has to be rebuilt.
    assert dbt_by_hand(landed, "run", "--full-refresh", "-s", "funnel_session_starts", options=options).success
    assert state(landed)["state.builds"] == before


@pytest.mark.thorough
def test_definition_equals_that_of_the_job_whatever_the_names_of_the_folder_and_files(
    unbuilt: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "it's [a] *? folder" / "dbt_project"
    copy_of_the_project(project)
    for name in ("models/notes.txt", "models/old.sql.bak", "macros/sql", "models/marts/é 'b' [c].md"):
        (project / name).write_text("text")
    # Folders whose names match this one's as a pattern.
    for name in ("it's [a] x? folder", "it's [a] *y folder", "it's a *? folder"):
        shutil.copytree(project / "seeds", tmp_path / name / "dbt_project" / "seeds")
    # A text that no setting accepts, but a variable does.
    variables = {"report_timezone": unbuilt.settings.report_timezone, "billing_currency": "it's"}
    assert dbt_by_hand(unbuilt, "seed", "-s", "channels", "--vars", json.dumps(variables), project=project).success
    monkeypatch.setattr(builds, "DBT_PROJECT_DIR", project)
    monkeypatch.setattr(Settings, "dbt_vars", variables)
    assert [build["definition_sha256"] for build in builds_of(unbuilt)] == [builds.definition_sha256(unbuilt.settings)]


@pytest.mark.thorough
def test_tables_of_another_version_of_the_project_are_not_built_upon(landed: Pipeline, tmp_path: Path) -> None:
    project = tmp_path / "edited" / "dbt_project"
    copy_of_the_project(project)
    newest_load = max(row["load_id"] for row in landed.rows("raw.landed_files", published=False))
    assert dbt_by_hand(landed, "seed", "--full-refresh", project=project).success
    *_, attempt = builds_of(landed)
    assert (attempt["finished_at"], attempt["through_load_id"]) == (None, newest_load)
    # Look-ups alone leave no table partially rebuilt.
    assert attempt["definition_sha256"] != ""
    assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)


@pytest.mark.thorough
def test_look_up_is_read_as_dbt_reads_it(landed: Pipeline, tmp_path: Path) -> None:
    """DuckDB would guess the quotation mark, and see no difference between the text `null` and no value."""
    project = tmp_path / "edited" / "dbt_project"
    copy_of_the_project(project)
    header = (project / "seeds" / "channels.csv").read_text().splitlines()[0]
    lines = ["0108,551140028922,'Loja',whatsapp", '0109,551140028923,"a ""b"", c",whatsapp', "0110,,null,whatsapp", "0111,, ,whatsapp"]
    (project / "seeds" / "channels.csv").write_text("\n".join([header, *lines]) + "\n")
    assert dbt_by_hand(landed, "seed", "-s", "channels", "--full-refresh", project=project).success
    names = [(row["channel_id"], row["channel_name"]) for row in landed.rows("staging.channels", published=False)]
    assert sorted(names) == [("0108", "'Loja'"), ("0109", 'a "b", c'), ("0110", None), ("0111", None)]


def test_invalidated_builds_are_not_built_upon(landed: Pipeline) -> None:
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        invalidate_builds(warehouse)
    assert NOT_THESE in str(dbt_by_hand(landed, "build").refusal)


@pytest.mark.thorough
def test_partially_rebuilt_tables_are_not_built_upon_until_all_are_rebuilt(landed: Pipeline) -> None:
    assert dbt_by_hand(landed, "run", "--full-refresh", "-s", "int_messages_linked").success
    assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)
    # Look-ups and views must be included: the partial rebuild may have been of another version.
    assert NOT_THESE in str(dbt_by_hand(landed, "run", "--full-refresh").refusal)
    with dbt_cut_short(3):
        assert not dbt_by_hand(landed, "build", "--full-refresh", *NO_UNIT_TESTS).success
    assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        # A day that the fact no longer has, such as one of a session that another definition joins with an earlier one.
        gone = "'fct_notifications' as fact, date '2001-01-01' as session_start_date, 0 as change_number"
        warehouse.execute(f"insert into state.changed_days by name select {gone}")
    assert dbt_by_hand(landed, "build", "--full-refresh", "--resource-type", "model", "--resource-type", "seed").success
    # Its consumers must remove that day.
    logged = query(landed.settings.warehouse_path, "from state.changed_days where session_start_date = '2001-01-01'", read_only=False)
    assert [(row["fact"], row["change_number"] > 0) for row in logged] == [("fct_notifications", True)]
    assert dbt_by_hand(landed, "run", "--exclude", "config.materialized:view").success
    assert_marts_equal_the_reference(landed)


@pytest.mark.thorough
def test_complete_rebuild_gives_its_definition_to_the_attempts_since_the_last_finished_build(unbuilt: Pipeline) -> None:
    with duckdb.connect(str(unbuilt.settings.warehouse_path)) as warehouse:
        warehouse.execute(
            "insert into state.builds values (1, timestamp '2026-10-01', null, 0, ''), (2, timestamp '2026-10-01', null, 0, '')"
        )
    assert dbt_by_hand(unbuilt, "run-operation", "record_definition", "--args", "{definition: first}").success
    assert [build["definition_sha256"] for build in builds_of(unbuilt)] == ["first", "first"]
    with duckdb.connect(str(unbuilt.settings.warehouse_path)) as warehouse:
        warehouse.execute("update state.builds set finished_at = started_at where build_id = 1")
    assert dbt_by_hand(unbuilt, "run-operation", "record_definition", "--args", "{definition: second}").success
    assert [build["definition_sha256"] for build in builds_of(unbuilt)] == ["first", "second"]


@pytest.mark.thorough
def test_retry_is_refused_because_more_may_have_landed_since(landed: Pipeline) -> None:
    with dbt_cut_short(1):
        assert not dbt_by_hand(landed, "build", *NO_UNIT_TESTS).success
    before = state(landed)
    # As in a separate process: dbt remembers the selection of a command, and a retry has none.
    set_selected_resources(set())
    assert "`dbt retry` ignores what has landed" in str(dbt_by_hand(landed, "retry").refusal)
    assert state(landed) == before


@pytest.mark.thorough
def test_dbt_before_the_first_landing_is_refused_and_changes_nothing(fresh: Pipeline) -> None:
    for arguments in (
        ("build",),
        ("seed",),
        ("run", "--full-refresh"),
        ("run", "--empty"),
        ("test",),
        ("run", "-s", "stg_send_log__sends"),
    ):
        assert NOTHING_LANDED in str(dbt_by_hand(fresh, *arguments).refusal), arguments
    assert dbt_by_hand(fresh, "compile", "-s", "fct_notifications").success


@pytest.mark.thorough
def test_selection_that_needs_unbuilt_tables_is_refused(unbuilt: Pipeline) -> None:
    for arguments, sentence in (
        (("test",), "The selection needs calling_codes, channels, failure_reasons and "),
        (("test", "-s", "test_type:unit"), " more, not built yet: run `dbt build` without a selection."),
        (("run", "-s", "int_sessions_started"), "The selection needs int_activities_sessionized, not built yet"),
        # A unit test needs its model, too, also if that reads only raw tables.
        (("test", "-s", "stg_send_log__sends,test_type:unit"), "The selection needs stg_send_log__sends, not built yet"),
    ):
        assert sentence in str(dbt_by_hand(unbuilt, *arguments).refusal), arguments
    assert dbt_by_hand(unbuilt, "seed", "-s", "channels").success
    assert dbt_by_hand(unbuilt, "test", "-s", "unique_channels_channel_id").success


@pytest.mark.thorough
def test_variables_set_for_the_job_apply_to_dbt_by_hand(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        # After builds by hand only, no variables are recorded.
        warehouse.execute("delete from state.builds")
    for name, value, default in (
        ("report_timezone", "UTC", "America/Sao_Paulo"),
        ("billing_timezone", "America/New_York", "empty"),
        ("billing_currency", "EUR", "empty"),
    ):
        setting = f"STARTS_{name.upper()}"
        with monkeypatch.context() as patch:
            patch.setenv(setting, value)
            refusal = dbt_by_hand(landed, "build").refusal
        assert refusal == f"{setting} is {value} for the job, and here {name} is {default}: add --vars '{{{name}: {value}}}'."
    # Without a finished build, the look-ups that the run leaves out may be of another version.
    assert "cannot be built without calling_codes, channels, failure_reasons and " in str(dbt_by_hand(landed, "run").refusal)
    # A variable on the command line is meant, whatever the job uses, and a blank setting sets nothing.
    monkeypatch.setenv("STARTS_REPORT_TIMEZONE", "UTC")
    monkeypatch.setenv("STARTS_BILLING_TIMEZONE", " ")
    assert dbt_by_hand(landed, "run", "-s", "funnel_session_starts", "--vars", "{report_timezone: Asia/Tokyo}").success


@pytest.mark.thorough
def test_empty_build_is_refused_as_soon_as_a_file_has_landed(unbuilt: Pipeline) -> None:
    empty_view = ("run", "--empty", "-s", "stg_send_log__sends")
    # The first command leaves an attempt, which hides nothing.
    assert dbt_by_hand(unbuilt, *empty_view).success
    assert dbt_by_hand(unbuilt, *empty_view).success
    add_files(unbuilt, 0)
    assert unbuilt.materialize(*RAW_ASSETS).success
    assert "--empty would hide landed data" in str(dbt_by_hand(unbuilt, *empty_view).refusal)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "../data/warehouse.duckdb"),
        ({"STARTS_DATA": ""}, "../data/warehouse.duckdb"),
        ({"STARTS_DATA": "elsewhere"}, "../elsewhere/warehouse.duckdb"),
        ({"STARTS_DATA": "/srv/starts"}, "/srv/starts/warehouse.duckdb"),
        ({"STARTS_DATA": "/srv/starts", "STARTS_WAREHOUSE": "/srv/other.duckdb"}, "/srv/other.duckdb"),
    ],
)
def test_warehouse_of_dbt_by_hand_is_in_the_data_folder_of_the_job(given: dict[str, str], path: str) -> None:
    profile = yaml.safe_load((DBT_PROJECT_DIR / "profiles.yml").read_text(encoding="utf-8"))
    paths = {name: Template(output["path"]) for name, output in profile["conversation_starts"]["outputs"].items() if "path" in output}
    assert paths["duckdb"].render(env_var=given.get) == path
    if "STARTS_WAREHOUSE" not in given:
        published = path.replace("warehouse.duckdb", "published/conversation_starts.duckdb")
        assert paths["published"].render(env_var=given.get) == published


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (RAW_SCHEMA_VERSION - 1, "written by an older version of this project"),
        (RAW_SCHEMA_VERSION + 1, "written by a newer version of this project"),
    ],
)
def test_raw_tables_of_another_version_are_refused(fresh: Pipeline, version: int, sentence: str) -> None:
    with duckdb.connect(str(fresh.settings.warehouse_path)) as warehouse:
        warehouse.execute(RAW_SCHEMA_SQL)
        warehouse.execute(f"create table state.schema_version as select {version} as version")
    for arguments in (("build", "--full-refresh"), ("test",)):
        assert sentence in str(dbt_by_hand(fresh, *arguments).refusal), arguments


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Hold a DuckDB file open for writing in another process."""
    code = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        process.communicate()


@pytest.mark.thorough
def test_dbt_waits_a_minute_for_a_warehouse_held_by_the_job_and_then_fails(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    monkeypatch.setattr("orchestration.transform.dbt_plugin.time", SimpleNamespace(sleep=sleep, monotonic=lambda: waited))
    with held_open(landed.settings.warehouse_path):
        run = dbt_by_hand(landed, "build")
    assert not run.success
    assert (
        "Another program, such as a run of the job, holds the warehouse. Try again when it has finished (IO Error: Could not set"
        in run.message
    )
    assert len(run.message.strip().splitlines()) <= 2, run.message
    assert 60 <= waited < 90


def test_missing_data_folder_is_reported_at_once(tmp_path: Path) -> None:
    plugin = BasePlugin.create("orchestration.transform.dbt_plugin")
    with pytest.raises(
        RuntimeError, match=r"Nothing has landed yet: the folder .*nowhere does not exist\. Run the job conversation_starts first"
    ):
        plugin.update_connection_config(DuckDBCredentials(path=str(tmp_path / "nowhere" / "warehouse.duckdb"), schema="marts"), {})


def test_invalid_warehouse_file_is_reported_without_a_wait(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("no database, but as long as the header of one" * 1000)
    plugin = BasePlugin.create("orchestration.transform.dbt_plugin")
    with pytest.raises(RuntimeError, match=r"The warehouse cannot be opened: .*not a valid DuckDB database file"):
        plugin.update_connection_config(DuckDBCredentials(path=str(tmp_path / "warehouse.duckdb"), schema="marts"), {})


def test_guards_have_the_current_version_of_the_raw_tables() -> None:
    guards = (DBT_PROJECT_DIR / "macros" / "run_guards.sql").read_text(encoding="utf-8")
    assert re.findall(r"macro version_of_raw_tables\(\) -%}\s+{{ return\((\d+)\) }}", guards) == [str(RAW_SCHEMA_VERSION)]
