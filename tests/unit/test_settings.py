"""Tests of the environment and `.env`: checked before anything is opened, with errors of one sentence."""

import re
from pathlib import Path

import pytest

from orchestration.cli.main import main
from orchestration.settings import DBT_PROJECT_DIR, KNOWN_NAMES, PROJECT_ROOT, Settings, SettingsError, environment


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the test's own `.env`."""
    path = tmp_path / ".env"
    monkeypatch.setattr("orchestration.settings.ENV_FILE", path)
    return path


@pytest.mark.parametrize("name", ["America/SaoPaulo", "BRT", "America", "../etc/passwd", "América/São_Paulo"])
def test_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"STARTS_REPORT_TIMEZONE is .* which is not a time zone"):
        Settings.from_environment({"STARTS_REPORT_TIMEZONE": name})


def test_env_file_is_read_literally(env_file: Path) -> None:
    env_file.write_bytes(
        b"\xef\xbb\xbf# ours\r\n\r\nexport STARTS_DATA='/srv/a b' # there\r\nSTARTS_MASK_KEY=$not_a_variable\r\nSTARTS_LANGUAGE=\r\n"
    )
    ours = {name: value for name, value in environment().items() if name.startswith("STARTS_") and not name.startswith("STARTS_TEST_")}
    assert ours == {"STARTS_DATA": "/srv/a b", "STARTS_MASK_KEY": "$not_a_variable"}


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"this is not a secret", b"STARTS_DATA = 'a secret", b'STARTS_DATA="a secret', b"STARTS_DATA: secret", b"STARTS_DATA:secret"),
        *(b"STARTS_DATA='a' secret", b"=secret", b"STARTS_DATA=secret\xe3", b"STARTS_DATA=${HOME}/secret"),
    ],
)
def test_damaged_line_of_an_env_file_is_reported_and_not_quoted(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    env_file.write_bytes(b"STARTS_LANGUAGE=es\n\n# a comment\n\n" + damaged + b"\nSTARTS_CONTACTS=plain\n")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert f"{env_file}, line 5, " in said
    assert "secret" not in said
    assert not (tmp_path / "data").exists()


def test_every_variable_in_use_is_a_known_setting() -> None:
    paths = [DBT_PROJECT_DIR / "profiles.yml", PROJECT_ROOT / "README.md", PROJECT_ROOT / "Makefile"]
    paths += [
        path
        for folder in ("orchestration", "bi", "deploy", "tests")
        for path in (PROJECT_ROOT / folder).rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    # The list itself is no evidence of use, and this file contains misspelt names.
    not_asked = {Path(__file__), PROJECT_ROOT / "orchestration" / "settings.py"}
    names = {
        name
        for path in paths
        if path not in not_asked
        for name in re.findall(r"(?:STARTS|(?<=\")BOTMAKER)_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8", errors="ignore"))
    }
    assert names == set(KNOWN_NAMES)


def test_variable_without_effect_is_reported_once_without_its_value(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("STARTS_LANGAGE", "secret")
    monkeypatch.setenv("STARTS_ALERT_URL", "secret")
    monkeypatch.setenv("STARTS_EMPTY", "")
    env_file.write_text("STARTS_XYZ=secret\nLANGAGE=secret\nBOTMAKER_STRAT=secret\n")
    assert main(["compare", "nowhere.tsv"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[:-1] == [
        "warning: STARTS_ALERT_URL is not an address such as https://chat.example.com/hook, so failed runs are not posted.",
        "warning: BOTMAKER_STRAT is set, but nothing reads it. Did you mean BOTMAKER_START?",
        "warning: STARTS_LANGAGE is set, but nothing reads it. Did you mean STARTS_LANGUAGE?",
        "warning: STARTS_XYZ is set, but nothing reads it.",
    ]
    assert "secret" not in said


@pytest.mark.parametrize("place", ["s3://bucket/starts", "file:///srv/starts", "GS://bucket"])
def test_data_folder_must_be_on_this_machine(place: str) -> None:
    with pytest.raises(SettingsError, match=f"STARTS_DATA is {place}: write a folder of this machine"):
        Settings.from_environment({"STARTS_DATA": place})
