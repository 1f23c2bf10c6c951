"""Fetch Botmaker's responses into the landing zone, and continue where the last run stopped.

The files are the only state. A fetch that a kill interrupted is recognized by the names of its files, and finished before anything
else.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from filelock import FileLock, Timeout

from orchestration.botmaker.client import (
    CHANNELS,
    SENT_RESULT,
    SENT_RESULTS,
    SESSIONS,
    WHATSAPP_TEMPLATES,
    BotmakerClient,
    BotmakerRefusedError,
    BotmakerResponseError,
    Clock,
    Endpoint,
    Page,
    parse_json,
    read_page,
    reject_deep_nesting,
)
from orchestration.botmaker.pages import (
    CHANNELS_FOLDER,
    SENT_RESULTS_FOLDER,
    SENT_RESULTS_LISTS_FOLDER,
    SESSIONS_FOLDER,
    WHATSAPP_TEMPLATES_FOLDER,
    PageSet,
    PageStore,
    folder_name,
)
from orchestration.botmaker.settings import BotmakerSettings
from orchestration.botmaker.token import REDACTED
from orchestration.botmaker.transport import MAX_BODY_BYTES
from orchestration.botmaker.windows import (
    SENT_RESULTS_RETENTION,
    Fetch,
    FetchRequest,
    Window,
    api_time,
    build_request,
    needs_long_term_search,
    plan_fetches,
    split_by_day,
    stamp,
    whole_second,
)
from orchestration.errors import LockedError, StartsError
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.zone import LandingZone
from orchestration.settings import Settings
from orchestration.warehouse import prepare_data_folder

# A page may be empty if a filter removed all its items, but not this many pages in a row.
_MAX_IDLE_PAGES = 100
_RESTARTING_PERIOD = "restarting that period"
_ENDLESS_ADVICE = "Run again later: the next run restarts this period. If the error persists, contact Botmaker's support."
# If this many notifications fail, the cause is not a single one of them.
_MAX_FAILURES = 3
_LONGEST_IDENTIFIER = 200
# A name may be plural and have a prefix: botToken, client_secrets.
_SECRET_NAME = re.compile(r"(token|secret|password|api[-_]?key)s?$", re.IGNORECASE)

_SESSION_PARAMETERS = {
    "include-open-sessions": "true",
    "include-messages": "true",
    "include-events": "true",
    "timestamp-precision": "milliseconds",
}


class EndlessPagesError(StartsError):
    """The pages link to one another without end."""


@dataclass
class FetchReport:
    """The counts of one feed's fetch. `bytes` counts bodies before compression."""

    feed: str
    windows: int = 0
    pages: int = 0
    items: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0

    def add(self, page: Page) -> None:
        self.pages += 1
        self.items += len(page.items)
        self.bytes += len(page.body)


@dataclass(frozen=True)
class Source:
    """Everything that a fetch needs: the API, the store of pages, the settings, the clock, and the output for progress."""

    client: BotmakerClient
    store: PageStore
    settings: BotmakerSettings
    report_timezone: str
    clock: Clock
    log: Callable[[str], None]

    @property
    def now(self) -> datetime:
        return whole_second(self.clock.now())


@contextmanager
def open_source(
    settings: Settings,
    botmaker: BotmakerSettings,
    *,
    log: Callable[[str], None],
    warn: Callable[[str], None],
    clock: Clock | None = None,
) -> Iterator[Source]:
    """Check the landing zone and hold the fetch lock for the duration of a `with` block. Raises `StartsError`."""
    clock = clock or Clock()
    store = PageStore(LandingZone(settings.landing, (*FEED_NAMES, "botmaker")))
    with _fetch_lock(settings), BotmakerClient(botmaker, clock=clock, warn=warn) as client:
        yield Source(client, store, botmaker, settings.report_timezone, clock, log)


@contextmanager
def _fetch_lock(settings: Settings) -> Iterator[None]:
    """Prevent a second fetch from finishing what this one has begun.

    This is not the writer's lock. A backfill takes hours at Botmaker's pace, and its pages can be landed meanwhile, because a page
    appears whole or not at all.
    """
    prepare_data_folder(settings)
    lock = FileLock(settings.data / ".botmaker.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"Another fetch from Botmaker is under way (its lock is in {settings.data}). Wait for it to finish and run again."
        ) from None
    try:
        yield
    finally:
        lock.release()


def fetch(source: Source, feed: str, request: FetchRequest) -> FetchReport:
    """Fetch one of `FETCHES`. Pages fetched before an error are kept, and the next fetch continues from there."""
    report = FetchReport(feed)
    requests, retries = source.client.requests, source.client.retries
    FETCHES[feed](source, request, report)
    report.requests, report.retries = source.client.requests - requests, source.client.retries - retries
    return report


def parse_request(settings: Settings, period_from: str | None, period_to: str | None, *, sweep: bool) -> FetchRequest:
    """Turn an operator's input into a request; needs no token, so wrong input is reported first. Raises `StartsError`."""
    return build_request(period_from, period_to, sweep=sweep, zone=settings.report_timezone, now=whole_second(Clock().now()))


def _fetch_sessions(source: Source, request: FetchRequest, report: FetchReport) -> None:
    page_sets = source.store.page_sets(SESSIONS_FOLDER)

    def page_set_of(fetch: Fetch, window: Window) -> PageSet:
        name = f"{SESSIONS_FOLDER}/{fetch.name}/{window.name}"
        return page_sets.get(name, PageSet(name))

    known = _fetches(name.removeprefix(f"{SESSIONS_FOLDER}/").rpartition("/")[0] for name in page_sets)
    for fetch in _planned(
        source, request, known, lambda fetch: all(page_set_of(fetch, window).is_complete for window in split_by_day(fetch.period))
    ):
        windows = split_by_day(fetch.period)
        for number, window in enumerate(windows, 1):
            page_set = page_set_of(fetch, window)
            if page_set.is_complete:
                continue
            is_long_term = needs_long_term_search(window, source.now)
            parameters = _period(window) | _SESSION_PARAMETERS | ({"long-term-search": "true"} if is_long_term else {})
            before = replace(report)
            _fetch_page_set(source, SESSIONS, page_set, parameters, report)
            report.windows += 1
            _log_progress(source, report, before, f"{window} ({number} of {len(windows)}){', by long-term search' if is_long_term else ''}")


def _fetch_sent_results(source: Source, request: FetchRequest, report: FetchReport) -> None:
    lists = source.store.page_sets(SENT_RESULTS_LISTS_FOLDER)
    details = source.store.page_sets(SENT_RESULTS_FOLDER)

    def list_of(fetch: Fetch) -> PageSet:
        name = f"{SENT_RESULTS_LISTS_FOLDER}/{fetch.name}"
        return lists.get(name, PageSet(name))

    def is_finished(fetch: Fetch) -> bool:
        page_set = list_of(fetch)
        return page_set.is_complete and not _due(source, fetch, _stored_pages(source, SENT_RESULTS, page_set), details)

    known = _fetches(name.removeprefix(f"{SENT_RESULTS_LISTS_FOLDER}/") for name in lists)
    for fetch in _planned(source, request, known, is_finished):
        reach = source.now - SENT_RESULTS_RETENTION
        window = replace(fetch.period, start=max(fetch.period.start, reach))
        if window.start > fetch.period.start:
            source.log(f"sent_results: Botmaker keeps them for three months, so nothing before {api_time(reach)} can be fetched")
        if window.start >= window.end:
            continue
        page_set = list_of(fetch)
        if not page_set.is_complete:
            before = replace(report)
            page_set = _fetch_page_set(source, SENT_RESULTS, page_set, _period(window), report)
            report.windows += 1
            _log_progress(source, report, before, f"{window}, the list")
        due = _due(source, fetch, _stored_pages(source, SENT_RESULTS, page_set), details)
        failures: list[str] = []
        for number, (identifier, detail) in enumerate(due.items(), 1):
            before = replace(report)
            try:
                details[detail.name] = _fetch_sent_result(source, identifier, detail, report)
            except BotmakerResponseError as error:
                # One notification that Botmaker cannot serve must not block the others.
                failures.append(f"{folder_name(identifier)}: {error}")
                if len(failures) == _MAX_FAILURES:
                    break
            else:
                _log_progress(source, report, before, f"{folder_name(identifier)} ({number} of {len(due)})")
        if failures:
            raise StartsError("The results of these notifications could not be fetched. " + " ".join(failures))


def _fetch_sent_result(source: Source, identifier: str, page_set: PageSet, report: FetchReport) -> PageSet:
    try:
        return _fetch_page_set(source, SENT_RESULT.for_item(identifier), page_set, {}, report)
    except BotmakerRefusedError as error:
        if error.status != 404:
            raise
        # It was deleted after it was listed; that must not block the others.
        source.log(f"sent_results: {folder_name(identifier)} is gone (HTTP 404)")
        return page_set


def _due(source: Source, fetch: Fetch, lists: Iterable[Page], details: Mapping[str, PageSet]) -> dict[str, PageSet]:
    """Return which of the listed notifications to fetch: new ones, and those whose results may still change."""
    fetched = {name.rpartition("/")[0] for name, page_set in details.items() if page_set.is_complete}
    settled_before = fetch.stamped_at - timedelta(days=source.settings.sweep_days)
    due: dict[str, PageSet] = {}
    for item in (item for page in lists for item in page.items):
        identifier = item.get("notificationInstanceId") if isinstance(item, dict) else None
        if not _is_requestable(identifier):
            source.log("sent_results: a listed notification has no usable notificationInstanceId, so its results cannot be fetched")
            continue
        folder = f"{SENT_RESULTS_FOLDER}/{folder_name(identifier)}"
        name = f"{folder}/{stamp(fetch.stamped_at)}"
        page_set = details.get(name, PageSet(name))
        if not page_set.is_complete and (folder not in fetched or not _is_settled(item, settled_before)):
            due[identifier] = page_set
    return due


def _is_requestable(identifier: Any) -> TypeGuard[str]:
    """Return whether an identifier fits into a URL: a printable string (no half emoji), no dot segment, and not too long."""
    return (
        isinstance(identifier, str)
        and identifier.isprintable()
        and 0 < len(identifier) <= _LONGEST_IDENTIFIER
        and bool(identifier.strip("."))
    )


def _is_settled(item: dict[str, Any], settled_before: datetime) -> bool:
    try:
        ended_at = datetime.fromisoformat(item["end"])
        return item.get("status") == "COMPLETED" and ended_at < settled_before
    except (KeyError, TypeError, ValueError):
        return False


def _fetch_channels(source: Source, request: FetchRequest, report: FetchReport) -> None:
    _fetch_snapshot(source, CHANNELS, CHANNELS_FOLDER, report, without_secrets)


def _fetch_whatsapp_templates(source: Source, request: FetchRequest, report: FetchReport) -> None:
    _fetch_snapshot(source, WHATSAPP_TEMPLATES, WHATSAPP_TEMPLATES_FOLDER, report, lambda page: page.body)


def _fetch_snapshot(source: Source, endpoint: Endpoint, folder: str, report: FetchReport, body_of: Callable[[Page], bytes]) -> None:
    """Fetch data that has no history, and store it if it has items and differs from the latest snapshot."""
    bodies: list[bytes] = []
    items = 0
    for page in _pages_from(source, endpoint, source.client.first_page(endpoint)):
        bodies.append(body_of(page))
        items += len(page.items)
        # The pages stay in memory until the last one arrives, so all of them together may be only as large as one page of another
        # endpoint.
        if sum(map(len, bodies)) > MAX_BODY_BYTES:
            raise BotmakerResponseError(f"Botmaker's pages of {endpoint.path} have more than {MAX_BODY_BYTES / 2**20:g} MiB in total.")
    page_sets = source.store.page_sets(folder)
    latest = max((page_set for page_set in page_sets.values() if page_set.is_complete), key=lambda page_set: page_set.name, default=None)
    if not items or (latest is not None and [source.store.read(name) for name in latest.page_names] == bodies):
        source.log(f"{report.feed}: nothing new")
        return
    fetched_at = source.now
    while f"{folder}/{stamp(fetched_at)}" in page_sets:
        fetched_at += timedelta(seconds=1)
    page_set = PageSet(f"{folder}/{stamp(fetched_at)}")
    for number, body in enumerate(bodies, 1):
        source.store.write(page_set.page_name(number, is_last=number == len(bodies)), body)
    report.pages, report.items, report.bytes = len(bodies), items, sum(map(len, bodies))
    source.log(f"{report.feed}: {report.items} items")


def without_secrets(page: Page) -> bytes:
    """Return a page's body without the secrets of other services, such as a Telegram bot's token. An empty body stays empty."""

    def cleaned(value: dict[str, Any]) -> dict[str, Any]:
        return {name: inner for name, inner in value.items() if not _SECRET_NAME.search(name)}

    if not page.body.strip():
        return page.body
    with reject_deep_nesting():
        return json.dumps(parse_json(page.body, object_hook=cleaned), separators=(",", ":")).encode()


def _fetch_page_set(source: Source, endpoint: Endpoint, page_set: PageSet, parameters: Mapping[str, str], report: FetchReport) -> PageSet:
    """Fetch the missing pages of an incomplete page set and return it complete; write each page before requesting the next."""
    first = _page_after(source, endpoint, page_set) if page_set.pages else None
    if first is None:
        page_set = page_set.restarted() if page_set.pages else page_set
        first = source.client.first_page(endpoint, parameters)
    try:
        for page in _pages_from(source, endpoint, first, pages_before=page_set.pages):
            page_set = replace(page_set, pages=page_set.pages + 1, is_complete=page.next_page is None)
            source.store.write(page_set.newest_page_name, page.body)
            report.add(page)
    except EndlessPagesError:
        # The last URL leads nowhere. An empty page 0 makes the next run start again at the first page, in a new attempt.
        source.store.write(page_set.restarted().page_name(0, is_last=False), b"")
        raise
    return page_set


def _page_after(source: Source, endpoint: Endpoint, page_set: PageSet) -> Page | None:
    """Request the page after the newest of a page set, or return None if its URL is lost."""
    newest = _stored_page(source, endpoint, page_set.newest_page_name)
    if newest.next_page is None:
        return None
    if REDACTED in newest.next_page:
        source.log(
            f"{endpoint.path}: the address after {page_set.newest_page_name} contained the token, which is not stored; {_RESTARTING_PERIOD}"
        )
        return None
    try:
        return source.client.next_page(endpoint, newest.next_page)
    except BotmakerResponseError as error:
        # Whatever the response is, Botmaker may have dropped the URL. That must not stop every later run.
        source.log(f"{endpoint.path}: the page after {page_set.newest_page_name} cannot be fetched ({error.reason}); {_RESTARTING_PERIOD}")
        return None


def _stored_pages(source: Source, endpoint: Endpoint, page_set: PageSet) -> Iterator[Page]:
    """Read the pages of a complete page set one by one."""
    return (_stored_page(source, endpoint, name) for name in page_set.page_names)


def _stored_page(source: Source, endpoint: Endpoint, name: str) -> Page:
    try:
        return read_page(source.store.read(name), endpoint.items)
    except (ValueError, BotmakerResponseError):
        raise StartsError(f"{name} in the landing zone is not a page from Botmaker. Remove its folder and run again.") from None


def _pages_from(source: Source, endpoint: Endpoint, page: Page, *, pages_before: int = 0) -> Iterator[Page]:
    """Yield a page, which has `pages_before` before it, and all that follow. Raises `EndlessPagesError` if they seem to have no end."""
    followed: set[str] = set()
    idle, pages = 0, pages_before + 1
    yield page
    while page.next_page is not None:
        if page.next_page in followed:
            raise EndlessPagesError(f"Botmaker's pages of {endpoint.path} form a loop. {_ENDLESS_ADVICE}")
        if pages >= endpoint.max_pages:
            raise EndlessPagesError(f"Botmaker's pages of {endpoint.path} do not end after {pages:,} pages. {_ENDLESS_ADVICE}")
        followed.add(page.next_page)
        following = source.client.next_page(endpoint, page.next_page)
        idle = idle + 1 if not following.items or following.items == page.items else 0
        if idle > _MAX_IDLE_PAGES:
            raise EndlessPagesError(
                f"Botmaker's pages of {endpoint.path} do not end, and the last {idle:,} brought nothing new. {_ENDLESS_ADVICE}"
            )
        page, pages = following, pages + 1
        yield page


def _fetches(names: Iterator[str]) -> set[Fetch]:
    return {fetch for fetch in map(Fetch.from_name, names) if fetch is not None}


def _planned(source: Source, request: FetchRequest, known: set[Fetch], is_finished: Callable[[Fetch], bool]) -> list[Fetch]:
    return plan_fetches(request, source.settings, zone=source.report_timezone, known=known, is_finished=is_finished, now=source.now)


def _period(window: Window) -> dict[str, str]:
    return {"from": api_time(window.start), "to": api_time(window.end)}


def _log_progress(source: Source, report: FetchReport, before: FetchReport, what: str) -> None:
    pages, items = report.pages - before.pages, report.items - before.items
    source.log(f"{report.feed}: {what}: {pages} {'page' if pages == 1 else 'pages'}, {items:,} items")


# In this order: the feeds that are fetched most, and matter most, come first.
FETCHES: dict[str, Callable[[Source, FetchRequest, FetchReport], None]] = {
    "sessions": _fetch_sessions,
    "sent_results": _fetch_sent_results,
    "channels": _fetch_channels,
    "whatsapp_templates": _fetch_whatsapp_templates,
}
