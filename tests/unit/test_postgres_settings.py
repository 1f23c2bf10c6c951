"""Tests of the PostgreSQL settings: checked before any connection, without revealing secrets."""

import pytest

from orchestration.publication.postgres import _refusal, connection_url
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


@pytest.mark.parametrize(
    ("url", "added"),
    [
        ("postgresql://u:p@db.example.com/bi", "?connect_timeout=15&sslmode=require"),
        ("postgresql://u:p@db.example.com/bi?application_name=x", "&connect_timeout=15&sslmode=require"),
        # What the URL sets stays.
        ("postgresql://u:p@db.example.com/bi?sslmode=disable", "&connect_timeout=15"),
        ("postgresql://u:p@db.example.com/bi?connect_timeout=60", "&sslmode=require"),
        ("postgresql://u:p@db.example.com/bi?connect_timeout=60&sslmode=verify-full", ""),
        # Servers on this machine need no TLS.
        *(
            (f"postgresql://u:p@{host}/bi", "?connect_timeout=15")
            for host in ("localhost", "LOCALHOST:5432", "127.0.0.2:5432", "[::1]:5432")
        ),
        ("postgresql:///bi", "?connect_timeout=15"),
        ("postgresql:///bi?host=/run/postgresql", "&connect_timeout=15"),
        ("postgresql://u@db.example.com/bi?hostaddr=127.0.0.1", "&connect_timeout=15"),
        # One remote server among several, or behind a local name, is remote.
        ("postgresql://u@localhost:1,db.example.com:2/bi", "?connect_timeout=15&sslmode=require"),
        ("postgresql://u@localhost/bi?hostaddr=192.0.2.1", "&connect_timeout=15&sslmode=require"),
        ("postgresql://u@localhost/bi?host=db.example.com", "&connect_timeout=15&sslmode=require"),
        ("postgresql://localhost:p@127.0.0.1.example.com/bi", "?connect_timeout=15&sslmode=require"),
    ],
)
def test_connection_to_a_remote_server_requires_tls_unless_the_url_sets_it(url: str, added: str) -> None:
    assert connection_url(url, {}) == url + added


@pytest.mark.parametrize(("mode", "added"), [("verify-full", ""), ("prefer", "&sslmode=require"), ("disable", "&sslmode=require")])
def test_environment_may_demand_more_than_tls_but_not_less(mode: str, added: str) -> None:
    url = "postgresql://u:p@db.example.com/bi"
    assert connection_url(url, {"PGSSLMODE": mode}) == f"{url}?connect_timeout=15{added}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("server does not support SSL, but SSL was required", "it offers no TLS"),
        ("SSL error: certificate verify failed", "the encrypted connection failed"),
        ('root certificate file "~/.postgresql/root.crt" does not exist', "the file that verifies its certificate is missing"),
        ('FATAL:  database "bi" does not exist', "the database or the user does not exist"),
        ('FATAL:  password authentication failed for user "u"', "the user or the password is wrong"),
        ("connection to postgresql://u:secret@h failed", "the driver gave no reason that can be shown"),
    ],
)
def test_reason_for_a_failed_connection_is_given_in_own_words(words: str, reason: str) -> None:
    assert _refusal(words).startswith(reason)
