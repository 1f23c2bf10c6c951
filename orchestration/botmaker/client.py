"""Botmaker's API: one page at a time, at the pace it allows, tried again when that may help.

httpx for HTTP, tenacity for trying again: a body that breaks off in the middle, or JSON that does, is
only noticed after the headers are in, which is too late for the retries that HTTP libraries bring along.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from orchestration.botmaker.settings import TOKEN_VARIABLE, WHERE_TOKENS_ARE_MADE, BotmakerSettings
from orchestration.errors import StartsError

# The waits add up to two minutes, and to more where Botmaker says how long to wait.
TRIES = 8
_LONGEST_WAIT_SECONDS = 60.0
# Whoever asks for more patience than this has another problem than a rate.
_LONGEST_RETRY_AFTER_SECONDS = 900.0
# A page of 500 sessions with their messages takes Botmaker a while.
_TIMEOUT = httpx.Timeout(120.0, connect=20.0)
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Endpoint:
    """A path of the API, the pace it allows, and the field that holds a page's items."""

    path: str
    seconds_between: float = 1.0
    items: str = "items"
    pace: str = ""

    def of(self, identifier: str) -> "Endpoint":
        """Return the endpoint of one thing; all of these share a pace."""
        return Endpoint(f"{self.path}/{quote(identifier, safe='')}", self.seconds_between, self.items, self.path + "/")

    @property
    def paced_as(self) -> str:
        return self.pace or self.path


SESSIONS = Endpoint("sessions", 1 / 5)
SENT_RESULTS = Endpoint("notifications/sent-results", 1 / 30)
SENT_RESULT = Endpoint("notifications/sent-results", 60 / 3, items="customers")
CHANNELS = Endpoint("channels")
WHATSAPP_TEMPLATES = Endpoint("whatsapp/templates")


@dataclass(frozen=True)
class Page:
    """An answer as it came. An empty body is a page without items, and the last one."""

    body: bytes
    content: dict[str, Any] = field(repr=False)
    items: list[Any] = field(repr=False)
    next_page: str | None


class BotmakerRefusedError(StartsError):
    """An address that leads nowhere, however often it is asked; `status` is None where it was not even asked."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class _TryAgainError(Exception):
    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait for it."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class BotmakerClient:
    """Use it in a `with` block. Everything it raises is a `StartsError`, and none of it holds the token."""

    def __init__(
        self,
        settings: BotmakerSettings,
        *,
        clock: Clock | None = None,
        warn: Callable[[str], None] = lambda _: None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.requests = 0
        self.retries = 0
        self._settings = settings
        self._clock = clock or Clock()
        self._warn = warn
        self._due_at: dict[str, float] = {}
        tls = httpx.create_ssl_context()
        # What the machine trusts too, such as the certificate of a company proxy.
        tls.load_default_certs()
        self._http = httpx.Client(
            headers={"access-token": settings.access_token, "accept": "application/json"},
            # A redirect may lead to another host, which httpx would send our header to.
            follow_redirects=False,
            timeout=_TIMEOUT,
            trust_env=not settings.is_local,
            verify=tls,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def first_page(self, endpoint: Endpoint, parameters: Mapping[str, str] | None = None) -> Page:
        url = httpx.URL(f"{self._settings.base_url}/{endpoint.path}", params=dict(parameters or {}))
        return self._page(endpoint, str(url))

    def next_page(self, endpoint: Endpoint, url: str) -> Page:
        """Follow a page's `next_page`, which leads to Botmaker's own host or nowhere."""
        return self._page(endpoint, checked_next_page(self._settings.base_url, url))

    def _page(self, endpoint: Endpoint, url: str) -> Page:
        retrying = Retrying(
            retry=retry_if_exception_type(_TryAgainError),
            stop=stop_after_attempt(TRIES),
            wait=_wait,
            before_sleep=lambda state: self._before_sleep(endpoint, state),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return retrying(self._try, endpoint, url)
        except _TryAgainError as error:
            raise StartsError(
                f"Botmaker did not answer {endpoint.path} in {TRIES} tries; the last time: {error}. "
                "Run again later: what has come stays, and the next run goes on from there."
            ) from None

    def _before_sleep(self, endpoint: Endpoint, state: RetryCallState) -> None:
        self.retries += 1
        assert state.outcome is not None
        assert state.next_action is not None
        self._warn(f"{endpoint.path}: {state.outcome.exception()}; trying again in {state.next_action.sleep:.0f} s")

    def _try(self, endpoint: Endpoint, url: str) -> Page:
        self._keep_pace(endpoint)
        self.requests += 1
        try:
            response = self._http.get(url)
        # These hold the request, and the request holds the token: only their names and words go on.
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _TryAgainError(self._clean(f"{type(error).__name__} {error}".strip())) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StartsError(f"Botmaker's {endpoint.path} cannot be asked: {self._clean(str(error))}") from None
        self._check_status(endpoint, response)
        return self._read(endpoint, response.content)

    def _keep_pace(self, endpoint: Endpoint) -> None:
        now = self._clock.monotonic()
        due_at = self._due_at.get(endpoint.paced_as, now)
        if due_at > now:
            self._clock.sleep(due_at - now)
        self._due_at[endpoint.paced_as] = max(now, due_at) + endpoint.seconds_between

    def _check_status(self, endpoint: Endpoint, response: httpx.Response) -> None:
        status = response.status_code
        if response.is_success:
            return
        if status in (401, 403):
            raise StartsError(
                f"Botmaker refused the token for {endpoint.path} (HTTP {status}): it is wrong, expired, or has no right to this. "
                f"Make a new one ({WHERE_TOKENS_ARE_MADE}) and put it into {TOKEN_VARIABLE}."
            )
        if status == 429:
            raise _TryAgainError("too many requests (HTTP 429)", self._retry_after(response))
        if status >= 500 or status == 408:
            raise _TryAgainError(f"HTTP {status}", self._retry_after(response))
        if response.is_redirect:
            raise StartsError(
                f"Botmaker redirects {endpoint.path} to another address, and the token is not sent there. "
                "Set BOTMAKER_BASE_URL to where the API is now."
            )
        raise BotmakerRefusedError(f"Botmaker refused {endpoint.path} (HTTP {status}): {self._clean(_message(response))}", status)

    def _retry_after(self, response: httpx.Response) -> float | None:
        seconds = _seconds(response.headers.get("retry-after"), self._clock.now())
        if seconds is not None and seconds > _LONGEST_RETRY_AFTER_SECONDS:
            raise StartsError(f"Botmaker asks to wait for {seconds / 60:.0f} minutes (HTTP {response.status_code}). Run again then.")
        return seconds

    def _read(self, endpoint: Endpoint, body: bytes) -> Page:
        try:
            return read_page(body, endpoint.items)
        except ValueError:
            raise _TryAgainError("the answer is no whole JSON") from None

    def _clean(self, text: str) -> str:
        return text.replace(self._settings.access_token, "***")[:_MESSAGE_CHARACTERS]


def read_page(body: bytes, items: str) -> Page:
    """Read what is needed of a page to go on. Raises `ValueError` where it is no whole JSON, else `StartsError`."""
    if not body.strip():
        return Page(body, {}, [], None)
    # A stray byte in somebody's message is for the landing to judge.
    content = json.loads(body.decode("utf-8-sig", "replace"))
    found = content.get(items) if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(found, list):
        raise StartsError(f"Botmaker's answer has no list {items!r}. Is BOTMAKER_BASE_URL the address of its API v2.0?")
    next_page = content.get("nextPage") or None
    if next_page is not None and not isinstance(next_page, str):
        raise StartsError("Botmaker's answer has a nextPage that is no address.")
    return Page(body, content, found, next_page)


def checked_next_page(base_url: str, url: str) -> str:
    """Return the address as it came, but by the scheme of `base_url`. Raises `BotmakerRefusedError` for another host."""
    base, given = urlsplit(base_url), _split(url)
    default_ports = (None, 443, 80) if base.port is None else (None, base.port)
    if given is None or given.scheme not in ("http", "https") or given.hostname != base.hostname or given.port not in default_ports:
        host = given.hostname if given is not None else None
        raise BotmakerRefusedError(
            f"Botmaker's nextPage leads to {host or 'no host'}, not to {base.netloc}: the token is not sent there. "
            "If the API has moved, set BOTMAKER_BASE_URL.",
            None,
        )
    return urlunsplit((base.scheme, base.netloc, given.path, given.query, ""))


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _wait(state: RetryCallState) -> float:
    """Twice as long each time, with jitter; longer where Botmaker says so."""
    back_off = wait_exponential_jitter(initial=1, max=_LONGEST_WAIT_SECONDS, jitter=1)(state)
    error = state.outcome.exception() if state.outcome else None
    told = error.wait_seconds if isinstance(error, _TryAgainError) else None
    return back_off if told is None else max(back_off, told)


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (until.astimezone(UTC) - now).total_seconds())


def _message(response: httpx.Response) -> str:
    try:
        return "; ".join(str(error["message"]) for error in response.json()["errors"]) or "no reason given"
    except (ValueError, KeyError, TypeError):
        return "no reason given"
