"""Tests of Botmaker as a source: pages are fetched whole, once and at its pace, and the token is not leaked."""

import json
import ssl
import subprocess
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import httpx
import pyarrow as pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fsspec import AbstractFileSystem

from orchestration.botmaker import transport
from orchestration.botmaker.client import (
    CHANNELS,
    SENT_RESULT,
    SENT_RESULTS,
    SESSIONS,
    TRIES,
    BotmakerClient,
    BotmakerRefusedError,
    checked_next_page,
)
from orchestration.botmaker.fetch import fetch, open_source
from orchestration.botmaker.pages import PageSet, folder_name, page_sets_of
from orchestration.botmaker.settings import BotmakerSettings
from orchestration.botmaker.windows import (
    Fetch,
    FetchRequest,
    Kind,
    Window,
    build_request,
    needs_long_term_search,
    plan_fetches,
    split_by_day,
)
from orchestration.errors import StartsError
from orchestration.landing.feeds import FEED_NAMES, SENDS
from orchestration.landing.land import land_feed
from orchestration.landing.zone import LandingZone
from orchestration.settings import PROJECT_ROOT, SAMPLE_LOGS, Settings, SettingsError
from tests.botmaker_server import TOKEN, Fault, botmaker_server
from tests.botmaker_site import NOW, Botmaker, add_sessions, botmaker_site

ZONE = "America/Sao_Paulo"
DAY = timedelta(days=1)


@pytest.fixture
def botmaker(tmp_path: Path) -> Iterator[Botmaker]:
    with botmaker_site(tmp_path) as site:
        yield site


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- windows


def test_period_is_split_at_midnight() -> None:
    assert split_by_day(Window(utc("2026-11-01T21:00:00"), utc("2026-11-03T00:00:01"))) == [
        Window(utc("2026-11-01T21:00:00"), utc("2026-11-02T00:00:00")),
        Window(utc("2026-11-02T00:00:00"), utc("2026-11-03T00:00:00")),
        Window(utc("2026-11-03T00:00:00"), utc("2026-11-03T00:00:01")),
    ]


@pytest.mark.parametrize(
    ("start", "end", "pieces"),
    [
        ("2026-11-01T00:00:00", "2026-11-02T00:00:00", 1),
        ("2026-11-01T00:00:00", "2026-11-01T00:00:00", 0),
        ("2026-11-01T23:59:59", "2026-11-02T00:00:01", 2),
        ("2026-02-28T00:00:00", "2026-03-01T00:00:00", 1),
        ("2026-01-01T00:00:00", "2027-01-01T00:00:00", 365),
    ],
)
def test_windows_join_without_gaps_and_last_at_most_a_day(start: str, end: str, pieces: int) -> None:
    windows = split_by_day(Window(utc(start), utc(end)))
    assert len(windows) == pieces
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert all(timedelta() < window.end - window.start <= DAY for window in windows)
    assert not windows or (windows[0].start, windows[-1].end) == (utc(start), utc(end))


def test_names_of_windows_and_fetches_can_be_parsed() -> None:
    window = Window(utc("2026-11-01T21:00:00"), utc("2026-11-03T00:00:01"))
    made = Fetch(Kind.SWEEP, window, NOW)
    assert made.name == "2026-11-01T210000Z--2026-11-03T000001Z/sweep-2026-11-07T123015Z"
    assert Window.from_name(window.name) == window
    assert Fetch.from_name(made.name) == made
    for other in ("", "2026", f"{window.name}/other-2026-11-07T123015Z", f"{window.name}/sweep", made.name + "/x"):
        assert Fetch.from_name(other) is None


def test_long_term_search_is_used_for_windows_that_start_more_than_seven_days_ago() -> None:
    assert not needs_long_term_search(Window(NOW - 7 * DAY, NOW), NOW)
    assert needs_long_term_search(Window(NOW - 7 * DAY - timedelta(seconds=1), NOW), NOW)


def plan(asked: FetchRequest, *known: Fetch, finished: bool = True, now: datetime = NOW, **settings: Any) -> list[Fetch]:
    botmaker = BotmakerSettings("token", **settings)
    return plan_fetches(asked, botmaker, zone=ZONE, known=known, is_finished=lambda _: finished, now=now)


def incremental(start: datetime, end: datetime) -> Fetch:
    return Fetch(Kind.INCREMENTAL, Window(start, end), end)


def test_first_fetch_starts_at_a_midnight_within_seven_days_or_at_the_configured_start() -> None:
    (first,) = plan(FetchRequest())
    assert first == Fetch(Kind.INCREMENTAL, Window(utc("2026-11-01T00:00:00"), NOW), NOW)
    assert not any(needs_long_term_search(window, NOW) for window in split_by_day(first.period))
    (first,) = plan(FetchRequest(), start=date(2026, 10, 1))
    assert first.period.start == utc("2026-10-01T03:00:00")
    with pytest.raises(StartsError, match="BOTMAKER_START"):
        plan(FetchRequest(), start=date(2026, 11, 8))
    with pytest.raises(StartsError, match="BOTMAKER_START"):
        plan(FetchRequest(), start=date(2026, 11, 7), now=utc("2026-11-07T03:00:00"))


def test_next_fetch_repeats_the_overlap_but_nothing_before_the_first_fetch() -> None:
    earlier = incremental(utc("2026-09-01T00:00:00"), utc("2026-11-06T05:00:00"))
    assert plan(FetchRequest(), earlier)[0].period == Window(utc("2026-11-03T05:00:00"), NOW)
    assert plan(FetchRequest(), earlier, overlap_days=0)[0].period == Window(utc("2026-11-06T05:00:00"), NOW)
    assert plan(FetchRequest(), incremental(earlier.period.start, NOW - 30 * DAY), earlier)[0].period.start == utc("2026-11-03T05:00:00")
    young = incremental(utc("2026-11-06T00:00:00"), utc("2026-11-06T05:00:00"))
    assert plan(FetchRequest(), young)[0].period == Window(utc("2026-11-06T00:00:00"), NOW)


def test_backfills_and_sweeps_do_not_move_the_increment() -> None:
    earlier = incremental(utc("2026-10-20T00:00:00"), utc("2026-11-01T05:00:00"))
    others = [
        Fetch(kind, Window(utc("2025-01-01T00:00:00"), utc("2026-11-06T00:00:00")), NOW - DAY) for kind in (Kind.SWEEP, Kind.BACKFILL)
    ]
    assert plan(FetchRequest(), earlier, *others)[0].period == Window(utc("2026-10-29T05:00:00"), NOW)
    assert plan(FetchRequest(), *others)[0].period.start == utc("2026-11-01T00:00:00")


def test_unfinished_increment_is_resumed_before_a_new_one() -> None:
    minutes_ago, yesterday = incremental(NOW - 4 * DAY, NOW - timedelta(minutes=5)), incremental(NOW - 4 * DAY, NOW - DAY)
    assert plan(FetchRequest(), minutes_ago, finished=False) == [minutes_ago]
    assert plan(FetchRequest(), yesterday, finished=False) == [yesterday, Fetch(Kind.INCREMENTAL, Window(NOW - 4 * DAY, NOW), NOW)]
    hour = timedelta(hours=1)
    assert len(plan(FetchRequest(), incremental(NOW - 4 * DAY, NOW - hour), finished=False)) == 2
    assert len(plan(FetchRequest(), incremental(NOW - 4 * DAY, NOW - hour + timedelta(seconds=1)), finished=False)) == 1


def test_sweep_reads_thirty_days_and_an_unfinished_sweep_is_resumed() -> None:
    (sweep,) = plan(FetchRequest(Kind.SWEEP))
    assert sweep.period == Window(NOW - 30 * DAY, NOW)
    assert plan(FetchRequest(Kind.SWEEP), sweep, finished=False, now=NOW + DAY) == [sweep]
    assert plan(FetchRequest(Kind.SWEEP), sweep, finished=False, now=NOW + 7 * DAY)[0].period.end == NOW + 7 * DAY
    assert plan(FetchRequest(Kind.SWEEP), sweep, now=NOW + DAY)[0].period.end == NOW + DAY


def test_backfill_is_resumed_when_the_same_period_is_requested_again() -> None:
    october = build_request("2026-10-01", "2026-10-31", sweep=False, zone=ZONE, now=NOW)
    (begun,) = plan(october)
    assert begun.period == Window(utc("2026-10-01T03:00:00"), utc("2026-11-01T03:00:00"))
    assert plan(october, begun, finished=False, now=NOW + DAY) == [begun]
    assert plan(october, begun, now=NOW + DAY) == [Fetch(Kind.BACKFILL, begun.period, NOW + DAY)]
    other = build_request("2026-10-02", "2026-10-31", sweep=False, zone=ZONE, now=NOW)
    assert plan(other, begun, finished=False)[0].period == other.period
    longer = build_request("2026-10-01", "2026-11-01", sweep=False, zone=ZONE, now=NOW)
    assert [fetch.period for fetch in plan(longer, begun, finished=False)] == [longer.period]

    open_ended = build_request("2026-10-01", None, sweep=False, zone=ZONE, now=NOW)
    (begun,) = plan(open_ended)
    later = NOW + DAY
    rest = plan(build_request("2026-10-01", None, sweep=False, zone=ZONE, now=later), begun, finished=False, now=later)
    assert [fetch.period for fetch in rest] == [begun.period, Window(NOW, later)]


def test_two_fetches_in_the_same_second_have_different_names() -> None:
    (first,) = plan(FetchRequest(Kind.SWEEP))
    (second,) = plan(FetchRequest(Kind.SWEEP), first)
    (third,) = plan(FetchRequest(Kind.SWEEP), first, second)
    assert len({first.name, second.name, third.name}) == 3
    # The last of them is the one to resume.
    resumed = plan_fetches(
        FetchRequest(Kind.SWEEP),
        BotmakerSettings("token"),
        zone=ZONE,
        known=[first, second],
        is_finished=lambda each: each == first,
        now=NOW,
    )
    assert resumed == [second]


@pytest.mark.parametrize(
    ("start", "end", "sweep", "message"),
    [
        ("yesterday", None, False, "neither a day"),
        ("2026-02-30", None, False, "neither a day"),
        ("2026-10-01T00:00:00", None, False, "neither a day"),
        ("2026-10-01", "soon", False, "neither a day"),
        (None, "2026-10-01", False, "has no start"),
        ("2026-10-02", "2026-10-01", False, "is empty"),
        ("2026-12-01", None, False, "before now"),
        ("2026-10-01", None, True, "already has its period"),
    ],
)
def test_invalid_period_is_reported(start: str | None, end: str | None, sweep: bool, message: str) -> None:
    with pytest.raises(StartsError, match=message):
        build_request(start, end, sweep=sweep, zone=ZONE, now=NOW)


def test_period_may_have_times_and_ends_now_at_the_latest() -> None:
    asked = build_request("2026-10-01T12:00:00.9Z", "2026-12-24", sweep=False, zone=ZONE, now=NOW)
    assert asked == FetchRequest(Kind.BACKFILL, Window(utc("2026-10-01T12:00:00"), NOW), is_up_to_now=True)
    assert build_request("2026-10-01T09:00:00-03:00", "2026-10-02T00:00:00Z", sweep=False, zone=ZONE, now=NOW).period == Window(
        utc("2026-10-01T12:00:00"), utc("2026-10-02T00:00:00")
    )


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("Asia/Kathmandu", "2025-03-30", "2025-03-29T18:15:00"),
        # Clocks change at midnight: the day has two midnights, or none.
        ("Atlantic/Azores", "2025-10-26", "2025-10-26T00:00:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),
        # Morocco has no summer time since September 2026, which an older tz database of the machine does not know.
        ("Africa/Casablanca", "2026-10-01", "2026-10-01T00:00:00"),
    ],
)
def test_day_starts_by_the_rules_of_the_marts(zone: str, day: str, start: str) -> None:
    asked = build_request(day, day, sweep=False, zone=zone, now=NOW)
    assert asked.period is not None
    assert asked.period.start == utc(start)


def test_page_names_show_the_progress_of_a_page_set() -> None:
    assert page_sets_of(
        [
            "f/done/page-00001.json.zst",
            "f/done/page-00002.last.json.zst",
            "f/begun/page-00001.json.zst",
            "f/again/page-00001.json.zst",
            "f/again/page-00007.json.zst",
            "f/again_2/page-00001.json.zst",
            "f/shorter/page-00002.last.json.zst",
            "f/shorter/page-00003.json.zst",
            "f/notes.json",
        ]
    ) == {
        "f/done": PageSet("f/done", 1, 2, is_complete=True),
        "f/begun": PageSet("f/begun", 1, 1),
        "f/again": PageSet("f/again", 2, 1),
        "f/shorter": PageSet("f/shorter", 1, 2, is_complete=True),
    }


@pytest.mark.parametrize("identifier", ["../../etc", "a/b", ".hidden", "_x", "a_2", "", "x" * 101, "a\x00b", "ação", "\ud800", "a\n"])
def test_unsafe_identifier_is_replaced_by_a_hash(identifier: str) -> None:
    assert folder_name(identifier).startswith("sha256-")
    assert len(folder_name(identifier)) == 71


# --- settings


def test_settings_have_defaults_and_hide_the_token() -> None:
    settings = BotmakerSettings.from_environment({"BOTMAKER_ACCESS_TOKEN": f" {TOKEN}\n", "BOTMAKER_START": ""})
    assert settings == BotmakerSettings(TOKEN, "https://api.botmaker.com/v2.0", 3, 30, None)
    assert TOKEN not in repr(settings)
    given = {"BASE_URL": " http://localhost:8080/v2/ ", "OVERLAP_DAYS": "0", "SWEEP_DAYS": "366", "START": " 2026-10-01 "}
    settings = BotmakerSettings.from_environment({"BOTMAKER_ACCESS_TOKEN": TOKEN} | {f"BOTMAKER_{name}": given[name] for name in given})
    assert settings == BotmakerSettings(TOKEN, "http://localhost:8080/v2", 0, 366, date(2026, 10, 1))
    assert settings.is_local


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOTMAKER_ACCESS_TOKEN", ""),
        ("BOTMAKER_ACCESS_TOKEN", "two words"),
        ("BOTMAKER_ACCESS_TOKEN", "línea"),
        ("BOTMAKER_ACCESS_TOKEN", "a\r\nx-header: b"),
        ("BOTMAKER_BASE_URL", "http://api.botmaker.com/v2.0"),
        ("BOTMAKER_BASE_URL", "https://user:word@api.botmaker.com"),
        ("BOTMAKER_BASE_URL", "http://127.0.0.1.example.com"),
        ("BOTMAKER_BASE_URL", "api.botmaker.com"),
        ("BOTMAKER_BASE_URL", "https://"),
        ("BOTMAKER_BASE_URL", "https://api.botmaker.com/v2.0?x=1"),
        ("BOTMAKER_BASE_URL", "https://api.botmaker.com/v2.0#x"),
        ("BOTMAKER_BASE_URL", "https://host:port"),
        ("BOTMAKER_OVERLAP_DAYS", "-1"),
        ("BOTMAKER_OVERLAP_DAYS", "1.5"),
        ("BOTMAKER_SWEEP_DAYS", "0"),
        ("BOTMAKER_SWEEP_DAYS", "367"),
        ("BOTMAKER_START", "01/10/2026"),
    ],
)
def test_invalid_setting_is_reported_and_a_token_is_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        BotmakerSettings.from_environment({"BOTMAKER_ACCESS_TOKEN": TOKEN, name: value})
    assert TOKEN not in str(caught.value)
    assert name != "BOTMAKER_ACCESS_TOKEN" or not value or value not in str(caught.value)


def test_environment_overrides_settings_of_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text(f"BOTMAKER_ACCESS_TOKEN={TOKEN}\nBOTMAKER_OVERLAP_DAYS=5\nSTARTS_LANGUAGE=es\n")
    monkeypatch.setattr("orchestration.settings.ENV_FILE", file)
    monkeypatch.delenv("BOTMAKER_ACCESS_TOKEN", raising=False)
    assert BotmakerSettings.from_environment() == BotmakerSettings(TOKEN, overlap_days=5)
    assert Settings.from_environment().language == "es"
    monkeypatch.setenv("BOTMAKER_OVERLAP_DAYS", "7")
    assert BotmakerSettings.from_environment().overlap_days == 7
    monkeypatch.setenv("BOTMAKER_ACCESS_TOKEN", "")
    with pytest.raises(SettingsError, match=r"BOTMAKER_ACCESS_TOKEN is not set.*Botmaker API - Credentials"):
        BotmakerSettings.from_environment()


def test_git_ignores_the_env_file() -> None:
    assert subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=PROJECT_ROOT).returncode == 0


# --- the client


def test_all_pages_are_followed(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 5)
    with botmaker.client() as client:
        page = client.first_page(SESSIONS, {"from": "2026-11-07T00:00:00Z", "include-open-sessions": "true"})
        found = list(page.items)
        while page.next_page is not None:
            page = client.next_page(SESSIONS, page.next_page)
            found += page.items
    assert [item["id"] for item in found] == ids
    assert (client.requests, client.retries) == (3, 0)


FAULTS = {
    "429 without a word": Fault("status", status=429),
    "429 with seconds": Fault("status", status=429, headers={"retry-after": "7"}),
    "429 with a date": Fault("status", status=429, headers={"retry-after": format_datetime(NOW + timedelta(seconds=7), usegmt=True)}),
    "429 with nonsense": Fault("status", status=429, headers={"retry-after": "soon"}),
    "500": Fault("status", status=500, body=b"<html>"),
    "503 with seconds": Fault("status", status=503, headers={"retry-after": "7"}),
    "broken in the middle": Fault("broken"),
    "half of the JSON": Fault("half_json"),
    "not JSON": Fault("raw", body=b"<html>proxy</html>"),
    "a wrong encoding": Fault("status", status=200, body=b"not gzip", headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_transient_fault_is_retried_after_a_wait(botmaker: Botmaker, name: str) -> None:
    add_sessions(botmaker.server, 2)
    botmaker.server.fail(FAULTS[name])
    with botmaker.client() as client:
        page = client.first_page(SESSIONS, {"from": "2026-11-07T00:00:00Z", "include-open-sessions": "true"})
    assert len(page.items) == 2
    assert (client.requests, client.retries) == (2, 1)
    waited = botmaker.server.requests[1].at - botmaker.server.requests[0].at
    assert 7 <= waited < 8 if "seconds" in name or "date" in name else 1 <= waited <= 2.1
    assert len(botmaker.said) == 1


def test_timeout_is_retried(botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.botmaker.transport._SILENCE_TIMEOUT", httpx.Timeout(0.3))
    botmaker.server.channels = [{"id": "c"}]
    botmaker.server.fail(Fault("slow", seconds=1.0))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).items == [{"id": "c"}]
    assert client.retries == 1
    assert "ReadTimeout" in botmaker.said[0]


def test_waits_grow_and_retries_end(botmaker: Botmaker) -> None:
    botmaker.server.fail(*[Fault("status", status=502)] * TRIES)
    with (
        botmaker.client() as client,
        pytest.raises(StartsError, match=rf"did not answer channels in {TRIES} tries; the last time: HTTP 502"),
    ):
        client.first_page(CHANNELS)
    at = [request.at for request in botmaker.server.requests]
    waits = [after - before for before, after in pairwise(at)]
    assert len(at) == TRIES
    assert all(2**n <= wait <= min(60, 2**n + 1) or wait == 60 for n, wait in enumerate(waits))


def test_wait_is_not_shorter_than_usual_if_botmaker_asks_for_none(botmaker: Botmaker) -> None:
    botmaker.server.fail(Fault("status", status=503, headers={"retry-after": "0"}))
    with botmaker.client() as client:
        client.first_page(SESSIONS, {"from": "2026-11-06T00:00:00Z", "to": "2026-11-07T00:00:00Z"})
    first, second = (request.at for request in botmaker.server.requests)
    assert second - first >= 1


def test_unreachable_server_is_reported_after_all_retries(botmaker: Botmaker) -> None:
    botmaker.server.close()
    with botmaker.client() as client, pytest.raises(StartsError, match="ConnectError"):
        client.first_page(CHANNELS)
    assert client.requests == TRIES


def test_long_retry_after_is_left_to_the_operator(botmaker: Botmaker) -> None:
    botmaker.server.fail(Fault("status", status=429, headers={"retry-after": "7200"}))
    with botmaker.client() as client, pytest.raises(StartsError, match="wait for 120 minutes"):
        client.first_page(CHANNELS)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token_is_reported_without_the_token(botmaker: Botmaker, status: int) -> None:
    botmaker.server.fail(Fault("status", status=status, body=json.dumps({"errors": [{"message": TOKEN}]}).encode()))
    with botmaker.client() as client, pytest.raises(StartsError) as caught:
        client.first_page(CHANNELS)
    assert "BOTMAKER_ACCESS_TOKEN" in str(caught.value)
    assert "Botmaker API - Credentials" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert client.requests == 1


def test_refused_request_is_reported_without_the_token(botmaker: Botmaker) -> None:
    botmaker.server.fail(Fault("status", status=400, body=json.dumps({"errors": [{"message": f"bad {TOKEN}"}]}).encode()))
    with botmaker.client() as client:
        with pytest.raises(BotmakerRefusedError, match=r"HTTP 400\): bad \*\*\*\. If"):
            client.first_page(CHANNELS)
        with pytest.raises(BotmakerRefusedError, match="UTC time with Z"):
            client.first_page(SESSIONS, {"from": "2026-11-07T00:00:00"})
    assert client.requests == 2


def test_redirect_is_not_followed(botmaker: Botmaker) -> None:
    with botmaker_server() as other:
        botmaker.server.fail(Fault("status", status=302, headers={"location": f"{other.base_url}/channels"}))
        with botmaker.client() as client, pytest.raises(StartsError, match="BOTMAKER_BASE_URL"):
            client.first_page(CHANNELS)
        assert other.requests == []


@pytest.mark.parametrize(("kind", "requests"), [("empty", 1), ("zero_length", 2)])
def test_empty_answer_counts_if_it_is_explicit_or_repeated(botmaker: Botmaker, kind: str, requests: int) -> None:
    botmaker.server.fail(*[Fault(kind)] * requests)
    with botmaker.client() as client:
        page = client.first_page(CHANNELS)
    assert (page.items, page.next_page, page.body) == ([], None, b"")
    assert client.requests == requests


def test_single_empty_answer_loses_no_records(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 3)
    # The first window, and the second page of the last window.
    botmaker.server.fail(Fault("zero_length", "/sessions"))
    with patch.object(botmaker.server, "_next", side_effect=_empty_once(botmaker)):
        botmaker.fetch("sessions")
    assert botmaker.ids() == ids


def _empty_once(botmaker: Botmaker) -> Callable[[dict[str, str]], tuple[int, Any]]:
    answer, seen = botmaker.server._next, []

    def empty_once(query: dict[str, str]) -> tuple[int, Any]:
        seen.append(query)
        return (200, None) if len(seen) == 1 else answer(query)

    return empty_once


@pytest.mark.parametrize("body", [b"[]", b'"text"', b'{"data": []}', b'{"items": {}}', b'{"items": [], "nextPage": 1}'])
def test_answer_of_another_shape_is_refused(botmaker: Botmaker, body: bytes) -> None:
    botmaker.server.fail(Fault("raw", body=body))
    with botmaker.client() as client, pytest.raises(StartsError, match="Botmaker's answer has"):
        client.first_page(CHANNELS)


def test_invalid_byte_in_a_text_does_not_stop_a_page(botmaker: Botmaker) -> None:
    body = b'{"items": [{"id": "caf\xe9"}], "nextPage": null}'
    botmaker.server.fail(Fault("raw", body=body))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).body == body


BASE = "https://api.botmaker.com/v2.0"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("https://api.botmaker.com/v2.0/sessions?a=%7B1%7D&b=x+y", "https://api.botmaker.com/v2.0/sessions?a=%7B1%7D&b=x+y"),
        ("http://api.botmaker.com/v2.0/sessions?x=1", "https://api.botmaker.com/v2.0/sessions?x=1"),
        ("http://API.botmaker.com:80/v2.0/sessions", "https://api.botmaker.com/v2.0/sessions"),
        ("https://someone@api.botmaker.com:443/v2.0/sessions#f", "https://api.botmaker.com/v2.0/sessions"),
    ],
)
def test_next_page_is_requested_over_https(given: str, asked: str) -> None:
    assert checked_next_page(BASE, given) == asked


@pytest.mark.parametrize(
    "given",
    [
        "https://api.botmaker.com.example.com/v2.0/sessions",
        "https://example.com/v2.0/sessions?host=api.botmaker.com",
        "https://api.botmaker.com@example.com/",
        "https://api.botmaker.com:8443/v2.0/sessions",
        "https://api.botmaker.com:x/",
        "//example.com/",
        "ftp://api.botmaker.com/",
        "/v2.0/sessions",
        "https://[",
    ],
)
def test_next_page_outside_of_botmakers_server_is_refused(given: str) -> None:
    with pytest.raises(StartsError, match=r"not to api\.botmaker\.com"):
        checked_next_page(BASE, given)


def test_https_is_forced_on_the_wire_and_every_request_has_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with botmaker_server(page_size=2, certificate=certificate) as server:
        ids = add_sessions(server, 3, day=f"{datetime.now(UTC):%Y-%m-%d}")
        assert server.next_page_scheme == "http"
        with BotmakerClient(BotmakerSettings(TOKEN, server.base_url)) as client:
            page = client.first_page(SESSIONS, {"from": f"{ids[0][-24:-14]}T00:00:00Z", "to": f"{ids[0][-24:-14]}T23:00:00Z"})
            assert page.next_page is not None
            assert page.next_page.startswith("http://")
            assert len(client.next_page(SESSIONS, page.next_page).items) == 1
        assert [request.headers["access-token"] for request in server.requests] == [TOKEN] * 2


def test_proxy_of_the_environment_is_used_unless_the_server_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with botmaker_site(tmp_path) as site:
        # No program listens on the port 9.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with site.client() as client:
            client.first_page(CHANNELS)
        assert len(site.server.requests) == 1
        monkeypatch.setenv("HTTP_PROXY", site.server.base_url.removesuffix("/v2.0"))
        through_proxy = transport.Transport({}, trust_env=True)
        through_proxy.get("http://api.invalid/v2.0/channels")
        through_proxy.close()
        assert len(site.server.requests) == 2


def test_certificates_of_the_machine_are_trusted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy has a certificate that only the machine knows."""
    loaded: list[ssl.SSLContext] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda context: loaded.append(context))
    context = transport._tls_context.__wrapped__(None, None)
    assert loaded == [context]


def self_signed(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 to a file and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_next_page_on_another_host_gets_no_request(botmaker: Botmaker) -> None:
    add_sessions(botmaker.server, 5)
    with botmaker_server() as other:
        botmaker.server.next_page_host = f"127.0.0.1:{other.port}"
        with pytest.raises(StartsError, match="nextPage leads to"):
            botmaker.fetch("sessions")
        assert other.requests == []


def test_circular_pages_end_with_an_error(botmaker: Botmaker) -> None:
    url = f"{botmaker.server.base_url}/channels?again"
    body = json.dumps({"items": [{}], "nextPage": url}).encode()
    botmaker.server.fail(*[Fault("raw", "/channels", body=body)] * 5)
    with pytest.raises(StartsError, match="form a loop"):
        botmaker.fetch("channels")


def test_each_endpoint_keeps_its_pace_including_retries(botmaker: Botmaker) -> None:
    botmaker.server.add_notification("n1", "2026-11-07T00:00:00Z", None)
    botmaker.server.add_notification("n2", "2026-11-07T00:00:00Z", None)
    botmaker.server.fail(Fault("status", "/notifications/sent-results/", status=429))
    with botmaker.client() as client:
        for _ in range(12):
            client.first_page(SESSIONS)
            client.first_page(SENT_RESULTS, {"from": "2026-11-07T00:00:00Z"})
            client.first_page(CHANNELS)
        for instance in ("n1", "n2", "n1"):
            client.first_page(SENT_RESULT.for_item(instance))

    def most_in(path: str, seconds: float) -> int:
        at = [request.at for request in botmaker.server.requests if request.path.startswith(path)]
        return max(sum(1 for other in at if start <= other < start + seconds - 1e-9) for start in at)

    assert most_in("/sessions", 1) <= 5
    assert most_in("/notifications/sent-results/", 60) <= 3
    assert most_in("/channels", 1) <= 1
    lists = botmaker.server.requests_of("/notifications/sent-results")
    assert all(after.at - before.at >= 1 / 30 - 1e-9 for before, after in pairwise(lists))


def test_pace_holds_on_a_real_clock() -> None:
    with botmaker_server() as server, BotmakerClient(BotmakerSettings(TOKEN, server.base_url)) as client:
        for _ in range(4):
            client.first_page(SESSIONS)
        at = [request.at for request in server.requests]
    assert at[-1] - at[0] >= 0.55


# --- fetching


def test_pages_land_unchanged_under_names_that_can_be_parsed(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 3)
    report = botmaker.fetch("sessions")
    assert sorted(botmaker.ids()) == ids
    pages = botmaker.pages("sessions")
    fetched = "2026-11-01T000000Z--2026-11-07T123015Z/incremental-2026-11-07T123015Z"
    assert list(pages)[-2:] == [
        f"{fetched}/2026-11-07T000000Z--2026-11-07T123015Z/page-00001.json.zst",
        f"{fetched}/2026-11-07T000000Z--2026-11-07T123015Z/page-00002.last.json.zst",
    ]
    assert (report.windows, report.pages, report.items, report.requests) == (7, 8, 3, 8)
    assert report.bytes == sum(map(len, pages.values()))
    assert len(botmaker.said) == 7
    assert botmaker.said[-1] == "sessions: 2026-11-07T00:00:00Z to 2026-11-07T12:30:15Z (7 of 7): 2 pages, 3 items"


def test_bodies_are_stored_byte_for_byte(botmaker: Botmaker) -> None:
    botmaker.settings = replace(botmaker.settings, start=date(2026, 11, 7))
    body = '{ "items" : [ {"id":"é\\u00e9", "n":1.0} ],\n "nextPage":null }\n'.encode()
    botmaker.server.fail(Fault("raw", body=body))
    botmaker.fetch("sessions")
    assert list(botmaker.pages("sessions").values()) == [body]


def test_requests_include_open_sessions_with_all_details(botmaker: Botmaker) -> None:
    botmaker.fetch("sessions")
    for request in botmaker.server.requests:
        assert (
            request.query.items()
            >= {
                "include-open-sessions": "true",
                "include-messages": "true",
                "include-events": "true",
                "timestamp-precision": "milliseconds",
            }.items()
        )
        assert "long-term-search" not in request.query


def test_only_windows_beyond_seven_days_use_long_term_search(botmaker: Botmaker) -> None:
    botmaker.fetch("sessions", build_request("2026-10-28", None, sweep=False, zone=ZONE, now=NOW))
    long_term = {request.query["from"]: request.query.get("long-term-search") for request in botmaker.server.requests}
    assert long_term == {
        "2026-10-28T03:00:00Z": "true",
        **{f"2026-10-{day}T00:00:00Z": "true" for day in (29, 30, 31)},
        **{f"2026-11-0{day}T00:00:00Z": None for day in range(1, 8)},
    }


def test_open_session_is_fetched_again_after_it_has_closed(botmaker: Botmaker) -> None:
    botmaker.server.add_session("A_2026-11-06T20:00:00.000Z", "2026-11-06T20:00:00.000Z", is_open=True)
    botmaker.fetch("sessions")
    botmaker.server.close_session("A_2026-11-06T20:00:00.000Z", events=[{"name": "conversation-close"}])
    botmaker.time.now += DAY
    botmaker.fetch("sessions")
    bodies = [json.loads(body)["items"] for body in botmaker.pages("sessions").values()]
    assert [item["events"] for items in bodies for item in items] == [[], [{"name": "conversation-close"}]]


def test_unchanged_day_gives_the_same_bytes(botmaker: Botmaker) -> None:
    add_sessions(botmaker.server, 1, "2026-11-05")
    botmaker.fetch("sessions")
    botmaker.time.now += DAY
    botmaker.fetch("sessions")
    files = [path.read_bytes() for path in botmaker.landing.rglob("2026-11-05T000000Z--2026-11-06T000000Z/*")]
    assert len(files) == 2
    assert files[0] == files[1]


def test_increment_overlaps_the_previous_one(botmaker: Botmaker) -> None:
    botmaker.fetch("sessions")
    botmaker.server.requests.clear()
    botmaker.time.now += DAY
    botmaker.fetch("sessions")
    requests = botmaker.server.requests
    assert len(requests) == 5
    assert requests[0].query["from"] == "2026-11-04T12:30:15Z"
    assert requests[-1].query["to"] == "2026-11-08T12:30:16Z"


def test_interrupted_fetch_resumes_after_its_last_whole_page(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 9)
    with pytest.raises(StartsError, match="HTTP 401"), patch.object(botmaker.server, "_next", side_effect=_expire_after(botmaker, 2)):
        botmaker.fetch("sessions")
    before = botmaker.pages("sessions")
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids
    assert botmaker.pages("sessions").items() >= before.items()
    assert len(botmaker.server.answered) == len(set(botmaker.server.answered))


def _expire_after(botmaker: Botmaker, pages: int) -> Callable[[dict[str, str]], tuple[int, Any]]:
    answer, left = botmaker.server._next, [pages]

    def expired(query: dict[str, str]) -> tuple[int, Any]:
        left[0] -= 1
        return answer(query) if left[0] >= 0 else (401, {"errors": []})

    return expired


def test_expired_page_address_restarts_the_window(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 6)
    with pytest.raises(StartsError, match="HTTP 401"), patch.object(botmaker.server, "_next", side_effect=_expire_after(botmaker, 1)):
        botmaker.fetch("sessions")
    first_attempt = botmaker.pages("sessions")
    (stored,) = [json.loads(body)["nextPage"] for name, body in first_attempt.items() if "page-00002" in name]
    botmaker.server.forgotten_cursors.add(httpx.URL(stored).params["cursor"])
    with pytest.raises(StartsError, match="HTTP 400"):
        # The new attempt meets the same expired address: this is an error, so that the window is not restarted forever.
        botmaker.fetch("sessions")
    botmaker.server.forgotten_cursors.clear()
    botmaker.fetch("sessions")
    pages = botmaker.pages("sessions")
    assert pages.items() >= first_attempt.items()
    second = [body for name, body in pages.items() if "_2/" in name]
    assert [item["id"] for body in second for item in json.loads(body)["items"]] == ids


def test_empty_answer_completes_a_window(botmaker: Botmaker) -> None:
    botmaker.settings = replace(botmaker.settings, start=date(2026, 11, 7))
    botmaker.server.fail(Fault("empty"))
    botmaker.fetch("sessions")
    assert list(botmaker.pages("sessions").values()) == [b""]
    (again,) = plan(FetchRequest(), *[Fetch(Kind.INCREMENTAL, Window(utc("2026-11-07T03:00:00"), NOW), NOW)])
    assert again.period.start == utc("2026-11-07T03:00:00")


def test_empty_page_lands_as_a_file_without_records(tmp_path: Path) -> None:
    zone = LandingZone(str(tmp_path), FEED_NAMES)
    zone.write("sends/page-00001.last.json.zst", pa.compress(b"", codec="zstd", asbytes=True))
    with duckdb.connect() as connection:
        report = land_feed(connection, zone, SENDS)
    assert (report.files_landed, report.records, report.files_set_aside) == (1, 0, [])


def test_results_are_fetched_for_new_and_changeable_notifications(botmaker: Botmaker) -> None:
    server = botmaker.server
    customer = {"customerId": "c", "sessionId": "s", "lastStatus": "sent"}
    server.add_notification("old", "2026-11-02T10:00:00Z", "2026-11-02T11:00:00Z", customer, customer, customer)
    server.add_notification("running", "2026-11-02T10:00:00Z", None, customer, status="RUNNING")
    server.add_notification("fresh", "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z", customer)
    botmaker.settings = replace(botmaker.settings, sweep_days=4, overlap_days=30)

    def fetched() -> list[str]:
        server.requests.clear()
        botmaker.fetch("sent_results")
        return sorted(request.path.rpartition("/")[2] for request in server.requests if request.path.count("/") == 3)

    assert fetched() == ["fresh", "old", "old", "running"]
    botmaker.time.now += DAY
    assert fetched() == ["fresh", "running"]
    pages = botmaker.pages("sent_results")
    assert {name.split("/")[0]: 0 for name in pages} == {"fresh": 0, "old": 0, "running": 0}
    assert all(json.loads(body)["customers"] for body in pages.values())
    assert {len(json.loads(body)["items"]) for body in botmaker.pages("sent_results_lists").values()} == {1, 2}


def test_interrupted_results_resume_without_repeated_requests(botmaker: Botmaker) -> None:
    customers = [{"customerId": str(n)} for n in range(5)]
    for name in ("n1", "n2", "n3"):
        botmaker.server.add_notification(name, "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z", *customers)
    answer, left = botmaker.server._sent_result, [5]

    def expired(path: str, instance_id: str, query: dict[str, str]) -> tuple[int, Any]:
        left[0] -= 1
        return answer(path, instance_id, query) if left[0] >= 0 else (401, {"errors": []})

    with pytest.raises(StartsError), patch.object(botmaker.server, "_sent_result", side_effect=expired):
        botmaker.fetch("sent_results")
    botmaker.fetch("sent_results")
    assert len(botmaker.server.answered) == len(set(botmaker.server.answered)) == 2 + 9
    assert len(botmaker.pages("sent_results")) == 9


def test_unfinished_results_are_fetched_once_before_new_ones(botmaker: Botmaker) -> None:
    botmaker.server.page_size = 10
    botmaker.settings = replace(botmaker.settings, sweep_days=1)
    for name in ("n1", "n2"):
        botmaker.server.add_notification(name, "2026-11-05T10:00:00Z", "2026-11-05T11:00:00Z", {"customerId": name})
    botmaker.server.fail(Fault("status", "/notifications/sent-results/n2", status=401))
    with pytest.raises(StartsError):
        botmaker.fetch("sent_results")
    botmaker.time.now += timedelta(hours=2)
    botmaker.server.add_notification("n3", "2026-11-07T13:00:00Z", "2026-11-07T14:00:00Z", {"customerId": "n3"})
    botmaker.fetch("sent_results")
    asked = [request.path.rpartition("/")[2] for request in botmaker.server.requests if request.path.count("/") == 3]
    assert asked == ["n1", "n2", "n2", "n3"]


def test_results_reach_back_three_months_and_a_message_reports_it(botmaker: Botmaker) -> None:
    botmaker.fetch("sent_results", build_request("2026-01-01", None, sweep=False, zone=ZONE, now=NOW))
    (request,) = botmaker.server.requests
    assert request.query == {"from": "2026-08-11T12:30:15Z", "to": "2026-11-07T12:30:15Z"}
    assert "three months" in botmaker.said[0]
    botmaker.fetch("sent_results", build_request("2026-01-01", "2026-02-01", sweep=False, zone=ZONE, now=NOW))
    assert len(botmaker.server.requests) == 1


def test_deleted_or_unusable_notification_does_not_block_the_others(botmaker: Botmaker) -> None:
    botmaker.server.page_size = 10
    for name in ("gone", "../../../escape", "fine"):
        botmaker.server.add_notification(name, "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z", {"customerId": name})
    botmaker.server.notifications["nameless"] = {"start": "2026-11-06T10:00:00Z"}
    botmaker.server.fail(Fault("status", "/notifications/sent-results/gone", status=404))
    botmaker.fetch("sent_results")
    folders = sorted(path.name for path in (botmaker.landing / "botmaker" / "sent_results").iterdir())
    assert folders == ["fine", folder_name("../../../escape")]
    assert sorted(path.name for path in botmaker.landing.iterdir()) == ["botmaker"]
    assert any("gone is gone" in line for line in botmaker.said)
    assert any("no usable notificationInstanceId" in line for line in botmaker.said)


def test_channels_are_stored_without_tokens_and_only_after_a_change(botmaker: Botmaker) -> None:
    secret = {"id": "t", "platform": "telegram", "token": "123:telegram-secret", "inner": [{"accessToken": "telegram-secret", "x": 1}]}
    secret["inner"][0] |= {"apiKeys": ["telegram-secret"], "client_secrets": {"a": "telegram-secret"}, "Password": "telegram-secret"}
    botmaker.server.channels = [secret, {"id": "w", "platform": "whatsapp", "name": "Línea"}]
    for day in range(3):
        botmaker.fetch("channels")
        botmaker.time.now += DAY
        if day == 1:
            botmaker.server.channels = [secret]
    pages = botmaker.pages("channels")
    assert list(pages) == ["2026-11-07T123015Z/page-00001.last.json.zst", "2026-11-09T123015Z/page-00001.last.json.zst"]
    assert [json.loads(body)["items"][0] for body in pages.values()] == [{"id": "t", "platform": "telegram", "inner": [{"x": 1}]}] * 2
    assert b"telegram-secret" not in b"".join(pages.values())


def test_templates_are_stored_unchanged_and_only_after_a_change(botmaker: Botmaker) -> None:
    botmaker.server.templates = [{"name": f"t{n}", "state": "APPROVED"} for n in range(3)]
    first = botmaker.fetch("whatsapp_templates")
    second = botmaker.fetch("whatsapp_templates")
    assert (first.pages, second.pages) == (2, 0)
    botmaker.server.templates[2]["state"] = "REJECTED"
    assert botmaker.fetch("whatsapp_templates").pages == 2
    assert len(botmaker.pages("whatsapp_templates")) == 4


def test_sweep_reads_thirty_days_again(botmaker: Botmaker) -> None:
    botmaker.fetch("sessions", FetchRequest(Kind.SWEEP))
    assert len(botmaker.server.requests) == 31
    assert botmaker.server.requests[0].query["from"] == "2026-10-08T12:30:15Z"


def test_fetch_does_not_write_to_the_bundled_samples(tmp_path: Path) -> None:
    before = sorted(SAMPLE_LOGS.parent.rglob("*"))
    (tmp_path / "linked").symlink_to(SAMPLE_LOGS)
    for landing in (str(SAMPLE_LOGS), f"file://{SAMPLE_LOGS}", str(SAMPLE_LOGS / ".." / "sample_logs"), str(tmp_path / "linked")):
        settings = Settings(landing=landing, data=tmp_path)
        with (
            pytest.raises(StartsError, match="Set STARTS_LANDING"),
            open_source(settings, BotmakerSettings("token"), log=print, warn=print),
        ):
            pass
    assert sorted(SAMPLE_LOGS.parent.rglob("*")) == before


def test_concurrent_fetch_is_refused_with_a_message(botmaker: Botmaker) -> None:
    with botmaker.source(), pytest.raises(StartsError, match="Another fetch"):
        botmaker.fetch("channels")


def test_unwritable_folder_is_reported(botmaker: Botmaker) -> None:
    (botmaker.landing / "sends").mkdir()
    (botmaker.landing / "botmaker").touch()
    with pytest.raises(StartsError, match=r"botmaker/sessions/.* cannot be (written|listed)"):
        botmaker.fetch("sessions")


def test_partial_page_is_never_visible(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 3)
    zone = LandingZone(str(botmaker.landing), FEED_NAMES)
    with pytest.raises(StartsError), patch("orchestration.landing.zone.put_in_place", side_effect=OSError("the power is gone")):
        botmaker.fetch("sessions")
    assert [path.name for path in botmaker.landing.rglob("*") if path.is_file()] == [".page-00001.last.json.zst.draft"]
    assert zone.files("botmaker/sessions") == []
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids
    assert not list(botmaker.landing.rglob("*.draft"))


def test_pages_can_be_written_to_an_object_store(botmaker: Botmaker, tmp_path: Path, s3: AbstractFileSystem) -> None:
    s3.mkdir("botmaker-pages")
    add_sessions(botmaker.server, 5)
    settings = Settings(landing="s3://botmaker-pages/whatsapp", data=tmp_path / "data")
    with (
        pytest.raises(StartsError, match="HTTP 401"),
        patch.object(botmaker.server, "_next", side_effect=_expire_after(botmaker, 1)),
        open_source(settings, botmaker.settings, log=print, warn=print, clock=botmaker.time.clock) as source,
    ):
        fetch(source, "sessions", FetchRequest())
    with open_source(settings, botmaker.settings, log=print, warn=print, clock=botmaker.time.clock) as source:
        fetch(source, "sessions", FetchRequest())
    names = [name for name in s3.find("botmaker-pages/whatsapp") if "2026-11-07T000000Z--" in name]
    assert [name.rpartition("/")[2] for name in names] == ["page-00001.json.zst", "page-00002.json.zst", "page-00003.last.json.zst"]
    assert len(botmaker.server.answered) == len(set(botmaker.server.answered))


def test_no_exception_of_the_client_contains_the_token_in_its_chain(botmaker: Botmaker) -> None:
    botmaker.server.fail(*[Fault("broken")] * TRIES)
    with botmaker.client() as client, pytest.raises(StartsError) as caught:
        client.first_page(CHANNELS)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN not in repr(client)
