"""Tests of the output of `make` while it installs, with a uv that only waits."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from orchestration.settings import PROJECT_ROOT

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
INSTALL = ["make", "--file", str(PROJECT_ROOT / "Makefile"), ".venv/.synced"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).touch()
    return tmp_path


def _let_uv(folder: Path, does: str) -> None:
    uv = folder / ".venv" / "bin" / "uv"
    uv.write_text(f"#!/bin/sh\n{does}\n")
    uv.chmod(0o755)


def test_terminal_shows_dots_during_an_installation(folder: Path) -> None:
    _let_uv(folder, "sleep 1.5")
    terminal, end = pty.openpty()
    with subprocess.Popen(INSTALL, cwd=folder, env=ENVIRONMENT, stdin=end, stdout=end, stderr=end) as process:
        assert process.wait(timeout=30) == 0
    shown = os.read(terminal, 4096).decode()
    os.close(end)
    os.close(terminal)
    assert shown.startswith("Installing into .venv ….")
    assert (folder / ".venv" / ".synced").exists()


def test_output_without_a_terminal_is_one_line_and_a_failed_installation_fails(folder: Path) -> None:
    _let_uv(folder, "echo no network >&2; exit 3")
    failed = subprocess.run(INSTALL, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stdout == "Installing into .venv …\n"
    assert "no network" in failed.stderr
    assert not (folder / ".venv" / ".synced").exists()
