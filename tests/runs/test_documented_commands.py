"""Tests that every command, query and snippet of README and docs works, or is listed below with its test or the reason for having none."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pandas
import pytest
from dagster import DagsterInstance

from orchestration.settings import PROJECT_ROOT
from tests.documents import Documented, blocks, commands, queries
from tests.pipeline import Finished, Pipeline

pytestmark = pytest.mark.xdist_group("documented_commands")

PERSON = "5511987654321"
SEND = {"message_id": "wamid.1", "sent_at": "2026-10-01T12:00:00Z", "channel_id": "1", "contact_id": PERSON, "template_name": "t"}
_PLACEHOLDERS = {"PERSON": PERSON, "=…": "=secret"}


@dataclass(frozen=True)
class Place:
    """The places where commands run: the published sample, a small report that commands may change, and the current folder."""

    sample: Pipeline
    small: Pipeline
    folder: Path


@pytest.fixture(scope="module")
def small(empty_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Return a pipeline with a finished build of one send to `PERSON` and one rejected record."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "landing" / "sends").mkdir(parents=True)
    (folder / "landing" / "sends" / "1.jsonl").write_text(json.dumps(SEND) + "\nnot json\n", encoding="utf-8")
    shutil.copytree(empty_build, folder / "data", symlinks=True, ignore=shutil.ignore_patterns(".dbt"))
    made = Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
    assert made.command("--quiet").returncode == 0
    return made


@pytest.fixture
def place(sample: Pipeline, small: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(sample, small, tmp_path)


def _on_the_sample(place: Place, command: str) -> Finished:
    """Run a command that only reads published or landed data."""
    arguments = _arguments(command)
    if arguments[0] == "compare":
        # We cannot bundle an original download: a file of the report replaces it.
        arguments[1] = str(max(place.sample.settings.exports_dir.glob("*.tsv")))
    return place.sample.command(*arguments)


def _on_the_small_report(place: Place, command: str) -> Finished:
    """Run a command that changes the warehouse."""
    arguments = _arguments(command)
    if "--revoke" in arguments and not (place.small.data / "erased_people.json").exists():
        assert place.small.command("erase", PERSON).returncode == 0
    return place.small.command(*arguments)


def _the_job(place: Place, command: str) -> Finished:
    """Run the job with the variables of the command, on the command's landing zone if the project contains it."""
    variables = dict(word.split("=", 1) for word in shlex.split(command) if "=" in word)
    variables.pop("STARTS_DATA", None)
    landing = variables.pop("STARTS_LANDING", None)
    bundled = PROJECT_ROOT / landing if landing else None
    zone = bundled if bundled is not None and bundled.is_relative_to(PROJECT_ROOT) else place.small.landing
    data = place.small.data if zone == place.small.landing and not variables else place.folder / "data"
    return Pipeline(zone, data, place.small.environment | variables).command()


def _a_job_of_dagster(place: Place, command: str) -> Finished:
    """Run a job with the run config that is passed to `dg launch`."""
    from orchestration.definitions import defs

    words = shlex.split(command)
    job, config = words[words.index("--job") + 1], json.loads(words[words.index("--config-json") + 1])
    with patch.dict(os.environ, place.sample.variables), DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(job).execute_in_process(instance=instance, run_config=config, raise_on_error=False)
        (materialized,) = [event.materialization for event in result.get_asset_materialization_events()]
    return Finished(0 if result.success else 1, f"{materialized.metadata['dagster/row_count'].value} rows", "")


def _in_a_shell(place: Place, command: str) -> Finished:
    """Run a command of the environment or of make in the project's folder, with the sample's data folder as `data`."""
    text = command.replace("'data/", f"'{place.sample.data}/")
    words = shlex.split(text)
    program = {".venv/bin/python": sys.executable, ".venv/bin/uv": str(Path(sys.executable).with_name("uv"))}.get(words[0], words[0])
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        [program, *words[1:]], cwd=PROJECT_ROOT, env=environment | place.sample.variables, capture_output=True, text=True, timeout=300
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def _without_doing_it(option: str) -> Callable[[Place, str], Finished]:
    """Return a function that runs the command with an option that only shows what it would do."""
    return lambda place, command: _in_a_shell(place, f"{command} {option}")


def _a_choice_of_tests(_: Place, command: str) -> Finished:
    """Check that some tests match the words after `-k`; pytest would need four seconds for this."""
    words = shlex.split(command)
    path, chosen = words[3], words[words.index("-k") + 1]
    names = re.findall(rf"^def (test_\w*{chosen}\w*)", (PROJECT_ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return Finished(0, "\n".join(names), "")


def _environment(_: Place, command: str) -> Finished:
    """Check that the variables that the command sets are read somewhere."""
    names = [word.partition("=")[0] for word in shlex.split(command.removeprefix("export ")) if "=" in word]
    read = _everything_that_reads_variables()
    unknown = [name for name in names if not re.search(rf"\b{name}\b", read)]
    return Finished(len(unknown), " ".join(names), f"nothing reads {unknown}")


@dataclass(frozen=True)
class Run:
    """The command runs here; its output must match a pattern."""

    how: Callable[[Place, str], Finished]
    prints: str


@dataclass(frozen=True)
class CoveredBy:
    """Other tests run the command, each listed as `path::name` in `tests`."""

    tests: tuple[str, ...]


@dataclass(frozen=True)
class NotRun:
    """No test runs the command, for the given reason."""

    why: str


_SUPERSET = NotRun("needs 700 MB: `make superset-test` creates such an environment and starts a Superset; CI runs it")
_ROOT = NotRun("needs root and a systemd; tests/unit/test_deploy.py reads the units")
_BY_HAND = CoveredBy(
    (
        "runs/test_dbt_by_hand.py::test_run_that_would_leave_wrong_marts_is_refused_with_one_sentence",
        "runs/test_dbt_by_hand.py::test_partially_rebuilt_tables_are_not_built_upon_until_all_are_rebuilt",
        "runs/test_dbt_by_hand_in_any_order.py::test_marts_are_correct_after_any_sequence_of_runs",
    )
)
_INSTALLED = CoveredBy(("runs/test_installed_package.py::test_installed_command_works_in_any_folder_and_writes_only_there",))

_ON_SPARK = CoveredBy(("spark/test_spark.py::test_first_build_equals_duckdb",))

# The first pattern that matches the whole command applies.
TABLE: dict[str, Run | CoveredBy | NotRun] = {
    # The second engine.
    r"make spark-cluster(-stop)?": _ON_SPARK,
    # The job.
    r"make run": CoveredBy(("runs/test_make_run.py::test_make_run_prints_the_output_in_the_readme",)),
    r"(STARTS_\w+=\S+ )+(make run|conversation-starts)": Run(_the_job, r"^conversation_starts finished in \d+ s\n"),
    r"\.venv/bin/python -m orchestration( run --reread)?": Run(_on_the_small_report, r"^conversation_starts finished in \d+ s\n"),
    r"conversation-starts": _INSTALLED,
    # Commands that read published or landed data.
    r"\.venv/bin/python -m orchestration export .*": Run(_on_the_sample, r"^[1-9][\d,]* rows in .*/exports/on_demand/.*\.(tsv|xlsx)\n"),
    r"\.venv/bin/python -m orchestration compare \S+": Run(_on_the_sample, r"^compared .*\n(.*\n)*  equal +[1-9]\d* rows\n"),
    r"\.venv/bin/python -m orchestration compare-templates.*": Run(_on_the_sample, r"verdict"),
    r"\.venv/bin/python -m orchestration rejected.*": Run(_on_the_sample, r"^[1-9]\d* rejected records in "),
    r"\.venv/bin/python -m orchestration metrics (list metrics|query --.*)": CoveredBy(
        ("runs/test_metrics.py::test_documented_metricflow_commands_return_results",)
    ),
    r"\.venv/bin/python -m orchestration metrics( query)?": NotRun("stands for the commands of docs/metrics.md"),
    r"\.venv/bin/python -c .*": Run(_in_a_shell, r"│ replied +│ +588 │"),
    # Commands that change the warehouse.
    r"\.venv/bin/python -m orchestration erase \S+ --dry-run": Run(
        _on_the_small_report, r"^  to erase   1 identifier of one person: 1 of sends"
    ),
    r"\.venv/bin/python -m orchestration erase \d+": Run(_on_the_small_report, r"^  erased     1 identifier of one person"),
    r"\.venv/bin/python -m orchestration erase \S+ --revoke": Run(_on_the_small_report, r"^Erasure revoked\. The next run reads 1 files"),
    r"\.venv/bin/python -m orchestration replay": CoveredBy(
        ("runs/test_operation.py::test_replay_reads_files_again_and_counts_nothing_twice",)
    ),
    r"\.venv/bin/python -m orchestration rebuild": CoveredBy(("runs/test_operation.py::test_rebuild_changes_no_mart_and_no_tsv",)),
    r"\.venv/bin/python -m orchestration rebuild --from-landing": CoveredBy(
        ("runs/test_damaged_warehouse.py::test_run_over_a_damaged_warehouse_reports_a_remedy_that_works",)
    ),
    # Botmaker.
    r"\.venv/bin/python -m orchestration botmaker run": CoveredBy(
        ("runs/test_botmaker_commands.py::test_run_builds_after_a_fetch_and_not_after_a_failed_one",)
    ),
    r"\.venv/bin/python -m orchestration botmaker fetch( --from \S+ --to \S+)?": CoveredBy(
        ("runs/test_botmaker_commands.py::test_fetch_command_prints_one_line_per_window",)
    ),
    r"\.venv/bin/python -m orchestration botmaker fetch --sweep": CoveredBy(
        ("unit/test_botmaker_client.py::test_sweep_reads_thirty_days_again",)
    ),
    # Dagster.
    r"\.venv/bin/python -m orchestration dg launch --job export_on_demand .*": Run(_a_job_of_dagster, r"^[1-9]\d* rows$"),
    r"\.venv/bin/python -m orchestration dg launch --job publish_to_postgres": CoveredBy(
        ("runs/test_postgres.py::test_run_with_a_url_publishes_to_postgres",)
    ),
    r"\.venv/bin/python -m orchestration dg": CoveredBy(
        ("unit/test_dagster_home.py::test_commands_of_dagster_get_the_home_and_their_arguments",)
    ),
    # dbt by hand.
    r"(\.venv/bin/)?dbt build --select package:your_project": CoveredBy(
        ("runs/test_dbt_package.py::test_other_project_builds_its_model_on_ours",)
    ),
    r"(\.venv/bin/)?dbt (build|run|seed|test)\b.*": _BY_HAND,
    # The environment.
    r"\.venv/bin/uv sync --inexact --(?:extra|group) \w+": Run(_without_doing_it("--frozen --dry-run --offline"), ""),
    r".venv/bin/uv tool install \.": _INSTALLED,
    r"(export )?([A-Z_]+=\S.*)": Run(_environment, r"[A-Z]"),
    # make.
    r"make help": Run(_in_a_shell, r"^run +Land, build, check, publish and export once\n"),
    r"make clean( YES=1)?": CoveredBy(("unit/test_make_clean.py::test_data_folder_is_deleted_only_after_confirmation",)),
    r"make site": CoveredBy(("unit/test_links.py::test_site_is_built_without_a_warning",)),
    r"make lineage": CoveredBy(("unit/test_lineage.py::test_picture_of_the_docs_is_up_to_date",)),
    r"make docs": CoveredBy(("runs/test_operation.py::test_docs_are_built_from_a_folder_with_any_name",)),
    r"make (test|test-fast|test-all|spark-test|lint|bench|dev|superset-test)\b.*": Run(
        _without_doing_it("--dry-run SUPERSET_PYTHON=python"), r"\.venv/bin/"
    ),
    r"\.venv/bin/python -m tests\.benchmarks\.\w+ .*": Run(_without_doing_it("--help"), "usage: "),
    r"\.venv/bin/python -m pytest .*": Run(_a_choice_of_tests, r"^test_\w+$"),
    # A Superset, a server.
    r"(\.venv/bin/python|python3) bi/superset/import_dashboard.py.*": Run(_without_doing_it("--help"), "usage: "),
    r"\.venv/bin/uv (venv|pip install) .*superset.*": _SUPERSET,
    r"~/superset/venv/bin/.*": _SUPERSET,
    r"\(umask 077; openssl rand .*": _SUPERSET,
    r"sudo .*": _ROOT,
}


def _rule(command: str) -> str | None:
    return next((pattern for pattern in TABLE if re.fullmatch(pattern, command, re.DOTALL)), None)


def _filled(command: str) -> str:
    """Replace the placeholders of the documents with real values."""
    for placeholder, value in _PLACEHOLDERS.items():
        command = command.replace(placeholder, value)
    return command


# Whole runs of the job, which other tests also cover.
_DEAR = r"=\S+ make run$|=/\S+ conversation-starts$|orchestration erase \S+(?: --revoke)?$"


def _to_run() -> list[Any]:
    order = list(TABLE)
    filled = dict.fromkeys(_filled(command.text) for command in commands())
    found = [(order.index(rule), command, TABLE[rule]) for command in filled if (rule := _rule(command)) is not None]
    return [
        pytest.param(command, how, id=command[:90], marks=[pytest.mark.thorough] if re.search(_DEAR, command) else [])
        for _, command, how in sorted(found, key=lambda one: one[0])
        if isinstance(how, Run)
    ]


def test_every_command_is_in_the_table() -> None:
    unknown = {command.text: command.document for command in commands() if _rule(command.text) is None}
    assert not unknown, f"neither run by a test nor listed in the table of {Path(__file__).name}: {unknown}"


def test_every_pattern_of_the_table_matches_a_documented_command() -> None:
    used = {_rule(command.text) for command in commands()}
    assert [pattern for pattern in TABLE if pattern not in used] == []


def test_tests_listed_in_the_table_exist() -> None:
    named = [test for how in TABLE.values() if isinstance(how, CoveredBy) for test in how.tests]
    for test in named:
        path, _, name = test.partition("::")
        tree = ast.parse((PROJECT_ROOT / "tests" / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


@pytest.mark.thorough
@pytest.mark.parametrize(("command", "how"), _to_run())
def test_documented_command_works(place: Place, command: str, how: Run) -> None:
    done = how.how(place, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(how.prints, done.stdout, re.MULTILINE), done.stdout + done.stderr


# test_postgres.py runs the queries that create roles. test_walk.py compares the queries of the walk with their documented results.
_ANSWERED = [query for query in queries() if not query.text.startswith("create role") and query.document != "docs/walk.md"]


@pytest.mark.parametrize("query", _ANSWERED, ids=lambda query: f"{query.document}: {query.text[:60]}")
def test_documented_query_has_a_result(sample: Pipeline, query: Documented) -> None:
    with duckdb.connect(str(sample.settings.published_database), read_only=True) as connection:
        rows = connection.execute(query.text).fetchall()
    assert rows
    assert any(value for row in rows for value in row)


@pytest.mark.parametrize("snippet", [block for block in blocks() if block.language == "python"], ids=lambda block: block.document)
def test_documented_snippet_runs(sample: Pipeline, snippet: Documented) -> None:
    path = max(sample.settings.exports_dir.glob("*.tsv"))
    read = eval(snippet.text, {"pandas": pandas, "path": path})
    assert len(read) == len(path.read_text(encoding="utf-8").splitlines()) - 1


def _arguments(command: str) -> list[str]:
    return shlex.split(command)[3:]


@cache
def _everything_that_reads_variables() -> str:
    files = [*(PROJECT_ROOT / "orchestration").rglob("*.py"), PROJECT_ROOT / "bi" / "superset" / "import_dashboard.py"]
    # Superset's own variable, and that of Flask, which starts it.
    return "\n".join([path.read_text(encoding="utf-8") for path in files] + ["SUPERSET_HOME FLASK_APP SUPERSET_SECRET_KEY"])
