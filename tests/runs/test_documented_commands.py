"""Every command, query and snippet of README and docs works, or the table below says where it is tested or why it cannot be here."""

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
    """Where commands run: the published sample, a small report of its own that commands may change, and the current folder."""

    sample: Pipeline
    small: Pipeline
    folder: Path


@pytest.fixture(scope="module")
def small(empty_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A finished build of one send to `PERSON` and one record that is rejected."""
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
    """Run a command that only reads what is published or landed."""
    arguments = _arguments(command)
    if arguments[0] == "compare":
        # A download is not ours to bundle: a file of the report in its place.
        arguments[1] = str(max(place.sample.settings.exports_dir.glob("*.tsv")))
    return place.sample.command(*arguments)


def _on_the_small_report(place: Place, command: str) -> Finished:
    """Run a command that changes the warehouse."""
    arguments = _arguments(command)
    if "--revoke" in arguments and not (place.small.data / "erased_people.json").exists():
        assert place.small.command("erase", PERSON).returncode == 0
    return place.small.command(*arguments)


def _the_job(place: Place, command: str) -> Finished:
    """Run the job with the variables of the command, on its own landing zone where the project has it."""
    variables = dict(word.split("=", 1) for word in shlex.split(command) if "=" in word)
    variables.pop("STARTS_DATA", None)
    landing = variables.pop("STARTS_LANDING", None)
    bundled = PROJECT_ROOT / landing if landing else None
    zone = bundled if bundled is not None and bundled.is_relative_to(PROJECT_ROOT) else place.small.landing
    data = place.small.data if zone == place.small.landing and not variables else place.folder / "data"
    return Pipeline(zone, data, place.small.environment | variables).command()


def _a_job_of_dagster(place: Place, command: str) -> Finished:
    """Run a job with the run config that `dg launch` is given."""
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
    """Run the command with an option by which it says what it would do."""
    return lambda place, command: _in_a_shell(place, f"{command} {option}")


def _a_choice_of_tests(_: Place, command: str) -> Finished:
    """Look whether there are tests that the words after `-k` choose; pytest needs four seconds to say so."""
    words = shlex.split(command)
    path, chosen = words[3], words[words.index("-k") + 1]
    names = re.findall(rf"^def (test_\w*{chosen}\w*)", (PROJECT_ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return Finished(0, "\n".join(names), "")


def _environment(_: Place, command: str) -> Finished:
    """Look whether something reads the variables that are set."""
    names = [word.partition("=")[0] for word in shlex.split(command.removeprefix("export ")) if "=" in word]
    read = _everything_that_reads_variables()
    unknown = [name for name in names if not re.search(rf"\b{name}\b", read)]
    return Finished(len(unknown), " ".join(names), f"nothing reads {unknown}")


@dataclass(frozen=True)
class Run:
    """Run here: what the command prints, as a pattern."""

    how: Callable[[Place, str], Finished]
    prints: str


@dataclass(frozen=True)
class CoveredBy:
    """Run by other tests, each `path::name` below `tests`."""

    tests: tuple[str, ...]


@dataclass(frozen=True)
class NotRun:
    """Run by no test."""

    why: str


_SUPERSET = NotRun("700 MB: `make superset-test` makes such an environment and starts a Superset; CI runs it")
_ROOT = NotRun("needs root and a systemd; tests/unit/test_deploy.py reads the units")
_BY_HAND = CoveredBy(
    (
        "runs/test_dbt_by_hand.py::test_runs_that_would_leave_wrong_marts_are_refused_with_one_sentence",
        "runs/test_dbt_by_hand.py::test_tables_made_again_in_part_are_not_built_upon_until_all_are",
        "runs/test_dbt_by_hand_in_any_order.py::test_marts_are_right_whatever_comes_in_between",
    )
)
_INSTALLED = CoveredBy(("runs/test_installed_package.py::test_an_installed_command_works_in_any_folder_and_writes_only_there",))

_ON_SPARK = CoveredBy(("spark/test_spark.py::test_a_first_build_equals_duckdb",))

# The first pattern that matches the whole command decides.
TABLE: dict[str, Run | CoveredBy | NotRun] = {
    # The second engine.
    r"make spark-cluster(-stop)?": _ON_SPARK,
    # The job.
    r"make run": CoveredBy(("runs/test_make_run.py::test_make_run_prints_what_the_readme_shows",)),
    r"(STARTS_\w+=\S+ )+(make run|conversation-starts)": Run(_the_job, r"^conversation_starts finished in \d+ s\n"),
    r"\.venv/bin/python -m orchestration( run --reread)?": Run(_on_the_small_report, r"^conversation_starts finished in \d+ s\n"),
    r"conversation-starts": _INSTALLED,
    # What reads what is published, or what has landed.
    r"\.venv/bin/python -m orchestration export .*": Run(_on_the_sample, r"^[1-9][\d,]* rows in .*/exports/on_demand/.*\.(tsv|xlsx)\n"),
    r"\.venv/bin/python -m orchestration compare \S+": Run(_on_the_sample, r"^compared .*\n(.*\n)*  equal +[1-9]\d* rows\n"),
    r"\.venv/bin/python -m orchestration compare-templates.*": Run(_on_the_sample, r"verdict"),
    r"\.venv/bin/python -m orchestration rejected.*": Run(_on_the_sample, r"^[1-9]\d* rejected records in "),
    r"\.venv/bin/python -m orchestration metrics (list metrics|query --.*)": CoveredBy(
        ("runs/test_metrics.py::test_the_commands_of_the_documents_answer",)
    ),
    r"\.venv/bin/python -m orchestration metrics( query)?": NotRun("stands for the commands of docs/metrics.md"),
    r"\.venv/bin/python -c .*": Run(_in_a_shell, r"│ replied +│ +588 │"),
    # What changes the warehouse.
    r"\.venv/bin/python -m orchestration erase \S+ --dry-run": Run(
        _on_the_small_report, r"^  to erase   1 identifier of one person: 1 of sends"
    ),
    r"\.venv/bin/python -m orchestration erase \d+": Run(_on_the_small_report, r"^  erased     1 identifier of one person"),
    r"\.venv/bin/python -m orchestration erase \S+ --revoke": Run(_on_the_small_report, r"^Let back in\. The next run reads 1 files again"),
    r"\.venv/bin/python -m orchestration replay": CoveredBy(
        ("runs/test_operation.py::test_replaying_reads_files_again_and_counts_nothing_twice",)
    ),
    r"\.venv/bin/python -m orchestration rebuild": CoveredBy(("runs/test_operation.py::test_rebuilding_changes_no_mart_and_no_tsv",)),
    r"\.venv/bin/python -m orchestration rebuild --from-landing": CoveredBy(
        ("runs/test_damaged_warehouse.py::test_a_run_over_a_damaged_warehouse_says_what_to_do_and_that_helps",)
    ),
    # Botmaker.
    r"\.venv/bin/python -m orchestration botmaker run": CoveredBy(
        ("runs/test_botmaker_commands.py::test_run_fetches_and_then_builds_and_a_failed_fetch_builds_nothing",)
    ),
    r"\.venv/bin/python -m orchestration botmaker fetch( --from \S+ --to \S+)?": CoveredBy(
        ("runs/test_botmaker_commands.py::test_fetch_as_a_command_prints_a_line_per_window",)
    ),
    r"\.venv/bin/python -m orchestration botmaker fetch --sweep": CoveredBy(
        ("unit/test_botmaker_client.py::test_a_sweep_reads_thirty_days_again",)
    ),
    # Dagster.
    r"\.venv/bin/python -m orchestration dg launch --job export_on_demand .*": Run(_a_job_of_dagster, r"^[1-9]\d* rows$"),
    r"\.venv/bin/python -m orchestration dg launch --job publish_to_postgres": CoveredBy(
        ("runs/test_postgres.py::test_a_run_with_a_url_ends_in_postgres",)
    ),
    r"\.venv/bin/python -m orchestration dg": CoveredBy(
        ("unit/test_dagster_home.py::test_dagsters_own_commands_get_the_home_and_their_arguments",)
    ),
    # dbt by hand.
    r"(\.venv/bin/)?dbt build --select package:your_project": CoveredBy(
        ("runs/test_dbt_package.py::test_another_project_builds_its_model_on_ours",)
    ),
    r"(\.venv/bin/)?dbt (build|run|seed|test)\b.*": _BY_HAND,
    # The environment.
    r"\.venv/bin/uv sync --inexact --(?:extra|group) \w+": Run(_without_doing_it("--frozen --dry-run --offline"), ""),
    r"uv tool install \.": _INSTALLED,
    r"(export )?([A-Z_]+=\S.*)": Run(_environment, r"[A-Z]"),
    # make.
    r"make help": Run(_in_a_shell, r"^run +Land, build, check, publish and export once\n"),
    r"make clean( YES=1)?": CoveredBy(("unit/test_make_clean.py::test_the_data_folder_goes_only_when_that_is_confirmed",)),
    r"make site": CoveredBy(("unit/test_links.py::test_the_site_is_built_without_a_warning",)),
    r"make lineage": CoveredBy(("unit/test_lineage.py::test_the_picture_of_the_docs_is_up_to_date",)),
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
    """Put something real where the documents have a placeholder."""
    for placeholder, value in _PLACEHOLDERS.items():
        command = command.replace(placeholder, value)
    return command


# Whole runs of the job, which other tests have too.
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
    assert not unknown, f"neither run by a test nor named in the table of {Path(__file__).name}: {unknown}"


def test_the_table_names_no_command_that_no_document_has() -> None:
    used = {_rule(command.text) for command in commands()}
    assert [pattern for pattern in TABLE if pattern not in used] == []


def test_the_tests_that_the_table_names_are_there() -> None:
    named = [test for how in TABLE.values() if isinstance(how, CoveredBy) for test in how.tests]
    for test in named:
        path, _, name = test.partition("::")
        tree = ast.parse((PROJECT_ROOT / "tests" / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


@pytest.mark.thorough
@pytest.mark.parametrize(("command", "how"), _to_run())
def test_a_command_of_the_documents_works(place: Place, command: str, how: Run) -> None:
    done = how.how(place, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(how.prints, done.stdout, re.MULTILINE), done.stdout + done.stderr


# Roles are created in a PostgreSQL: test_postgres.py. What the walk shows is compared with the answers: test_walk.py.
_ANSWERED = [query for query in queries() if not query.text.startswith("create role") and query.document != "docs/walk.md"]


@pytest.mark.parametrize("query", _ANSWERED, ids=lambda query: f"{query.document}: {query.text[:60]}")
def test_a_query_of_the_documents_has_an_answer(sample: Pipeline, query: Documented) -> None:
    with duckdb.connect(str(sample.settings.published_database), read_only=True) as connection:
        rows = connection.execute(query.text).fetchall()
    assert rows
    assert any(value for row in rows for value in row)


@pytest.mark.parametrize("snippet", [block for block in blocks() if block.language == "python"], ids=lambda block: block.document)
def test_a_snippet_of_the_documents_runs(sample: Pipeline, snippet: Documented) -> None:
    path = max(sample.settings.exports_dir.glob("*.tsv"))
    read = eval(snippet.text, {"pandas": pandas, "path": path})
    assert len(read) == len(path.read_text(encoding="utf-8").splitlines()) - 1


def _arguments(command: str) -> list[str]:
    return shlex.split(command)[3:]


@cache
def _everything_that_reads_variables() -> str:
    files = [*(PROJECT_ROOT / "orchestration").rglob("*.py"), PROJECT_ROOT / "bi" / "superset" / "import_dashboard.py"]
    # Superset's own, and that of Flask, with which it starts.
    return "\n".join([path.read_text(encoding="utf-8") for path in files] + ["SUPERSET_HOME FLASK_APP SUPERSET_SECRET_KEY"])
