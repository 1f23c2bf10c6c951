"""Tests of the dbt commands of the job: what each selects, its environment, and how a failure is reported."""

import os
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from orchestration.settings import Settings
from orchestration.transform.builds import Build
from orchestration.transform.invocation import DbtError, invoke, warehouse_in_environment
from orchestration.transform.runner import build_arguments, check_arguments

SETTINGS = Settings()


@pytest.mark.parametrize(
    ("is_increment", "with_all_checks", "selection"),
    [
        (True, False, ["build", "--selector", "increment"]),
        (True, True, ["build", "--selector", "increment_with_all_checks"]),
        (False, False, ["build", "--selector", "production", "--full-refresh"]),
        (False, True, ["build", "--selector", "production", "--full-refresh"]),
    ],
)
def test_build_selects_what_its_kind_needs(is_increment: bool, with_all_checks: bool, selection: list[str]) -> None:
    arguments = build_arguments(SETTINGS, Build(1, 1, "", is_increment), with_all_checks=with_all_checks)
    assert arguments[: arguments.index("--no-write-json")] == selection


def test_checks_alone_cover_everything_and_rebuild_nothing() -> None:
    arguments = check_arguments(SETTINGS)
    assert arguments[: arguments.index("--no-write-json")] == ["test", "--selector", "production"]
    assert "--full-refresh" not in arguments


def test_environment_names_the_warehouse_only_during_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTS_WAREHOUSE", "/srv/before.duckdb")
    monkeypatch.delenv("STARTS_ENGINE", raising=False)
    with suppress(KeyboardInterrupt), warehouse_in_environment(SETTINGS):
        assert (os.environ["STARTS_WAREHOUSE"], os.environ["STARTS_ENGINE"]) == (str(SETTINGS.warehouse_path), "duckdb")
        raise KeyboardInterrupt
    assert os.environ["STARTS_WAREHOUSE"] == "/srv/before.duckdb"
    assert "STARTS_ENGINE" not in os.environ


def replace_dbt(monkeypatch: pytest.MonkeyPatch, result: Any) -> list[str]:
    """Replace dbt by one that returns or raises `result`; return a list with an entry for each time its connections are closed."""
    closed: list[str] = []

    class FakeRunner:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def invoke(self, _: list[str]) -> Any:
            if isinstance(result, BaseException):
                raise result
            return result

    monkeypatch.setattr("dbt.cli.main.dbtRunner", FakeRunner)
    monkeypatch.setattr(DuckDBConnectionManager, "close_all_connections", lambda: closed.append("closed"))
    return closed


def test_every_failed_node_is_reported_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = ("success", "error", "skipped", "fail", "warn", "runtime error", "pass", "no-op")
    results = [SimpleNamespace(node=SimpleNamespace(name=f"node {status}"), status=status, message="because") for status in statuses]
    replace_dbt(monkeypatch, SimpleNamespace(success=False, exception=None, result=SimpleNamespace(results=results)))
    with pytest.raises(DbtError) as raised:
        invoke(SETTINGS, ["build"])
    assert str(raised.value).splitlines() == ["node error: because", "node fail: because", "node runtime error: because"]


@pytest.mark.parametrize(
    "stack", ["\n\nJVM stacktrace:\norg.apache.spark.SparkException\n\tat a.b.C.d(E.scala:1)", "\n\tat java.base/a.B.c(D.java:1)\n"]
)
def test_stack_trace_of_java_is_not_part_of_a_failure(monkeypatch: pytest.MonkeyPatch, stack: str) -> None:
    node = SimpleNamespace(node=SimpleNamespace(name="a"), status="error", message=f"Runtime Error\n  at most one row{stack}")
    replace_dbt(monkeypatch, SimpleNamespace(success=False, exception=None, result=SimpleNamespace(results=[node])))
    with pytest.raises(DbtError) as raised:
        invoke(SETTINGS, ["build"])
    assert str(raised.value) == "a: Runtime Error\n  at most one row"


@pytest.mark.parametrize(
    "result", [KeyboardInterrupt(), SimpleNamespace(success=True), SimpleNamespace(success=False, exception=OSError("x"))]
)
def test_connections_are_closed_after_every_command(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    """An open connection would lock out every other process."""
    closed = replace_dbt(monkeypatch, result)
    if getattr(result, "success", False):
        invoke(SETTINGS, ["build"])
    else:
        with pytest.raises((KeyboardInterrupt, DbtError)):
            invoke(SETTINGS, ["build"])
    assert closed == ["closed"]
