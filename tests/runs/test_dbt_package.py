"""Tests of the dbt project as a package of another project, which adds its own model to a warehouse that the job has built."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.transform.builds import definition_sha256
from tests.pipeline import Pipeline

CONSUMER = Path(__file__).parents[1] / "data" / "consumer"
SEND = {"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}
# Files that dbt writes into a project's folder, as in .gitignore.
IGNORED = ["target", "logs"]
# Unit tests do not depend on the project that runs them, and take ten seconds.
QUICKLY = ["--exclude-resource-type", "unit_test"]


@pytest.fixture
def landed(warm: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Return a pipeline with one send; the other project's profile points to its warehouse."""
    run = warm()
    (run.landing / "sends").mkdir()
    (run.landing / "sends" / "1.json").write_text(json.dumps(SEND))
    assert run.run().success
    monkeypatch.setenv("THEIR_WAREHOUSE", str(run.settings.warehouse_path))
    return run


@pytest.fixture
def dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Copy the other project, and return a function that runs its dbt commands."""
    folder = tmp_path / "their_project"
    shutil.copytree(CONSUMER, folder)
    monkeypatch.chdir(folder)

    def command(*arguments: str) -> Any:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        folders = ["--project-dir", str(folder), "--profiles-dir", str(folder)]
        result = dbtRunner().invoke(["--quiet", "--log-level-file", "none", *arguments, *folders])
        DuckDBConnectionManager.close_all_connections()
        return result

    return command


def _install(package: dict[str, str]) -> None:
    Path("packages.yml").write_text(yaml.safe_dump({"packages": [package]}))


def _builds(run: Pipeline) -> list[dict[str, Any]]:
    return run.rows("state.builds", published=False)


@pytest.mark.thorough
def test_other_project_builds_its_model_on_ours(landed: Pipeline, dbt: Callable[..., Any]) -> None:
    before, facts = _builds(landed), landed.rows("marts.fct_session_starts", published=False)
    _install({"local": str(DBT_PROJECT_DIR)})
    assert dbt("deps").success
    # Both projects are built by hand, with the job's definition although the session has another time zone.
    result = dbt("build", *QUICKLY)
    assert result.success, result.exception
    theirs = landed.rows("theirs.starts_by_template", published=False)
    assert theirs == [{"template_name": "t", "last_start_date": date(2026, 10, 1), "session_starts": 1}]
    assert landed.rows("marts.fct_session_starts", published=False) == facts
    assert _builds(landed) == before
    rooms = {row["table_schema"] for row in landed.rows("information_schema.tables", published=False)}
    assert rooms == {"raw", "state", "staging", "intermediate", "marts", "theirs"}
    assert landed.run().success
    assert [build["definition_sha256"] for build in _builds(landed)] == [definition_sha256(landed.settings)] * len(before)


@pytest.mark.thorough
def test_changed_variables_block_our_marts_but_not_models_of_the_other_project(landed: Pipeline, dbt: Callable[..., Any]) -> None:
    before = _builds(landed)
    _install({"local": str(DBT_PROJECT_DIR)})
    project = yaml.safe_load(Path("dbt_project.yml").read_text())
    Path("dbt_project.yml").write_text(yaml.safe_dump(project | {"vars": {"conversation_starts": {"reply_window_hours": 12}}}))
    assert dbt("deps").success
    refused = dbt("build", *QUICKLY)
    assert not refused.success
    assert "The marts were not built with these models, look-ups, variables and version of DuckDB" in str(refused.exception)
    result = dbt("build", "--select", "package:their_project")
    assert result.success, result.exception
    assert len(landed.rows("theirs.starts_by_template", published=False)) == 1
    assert _builds(landed) == before


@pytest.mark.thorough
def test_package_from_git_contains_its_look_ups(landed: Pipeline, dbt: Callable[..., Any], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(DBT_PROJECT_DIR, repository / "dbt_project", ignore=lambda folder, _: IGNORED if folder == str(DBT_PROJECT_DIR) else [])
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "All"], ["tag", "v1"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    before, lookup = _builds(landed), landed.rows("staging.failure_reasons", published=False)
    _install({"git": repository.as_uri(), "subdirectory": "dbt_project", "revision": "v1"})
    installed = dbt("deps")
    assert installed.success, installed.exception
    result = dbt("seed")
    assert result.success, result.exception
    seeds = [one.node.name for one in result.result.results if one.node.resource_type == "seed"]
    assert sorted(seeds) == sorted(path.stem for path in (DBT_PROJECT_DIR / "seeds").glob("*.csv"))
    assert landed.rows("staging.failure_reasons", published=False) == lookup
    assert _builds(landed) == before


def test_every_variable_changes_the_definition() -> None:
    declared = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    guards = (DBT_PROJECT_DIR / "macros" / "run_guards.sql").read_text()
    named = guards.partition("macro variable_names")[2].partition("endmacro")[0]
    assert [name for name in declared if f"'{name}'" not in named] == []
