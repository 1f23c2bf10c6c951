"""Tests of a wheel that is installed and run outside of its clone."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration import installation
from orchestration.settings import PROJECT_ROOT

SEND = '{"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}'


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment with only our wheel; it uses the dependencies of the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], PROJECT_ROOT)
    (wheel,) = folder.glob("*.whl")
    _run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)
    uv = Path(sys.executable).with_name("uv")
    _run([str(uv), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", "venv/bin/python", str(wheel)], folder)
    (packages,) = folder.glob("venv/lib/python3*/site-packages")
    # Python ignores .pth files in a folder that was itself added by one, so the clone, which is installed through one, stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv"


def _run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=folder, env={**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, 2), done.stdout + done.stderr
    return done


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.stat().st_mtime_ns


@pytest.mark.thorough
@pytest.mark.xdist_group("installed_package")
def test_installed_command_works_in_any_folder_and_writes_only_there(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "conversation-starts")
    (tmp_path / "logs" / "sends").mkdir(parents=True)
    (tmp_path / "logs" / "sends" / "1.jsonl").write_text(SEND)
    before = list(_files(installed))

    run = _run([command], tmp_path, STARTS_LANDING="logs")
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "data" / "exports").glob("*.tsv")} == {"sessionStartingCauses-2026-10-01.tsv"}
    assert (tmp_path / "data" / ".dagster" / "dagster.yaml").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "data"}
    assert list(_files(installed)) == before


@pytest.mark.xdist_group("installed_package")
def test_installed_command_shows_its_own_name_and_version(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "conversation-starts")
    assert _run([command, "--version"], tmp_path).stdout == f"conversation-starts {installation.version()}\n"
    assert _run([command, "export", "--help"], tmp_path).stdout.startswith("usage: conversation-starts export ")
    docs = _run([command, "docs"], tmp_path)
    assert docs.stderr == f"docs could not start: There is no {tmp_path}/data/warehouse.duckdb yet: run `conversation-starts` first.\n"
    dg = _run([command, "dg", "dev"], tmp_path)
    assert (dg.returncode, "`dg` only works in a clone of the project." in dg.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.xdist_group("installed_package")
def test_installed_package_contains_the_sample_logs(installed: Path, tmp_path: Path) -> None:
    code = "from orchestration.settings import SAMPLE_LOGS, Settings; print(SAMPLE_LOGS, Settings.from_environment().landing)"
    sample, default = _run([str(installed / "bin" / "python"), "-c", code], tmp_path).stdout.split()
    assert sample == default
    bundled = {path.relative_to(sample): path.read_bytes() for path in Path(sample).rglob("*") if path.is_file()}
    ours = PROJECT_ROOT / "seeds" / "sample_logs"
    assert bundled == {path.relative_to(ours): path.read_bytes() for path in ours.rglob("*") if path.is_file()}


def test_newest_version_of_the_changelog_is_that_of_the_package() -> None:
    headings = re.findall(r"^## (\S+)", (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == installation.version()
