"""Tests that compare the results of MetricFlow with plain SQL on the published marts."""

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchestration.settings import PROJECT_ROOT
from tests.documents import commands
from tests.metrics import BILLED_MESSAGES, NOTIFICATIONS, SESSION_STARTS, plain_sql
from tests.pipeline import Pipeline, query

pytestmark = [
    # MetricFlow reads the project's folder `target`.
    pytest.mark.xdist_group("dbt_target"),
    pytest.mark.skipif(find_spec("dbt_metricflow") is None, reason="need MetricFlow (.venv/bin/uv sync --inexact --extra metrics)"),
]


def ask(sample: Pipeline, tmp_path: Path, *arguments: str) -> list[dict[str, str]]:
    """Run `mf query` in a separate process, as users do, and read its CSV."""
    path = tmp_path / "answer.csv"
    done = _mf(sample, "query", *arguments, "--csv", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _mf(sample: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STARTS_DATA": str(sample.data)}
    command = [sys.executable, "-m", "orchestration", "metrics", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)


def numbers(row: dict[str, str], names: Iterable[str]) -> dict[str, float | None]:
    return {name: float(row[name]) if row[name] else None for name in names}


def test_definitions_are_valid_for_the_published_marts(sample: Pipeline) -> None:
    done = _mf(sample, "validate-configs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully validated metrics against data warehouse (ERRORS: 0" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [one.text for one in commands() if re.search("metrics (list metrics|query --)", one.text)])
def test_documented_metricflow_commands_return_results(sample: Pipeline, command: str) -> None:
    _, _, arguments = command.partition("orchestration metrics ")
    done = _mf(sample, *shlex.split(arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("reply_rate|median_seconds_to_reply", done.stdout), done.stdout + done.stderr


def test_every_metric_equals_plain_sql(sample: Pipeline, tmp_path: Path) -> None:
    (row,) = ask(sample, tmp_path, "--metrics", ",".join([*SESSION_STARTS, *NOTIFICATIONS, *BILLED_MESSAGES]))
    marts = {"fct_session_starts": SESSION_STARTS, "fct_notifications": NOTIFICATIONS, "fct_billed_messages": BILLED_MESSAGES}
    for mart, metrics in marts.items():
        (expected,) = query(sample.settings.published_database, plain_sql(metrics, mart))
        assert numbers(row, metrics) == pytest.approx(expected)


def test_every_metric_of_the_report_by_its_filters_equals_plain_sql(sample: Pipeline, tmp_path: Path) -> None:
    keys = ("origin", "line_number", "user_type")
    asked = ",".join(f"session_start__{key}" for key in keys)
    rows = ask(sample, tmp_path, "--metrics", ",".join(SESSION_STARTS), "--group-by", asked)
    expected = query(sample.settings.published_database, plain_sql(SESSION_STARTS, "fct_session_starts", ", ".join(keys)))
    found = {tuple(row[f"session_start__{key}"] for key in keys): row for row in rows}
    assert len(rows) == len(expected) > 10
    for row in expected:
        cell = tuple(row.pop(key) for key in keys)
        assert numbers(found[cell], SESSION_STARTS) == pytest.approx(row), cell


def test_day_of_the_report_is_a_day_in_its_time_zone(sample: Pipeline, tmp_path: Path) -> None:
    rows = ask(sample, tmp_path, "--metrics", "sends,reply_rate", "--group-by", "metric_time__day")
    expected = query(
        sample.settings.published_database, "select session_start_date, sum(notifications) as sends from session_starts_daily group by 1"
    )
    sends = {row["metric_time__day"][:10]: int(row["sends"]) for row in rows}
    assert sends == {str(row["session_start_date"]): int(row["sends"]) for row in expected}
