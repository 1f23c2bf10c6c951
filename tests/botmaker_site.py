"""A Botmaker server and a landing zone that share a made-up time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from orchestration.botmaker.client import BotmakerClient, Clock
from orchestration.botmaker.fetch import FetchReport, Source, fetch, open_source
from orchestration.botmaker.settings import BotmakerSettings
from orchestration.botmaker.windows import FetchRequest
from orchestration.settings import Settings
from tests.botmaker_server import BotmakerServer, botmaker_server

NOW = datetime(2026, 11, 7, 12, 30, 15, tzinfo=UTC)


class FakeTime:
    """A clock that only `sleep` advances."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.passed = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        self.now += timedelta(seconds=seconds)

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, monotonic=lambda: self.passed, sleep=self.sleep)


class Botmaker:
    """A server and a landing zone that share a made-up time."""

    def __init__(self, server: BotmakerServer, time: FakeTime, folder: Path) -> None:
        self.server = server
        self.time = time
        self.landing = folder / "landing"
        self.landing.mkdir()
        self.data = folder / "data"
        self.settings = BotmakerSettings(access_token=server.token, base_url=server.base_url)
        self.said: list[str] = []

    @contextmanager
    def source(self) -> Iterator[Source]:
        settings = Settings(landing=str(self.landing), data=self.data)
        with open_source(settings, self.settings, log=self.said.append, warn=self.said.append, clock=self.time.clock) as source:
            yield source

    def fetch(self, feed: str, request: FetchRequest | None = None) -> FetchReport:
        with self.source() as source:
            return fetch(source, feed, request or FetchRequest())

    def client(self) -> BotmakerClient:
        return BotmakerClient(self.settings, clock=self.time.clock, warn=self.said.append)

    def pages(self, feed: str) -> dict[str, bytes]:
        return pages_below(self.landing / "botmaker" / feed)

    def ids(self) -> list[str]:
        return [item["id"] for body in self.pages("sessions").values() if body for item in json.loads(body)["items"]]


def pages_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): pa.CompressedInputStream(str(path), "zstd").read()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def botmaker_site(folder: Path) -> Iterator[Botmaker]:
    clock = FakeTime()
    with botmaker_server(now=lambda: clock.now, monotonic=lambda: clock.passed, page_size=2) as server:
        yield Botmaker(server, clock, folder)


def add_sessions(server: BotmakerServer, count: int, day: str = "2026-11-07") -> list[str]:
    ids = [f"CHAT{n:03}_{day}T01:{n:02}:00.000Z" for n in range(count)]
    for session_id in ids:
        server.add_session(session_id, session_id.rpartition("_")[2])
    return ids
