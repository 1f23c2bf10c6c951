"""`dbt build` by hand leaves marts that are right for what has landed, or refuses, and the job goes on from it (contract, section 7)."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.landing.migrations import RAW_SCHEMA_VERSION, prepare_raw_schema
from orchestration.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from orchestration.transform.builds import invalidate_builds
from tests.by_hand import dbt_by_hand
from tests.comparison import assert_marts_equal_the_reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline, query

ENVIRONMENT = {"STARTS_MAX_REJECTED_SHARE": "1"}
WEBHOOKS = ("statuses", "messages", "echoes", "identities", "other_kinds")
RAW_ASSETS = ("raw/sends", *(f"raw/webhook_{kind}" for kind in WEBHOOKS), "raw/landed_files")
NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
# Exports cannot write the years of these.
ODD = b"wamid.odd"

NOT_THESE = "The marts were not built with these models, look-ups and variables"
NOTHING_LANDED = "Nothing has landed in this warehouse yet"


def add_files(run: Pipeline, part: int, parts: int = 3) -> None:
    """Write one of a few files of each feed into the landing zone."""
    sends, webhooks = hostile_records(11, sends=60)
    write_files(run.landing, "sends", f"{part}.jsonl", [line for line in sends if ODD not in line][part::parts])
    write_files(run.landing, "webhooks", f"{part}.jsonl", webhooks[part::parts])


@pytest.fixture
def landed(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> Pipeline:
    """A finished build, and files that have landed since and are in no build yet."""

    def fill(folder: Path) -> None:
        run = Pipeline(folder / "landing", folder / "data", ENVIRONMENT)
        add_files(run, 0)
        assert run.run().success
        add_files(run, 1)
        assert run.materialize(*RAW_ASSETS).success

    shutil.copytree(made_once("dbt_by_hand", fill), tmp_path / "run", symlinks=True)
    return Pipeline(tmp_path / "run" / "landing", tmp_path / "run" / "data", ENVIRONMENT)


@pytest.fixture
def fresh(pipeline: Callable[..., Pipeline]) -> Pipeline:
    run = pipeline(**ENVIRONMENT)
    run.data.mkdir(parents=True)
    return run


def state(run: Pipeline) -> dict[str, Any]:
    """Return what a refused run must leave as it was."""
    tables = ("state.builds", "state.variables", "state.changed_days", "state.watermarks", "marts.fct_notifications")
    return {table: query(run.settings.warehouse_path, f"from {table} order by all", read_only=False) for table in tables}


def assert_the_job_goes_on(run: Pipeline) -> None:
    assert run.run().success
    assert_marts_equal_the_reference(run)
    assert_marts_equal_the_reference(run, published=True)


def test_builds_by_hand_leave_right_marts_however_often(landed: Pipeline) -> None:
    for _ in range(2):
        assert dbt_by_hand(landed, "build", *NO_UNIT_TESTS).success
        assert_marts_equal_the_reference(landed)
    # An increment does without the look-ups and views that are there already.
    add_files(landed, 2)
    assert landed.materialize(*RAW_ASSETS).success
    assert dbt_by_hand(landed, "run", "--exclude", "config.materialized:view").success
    assert_marts_equal_the_reference(landed)
    assert_the_job_goes_on(landed)


def test_models_of_their_own_leave_the_rest_to_the_next_build(landed: Pipeline) -> None:
    for selection in (
        ("run", "-s", "int_sends_deduplicated"),
        ("run", "-s", "int_messages_linked"),
        ("run", "-s", "int_people_to_recompute"),
        ("run", "-s", "stg_whatsapp__statuses", "int_statuses_pivoted"),
        ("run", "-s", "funnel_session_starts"),
        ("run", "-s", "fct_session_starts"),
        ("run", "-s", "funnel_session_starts", "--full-refresh"),
        ("seed",),
        ("test", "-s", "test_type:data,fct_notifications"),
    ):
        run = dbt_by_hand(landed, *selection)
        assert run.success, (selection, run)
    builds = len(state(landed)["state.builds"])
    assert dbt_by_hand(landed, "build", "-s", "+fct_session_starts+", *NO_UNIT_TESTS).success
    assert_marts_equal_the_reference(landed)
    assert len(state(landed)["state.builds"]) == builds
    assert_the_job_goes_on(landed)


def test_runs_that_would_leave_wrong_marts_are_refused_with_one_sentence(landed: Pipeline) -> None:
    before = state(landed)
    for arguments, sentence in (
        (("run", "-s", "fct_notifications"), "fct_notifications cannot be built without "),
        (("build", "-s", "+fct_session_starts"), "int_starts_without_notification_unioned cannot be built without funnel_session_starts,"),
        (("build", "--exclude", "int_sends_replied"), "cannot be built without int_sends_replied: run `dbt build`"),
        (("run", "--full-refresh", "-s", "+fct_notifications"), "fct_notifications cannot be built without"),
        (("run", "--empty"), "--empty would leave out what has landed"),
        (("seed", "--empty"), "--empty would leave out what has landed"),
        (("build", "--empty", "-s", "stg_send_log__sends"), "--empty would leave out what has landed"),
        (("build", "--vars", "{report_timezone: UTC}"), "The marts were built with report_timezone America/Sao_Paulo, not UTC: add --vars"),
        (("run", "--vars", "{session_timeout_hours: 1}"), NOT_THESE),
        (("run", "-s", "funnel_session_starts", "--vars", "{session_timeout_hours: 1}"), NOT_THESE),
    ):
        refusal = dbt_by_hand(landed, *arguments).refusal
        assert refusal is not None, arguments
        assert sentence in refusal, arguments
        assert re.fullmatch(r"[^.]+([.][^. ]+)*[^.]*[.]", refusal), "one sentence"
        assert state(landed) == before, arguments
    assert_the_job_goes_on(landed)


def test_a_part_of_the_state_that_is_made_again_makes_the_next_build_a_rebuild(landed: Pipeline) -> None:
    assert dbt_by_hand(landed, "run", "--full-refresh", "-s", "int_messages_linked").success
    assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)
    assert dbt_by_hand(landed, "build", "--full-refresh", *NO_UNIT_TESTS).success
    assert_marts_equal_the_reference(landed)
    assert_the_job_goes_on(landed)
    assert dbt_by_hand(landed, "build", *NO_UNIT_TESTS).success
    assert_marts_equal_the_reference(landed)


@pytest.fixture
def edited_project(tmp_path: Path) -> Path:
    """A copy of the dbt project in which a look-up calls reactions no answer."""
    project = tmp_path / "edited" / "dbt_project"
    shutil.copytree(DBT_PROJECT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    shutil.copytree(PROJECT_ROOT / "seeds" / "lookups", project.parent / "seeds" / "lookups")
    kinds = project.parent / "seeds" / "lookups" / "inbound_message_types.csv"
    kinds.write_text(kinds.read_text().replace("reaction,with_emoji,with_emoji", "reaction,never,never"))
    return project


def test_what_another_version_of_the_project_has_built_is_rebuilt(landed: Pipeline, edited_project: Path) -> None:
    for arguments in (("build", *NO_UNIT_TESTS), ("run", "-s", "funnel_session_starts")):
        assert NOT_THESE in str(dbt_by_hand(landed, *arguments, project=edited_project).refusal)
    # Look-ups, or a whole rebuild, of the other version: the job does not go on from them.
    for arguments in (("seed",), ("build", "--full-refresh", *NO_UNIT_TESTS)):
        assert dbt_by_hand(landed, *arguments, project=edited_project).success
        assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)
        assert_the_job_goes_on(landed)
        assert dbt_by_hand(landed, "build", *NO_UNIT_TESTS).success


def test_builds_that_do_not_hold_any_more_are_rebuilt(landed: Pipeline) -> None:
    with duckdb.connect(str(landed.settings.warehouse_path)) as warehouse:
        invalidate_builds(warehouse)
    assert NOT_THESE in str(dbt_by_hand(landed, "build", *NO_UNIT_TESTS).refusal)
    assert dbt_by_hand(landed, "build", "--full-refresh", *NO_UNIT_TESTS).success
    assert_marts_equal_the_reference(landed)
    assert_the_job_goes_on(landed)


def test_by_hand_the_marts_are_built_with_the_variables_of_the_job(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline(STARTS_REPORT_TIMEZONE="UTC", **ENVIRONMENT)
    add_files(run, 0)
    assert run.run().success
    refusal = str(dbt_by_hand(run, "build", *NO_UNIT_TESTS).refusal)
    assert "The marts were built with report_timezone UTC, not America/Sao_Paulo: add --vars '{report_timezone: UTC}'" in refusal
    add_files(run, 1)
    assert run.materialize(*RAW_ASSETS).success
    assert dbt_by_hand(run, "build", *NO_UNIT_TESTS, "--vars", "{report_timezone: UTC}").success
    assert_marts_equal_the_reference(run)
    assert run.run().success


def test_where_nothing_has_landed_dbt_is_refused_and_harms_nothing(fresh: Pipeline) -> None:
    for arguments in (("build",), ("run", "--full-refresh"), ("run", "--empty"), ("test",), ("run", "-s", "stg_send_log__sends")):
        assert NOTHING_LANDED in str(dbt_by_hand(fresh, *arguments).refusal), arguments
    assert dbt_by_hand(fresh, "seed").success
    for arguments in (("parse",), ("ls",), ("compile",), ("docs", "generate")):
        assert dbt_by_hand(fresh, *arguments).success, arguments
    with duckdb.connect(str(fresh.settings.warehouse_path)) as warehouse:
        prepare_raw_schema(warehouse)
    # As the tests of this project do: tables without rows.
    assert dbt_by_hand(fresh, "build", "--empty", *NO_UNIT_TESTS).success
    add_files(fresh, 0)
    assert fresh.materialize(*RAW_ASSETS).success
    assert "cannot be built without" in str(dbt_by_hand(fresh, "run", "--exclude", "config.materialized:view").refusal)
    assert_the_job_goes_on(fresh)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (RAW_SCHEMA_VERSION - 1, "An older version of this project landed"),
        (RAW_SCHEMA_VERSION + 1, "A newer version of this project landed"),
    ],
)
def test_raw_tables_of_another_version_are_refused(fresh: Pipeline, version: int, sentence: str) -> None:
    with duckdb.connect(str(fresh.settings.warehouse_path)) as warehouse:
        warehouse.execute(RAW_SCHEMA_SQL)
        warehouse.execute(f"create table state.schema_version as select {version} as version")
    for arguments in (("build", "--full-refresh"), ("test",), ("run", "-s", "stg_send_log__sends")):
        assert sentence in str(dbt_by_hand(fresh, *arguments).refusal), arguments


class Killed(BaseException):
    """Stands for a kill: nothing in dbt catches it."""


def killed_after(models: int) -> Callable[[Any], None]:
    """Return a listener that ends dbt when so many models are built."""
    built = 0

    def listen(event: Any) -> None:
        nonlocal built
        built += event.info.name == "LogModelResult"
        if built >= models:
            raise Killed

    return listen


@pytest.mark.parametrize("models", [10, 24, 27])
def test_a_build_that_was_cut_short_is_made_up_for(landed: Pipeline, models: int) -> None:
    """After the state, between the facts, and between the facts and the daily marts."""
    assert not dbt_by_hand(landed, "run", "--exclude", "config.materialized:view", on_event=killed_after(models)).success
    add_files(landed, 2)
    assert landed.materialize(*RAW_ASSETS).success
    assert dbt_by_hand(landed, "run", "--exclude", "config.materialized:view").success
    assert_marts_equal_the_reference(landed)
    assert_the_job_goes_on(landed)


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Hold a DuckDB file open for writing in another process."""
    code = "import sys, duckdb; duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate()


def test_while_the_job_holds_the_warehouse_dbt_says_so(landed: Pipeline) -> None:
    with held_open(landed.settings.warehouse_path):
        run = dbt_by_hand(landed, "build", *NO_UNIT_TESTS)
    assert not run.success
    assert "Could not set lock on file" in run.message
    assert "Traceback" not in run.message
    assert_the_job_goes_on(landed)


@pytest.mark.parametrize("folder", [PROJECT_ROOT, DBT_PROJECT_DIR])
def test_a_first_build_on_the_command_line_runs_every_unit_test(fresh: Pipeline, folder: Path) -> None:
    """A process of its own, with artifacts of its own, from the root and from the folder of the dbt project."""
    add_files(fresh, 0)
    assert fresh.materialize(*RAW_ASSETS).success
    options = [] if folder == DBT_PROJECT_DIR else ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project"]
    target = str(fresh.data / "target")
    finished = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), "build", *options, "--target-path", target, "--log-path", target],
        cwd=folder,
        env={**os.environ, "STARTS_WAREHOUSE": str(fresh.settings.warehouse_path), "DBT_USE_COLORS": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert re.search(r"\d{2,} unit tests", finished.stdout)
    assert_marts_equal_the_reference(fresh)
    assert_the_job_goes_on(fresh)


def test_the_guards_know_the_version_of_the_raw_tables() -> None:
    guards = (DBT_PROJECT_DIR / "macros" / "run_guards.sql").read_text(encoding="utf-8")
    assert re.findall(r"macro version_of_raw_tables\(\) -%}\s+{{ return\((\d+)\) }}", guards) == [str(RAW_SCHEMA_VERSION)]
