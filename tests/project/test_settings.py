"""What the environment and `.env` may say: checked before anything is opened, told in a sentence."""

from pathlib import Path

import pytest

from orchestration.cli import main
from orchestration.settings import Settings, SettingsError, environment


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.env` of the test's own."""
    path = tmp_path / ".env"
    monkeypatch.setattr("orchestration.settings.ENV_FILE", path)
    return path


@pytest.mark.parametrize("name", ["America/SaoPaulo", "BRT", "America", "../etc/passwd", "América/São_Paulo"])
def test_a_name_of_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"STARTS_REPORT_TIMEZONE is .* which is no time zone"):
        Settings.from_environment({"STARTS_REPORT_TIMEZONE": name})


def test_an_env_file_is_read_as_it_stands(env_file: Path) -> None:
    env_file.write_bytes(
        b"\xef\xbb\xbf# ours\r\n\r\nexport STARTS_DATA='/srv/a b' # there\r\nSTARTS_MASK_KEY=$not_a_variable\r\nSTARTS_LANGUAGE=\r\n"
    )
    ours = {name: value for name, value in environment().items() if name.startswith("STARTS_")}
    assert ours == {"STARTS_DATA": "/srv/a b", "STARTS_MASK_KEY": "$not_a_variable"}


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"this is not a secret", b"STARTS_DATA = 'a secret", b'STARTS_DATA="a secret', b"STARTS_DATA: secret", b"STARTS_DATA:secret"),
        *(b"STARTS_DATA='a' secret", b"=secret", b"STARTS_DATA=secret\xe3"),
    ],
)
def test_a_damaged_line_of_an_env_file_is_named_and_not_quoted(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    env_file.write_bytes(b"STARTS_LANGUAGE=es\n\n# a comment\n\n" + damaged + b"\nSTARTS_CONTACTS=plain\n")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert f"{env_file}, line 5, " in said
    assert "secret" not in said
    assert not (tmp_path / "data").exists()
