"""Tests of odd answers of Botmaker's API.

Every fetch ends with a readable message and within limits, and leaves only whole pages; the next run completes it.
"""

import gzip
import json
import random
import resource
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.botmaker import fetch as fetch_module
from orchestration.botmaker.client import CHANNELS, SENT_RESULTS, SESSIONS, TRIES, TRIES_WHEN_SLOW, BotmakerResponseError, Endpoint
from orchestration.botmaker.pages import folder_name
from orchestration.botmaker.windows import Fetch, FetchRequest, Kind, Window, plan_fetches
from orchestration.errors import StartsError
from tests.botmaker_server import Fault
from tests.botmaker_site import NOW, Botmaker, add_sessions, botmaker_site

MIB = 2**20
DAY = timedelta(days=1)
PAGE = b'{"items": [{"id": "c"}], "nextPage": null}'


@pytest.fixture
def botmaker(tmp_path: Path) -> Iterator[Botmaker]:
    with botmaker_site(tmp_path) as site:
        yield site


@pytest.fixture
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.botmaker.transport.RESPONSE_SECONDS", 0.4)


@pytest.fixture
def few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SESSIONS", "SENT_RESULTS", "SENT_RESULT", "CHANNELS", "WHATSAPP_TEMPLATES"):
        monkeypatch.setattr(fetch_module, name, replace(getattr(fetch_module, name), max_pages=20))


def stored(botmaker: Botmaker) -> list[Path]:
    return [path for path in botmaker.landing.rglob("*") if path.is_file()]


def wire(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    # Without the last header, the client may send another request before it notices that the server has closed the connection.
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""]).encode() + body


def with_length(body: bytes, *headers: str) -> bytes:
    return wire(body, f"Content-Length: {len(body)}", *headers)


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


# --- time

DRIPS = {
    "the body": with_length(PAGE),
    "the status line": b"HTTP/1.1 200 OK" + with_length(PAGE)[15:],
    "a header": wire(b"", "X-Long: " + "x" * 1000),
    "interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + with_length(PAGE),
    "the length of a chunk": wire(b"1;" + b"x" * 1000, "Transfer-Encoding: chunked"),
    "trailers": wire(chunked(PAGE) + b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n", "Transfer-Encoding: chunked"),
    "gzip": with_length(gzip.compress(PAGE), "Content-Encoding: gzip"),
    "an error": wire(b"x" * 1000, "Content-Length: 1000", status="500 Oh"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.usefixtures("short_time")
def test_response_with_one_byte_at_a_time_times_out(botmaker: Botmaker, what: str) -> None:
    botmaker.server.channels = [{"id": "c"}]
    botmaker.server.fail(*[Fault("wire", body=DRIPS[what], seconds=0.02)] * TRIES_WHEN_SLOW)
    with botmaker.client() as client:
        with pytest.raises(StartsError, match=r"channels in 2 tries; the last time: the answer was not complete after 0\.4 seconds\. Run"):
            client.first_page(CHANNELS)
        assert client.requests == TRIES_WHEN_SLOW
        # The connection of the slow response is not reused.
        assert client.first_page(CHANNELS).items == [{"id": "c"}]


@pytest.mark.usefixtures("short_time")
def test_slow_response_leaves_no_page_and_the_next_run_completes(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 3)
    botmaker.server.fail(*[Fault("wire", body=DRIPS["the body"], seconds=0.02)] * TRIES_WHEN_SLOW)
    with pytest.raises(StartsError, match="not complete"):
        botmaker.fetch("sessions")
    assert stored(botmaker) == []
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids


@pytest.mark.usefixtures("short_time")
def test_single_slow_response_is_retried(botmaker: Botmaker) -> None:
    botmaker.server.channels = [{"id": "c"}]
    botmaker.server.fail(Fault("wire", body=DRIPS["the body"], seconds=0.02))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).items == [{"id": "c"}]


# --- size


def bomb_of_one_member() -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return b"".join([*(packer.compress(b" " * 16 * MIB) for _ in range(16)), packer.flush()])


def bomb_of_many_members() -> bytes:
    return gzip.compress(b" " * 16 * MIB) * 64


@pytest.mark.sampled(3)
@pytest.mark.parametrize("bomb", [bomb_of_one_member, bomb_of_many_members])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_gzip_bomb_of_a_gibibyte_takes_little_memory(botmaker: Botmaker, bomb: Callable[[], bytes], status: str) -> None:
    packed = bomb()
    assert len(packed) < 2 * MIB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    botmaker.server.fail(Fault("wire", body=wire(packed, "Content-Encoding: gzip", f"Content-Length: {len(packed)}", status=status)))
    with pytest.raises(StartsError, match=r"sessions has more than 64 MiB.*Run again later.*contact Botmaker's support"):
        botmaker.fetch("sessions")
    # In KiB; the limit for a body is 64 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 160 * 1024
    assert stored(botmaker) == []
    botmaker.fetch("sessions")
    assert len(stored(botmaker)) == 7


@pytest.mark.parametrize("is_chunked", [True, False])
def test_oversized_body_is_not_read_to_its_end(botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch, is_chunked: bool) -> None:
    monkeypatch.setattr("orchestration.botmaker.transport.MAX_BODY_BYTES", MIB)
    body = json.dumps({"items": ["x" * MIB], "nextPage": None}).encode()
    answer = wire(chunked(body) + b"0\r\n\r\n", "Transfer-Encoding: chunked") if is_chunked else with_length(body)
    botmaker.server.fail(Fault("wire", body=answer))
    with botmaker.client() as client, pytest.raises(StartsError, match="channels has more than 1 MiB"):
        client.first_page(CHANNELS)
    assert client.requests == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_body_of_exactly_the_limit_is_read(botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]) -> None:
    page = PAGE.ljust(1000)
    monkeypatch.setattr("orchestration.botmaker.transport.MAX_BODY_BYTES", len(page))
    encoding = "identity" if pack is bytes else " GZIP"
    botmaker.server.fail(Fault("wire", body=with_length(pack(page), f"Content-Encoding: {encoding}")))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).body == page


def test_body_without_bytes_is_empty_also_as_gzip(botmaker: Botmaker) -> None:
    botmaker.server.fail(*[Fault("wire", body=with_length(b"", "Content-Encoding: gzip"))] * 2)
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).items == []
        assert client.requests == 2


def test_endless_gzip_without_content_is_too_large(botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.botmaker.transport.MAX_BODY_BYTES", MIB)
    body = gzip.compress(b"") * (2 * MIB // len(gzip.compress(b"")))
    botmaker.server.fail(Fault("wire", body=with_length(body, "Content-Encoding: gzip")))
    with botmaker.client() as client, pytest.raises(StartsError, match="has more than 1 MiB"):
        client.first_page(CHANNELS)


def large_page() -> bytes:
    noise = random.Random(7)
    return json.dumps({"items": [{"id": f"{noise.getrandbits(4000):x}"} for _ in range(3000)], "nextPage": None}).encode()


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda page: gzip.compress(page[:1000]) + gzip.compress(page[1000:]),
        # The content fills whole pieces to the last byte.
        lambda page: gzip.compress(page + b" " * (8 * 256 * 1024 - len(page) % (256 * 1024))),
        lambda page: gzip.compress(page) + gzip.compress(b""),
    ],
    ids=["one member", "two members", "full pieces", "an empty member"],
)
def test_gzip_is_unpacked_completely(botmaker: Botmaker, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(large_page())
    botmaker.server.fail(Fault("wire", body=with_length(packed, "Content-Encoding: gzip")))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).body.strip() == large_page()
        assert botmaker.server.requests[0].headers["accept-encoding"] == "gzip"


def test_pages_of_a_snapshot_have_a_common_limit(botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "MAX_BODY_BYTES", 10_000)
    botmaker.server.templates = [{"name": "t" * 1000} for _ in range(40)]
    with pytest.raises(StartsError, match="whatsapp/templates have more than"):
        botmaker.fetch("whatsapp_templates")
    assert stored(botmaker) == []


# --- HTTP that is odd

BROKEN = {
    "a header of 200 KiB": with_length(PAGE, "X-Long: " + "x" * 200_000),
    "twenty thousand headers": with_length(PAGE, *(f"X-{number}: y" for number in range(20_000))),
    "chunks that break off": wire(b"ff\r\n" + PAGE, "Transfer-Encoding: chunked"),
    "chunks without the last one": wire(chunked(PAGE), "Transfer-Encoding: chunked"),
    "a chunk of no length": wire(b"zz\r\n" + PAGE, "Transfer-Encoding: chunked"),
    "two lengths": wire(PAGE, "Content-Length: 5", f"Content-Length: {len(PAGE)}"),
    "a negative length": wire(PAGE, "Content-Length: -5"),
    "a length that is too small": wire(PAGE, "Content-Length: 10"),
    "a length that is too large": wire(PAGE, "Content-Length: 999"),
    "gzip that breaks off": with_length(gzip.compress(PAGE)[:-9], "Content-Encoding: gzip"),
    "gzip with something after it": with_length(gzip.compress(PAGE) + b"more", "Content-Encoding: gzip"),
    "an encoding that was not asked for": with_length(zlib.compress(PAGE), "Content-Encoding: deflate"),
    "gzip in gzip": with_length(gzip.compress(gzip.compress(PAGE)), "Content-Encoding: gzip, gzip"),
    "no HTTP": PAGE,
    "nothing": b"",
    "nothing after the headers": wire(b""),
    "a page of HTML": with_length(b"<html>Sign in to the Wi-Fi</html>", "Content-Type: text/html"),
    "UTF-16": with_length(PAGE.decode().encode("utf-16")),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.sampled(4)
def test_broken_response_is_retried_and_a_permanent_one_is_reported(botmaker: Botmaker, what: str) -> None:
    ids = add_sessions(botmaker.server, 3)
    botmaker.server.fail(Fault("wire", body=BROKEN[what]))
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids
    # An empty body twice counts as an empty answer, but only in a complete response.
    if what != "nothing after the headers":
        botmaker.server.fail(*[Fault("wire", body=BROKEN[what])] * TRIES)
        botmaker.server.requests.clear()
        with (
            botmaker.client() as client,
            pytest.raises(StartsError, match=rf"channels in {TRIES} tries; the last time: .+\. Run again later"),
        ):
            client.first_page(CHANNELS)


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "x-gzip"])
def test_body_in_an_encoding_that_was_not_requested_is_not_read(botmaker: Botmaker, encoding: str) -> None:
    """A proxy may add the header alone: the body is JSON, but it must not be guessed."""
    botmaker.server.fail(*[Fault("wire", body=with_length(PAGE, f"Content-Encoding: {encoding}"))] * TRIES)
    with botmaker.client() as client, pytest.raises(StartsError, match=rf"channels in {TRIES} tries; the last time: .*\. Run again later"):
        client.first_page(CHANNELS)


def test_empty_name_of_an_encoding_means_none(botmaker: Botmaker) -> None:
    botmaker.server.fail(Fault("wire", body=with_length(PAGE, "Content-Encoding:")))
    with botmaker.client() as client:
        assert client.first_page(CHANNELS).body == PAGE
        assert client.requests == 1


def test_page_of_another_content_type_is_reported_with_its_type(botmaker: Botmaker) -> None:
    botmaker.server.fail(*[Fault("wire", body=BROKEN["a page of HTML"])] * TRIES)
    with botmaker.client() as client, pytest.raises(StartsError, match=r"not whole JSON \(content type: text/html\)"):
        client.first_page(CHANNELS)


def after(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        *((value, 1) for value in ("-5", "nan", "inf", "1e3", "", " ", "0", "soon", "\t", "7;8", "0x10", "²", "+9", "١")),
        *((value, 1) for value in ("Fri, 99 Foo 2026 00:00:00 GMT", "Fri, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 99:99:99 GMT")),
        *((value, 1) for value in ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", after(-1000), "1 Jan", "GMT")),
        ("7", 7),
        (" 7 ", 7),
        ("900", 900),
        (after(7), 7),
        (after(7).replace("GMT", "-0000"), 7),
        ("901", "wait for 15 minutes"),
        ("86399", "wait for 1440 minutes"),
        *((value, "wait for more than a day") for value in ("86400", "9" * 400, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 -2359")),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Down"])
@pytest.mark.sampled(4)
def test_invalid_retry_after_is_ignored_and_a_long_one_ends_the_run(botmaker: Botmaker, value: str, wait: int | str, status: str) -> None:
    botmaker.server.channels = [{"id": "c"}]
    answer = wire(b"", f"Retry-After: {value}", "Content-Length: 0", status=status)
    botmaker.server.fail(Fault("wire", body=answer))
    with botmaker.client() as client:
        if isinstance(wait, str):
            with pytest.raises(StartsError, match=rf"{wait} \(HTTP \d+\)\. Run again after that\."):
                client.first_page(CHANNELS)
            return
        assert client.first_page(CHANNELS).items == [{"id": "c"}]
    waited = botmaker.server.requests[1].at - botmaker.server.requests[0].at
    assert wait <= waited <= wait + 1.1


@pytest.mark.parametrize("location", ["https://example.com/", "http://[", "x" * 70_000, "//\x7f", "http://a:b/"])
def test_odd_redirect_is_reported(botmaker: Botmaker, location: str) -> None:
    botmaker.server.fail(*[Fault("status", status=307, headers={"location": location})] * TRIES)
    with botmaker.client() as client, pytest.raises(StartsError, match=r"BOTMAKER_BASE_URL|tries; the last time"):
        client.first_page(CHANNELS)


def test_cookies_are_not_sent_back(botmaker: Botmaker) -> None:
    botmaker.server.fail(Fault("raw", body=PAGE, headers={"set-cookie": f"a={'x' * 4000}"}))
    with botmaker.client() as client:
        client.first_page(CHANNELS)
        client.first_page(CHANNELS)
    assert not any("cookie" in request.headers for request in botmaker.server.requests)


# --- JSON that is odd


def deep(levels: int) -> bytes:
    return b'{"items": [{"id": "deep", "x": ' + b"[" * levels + b"]" * levels + b"}]}"


@pytest.mark.parametrize(
    "body",
    [
        deep(100_000),
        deep(100_000).replace(b"[", b'{"a":').replace(b"]", b"1}"),
        b'{"items": {"id": "a"}}',
        b'{"items": null}',
        b'{"items": "text"}',
        b'{"errors": []}',
        b"null",
        b"17",
        *(b'{"items": [], "nextPage": %b}' % value for value in (b"0", b"false", b"[]", b"{}", b"1e5")),
    ],
)
@pytest.mark.parametrize("feed", ["sessions", "channels"])
@pytest.mark.sampled(4)
def test_unusable_page_leaves_nothing_and_the_next_run_completes(botmaker: Botmaker, body: bytes, feed: str) -> None:
    ids = add_sessions(botmaker.server, 3)
    botmaker.server.channels = [{"id": "c"}]
    botmaker.server.fail(Fault("raw", body=body))
    with pytest.raises(StartsError, match=r"Botmaker's answer .*None of it was stored\. Run again later.*support"):
        botmaker.fetch(feed)
    assert stored(botmaker) == []
    botmaker.fetch(feed)
    assert botmaker.ids() == (ids if feed == "sessions" else [])


@pytest.mark.parametrize("status", [400, 500, 401])
def test_error_with_a_deeply_nested_body_is_reported(botmaker: Botmaker, status: int) -> None:
    botmaker.server.fail(*[Fault("status", status=status, body=deep(100_000))] * TRIES)
    with botmaker.client() as client, pytest.raises(StartsError, match=str(status)):
        client.first_page(CHANNELS)


@pytest.mark.thorough
def test_deeply_nested_secrets_are_reported_or_removed(botmaker: Botmaker) -> None:
    for levels in (50, *range(100, 1000, 7)):
        inner = b"[" * levels + b'{"botToken": "telegram-secret"}' + b"]" * levels
        botmaker.server.fail(Fault("raw", body=b'{"items": [{"id": "%d", "x": %b}]}' % (levels, inner)))
        with suppress(BotmakerResponseError):
            botmaker.fetch("channels")
    assert botmaker.pages("channels")
    assert b"telegram-secret" not in b"".join(botmaker.pages("channels").values())


ODD_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 5000, b"1e-9999"]


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_page_with_an_odd_number_in_a_message_is_stored_unchanged(botmaker: Botmaker, number: bytes) -> None:
    body = b'{"items": [{"id": "a", "n": %b}], "nextPage": null}' % number
    botmaker.server.fail(Fault("raw", body=body))
    botmaker.fetch("sessions")
    assert next(iter(botmaker.pages("sessions").values())) == body
    botmaker.server.fail(Fault("raw", body=body))
    botmaker.fetch("channels")
    # This page is serialised by the client, as JSON that every reader accepts.
    (page,) = botmaker.pages("channels").values()
    json.loads(page, parse_constant=lambda name: pytest.fail(name))


# --- pages without end


def with_every_page_new(botmaker: Botmaker) -> Callable[[str, dict[str, str]], tuple[int, Any]]:
    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        number = int(query.get("cursor", "0"))
        return 200, {"items": [{"id": f"x{number}"}], "nextPage": f"{botmaker.server.base_url}{path}?cursor={number + 1}"}

    return answer


def with_nothing_new(botmaker: Botmaker, items: list[Any]) -> Callable[[str, dict[str, str]], tuple[int, Any]]:
    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        number = int(query.get("cursor", "0"))
        return 200, {"items": items, "nextPage": f"{botmaker.server.base_url}{path}?cursor={number + 1}"}

    return answer


def in_a_circle(botmaker: Botmaker) -> Callable[[str, dict[str, str]], tuple[int, Any]]:
    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        number = int(query.get("cursor", "0"))
        following = number + 1 if number < 5 else 2
        return 200, {"items": [{"id": f"x{number}"}], "nextPage": f"{botmaker.server.base_url}{path}?cursor={following}"}

    return answer


ENDLESS = {
    "every page is new": (with_every_page_new, "do not end after 20 pages", 20),
    "every page is the same": (lambda made: with_nothing_new(made, [{"id": "x"}]), "brought nothing new", 11),
    "every page is empty": (lambda made: with_nothing_new(made, []), "brought nothing new", 11),
    "a page points back": (in_a_circle, "form a loop", 6),
}


@pytest.mark.parametrize("feed", ["sessions", "sent_results", "channels", "whatsapp_templates"])
@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.usefixtures("few_pages")
@pytest.mark.sampled(4)
def test_endless_pages_are_stopped_and_the_next_run_starts_again(
    botmaker: Botmaker, monkeypatch: pytest.MonkeyPatch, what: str, feed: str
) -> None:
    monkeypatch.setattr(fetch_module, "_MAX_IDLE_PAGES", 10)
    ids = add_sessions(botmaker.server, 3)
    botmaker.server.channels = botmaker.server.templates = [{"id": "c"}]
    botmaker.server.add_notification("n", "2026-11-07T00:00:00Z", None, {"customerId": "c"})
    answers, message, pages = ENDLESS[what]
    botmaker.server.instead = answers(botmaker)
    # Repeated: pages that a run leaves must not end the next run early, or complete the period with half of its data.
    for number in range(1, 4):
        botmaker.server.requests.clear()
        with pytest.raises(StartsError, match=rf"{message}.*\. Run again later: .*support"):
            botmaker.fetch(feed)
        assert pages <= len(botmaker.server.requests) <= pages + 1
        if feed in ("channels", "whatsapp_templates"):
            assert stored(botmaker) == []
        else:
            bodies = [body for body in botmaker.pages("").values() if body]
            assert pages * number <= len(bodies) <= (pages + 1) * number
    # The stored address now leads to the last page at once: a run that followed it would lose the sessions.
    botmaker.server.instead = lambda path, query: (200, {"items": [], "nextPage": None}) if query.get("cursor", "").isdecimal() else None
    botmaker.fetch(feed)
    assert set(botmaker.ids()) >= (set(ids) if feed == "sessions" else set())
    if feed == "sent_results":
        assert [body for name, body in botmaker.pages("sent_results").items() if name.startswith("n/")]


def test_limits_exceed_real_volumes() -> None:
    # The largest known bot sends 3.5 million templates a month, and a page has 500 sessions; an account has up to 6,000 templates.
    assert SESSIONS.max_pages * 500 > 5 * 3_500_000 / 30
    assert SENT_RESULTS.max_pages == SENT_RESULTS.for_item("n").max_pages == SESSIONS.max_pages
    assert CHANNELS.max_pages * 100 > 6_000


def test_a_few_consecutive_empty_pages_do_not_end_a_fetch(botmaker: Botmaker) -> None:
    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        number = int(query.get("cursor", "0"))
        next_page = f"{botmaker.server.base_url}{path}?cursor={number + 1}" if number < 150 else None
        return 200, {"items": [{"id": f"x{number}"}] if number % 50 == 0 else [], "nextPage": next_page}

    botmaker.server.instead = answer
    assert botmaker.fetch("channels").items == 4


# --- one window, notification or folder that must not stop the others


def stopped_after(botmaker: Botmaker, offset: int) -> None:
    """Fetch sessions until the page with the given offset is requested, and end the run there."""
    botmaker.server.instead = lambda path, query: (401, {}) if f"@{offset}" in query.get("cursor", "") else None
    with pytest.raises(StartsError, match="HTTP 401"):
        botmaker.fetch("sessions")
    botmaker.server.instead = lambda path, query: None


FORGOTTEN = {
    "an error": [Fault("status", status=500)] * TRIES,
    "no JSON": [Fault("raw", body=b"<html>")] * TRIES,
    "no list": [Fault("raw", body=b'{"errors": []}')],
    "no address": [Fault("raw", body=b'{"items": [], "nextPage": 5}')],
    "too deep": [Fault("raw", body=deep(100_000))],
    "refused": [Fault("status", status=410)],
}


@pytest.mark.parametrize("answer", FORGOTTEN)
def test_expired_address_restarts_the_window_whatever_the_answer(botmaker: Botmaker, answer: str) -> None:
    ids = add_sessions(botmaker.server, 6)
    stopped_after(botmaker, 4)
    before = botmaker.pages("sessions")
    botmaker.server.fail(*FORGOTTEN[answer])
    botmaker.fetch("sessions")
    pages = botmaker.pages("sessions")
    assert pages.items() >= before.items()
    assert [item["id"] for name, body in pages.items() if "_2/" in name for item in json.loads(body)["items"]] == ids


def test_outage_restarts_no_window(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 6)
    stopped_after(botmaker, 4)
    botmaker.server.fail(*[Fault("wire", body=b"")] * TRIES)
    with pytest.raises(StartsError, match="tries"):
        botmaker.fetch("sessions")
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids
    assert not any("_2/" in name for name in botmaker.pages("sessions"))


@pytest.mark.usefixtures("few_pages")
def test_pages_of_earlier_runs_count_towards_the_limit(botmaker: Botmaker) -> None:
    add_sessions(botmaker.server, 60)
    stopped_after(botmaker, 30)
    with pytest.raises(StartsError, match="do not end after 20 pages"):
        botmaker.fetch("sessions")
    assert sum(1 for body in botmaker.pages("sessions").values() if b"CHAT" in body) == 20


@pytest.mark.parametrize("identifier", [".", "..", "...", "x" * 201, "x" * 100_000, "half \ud83d", "a\nb", 7, None, {}, ""])
def test_odd_identifier_blocks_no_other_notification(botmaker: Botmaker, identifier: Any) -> None:
    botmaker.server.page_size = 10
    for name in ("n1", "n2"):
        botmaker.server.add_notification(name, "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z", {"customerId": name})
    odd = {"start": "2026-11-06T10:00:00Z", "notificationInstanceId": identifier}
    items = json.dumps({"items": [odd, *botmaker.server.notifications.values()], "nextPage": None}).encode()
    botmaker.server.fail(Fault("raw", "/notifications/sent-results", body=items))
    botmaker.fetch("sent_results")
    assert sorted(path.name for path in (botmaker.landing / "botmaker" / "sent_results").iterdir()) == ["n1", "n2"]
    assert any("no usable notificationInstanceId" in line for line in botmaker.said)


def test_identifier_with_odd_characters_is_reported_with_its_folder(botmaker: Botmaker) -> None:
    botmaker.server.add_notification("évènement 1", "2026-11-06T10:00:00Z", None, {"customerId": "c"})
    botmaker.fetch("sent_results")
    assert any(folder_name("évènement 1") in line for line in botmaker.said)
    assert len(botmaker.pages("sent_results")) == 1


def test_failing_results_do_not_block_the_others(botmaker: Botmaker) -> None:
    botmaker.server.page_size = 10
    for name in ("n1", "n2", "n3"):
        botmaker.server.add_notification(name, "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z", {"customerId": name})
    botmaker.server.instead = lambda path, query: (200, {"notification": {}}) if path.endswith("/n1") else None
    with pytest.raises(StartsError, match=r"could not be fetched\. n1: Botmaker's answer has no list 'customers'"):
        botmaker.fetch("sent_results")
    assert {name.partition("/")[0] for name in botmaker.pages("sent_results")} == {"n2", "n3"}
    botmaker.server.instead = lambda path, query: None
    botmaker.server.requests.clear()
    botmaker.fetch("sent_results")
    assert [request.path.rpartition("/")[2] for request in botmaker.server.requests if request.path.count("/") == 3] == ["n1"]


def test_run_ends_early_when_all_results_fail(botmaker: Botmaker) -> None:
    botmaker.server.page_size = 100
    for number in range(9):
        botmaker.server.add_notification(f"n{number}", "2026-11-06T10:00:00Z", "2026-11-06T11:00:00Z")
    botmaker.server.instead = lambda path, query: (400, {}) if path.count("/") == 3 else None
    with pytest.raises(StartsError, match=r"n0: .* n1: .* n2: "):
        botmaker.fetch("sent_results")
    assert len(botmaker.server.requests) == 1 + 3


def test_folders_with_impossible_times_are_ignored(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 3)
    for name in (
        "2026-02-30T000000Z--2026-11-07T000000Z/incremental-2026-11-07T000000Z/x",
        "2026-02-01T000000Z--2026-02-02T000000Z/incremental-2026-99-07T000000Z/x",
    ):
        (botmaker.landing / "botmaker" / "sessions" / name).mkdir(parents=True)
        (botmaker.landing / "botmaker" / "sessions" / name / "page-00001.json.zst").touch()
    with botmaker.source() as source:
        fetch_module.fetch(source, "sessions", FetchRequest())
    assert {path.name for path in botmaker.landing.rglob("page-*") if "2026-11-07T000000Z--" in str(path) and path.stat().st_size} == {
        "page-00001.json.zst",
        "page-00002.last.json.zst",
    }
    assert len(ids) == 3


@pytest.mark.parametrize("is_finished", [True, False])
def test_clock_that_was_once_ahead_does_not_block_later_fetches(botmaker: Botmaker, is_finished: bool) -> None:
    def incremental(start: Any, end: Any) -> Fetch:
        return Fetch(Kind.INCREMENTAL, Window(start, end), end)

    good, ahead = incremental(NOW - 9 * DAY, NOW - DAY), incremental(NOW - 4 * DAY, NOW + 3000 * DAY)

    def is_done(fetch: Fetch) -> bool:
        return is_finished or fetch == good

    (found,) = plan_fetches(FetchRequest(), botmaker.settings, zone="UTC", known=[good, ahead], is_finished=is_done, now=NOW)
    assert found.period == Window(NOW - 4 * DAY, NOW)
    (found,) = plan_fetches(FetchRequest(), botmaker.settings, zone="UTC", known=[ahead], is_finished=is_done, now=NOW)
    assert found.period.end == NOW
    assert found.period.start < NOW - 6 * DAY


def test_invalid_stored_page_is_reported(botmaker: Botmaker) -> None:
    import pyarrow as pa

    botmaker.server.add_notification("n", "2026-11-06T10:00:00Z", None, {"customerId": "c"})
    botmaker.fetch("sent_results")
    (path,) = (botmaker.landing / "botmaker" / "sent_results_lists").rglob("*.zst")
    path.write_bytes(pa.compress(b'{"items": [', codec="zstd", asbytes=True))
    with pytest.raises(StartsError, match=r"page-00001\.last\.json\.zst in the landing zone is not a page .* Remove its folder"):
        botmaker.fetch("sent_results")


# --- whatever it is


def damaged(noise: random.Random, answer: bytes) -> bytes:
    """Return a response with some bytes changed, lost, repeated or replaced by bytes that are significant in some format."""
    pieces = [b"", b"\r\n", b"\r\n\r\n", b"0", b"-1", b"\x00", b"\xff", b"[" * 3000, b'"', b"{", b"null", b"NaN", b"\\ud800", b"9" * 5000]
    changed = bytearray(answer)
    for _ in range(noise.randint(1, 4)):
        start = noise.randrange(len(changed) + 1)
        end = start + noise.choice([0, 0, 1, 2, 10, 100])
        changed[start:end] = noise.choice([*pieces, bytes(changed[start : end + 50])])
    return bytes(changed)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.usefixtures("short_time")
def test_no_damaged_response_stops_fetching_permanently(botmaker: Botmaker, seed: int) -> None:
    noise = random.Random(seed)
    botmaker.settings = replace(botmaker.settings, overlap_days=0)
    ids = add_sessions(botmaker.server, 5)
    headers = [
        "Content-Type: application/json",
        "Retry-After: 3",
        "Location: /v2.0/sessions",
        "Content-Encoding: gzip",
        "Content-Encoding: x",
    ]
    for _ in range(25):
        next_page = noise.choice(
            [None, "", f"{botmaker.server.base_url}/sessions?cursor=x", "/x", "http://[", "http://\ud800/", "x" * 70_000]
        )
        body = json.dumps({"items": noise.choice([[], [{"id": "x"}], {}, None]), "nextPage": next_page}).encode()
        status = noise.choice(
            ["200 OK", "200 OK", "206 Part", "301 Moved", "400 Bad", "429 Slow", "500 Oh", "999 Odd", "204 None", "100 Go"]
        )
        answer = wire(body, f"Content-Length: {len(body)}", *noise.sample(headers, noise.randint(0, 2)), status=status)
        botmaker.server.fail(Fault("wire", "/sessions", body=damaged(noise, answer) if noise.random() < 0.8 else answer))
    while botmaker.server.has_faults:
        with suppress(StartsError):
            botmaker.fetch("sessions", FetchRequest(Kind.SWEEP))
    botmaker.time.now += DAY
    botmaker.fetch("sessions", FetchRequest(Kind.SWEEP))
    assert set(botmaker.ids()) >= set(ids)
    assert not [path for path in stored(botmaker) if path.name.startswith(".")]


def test_endpoint_for_one_item_keeps_the_page_limit() -> None:
    assert Endpoint("a", max_pages=3).for_item("b").max_pages == 3
