"""A local server for Botmaker's API v2.0 as its documentation describes it, with every fault that can occur.

It is as strict as Botmaker: it refuses a request that Botmaker would refuse.
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "eyJhbGciOiJIUzI1NiJ9.test-token-that-must-stay-secret.c2lnbmF0dXJl"
_UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_BOOLEANS = (
    "long-term-search",
    "include-open-sessions",
    "include-messages",
    "include-variables",
    "include-events",
    "include-ai-analysis",
)

Item = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request as the server received it; `at` is in seconds of the server's monotonic clock."""

    path: str
    query: dict[str, str]
    at: float
    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Fault:
    """A fault that replaces the next answer to a path that starts with `path`.

    `kind`: `status` (with `status`, `headers`, `body`), `broken` (the connection ends in the middle of the body), `half_json` (a complete
    answer whose body is half of the JSON), `slow` (waits `seconds` first), `empty` (204), `zero_length` (200 without a body), `hang` (waits
    until the server is closed), `raw` (200 with `body`), `wire` (`body` is everything that is sent, from the status line on, one byte every
    `seconds`; then the connection closes).
    """

    kind: str
    path: str = "/"
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0


class BotmakerServer:
    """The sessions, notifications, channels and templates of one customer, as a test adds them."""

    def __init__(
        self,
        *,
        page_size: int = 500,
        now: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.page_size = page_size
        self.now = now or (lambda: datetime.now(UTC))
        self.monotonic = monotonic or time.monotonic
        self.token = TOKEN
        self.sessions: list[Item] = []
        self.open_sessions: set[str] = set()
        self.notifications: dict[str, Item] = {}
        self.customers: dict[str, list[Item]] = {}
        self.channels: list[Item] = []
        self.templates: list[Item] = []
        self.requests: list[Request] = []
        self.answered: list[str] = []
        self.next_page_host: str | None = None
        self.next_page_scheme = "http"
        self.forgotten_cursors: set[str] = set()
        # Added to every nextPage that has a cursor; a request for the next page must contain it.
        self.next_page_extra: dict[str, str] = {}
        # Returns an answer that replaces the documented one, or None.
        self.instead: Callable[[str, dict[str, str]], tuple[int, Any] | None] = lambda path, query: None
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        cast(Any, self._http).botmaker = self
        self._scheme = "https" if certificate else "http"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    @property
    def base_url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/v2.0"

    @property
    def environment(self) -> dict[str, str]:
        return {"BOTMAKER_ACCESS_TOKEN": self.token, "BOTMAKER_BASE_URL": self.base_url}

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def forget_faults(self) -> int:
        """Remove the faults that have not occurred yet and return their number."""
        waiting, self._faults = len(self._faults), []
        return waiting

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def fail(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    def add_session(self, session_id: str, created_at: str, *, is_open: bool = False, **fields: Any) -> Item:
        """Add a session, or replace the session with that id."""
        chat_id = session_id.rpartition("_")[0] or session_id
        item: Item = {
            "id": session_id,
            "creationTime": created_at,
            "startingCause": "Organic",
            "chat": {"chat": {"chatId": chat_id, "channelId": "boti-whatsapp-5411", "contactId": "5491100000001"}},
            "messages": [],
            "events": [],
            **fields,
        }
        self.sessions = [known for known in self.sessions if known["id"] != session_id] + [item]
        self.open_sessions.discard(session_id)
        if is_open:
            self.open_sessions.add(session_id)
        return item

    def close_session(self, session_id: str, **fields: Any) -> None:
        for item in self.sessions:
            if item["id"] == session_id:
                item.update(fields)
        self.open_sessions.discard(session_id)

    def add_notification(self, instance_id: str, start: str, end: str | None, *customers: Item, status: str = "COMPLETED") -> None:
        details = {
            name: sum(1 for customer in customers if customer.get("lastStatus") == name)
            for name in ("sent", "delivered", "read", "answered", "error")
        }
        self.notifications[instance_id] = {
            "campaignName": "campaign",
            "contactGroup": "group",
            "notificationName": f"notification {instance_id}",
            "start": start,
            **({"end": end} if end else {}),
            "status": status,
            "details": details,
            "notificationInstanceId": instance_id,
        }
        self.customers[instance_id] = list(customers)

    def requests_of(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def handle(self, handler: "_Handler") -> None:
        """Answer one GET with the next fault for this path, or else as documented."""
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix("/v2.0")
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with self._lock:
            self.requests.append(
                Request(path, query, self.monotonic(), handler.path, {name.lower(): value for name, value in handler.headers.items()})
            )
            fault = next((fault for fault in self._faults if path.startswith(fault.path)), None)
            if fault is not None:
                self._faults.remove(fault)
            status, content = self.instead(path, query) or self._answer(handler, path, query)
        body = b"" if content is None else json.dumps(content, ensure_ascii=False).encode()
        if fault is None:
            self._send(handler, status, body)
        else:
            self._misbehave(handler, fault, status, body)

    def _send(self, handler: "_Handler", status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        handler.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        if status == 200:
            self.answered.append(handler.path)

    def _misbehave(self, handler: "_Handler", fault: Fault, status: int, body: bytes) -> None:
        if fault.kind == "hang":
            self._closing.wait(120)
            return
        if fault.kind == "broken":
            handler.send_response(200)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            handler.close_connection = True
        elif fault.kind == "wire":
            handler.close_connection = True
            for piece in (fault.body[n : n + 1] for n in range(len(fault.body))) if fault.seconds else (fault.body,):
                handler.wfile.write(piece)
                if self._closing.wait(fault.seconds):
                    break
        elif fault.kind == "empty":
            handler.send_response(204)
            handler.end_headers()
        elif fault.kind == "slow":
            self._closing.wait(fault.seconds)
            self._send(handler, status, body)
        else:
            answer = {"status": fault.body, "half_json": body[: len(body) // 2], "zero_length": b"", "raw": fault.body}[fault.kind]
            self._send(handler, fault.status if fault.kind == "status" else 200, answer, fault.headers)

    def _answer(self, handler: "_Handler", path: str, query: dict[str, str]) -> tuple[int, Any]:
        if handler.headers.get("access-token") != self.token:
            return 401, _error("UNAUTHORIZED", f"invalid token {handler.headers.get('access-token')}")
        wrong = _wrong_parameter(query)
        if wrong:
            return 400, _error("BAD_REQUEST", wrong)
        if path == "/sessions":
            return self._sessions(query)
        if path == "/notifications/sent-results":
            return self._sent_results(query)
        if path.startswith("/notifications/sent-results/"):
            return self._sent_result(path, unquote(path.removeprefix("/notifications/sent-results/")), query)
        if path == "/channels":
            return self._page(path, query, {"items": self.channels})
        if path == "/whatsapp/templates":
            return self._page(path, query, {"items": self.templates})
        return 404, _error("NOT_FOUND", path)

    def _sessions(self, query: dict[str, str]) -> tuple[int, Any]:
        if "cursor" in query:
            return self._next(query)
        takes_open = query.get("include-open-sessions") == "true"
        end = _time(query["to"]) if "to" in query else self.now() - timedelta(days=0 if takes_open else 1)
        start = _time(query["from"]) if "from" in query else end - timedelta(days=1)
        if start < self.now() - timedelta(days=7, seconds=5) and query.get("long-term-search") != "true":
            return 400, _error("BAD_REQUEST", "from is more than 7 days ago: use long-term-search")
        items = [
            item
            for item in sorted(self.sessions, key=lambda item: item["creationTime"])
            if start <= _time(item["creationTime"]) <= end and (takes_open or item["id"] not in self.open_sessions)
        ]
        hidden = {name for name in ("messages", "events") if query.get(f"include-{name}") != "true"}
        return self._page("/sessions", query, {"items": [{k: v for k, v in item.items() if k not in hidden} for item in items]})

    def _sent_results(self, query: dict[str, str]) -> tuple[int, Any]:
        if "cursor" in query:
            return self._next(query)
        if "from" not in query and "notification-name" not in query:
            return 400, _error("BAD_REQUEST", "from is required")
        start = _time(query["from"])
        end = _time(query["to"]) if "to" in query else self.now() - timedelta(days=1)
        if start < self.now() - timedelta(days=90):
            return 400, _error("BAD_REQUEST", "from is more than 3 months ago")
        return self._page(
            "/notifications/sent-results",
            query,
            {"items": [item for item in self.notifications.values() if start <= _time(item["start"]) <= end]},
        )

    def _sent_result(self, path: str, instance_id: str, query: dict[str, str]) -> tuple[int, Any]:
        if instance_id not in self.notifications:
            return 404, _error("NOT_FOUND", "no such notification")
        notification = {**self.notifications[instance_id], "notificationId": "n"}
        return self._page(path, query, {"notification": notification, "customers": self.customers[instance_id]}, "customers")

    def _next(self, query: dict[str, str]) -> tuple[int, Any]:
        if query["cursor"] in self.forgotten_cursors:
            return 400, _error("BAD_REQUEST", "the cursor has expired")
        if any(query.get(name) != value for name, value in self.next_page_extra.items()):
            return 400, _error("BAD_REQUEST", "this is not the nextPage that was given")
        original = dict(pair.split("=", 1) for pair in query["cursor"].split("|")[1:])
        path = query["cursor"].split("|")[0].partition("@")[0]
        offset = {"offset": query["cursor"].split("|")[0].partition("@")[2]}
        return self._sessions({**original, **offset}) if path == "/sessions" else self._sent_results({**original, **offset})

    def _page(self, path: str, query: dict[str, str], content: Item, items: str = "items") -> tuple[int, Any]:
        offset = int(query.get("offset", "0"))
        original = {name: value for name, value in query.items() if name not in ("offset", "cursor", *self.next_page_extra)}
        found = content[items]
        upto = offset + self.page_size
        next_page = None
        if upto < len(found):
            host = self.next_page_host or f"127.0.0.1:{self.port}"
            if path in ("/sessions", "/notifications/sent-results"):
                cursor = "|".join([f"{path}@{upto}", *(f"{name}={value}" for name, value in original.items())])
                place = "&".join([f"cursor={quote(cursor, safe='')}", *(f"{name}={value}" for name, value in self.next_page_extra.items())])
            else:
                place = f"offset={upto}"
            next_page = f"{self.next_page_scheme}://{host}/v2.0{path}?{place}"
        return 200, {"nextPage": next_page, **content, items: found[offset:upto]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written separately: with Nagle's algorithm, every answer takes 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        # The client may have been killed or timed out.
        with suppress(BrokenPipeError, ConnectionResetError):
            cast(Any, self.server).botmaker.handle(self)

    def log_message(self, format: str, *args: object) -> None:
        return


def _wrong_parameter(query: dict[str, str]) -> str | None:
    for name in ("from", "to"):
        if name in query and not _UTC_TIME.fullmatch(query[name]):
            return f"{name} must be a UTC time with Z"
    for name in _BOOLEANS:
        if query.get(name, "true") not in ("true", "false"):
            return f"{name} must be true or false"
    if query.get("timestamp-precision", "seconds") not in ("seconds", "milliseconds"):
        return "timestamp-precision must be seconds or milliseconds"
    return None


def _error(kind: str, message: str) -> Item:
    return {"errors": [{"type": kind, "source": "api", "message": message}]}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def botmaker_server(**options: Any) -> Iterator[BotmakerServer]:
    server = BotmakerServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.close()
