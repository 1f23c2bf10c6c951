"""Tests of the parsed project: parsed once for all data folders, again after a change, and never stored partially."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import BlockedError
from orchestration.settings import Settings
from orchestration.transform import parsed
from orchestration.transform.invocation import DbtError
from orchestration.transform.lookups import SEEDS, refuse_unreadable_lookups
from orchestration.transform.parsed import ParsedProject, parsed_project


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Store parsed projects in the test's folder, and return a list with one entry per parse by dbt."""
    of_session = parsed_project(Settings())
    times: list[str] = []

    def parse(_settings: Settings, arguments: list[str], *_: Any) -> None:
        """Write dbt's output files in place of dbt, which takes a second; another test checks the real output."""
        times.append(arguments[0])
        target = Path(arguments[arguments.index("--target-path") + 1])
        for name in ("manifest.json", "partial_parse.msgpack"):
            shutil.copy(of_session.folder / name, target)

    monkeypatch.setattr(parsed, "_SHARED_FOLDER", tmp_path / "project" / "parsed")
    monkeypatch.setattr(parsed, "invoke", parse)
    return times


@pytest.mark.thorough
def test_dbt_runs_on_its_parsed_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed, "_SHARED_FOLDER", tmp_path / "parsed")
    project = parsed_project(Settings(data=tmp_path / "data"))
    assert project.folder.parent == tmp_path / "parsed"
    assert [path.name for path in (tmp_path / "parsed").iterdir()] == [project.folder.name]
    assert set(project.manifest().nodes) == set(project.json["nodes"])
    # A run changes its manifest; the next run must not see those changes.
    assert project.manifest() is not project.manifest()


def test_another_data_folder_parses_nothing(parses: list[str], tmp_path: Path) -> None:
    first = parsed_project(Settings(data=tmp_path / "a"))
    assert parsed_project(Settings(data=tmp_path / "b")) == first
    assert first.is_shared
    assert parses == ["parse"]


@pytest.mark.parametrize("change", ["project", "profile", "variable", "target", "dbt"])
def test_change_of_a_parsed_input_parses_again(parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    before = parsed_project(Settings(data=tmp_path))
    settings = Settings(data=tmp_path, report_timezone="Asia/Tokyo" if change == "variable" else "America/Sao_Paulo")
    if change == "project":
        monkeypatch.setattr(parsed, "definition_sha256", lambda _: "another")
    elif change == "profile":
        (tmp_path / "profiles.yml").write_text("another")
        monkeypatch.setattr(parsed, "DBT_PROJECT_DIR", tmp_path)
    elif change == "target":
        monkeypatch.setenv("STARTS_DBT_TARGET", "published")
    elif change == "dbt":
        monkeypatch.setattr(parsed, "_dbt_version", lambda: "another")
    after = parsed_project(settings)
    assert after.folder != before.folder
    assert parsed_project(settings) == after
    assert len(parses) == 2


def test_read_only_project_stores_its_parse_in_the_data_folder(parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(parsed, "_SHARED_FOLDER", tmp_path / "file" / "parsed")
    for _ in range(2):
        project = parsed_project(Settings(data=tmp_path / "data"))
        assert project.folder.is_relative_to(tmp_path / "data")
        assert not project.is_shared
    assert parses == ["parse"]


@pytest.mark.parametrize("name", ["manifest.json", "partial_parse.msgpack", "sha256"])
@pytest.mark.parametrize("damage", ["cut short", "missing"])
def test_damaged_parse_is_replaced(parses: list[str], tmp_path: Path, name: str, damage: str) -> None:
    settings = Settings(data=tmp_path)
    path = parsed_project(settings).folder / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(whole[:-1])
    again = parsed_project(settings)
    assert (again.folder / name).read_bytes() == whole
    assert parses == ["parse"] * 2


def test_second_of_two_concurrent_processes_keeps_the_parse_of_the_first(
    parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, invoke, by_the_other = Settings(data=tmp_path), parsed.invoke, []

    def parse_while_another_does(*arguments: Any) -> None:
        invoke(*arguments)
        if not by_the_other:
            by_the_other.append(None)
            by_the_other[0] = parsed_project(settings).json_path.stat().st_ino

    monkeypatch.setattr(parsed, "invoke", parse_while_another_does)
    project = parsed_project(settings)
    assert parses == ["parse"] * 2
    assert project.json_path.stat().st_ino == by_the_other[0]
    assert list(project.folder.parent.iterdir()) == [project.folder]


def test_failed_parse_leaves_no_files(parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise DbtError("no model of that name")

    monkeypatch.setattr(parsed, "invoke", fail)
    with pytest.raises(DbtError, match="no model"):
        parsed_project(Settings(data=tmp_path))
    assert list((tmp_path / "project" / "parsed").iterdir()) == []


def test_failed_parse_reports_a_lookup_that_cannot_be_read(parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise DbtError("'utf-8' codec can't decode byte 0xe3")

    seeds = Path(shutil.copytree(SEEDS, tmp_path / "seeds"))
    (seeds / "channels.csv").write_bytes("channel_id,line_number,channel_name,platform\n1,2,São Paulo,whatsapp\n".encode("cp1252"))
    monkeypatch.setattr(parsed, "invoke", fail)
    monkeypatch.setattr(parsed, "refuse_unreadable_lookups", partial(refuse_unreadable_lookups, seeds))
    with pytest.raises(BlockedError, match=r"channels\.csv, line 2: not UTF-8"):
        parsed_project(Settings(data=tmp_path))


def test_least_recently_used_parses_are_deleted(parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(version: int) -> ParsedProject:
        monkeypatch.setattr(parsed, "_dbt_version", lambda: str(version))
        return parsed_project(Settings(data=tmp_path))

    first, second, *_ = [parse(version) for version in range(parsed._MAX_PARSED_PROJECTS)]
    assert parse(0) == first
    parse(parsed._MAX_PARSED_PROJECTS)
    assert (first.folder.exists(), second.folder.exists()) == (True, False)
    assert len(parses) == parsed._MAX_PARSED_PROJECTS + 1
