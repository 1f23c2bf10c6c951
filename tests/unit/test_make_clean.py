"""Tests that `make clean` asks before it deletes the data folder."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from orchestration.settings import PROJECT_ROOT

CLEAN = ["make", "--file", str(PROJECT_ROOT / "Makefile"), "clean"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "exports").mkdir(parents=True)
    (tmp_path / ".venv").mkdir()
    return tmp_path


def _on_a_terminal(folder: Path, typed: str) -> int:
    terminal, end = pty.openpty()
    with subprocess.Popen(CLEAN, cwd=folder, env=ENVIRONMENT, stdin=end, stdout=end, stderr=end) as process:
        os.write(terminal, typed.encode())
        code = process.wait(timeout=30)
    os.close(end)
    os.close(terminal)
    return code


@pytest.mark.parametrize(("typed", "goes"), [("y\n", True), ("n\n", False), ("\n", False), ("yes please\n", False)])
def test_data_folder_is_deleted_only_after_confirmation(folder: Path, typed: str, goes: bool) -> None:
    assert (_on_a_terminal(folder, typed) == 0) is goes
    assert ((folder / "data").exists(), (folder / ".venv").exists()) == (not goes, not goes)


def test_without_a_terminal_it_refuses_unless_yes_is_set(folder: Path) -> None:
    refused = subprocess.run(CLEAN, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "set YES=1" in refused.stderr
    assert (folder / "data" / "exports").exists()
    assert subprocess.run([*CLEAN, "YES=1"], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    assert not (folder / "data").exists()


def test_without_a_data_folder_it_does_not_ask(folder: Path) -> None:
    (folder / "data" / "exports").rmdir()
    (folder / "data").rmdir()
    assert subprocess.run(CLEAN, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    assert not (folder / ".venv").exists()
