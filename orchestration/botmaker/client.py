"""Request pages from Botmaker's API one at a time, at the pace that it allows, with retries.

The retries use tenacity. A truncated body, or truncated JSON, is only noticed after the headers have arrived, which is too late for
the retries of HTTP libraries.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from orchestration.botmaker.settings import TOKEN_LOCATION, TOKEN_VARIABLE, BotmakerSettings
from orchestration.botmaker.token import Token
from orchestration.botmaker.transport import Response, ResponseTooLargeError, ResponseTooSlowError, Transport
from orchestration.errors import StartsError
from orchestration.texts import printable

# The waits add up to two minutes, or to more if Botmaker asks for longer ones.
TRIES = 8
# Another connection may be faster, but each try takes up to `RESPONSE_SECONDS`.
TRIES_WHEN_SLOW = 2
_LONGEST_WAIT_SECONDS = 60.0
# A longer Retry-After means an outage, not a rate limit.
_LONGEST_RETRY_AFTER_SECONDS = 900.0
_MESSAGE_CHARACTERS = 300
_MOVED_ADVICE = "If the API has moved, set BOTMAKER_BASE_URL."
_LONGEST_HOST_NAME = 253
_DAY_SECONDS = 86_400.0
_NO_CONTENT = 204
# Python refuses to convert more than 4,300 digits, because the time grows with their square.
_MAX_DIGITS = 4_000
# Enough for a million sessions in a day, or customers of one notification: eight times the largest bot that we know of.
MAX_PAGES = 2_000
# For lines and templates; WhatsApp allows 6,000 templates per account.
MAX_PAGES_OF_A_SNAPSHOT = 200
# The advice to the operator is the same for every unusable response.
_RESPONSE_ADVICE = (
    "None of it was stored. Run again later: the next run continues from the last good page. "
    "If the error persists, contact Botmaker's support."
)


@dataclass(frozen=True)
class Endpoint:
    """A path of the API, the pace that it allows, and the field that contains a page's items."""

    path: str
    seconds_between: float = 1.0
    items: str = "items"
    pace: str = ""
    max_pages: int = MAX_PAGES

    def for_item(self, identifier: str) -> "Endpoint":
        """Return the endpoint of a single item; the endpoints of all items share a pace."""
        return replace(self, path=f"{self.path}/{quote(identifier, safe='')}", pace=self.path + "/")

    @property
    def pace_key(self) -> str:
        return self.pace or self.path


SESSIONS = Endpoint("sessions", 1 / 5)
SENT_RESULTS = Endpoint("notifications/sent-results", 1 / 30)
SENT_RESULT = Endpoint("notifications/sent-results", 60 / 3, items="customers")
CHANNELS = Endpoint("channels", max_pages=MAX_PAGES_OF_A_SNAPSHOT)
WHATSAPP_TEMPLATES = Endpoint("whatsapp/templates", max_pages=MAX_PAGES_OF_A_SNAPSHOT)


@dataclass(frozen=True)
class Page:
    """A response as received, except for the token. An empty body is a page without items, and the last page.

    `next_page` is the URL as received, and may contain the token; in `body`, the token is replaced by `***`.
    """

    body: bytes = field(repr=False)
    items: list[Any] = field(repr=False)
    next_page: str | None = field(repr=False)


class BotmakerResponseError(StartsError):
    """Botmaker responds, but not with anything usable; another URL may get a better response. `reason` excludes the advice."""

    def __init__(self, reason: str, advice: str = _RESPONSE_ADVICE) -> None:
        super().__init__(f"{reason} {advice}")
        self.reason = reason


class BotmakerRefusedError(BotmakerResponseError):
    """A URL that leads nowhere, however often it is requested; `status` is None if it was not requested at all."""

    def __init__(self, reason: str, status: int | None, advice: str = "If the error persists, contact Botmaker's support.") -> None:
        super().__init__(reason, advice)
        self.status = status


class _RetryableError(Exception):
    def __init__(self, reason: str, *, wait_seconds: float | None = None, tries: int = TRIES, is_response: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        self.tries = tries
        self.is_response = is_response


@dataclass(frozen=True)
class Clock:
    """The clock, replaceable so that tests need not wait."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class BotmakerClient:
    """A client for use in a `with` block. Every error that it raises is a `StartsError` that does not contain the token."""

    def __init__(
        self,
        settings: BotmakerSettings,
        *,
        clock: Clock | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.requests = 0
        self.retries = 0
        self._settings = settings
        self._token = Token(settings.access_token)
        self._clock = clock or Clock()
        self._warn = warn
        self._due_at: dict[str, float] = {}
        self._empty_once: set[str] = set()
        self._transport = Transport({"access-token": settings.access_token, "accept": "application/json"}, trust_env=not settings.is_local)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def first_page(self, endpoint: Endpoint, parameters: Mapping[str, str] | None = None) -> Page:
        url = httpx.URL(f"{self._settings.base_url}/{endpoint.path}", params=dict(parameters or {}))
        return self._page(endpoint, str(url))

    def next_page(self, endpoint: Endpoint, url: str) -> Page:
        """Request the URL in a page's `next_page`, which must be on Botmaker's own host."""
        try:
            checked = checked_next_page(self._settings.base_url, url)
        except BotmakerRefusedError as error:
            raise BotmakerRefusedError(self._redacted(error.reason), None, _MOVED_ADVICE) from None
        return self._page(endpoint, checked)

    def _redacted(self, text: str) -> str:
        """Return a text that may be shown: without the token, and on one line."""
        return printable(self._token.redact(text))

    def _excerpt(self, text: str) -> str:
        """Return a text from Botmaker or a library, shortened for one of our messages."""
        return self._redacted(text)[:_MESSAGE_CHARACTERS]

    def _page(self, endpoint: Endpoint, url: str) -> Page:
        retrying = Retrying(
            retry=retry_if_exception_type(_RetryableError),
            stop=_is_last_try,
            wait=_wait,
            before_sleep=lambda state: self._before_sleep(endpoint, state),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return retrying(self._try, endpoint, url)
        except _RetryableError as error:
            reason = f"Botmaker did not answer {endpoint.path} in {retrying.statistics['attempt_number']} tries; the last time: {error}."
            advice = "Run again later: the fetched pages are kept, and the next run continues from there."
            raise (BotmakerResponseError(reason, advice) if error.is_response else StartsError(f"{reason} {advice}")) from None

    def _before_sleep(self, endpoint: Endpoint, state: RetryCallState) -> None:
        self.retries += 1
        assert state.outcome is not None
        assert state.next_action is not None
        self._warn(f"{endpoint.path}: {state.outcome.exception()}; trying again in {state.next_action.sleep:.0f} s")

    def _try(self, endpoint: Endpoint, url: str) -> Page:
        self._keep_pace(endpoint)
        self.requests += 1
        try:
            response = self._transport.get(url)
        except ResponseTooLargeError as error:
            raise BotmakerResponseError(f"Botmaker's answer to {endpoint.path} {error}, which is not a page of its API.") from None
        except ResponseTooSlowError as error:
            raise _RetryableError(f"the answer {error}", tries=TRIES_WHEN_SLOW) from None
        # These errors hold the request, which holds the token, so only their names and texts are passed on.
        except httpx.RemoteProtocolError as error:
            raise _RetryableError(self._excerpt(f"the answer is not a whole HTTP response ({error})")) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _RetryableError(self._excerpt(f"{type(error).__name__} {error}".strip())) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise BotmakerResponseError(f"Botmaker's {endpoint.path} cannot be requested: {self._excerpt(str(error))}.") from None
        self._check_status(endpoint, response)
        return self._read(endpoint, url, response)

    def _keep_pace(self, endpoint: Endpoint) -> None:
        now = self._clock.monotonic()
        due_at = self._due_at.get(endpoint.pace_key, now)
        if due_at > now:
            self._clock.sleep(due_at - now)
        self._due_at[endpoint.pace_key] = max(now, due_at) + endpoint.seconds_between

    def _check_status(self, endpoint: Endpoint, response: Response) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        if status in (401, 403):
            raise StartsError(
                f"Botmaker refused the token for {endpoint.path} (HTTP {status}): it is wrong, expired, or lacks permission for this. "
                f"Create a new one ({TOKEN_LOCATION}) and set {TOKEN_VARIABLE} to it."
            )
        if status == 429:
            raise _RetryableError("too many requests (HTTP 429)", wait_seconds=self._retry_after(response))
        if status >= 500 or status == 408:
            raise _RetryableError(f"HTTP {status}", wait_seconds=self._retry_after(response), is_response=True)
        if 300 <= status < 400:
            raise StartsError(
                f"Botmaker redirects {endpoint.path} to another address, and the token is not sent there. "
                "Set BOTMAKER_BASE_URL to the new address of the API."
            )
        raise BotmakerRefusedError(
            f"Botmaker refused {endpoint.path} (HTTP {status}): {self._excerpt(_error_message(response.body))}.", status
        )

    def _retry_after(self, response: Response) -> float | None:
        seconds = _parse_retry_after(response.headers.get("retry-after"), self._clock.now())
        if seconds is not None and seconds > _LONGEST_RETRY_AFTER_SECONDS:
            wait = f"{seconds / 60:.0f} minutes" if seconds < _DAY_SECONDS else "more than a day"
            raise StartsError(f"Botmaker asks to wait for {wait} (HTTP {response.status}). Run again after that.")
        return seconds

    def _read(self, endpoint: Endpoint, url: str, response: Response) -> Page:
        # A response without items may have no body, but so does one that a proxy lost. Unless the status is 204, an empty body must
        # arrive twice.
        if response.status != _NO_CONTENT and not response.body.strip() and url not in self._empty_once:
            self._empty_once.add(url)
            raise _RetryableError("the answer is empty")
        body = self._token.redact_bytes(response.body)
        try:
            page = read_page(response.body, endpoint.items)
            return page if body == response.body else replace(read_page(body, endpoint.items), next_page=page.next_page)
        except ValueError:
            content_type = self._excerpt(response.headers.get("content-type", "not given"))
            raise _RetryableError(f"the answer is not whole JSON (content type: {content_type})", is_response=True) from None


def read_page(body: bytes, items: str) -> Page:
    """Parse a page. Raises `ValueError` if it is not complete JSON, `BotmakerResponseError` if it is not a page of the API."""
    if not body.strip():
        return Page(body, [], None)
    content = parse_json(body)
    found = content.get(items) if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(found, list):
        raise BotmakerResponseError(
            f"Botmaker's answer has no list {items!r}. Check that BOTMAKER_BASE_URL is the address of its API v2.0."
        )
    next_page = content.get("nextPage")
    if next_page is not None and not isinstance(next_page, str):
        raise BotmakerResponseError("Botmaker's answer has a nextPage that is not an address.")
    return Page(body, found, next_page or None)


def parse_json(body: bytes, *, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse JSON from any bytes. Raises `ValueError` if it is not complete JSON, `BotmakerResponseError` if it is nested too deeply.

    Numbers that no reader accepts (NaN, 1e400, 5,000 digits) become None, and invalid bytes U+FFFD, because one odd value in one
    message must not stop a page. Landing checks the value in the body, which is stored as received.
    """
    with reject_deep_nesting():
        return json.loads(
            body.decode("utf-8-sig", "replace"),
            parse_constant=lambda _: None,
            parse_float=_finite,
            parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else None,
            object_hook=object_hook,
        )


@contextmanager
def reject_deep_nesting() -> Iterator[None]:
    """Turn Python's own limit of nesting, about a thousand levels, into a `BotmakerResponseError`."""
    try:
        yield
    except RecursionError:
        raise BotmakerResponseError("Botmaker's answer is JSON nested too deeply to be read, which is not a page of its API.") from None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def checked_next_page(base_url: str, url: str) -> str:
    """Return the URL as received, but with the scheme and port of `base_url`. Raises `BotmakerRefusedError` for another host."""
    base, parts = urlsplit(base_url), _split_url(url)
    default_ports = (None, 443, 80) if base.port is None else (None, base.port)
    if parts is None or parts.scheme not in ("http", "https") or parts.hostname != base.hostname or parts.port not in default_ports:
        host = (parts.hostname or "")[:_LONGEST_HOST_NAME] if parts is not None else None
        raise BotmakerRefusedError(
            f"Botmaker's nextPage leads to {host or 'no host'}, not to {base.netloc}: the token is not sent there.", None, _MOVED_ADVICE
        )
    return urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))


def _split_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_last_try(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return isinstance(error, _RetryableError) and state.attempt_number >= error.tries


def _wait(state: RetryCallState) -> float:
    """Return the seconds to wait: twice as long each time, with jitter, or longer if Botmaker asks for it."""
    back_off = wait_exponential_jitter(initial=1, max=_LONGEST_WAIT_SECONDS, jitter=1)(state)
    error = state.outcome.exception() if state.outcome else None
    requested = error.wait_seconds if isinstance(error, _RetryableError) else None
    return back_off if requested is None else max(back_off, requested)


def _parse_retry_after(retry_after: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header, which is seconds or a date. Anything else counts as missing."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        # Thousands of digits become infinity.
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        # A date without a zone is UTC, like every HTTP date.
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _error_message(body: bytes) -> str:
    try:
        return "; ".join(str(error["message"]) for error in json.loads(body)["errors"]) or "no reason given"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"
