"""Tests of the systemd units: what they may write, and that no other user can read it."""

from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from orchestration.settings import PROJECT_ROOT

UNITS = sorted((PROJECT_ROOT / "deploy").glob("*.service"))
PLACE = "/opt/conversation-starts"


def service(unit: Path) -> dict[str, str]:
    # A setting such as Environment may occur more than once.
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read(unit, encoding="utf-8")
    return dict(parser["Service"])


def test_daemon_and_web_interface_have_a_unit() -> None:
    assert [unit.stem.rpartition("-")[2] for unit in UNITS] == ["daemon", "webserver"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_cannot_write_the_project_and_its_files_are_private(unit: Path) -> None:
    settings = service(unit)
    assert (settings["ProtectSystem"], settings["UMask"], settings["StateDirectoryMode"]) == ("strict", "0077", "0700")
    writable = [path.lstrip("-") for path in settings["ReadWritePaths"].split()]
    assert writable == ["/srv/starts", "/srv/whatsapp"]
    assert not [path for path in writable if Path(PLACE).is_relative_to(path) or Path(path).is_relative_to(PLACE)]


def test_services_write_only_to_writable_folders() -> None:
    example = dict(
        line.split("=", 1)
        for line in (PROJECT_ROOT / "deploy" / "conversation-starts.env.example").read_text().splitlines()
        if line[0] != "#"
    )
    assert (example["STARTS_DATA"], example["STARTS_LANDING"]) == ("/srv/starts", "/srv/whatsapp")
    dagster = yaml.safe_load((PROJECT_ROOT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    for part in ("local_artifact_storage", "compute_logs"):
        # Inside the units' StateDirectory.
        assert dagster[part]["config"]["base_dir"].startswith("/var/lib/conversation-starts/")
