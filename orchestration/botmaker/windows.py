"""Choose which periods to fetch, by pure functions of the request, the earlier fetches and the time.

A *fetch* covers a period. Its period is cut into *windows* of at most a day, which are fetched and completed one by one.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import duckdb

from orchestration.botmaker.settings import BotmakerSettings
from orchestration.errors import StartsError

# Older sessions need `long-term-search`, which Botmaker bills.
LONG_TERM_AFTER = timedelta(days=7)
# Botmaker's "three months back", short enough for any three months.
SENT_RESULTS_RETENTION = timedelta(days=88)
# If a resumed fetch ends this close to now, the next fetch covers the rest.
_NEARLY_NOW = timedelta(hours=1)
_SWEEP_IS_DUE_AFTER = timedelta(days=7)

# No colons, because not every file system allows them.
_STAMP = "%Y-%m-%dT%H%M%SZ"
_STAMP_PATTERN = r"\d{4}-\d\d-\d\dT\d{6}Z"
_WINDOW_NAME = re.compile(rf"({_STAMP_PATTERN})--({_STAMP_PATTERN})")
_FETCH_NAME = re.compile(rf"({_STAMP_PATTERN}--{_STAMP_PATTERN})/([a-z]+)-({_STAMP_PATTERN})")


@dataclass(frozen=True, order=True)
class Window:
    """The time from `start` to `end`, both in UTC and at whole seconds."""

    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        return f"{stamp(self.start)}--{stamp(self.end)}"

    @classmethod
    def from_name(cls, name: str) -> "Window | None":
        match = _WINDOW_NAME.fullmatch(name)
        try:
            return cls(_from_stamp(match[1]), _from_stamp(match[2])) if match else None
        except ValueError:
            # Not a name of ours, such as one with a 30th of February.
            return None

    def __str__(self) -> str:
        return f"{api_time(self.start)} to {api_time(self.end)}"


class Kind(StrEnum):
    INCREMENTAL = "incremental"
    SWEEP = "sweep"
    BACKFILL = "backfill"


@dataclass(frozen=True)
class Fetch:
    """One fetch of a period; its name is a folder name from which the fetch can be read back."""

    kind: Kind
    period: Window
    stamped_at: datetime

    @property
    def name(self) -> str:
        return f"{self.period.name}/{self.kind}-{stamp(self.stamped_at)}"

    @classmethod
    def from_name(cls, name: str) -> "Fetch | None":
        match = _FETCH_NAME.fullmatch(name)
        period = Window.from_name(match[1]) if match else None
        if match is None or period is None or match[2] not in set(Kind):
            return None
        try:
            return cls(Kind(match[2]), period, _from_stamp(match[3]))
        except ValueError:
            return None


@dataclass(frozen=True)
class FetchRequest:
    """What an operator or a schedule requests. A backfill has a period; the periods of other kinds follow from the known fetches."""

    kind: Kind = Kind.INCREMENTAL
    period: Window | None = None
    is_up_to_now: bool = False


def split_by_day(period: Window) -> list[Window]:
    """Cut a period at UTC midnights: a day that is fetched again gives the same pages, which land once."""
    windows, start = [], period.start
    while start < period.end:
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)
        end = min(midnight, period.end)
        windows.append(Window(start, end))
        start = end
    return windows


def needs_long_term_search(window: Window, now: datetime) -> bool:
    return window.start < now - LONG_TERM_AFTER


def build_request(period_from: str | None, period_to: str | None, *, sweep: bool, zone: str, now: datetime) -> FetchRequest:
    """Turn an operator's input into a request. Raises `StartsError`.

    A day is a report day, and both ends are included, so that a backfill of October fills the report's October.
    """
    if sweep and (period_from or period_to):
        raise StartsError("A sweep already has its period (BOTMAKER_SWEEP_DAYS): leave out the period or the sweep.")
    if sweep:
        return FetchRequest(Kind.SWEEP)
    if not period_from:
        if period_to:
            raise StartsError(f"The period ends at {period_to} but has no start: add one.")
        return FetchRequest()
    start = _parse_time(period_from, zone)
    end = _parse_time(period_to, zone, is_end=True) if period_to else now
    if start >= min(end, now):
        raise StartsError(f"The period from {period_from} to {period_to or 'now'} is empty: it must start before it ends, and before now.")
    return FetchRequest(Kind.BACKFILL, Window(start, min(end, now)), is_up_to_now=end >= now)


def plan_fetches(
    request: FetchRequest,
    settings: BotmakerSettings,
    *,
    zone: str,
    known: Collection[Fetch],
    is_finished: Callable[[Fetch], bool],
    now: datetime,
) -> list[Fetch]:
    """Return what to fetch: first an unfinished fetch, as it was, then anything new since. Raises `StartsError`."""
    stamped_at = now
    while any(fetch.stamped_at == stamped_at for fetch in known):
        stamped_at += timedelta(seconds=1)
    # A clock that was once ahead must not stop all fetching until that time.
    known = [fetch for fetch in known if fetch.period.end <= now]
    last = max((fetch for fetch in known if _matches_request(fetch, request)), key=lambda fetch: fetch.stamped_at, default=None)
    fresh = Fetch(request.kind, _fresh_period(request, settings, zone, known, now), stamped_at)
    if last is None or is_finished(last):
        return [fresh]
    if request.kind is Kind.SWEEP:
        return [last] if now - last.period.end < _SWEEP_IS_DUE_AFTER else [fresh]
    if fresh.period.end - last.period.end < _NEARLY_NOW:
        return [last]
    if request.kind is Kind.BACKFILL:
        fresh = replace(fresh, period=replace(fresh.period, start=last.period.end))
    return [last, fresh]


def _matches_request(fetch: Fetch, request: FetchRequest) -> bool:
    if fetch.kind is not request.kind:
        return False
    if request.period is None:
        return True
    same_end = fetch.period.end <= request.period.end if request.is_up_to_now else fetch.period.end == request.period.end
    return fetch.period.start == request.period.start and same_end


def _fresh_period(request: FetchRequest, settings: BotmakerSettings, zone: str, known: Iterable[Fetch], now: datetime) -> Window:
    if request.period is not None:
        return request.period
    if request.kind is Kind.SWEEP:
        return Window(now - timedelta(days=settings.sweep_days), now)
    periods = [fetch.period for fetch in known if fetch.kind is Kind.INCREMENTAL]
    if not periods:
        return Window(_first_start(settings, zone, now), now)
    earliest, latest_end = min(period.start for period in periods), max(period.end for period in periods)
    return Window(max(earliest, latest_end - timedelta(days=settings.overlap_days)), now)


def _first_start(settings: BotmakerSettings, zone: str, now: datetime) -> datetime:
    if settings.start is not None:
        start = _start_of_day(settings.start, zone)
        if start >= now:
            raise StartsError(f"BOTMAKER_START is {settings.start}, which is in the future: set it to the first day to fetch.")
        return start
    # The first midnight within the last seven days, not exactly seven days ago, because time passes until the first page is requested.
    return datetime(now.year, now.month, now.day, tzinfo=UTC) - LONG_TERM_AFTER + timedelta(days=1)


def stamp(moment: datetime) -> str:
    return moment.strftime(_STAMP)


def api_time(moment: datetime) -> str:
    """Format a time in the only format that Botmaker accepts."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _from_stamp(text: str) -> datetime:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)


def _parse_time(text: str, zone: str, *, is_end: bool = False) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return _start_of_day(date.fromisoformat(text) + timedelta(days=is_end), zone)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise StartsError(f"{text!r} is neither a day such as 2026-10-01 nor a time in UTC such as 2026-10-01T12:00:00Z.")
    return whole_second(moment)


def _start_of_day(day: date, zone: str) -> datetime:
    """Return the start of a report day: its first quarter of an hour by DuckDB's rules, which also determine the days of the marts.

    Python's rules come from the machine, which may have a tz database of another year. Clocks change by multiples of a quarter of an hour,
    so this is also right if the day has no midnight, or two.
    """
    with duckdb.connect() as connection:
        row = connection.execute(
            """
            select min(quarter)
            from range($day::timestamp - interval 15 hour, $day::timestamp + interval 15 hour, interval 15 minute) as quarters (quarter)
            where timezone($zone, timezone('UTC', quarter))::date >= $day::date
            """,
            {"day": day, "zone": zone},
        ).fetchone()
    assert row is not None
    return row[0].replace(tzinfo=UTC)
