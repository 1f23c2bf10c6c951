"""Post to STARTS_ALERT_URL why a run failed: a chat's incoming webhook, or anything that takes JSON.

Free of Dagster, because its sensor does not see runs of the command line, which posts its own.
"""

import asyncio
import logging
from collections.abc import Callable

import httpx

from orchestration.errors import StartsError
from orchestration.settings import environment

# For all of it: a chat that sends its answer byte by byte must not hold a run.
_SECONDS = 10.0
# Google Chat refuses a text of more than 4,096.
_MOST_CHARACTERS = 4_000

# httpx logs the address of each request, which holds a chat's secret.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def alert_address() -> str | None:
    """Return STARTS_ALERT_URL; it may hold a chat's secret, so it is never logged. Raises `SettingsError`."""
    return environment().get("STARTS_ALERT_URL")


def alert_of_failure(what: str, reasons: list[str]) -> dict[str, str]:
    """Return the message as JSON with the key `text`, which Slack, Mattermost and Google Chat show."""
    text = f"{what}:\n" + "\n".join(reasons or ["See the run's log."])
    # Half an emoji in a reason is not text that could be sent.
    return {"text": text[:_MOST_CHARACTERS].encode(errors="replace").decode()}


def send_alert(address: str, alert: dict[str, str], *, log: Callable[[str], None]) -> None:
    """Post the alert within ten seconds. It raises nothing: why it could not be sent goes to `log`, without the address."""
    try:
        asyncio.run(_post(address, alert))
    # Not only httpx's own errors: whatever is wrong with the address or the chat must not become the run's result.
    except Exception as error:
        # The exception's text holds the address.
        log(f"The alert could not be sent to STARTS_ALERT_URL: {type(error).__name__}")


def send_alert_if_set(what: str, reasons: list[str], *, log: Callable[[str], None]) -> None:
    """Post why something failed, if STARTS_ALERT_URL is set. Where the settings cannot be read, that is already known."""
    try:
        address = alert_address()
    except StartsError:
        return
    if address is not None:
        send_alert(address, alert_of_failure(what, reasons), log=log)


async def _post(address: str, alert: dict[str, str]) -> None:
    # Streamed, so that the body of the answer is never read.
    async with asyncio.timeout(_SECONDS), httpx.AsyncClient() as http, http.stream("POST", address, json=alert) as response:
        response.raise_for_status()
