"""Tests of `make run` as a user types it: its output, its files, and its exit code."""

import re
from pathlib import Path

from orchestration.settings import PROJECT_ROOT
from tests.conftest import make_run


def test_make_run_prints_the_output_in_the_readme(made_by_make_run: Path) -> None:
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```\n(conversation_starts finished in .*?)```", readme, flags=re.DOTALL)
    printed = (made_by_make_run / "stdout").read_text(encoding="utf-8")
    for line in shown.splitlines():
        # Seconds differ, and the README abbreviates the path of the data folder.
        pattern = re.sub(r"\\ in\\ \d+\\ s$", r"\\ in\\ \\d+\\ s", re.escape(line)).replace("…/data", ".*/data")
        assert re.search(f"(?m)^{pattern}$", printed), f"{line!r} is not in:\n{printed}"


def test_make_run_reports_the_problem_and_fails(tmp_path: Path) -> None:
    done = make_run({"STARTS_LANDING": str(tmp_path / "nowhere"), "STARTS_DATA": str(tmp_path / "data")})
    assert done.returncode != 0
    assert f"landing folder {tmp_path / 'nowhere'} does not exist" in done.stderr
    assert "Traceback" not in done.stderr
