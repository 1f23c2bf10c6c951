"""Post the reason for a failed run to STARTS_ALERT_URL: a chat's incoming webhook, or any endpoint that accepts JSON.

This module does not import Dagster: Dagster's sensor does not see runs from the command line, which therefore posts its own alerts.
"""

import asyncio
import logging
from collections.abc import Callable

import httpx

from orchestration.errors import StartsError
from orchestration.settings import environment

# For the whole request: a chat that sends its response byte by byte must not block a run.
_SECONDS = 10.0
# Google Chat rejects a text of more than 4,096 characters.
_MAX_CHARACTERS = 4_000

# httpx logs the URL of each request, which contains a chat's secret.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def alert_address() -> str | None:
    """Return STARTS_ALERT_URL. It may contain a chat's secret, so it is never logged. Raises `SettingsError`."""
    return environment().get("STARTS_ALERT_URL")


def failure_alert(what: str, reasons: list[str]) -> dict[str, str]:
    """Return the alert as JSON with the key `text`, which Slack, Mattermost and Google Chat display."""
    text = f"{what}:\n" + "\n".join(reasons or ["See the run's log."])
    # A lone surrogate (half an emoji) in a reason cannot be encoded.
    return {"text": text[:_MAX_CHARACTERS].encode(errors="replace").decode()}


def send_alert(address: str, alert: dict[str, str], *, log: Callable[[str], None]) -> None:
    """Post the alert within ten seconds. Never raises: if the alert cannot be sent, the error goes to `log`, without the URL."""
    try:
        asyncio.run(_post(address, alert))
    # Not only httpx's errors: no problem with the URL or the chat may change the result of the run.
    except Exception as error:
        # The exception's text contains the URL.
        log(f"The alert could not be sent to STARTS_ALERT_URL: {type(error).__name__}")


def send_alert_if_set(what: str, reasons: list[str], *, log: Callable[[str], None]) -> None:
    """Post why something failed, if STARTS_ALERT_URL is set. Do nothing if the settings cannot be read: that is reported already."""
    try:
        address = alert_address()
    except StartsError:
        return
    if address is not None:
        send_alert(address, failure_alert(what, reasons), log=log)


async def _post(address: str, alert: dict[str, str]) -> None:
    # Streamed, so that the response body is never read.
    async with asyncio.timeout(_SECONDS), httpx.AsyncClient() as http, http.stream("POST", address, json=alert) as response:
        response.raise_for_status()
