"""The systemd units: what they may write, and that no one else can read it."""

from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from orchestration.settings import PROJECT_ROOT

UNITS = sorted((PROJECT_ROOT / "deploy").glob("*.service"))
PLACE = "/opt/conversation-starts"


def service(unit: Path) -> dict[str, str]:
    # A setting may be given more than once, as Environment is allowed to.
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read(unit, encoding="utf-8")
    return dict(parser["Service"])


def test_there_is_a_unit_for_the_daemon_and_one_for_the_web_interface() -> None:
    assert [unit.stem.rpartition("-")[2] for unit in UNITS] == ["daemon", "webserver"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_may_not_write_the_project_and_writes_for_itself_alone(unit: Path) -> None:
    settings = service(unit)
    assert (settings["ProtectSystem"], settings["UMask"], settings["StateDirectoryMode"]) == ("strict", "0077", "0700")
    writable = [path.lstrip("-") for path in settings["ReadWritePaths"].split()]
    assert writable == ["/srv/starts", "/srv/whatsapp"]
    assert not [path for path in writable if Path(PLACE).is_relative_to(path) or Path(path).is_relative_to(PLACE)]


def test_what_the_services_write_is_where_they_may() -> None:
    example = dict(
        line.split("=", 1)
        for line in (PROJECT_ROOT / "deploy" / "conversation-starts.env.example").read_text().splitlines()
        if line[0] != "#"
    )
    assert (example["STARTS_DATA"], example["STARTS_LANDING"]) == ("/srv/starts", "/srv/whatsapp")
    dagster = yaml.safe_load((PROJECT_ROOT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    for part in ("local_artifact_storage", "compute_logs"):
        # Below the units' StateDirectory.
        assert dagster[part]["config"]["base_dir"].startswith("/var/lib/conversation-starts/")
