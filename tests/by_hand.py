"""Run dbt by hand on the warehouse of a test's pipeline, without the job, its lock and its record of builds."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dbt.cli.main import dbtRunner

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.transform.invocation import warehouse_in_environment
from orchestration.transform.parsed import parsed_project
from tests.pipeline import Pipeline

ENVIRONMENT = {"STARTS_MAX_REJECTED_SHARE": "1"}
WEBHOOKS = ("statuses", "messages", "echoes", "identities", "channels", "other_kinds")
RAW_ASSETS = ("raw/sends", *(f"raw/webhook_{kind}" for kind in WEBHOOKS), "raw/rates", "raw/landed_files")
NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
# Exports cannot write the years of the records with these ids.
ODD = b"wamid.odd"

NOT_THESE = "The marts were not built with these models, look-ups, variables and version of DuckDB"
NOTHING_LANDED = "Nothing has landed in this warehouse yet"

# A full stop inside a name or number does not end a sentence.
_ONE_SENTENCE = re.compile(r"[^.]+([.][^. ]+)*[^.]*[.]")


@dataclass(frozen=True)
class DbtRun:
    """The result of a dbt command: whether it succeeded, its error, and the nodes that failed."""

    success: bool
    message: str
    failed: tuple[str, ...]

    @property
    def refusal(self) -> str | None:
        """Return the message with which a guard refused the run, without dbt's text around it."""
        lines = self.message.splitlines()
        if not any("in macro" in line and "run_guards.sql" in line for line in lines):
            return None
        refusal = lines[1].strip()
        assert _ONE_SENTENCE.fullmatch(refusal), refusal
        return refusal


def dbt_by_hand(run: Pipeline, *arguments: str, project: Path = DBT_PROJECT_DIR, options: tuple[str, ...] | None = None) -> DbtRun:
    """Run a dbt command in this process, on the already parsed project; another `project` is parsed first.

    `options` replace the options that name the project folder.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    manifest = None
    if project == DBT_PROJECT_DIR:
        manifest = parsed_project(run.settings).manifest()
        # The command line of dbt does this; the job does not need it.
        manifest.build_flat_graph()
    target = str(run.data / ".dbt_by_hand")
    folders = ("--project-dir", str(project), "--profiles-dir", str(project)) if options is None else options
    with warehouse_in_environment(run.settings):
        result = dbtRunner(manifest).invoke([*arguments, *folders, "--target-path", target, "--log-path", target, "--log-level", "none"])
    DuckDBConnectionManager.close_all_connections()
    results = getattr(result.result, "results", [])
    failed = tuple(node.node.name for node in results if node.status not in ("success", "pass", "no-op", "warn"))
    return DbtRun(bool(result.success), str(result.exception or ""), failed)


@contextmanager
def dbt_cut_short(models: int) -> Iterator[None]:
    """Stop dbt after this many models are built, by hand or in the job; the last one is written."""
    invoke = dbtRunner.invoke

    def invoke_cut_short(runner: dbtRunner, arguments: list[str], **options: Any) -> Any:
        runner.callbacks = [*runner.callbacks, _ended_after(models)]
        return invoke(runner, [*arguments, "--fail-fast"], **options)

    with patch.object(dbtRunner, "invoke", invoke_cut_short):
        yield


def _ended_after(models: int) -> Callable[[Any], None]:
    built = 0

    def listen(event: Any) -> None:
        nonlocal built
        built += event.info.name == "LogModelResult"
        if event.info.name == "LogModelResult" and built >= models:
            raise RuntimeError("This build is cut short.")

    return listen


def copy_of_the_project(project: Path) -> None:
    """Copy the dbt project to a folder named `dbt_project`, and change a look-up there so that reactions never count as answers."""
    shutil.copytree(DBT_PROJECT_DIR, project, ignore=lambda folder, _: ["target", "logs"] if Path(folder) == DBT_PROJECT_DIR else [])
    kinds = project / "seeds" / "inbound_message_types.csv"
    kinds.write_text(kinds.read_text().replace("reaction,with_emoji,with_emoji", "reaction,never,never"))
