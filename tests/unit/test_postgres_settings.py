"""Tests of the PostgreSQL settings: checked before any connection, without revealing secrets."""

import pytest

from orchestration.settings import PostgresSettings, SettingsError


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@h:5432/bi", "h:5432/bi"),
        ("postgres://u@h/bi?sslmode=require", "h/bi"),
        ("postgresql:///bi?host=/run/postgresql", "the local server/bi"),
        ("postgresql://u:p%40%2F@[::1]:5432/bi", "[::1]:5432/bi"),
        ("postgresql://u:p@a:1,b:2/bi", "a:1,b:2/bi"),
    ],
)
def test_place_is_shown_without_user_and_options(url: str, place: str) -> None:
    settings = PostgresSettings(url)
    assert settings.address == place
    assert url not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://u:secret@h/bi", "secret", "postgresql://u:secret@h"),
        *("postgresql://u:secret/x@h/bi", "postgresql://u:secret@x@h/bi", "postgresql://u:secret#x@h/bi", "postgresql://u:12/secret@h"),
        *("postgresql://u:secret?x@h/bi", "postgresql://u:secret:x@h/bi", "postgresql://u:secret"),
    ],
)
def test_invalid_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError, match="STARTS_POSTGRES_URL is not a URL") as caught:
        PostgresSettings(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Marts", "a b", 'a"; drop schema public', "pg_marts", "1st", "a" * 64])
def test_name_that_is_not_a_plain_identifier_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="STARTS_POSTGRES_SCHEMA"):
        PostgresSettings("postgresql://u:p@h/bi", schema=name)
    with pytest.raises(SettingsError, match="STARTS_POSTGRES_READER"):
        PostgresSettings("postgresql://u:p@h/bi", reader=name)


def test_missing_url_is_reported() -> None:
    with pytest.raises(SettingsError, match="is not set"):
        PostgresSettings.from_environment({"STARTS_POSTGRES_URL": " "})
