"""Tests that both engines can read the SQL of models and fixtures: finds DuckDB-only syntax without Spark."""

import re
from pathlib import Path
from typing import Any

import pytest

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.yaml_files import read_yaml

# DuckDB's own types, functions and literals; `string` is a name in both engines.
OF_DUCKDB_ALONE = re.compile(
    r"""
    \b(varchar|hugeint|uhugeint|ubigint|uinteger|int128|uint128|timestamptz|blob)\b(?!\s*\()
    | \bto_(seconds|minutes|hours|days|microseconds|milliseconds)\s*\(
    | \b(epoch|epoch_us|arg_min|arg_max|list_\w+|struct_pack|unnest|range|generate_series|strptime|regexp_matches)\s*\(
    | \b(asof|exclude|distinct\s+on)\b
    | [:]{2}
    | \{\s*'
    | \[\s*[\d']
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _unit_tests() -> list[tuple[str, dict[str, Any]]]:
    documents = [(path, read_yaml(path)) for path in sorted((DBT_PROJECT_DIR / "models").rglob("*.yml"))]
    return [(path.stem, test) for path, document in documents for test in document.get("unit_tests", [])]


def _of_duckdb(sql: str) -> list[str]:
    """Return the DuckDB-only syntax in a query; string literals and macro calls do not count."""
    code = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|--[^\n]*", "", sql, flags=re.DOTALL)
    code = re.sub(r"(?<![{\[])'(?:[^']|'')*'", "''", code)
    return [match.group() for match in OF_DUCKDB_ALONE.finditer(code)]


@pytest.mark.parametrize(("model", "test"), _unit_tests(), ids=lambda value: value if isinstance(value, str) else value["name"])
def test_fixtures_of_a_unit_test_work_on_both_engines(model: str, test: dict[str, Any]) -> None:
    fixtures = [given["rows"] for given in [*test["given"], test["expect"]] if given.get("format") == "sql"]
    found = [word for rows in fixtures for word in _of_duckdb(rows)]
    if "duckdb_fixture" in test.get("config", {}).get("tags", []):
        return
    assert found == [], f"{model}: use SQL that both engines support"


@pytest.mark.parametrize(
    "sql",
    [
        "cast(null as varchar)",
        "null::string",
        "timestamp '2026-10-01 10:00:00' + to_seconds(second)",
        "cast(1 as uhugeint)",
        "{'a': 1}",
        "select ['a', 'b']",
        "select unnest(x)",
    ],
)
def test_duckdb_only_syntax_is_found(sql: str) -> None:
    assert _of_duckdb(sql) != []


def test_string_literals_and_macros_may_contain_anything() -> None:
    assert _of_duckdb("cast('a varchar ::' as string), {{ price_struct('x') }} -- text") == []


def _models() -> list[Path]:
    return [path for folder in ("models", "tests") for path in sorted((DBT_PROJECT_DIR / folder).rglob("*.sql"))]


@pytest.mark.parametrize("path", _models(), ids=lambda path: path.stem)
def test_model_works_on_both_engines(path: Path) -> None:
    assert _of_duckdb(path.read_text(encoding="utf-8")) == []
