"""Read Botmaker's settings from the environment, and check them before the first request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlsplit

from orchestration.settings import SettingsError, environment, without_empty

TOKEN_VARIABLE = "BOTMAKER_ACCESS_TOKEN"
TOKEN_LOCATION = "in Botmaker, open the channels' settings, then Botmaker API - Credentials"

_DEFAULT_BASE_URL = "https://api.botmaker.com/v2.0"
_LOCAL_HOSTS = ("127.0.0.1", "localhost")
_VISIBLE_ASCII = re.compile(r"^[!-~]+$")
_MAX_DAYS = 366


@dataclass(frozen=True)
class BotmakerSettings:
    """The address of the API, and how far back to fetch.

    `access_token` is a secret, so it is left out of the representation and never stored anywhere.
    """

    access_token: str = field(repr=False)
    base_url: str = _DEFAULT_BASE_URL
    overlap_days: int = 3
    sweep_days: int = 30
    start: date | None = None

    def __post_init__(self) -> None:
        if not _VISIBLE_ASCII.match(self.access_token):
            raise SettingsError(
                f"{TOKEN_VARIABLE} contains spaces or other characters that no token has: copy it again ({TOKEN_LOCATION})."
            )
        _check_base_url(self.base_url)

    @property
    def is_local(self) -> bool:
        return urlsplit(self.base_url).hostname in _LOCAL_HOSTS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "BotmakerSettings":
        """Read the `BOTMAKER_*` variables; an empty one counts as unset. Raises `SettingsError`."""
        env = environment() if environ is None else without_empty(environ)
        token = env.get(TOKEN_VARIABLE)
        if token is None:
            raise SettingsError(f"{TOKEN_VARIABLE} is not set: put your token into the environment or into .env ({TOKEN_LOCATION}).")
        return cls(
            access_token=token.strip(),
            base_url=env.get("BOTMAKER_BASE_URL", _DEFAULT_BASE_URL).strip().rstrip("/"),
            overlap_days=_days("BOTMAKER_OVERLAP_DAYS", env.get("BOTMAKER_OVERLAP_DAYS", "3"), least=0),
            sweep_days=_days("BOTMAKER_SWEEP_DAYS", env.get("BOTMAKER_SWEEP_DAYS", "30"), least=1),
            start=_day("BOTMAKER_START", env.get("BOTMAKER_START")),
        )


def _check_base_url(url: str) -> None:
    message = (
        "BOTMAKER_BASE_URL is not an address that a token may be sent to. "
        f"Set it to one that starts with https://, such as {_DEFAULT_BASE_URL}"
    )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(message) from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS)
    if not is_safe or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise SettingsError(message)


def _days(name: str, value: str, *, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value.strip()) or not least <= int(value) <= _MAX_DAYS:
        raise SettingsError(f"{name} is {value!r}: set it to a number of days from {least} to {_MAX_DAYS}.")
    return int(value)


def _day(name: str, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: set it to a day such as 2026-10-01.") from None
