"""Tests of the cache of compiled Jinja macros: used if it is complete and of this version, and never an obstacle."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from dbt_common.clients.jinja import template_cache

from orchestration.transform import macro_templates
from orchestration.transform.macro_templates import cached_templates

MACRO: Any = SimpleNamespace(macro_sql="{% macro twice(text) %}{{ text ~ text }}{% endmacro %}")
OTHER: Any = SimpleNamespace(macro_sql="{% macro half(number) %}{{ return(number / 2) }}{% endmacro %}")


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with the cache state of a new process."""
    monkeypatch.setattr(template_cache, "file_cache", {})
    macro_templates._compiled.cache_clear()
    yield
    macro_templates._compiled.cache_clear()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the texts that Jinja compiles from now on."""
    texts: list[str] = []
    compile_text = jinja2.Environment.compile

    def counted(self: jinja2.Environment, source: str, *arguments: Any, **named: Any) -> Any:
        texts.append(source)
        return compile_text(self, source, *arguments, **named)

    monkeypatch.setattr(jinja2.Environment, "compile", counted)
    return texts


def call(macro: Any, name: str, argument: object) -> str:
    """Call a macro as dbt does: through its template, which is compiled if the cache does not have it."""
    return str(getattr(template_cache.get_node_template(macro).module, f"dbt_macro__{name}")(argument))


def run(folder: Path, *macros: Any) -> None:
    """Simulate a process that calls some macros."""
    template_cache.clear()
    macro_templates._compiled.cache_clear()
    with cached_templates(folder):
        for macro in macros:
            template_cache.get_node_template(macro)


def test_macro_called_by_one_process_is_not_compiled_by_the_next(tmp_path: Path, compiled: list[str]) -> None:
    run(tmp_path, MACRO)
    compiled.clear()
    run(tmp_path, MACRO, OTHER)
    assert MACRO.macro_sql not in compiled
    compiled.clear()
    run(tmp_path, MACRO, OTHER)
    assert compiled == []
    assert call(MACRO, "twice", "ab") == "abab"


@pytest.mark.parametrize("change", ["damaged", "cut short", "empty", "another version"])
def test_unusable_cache_is_rebuilt(tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    run(tmp_path, MACRO)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    match change:
        case "damaged":
            file.write_bytes(content[:-9] + b"x" + content[-8:])
        case "cut short":
            file.write_bytes(content[:-9])
        case "empty":
            file.write_bytes(b"")
        case _:
            monkeypatch.setattr(macro_templates, "version", lambda package: f"{package} of next year")
    compiled.clear()
    run(tmp_path, MACRO)
    assert MACRO.macro_sql in compiled
    compiled.clear()
    run(tmp_path, MACRO)
    assert compiled == []
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_failed_run_stores_nothing(tmp_path: Path) -> None:
    def failing() -> None:
        with cached_templates(tmp_path):
            template_cache.get_node_template(MACRO)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_macros_are_compiled_if_the_cache_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "is gone"
    run(folder, MACRO)
    assert call(MACRO, "twice", 1) == "11"
    assert not os.path.lexists(folder)
