"""Tests of hostile landing zones: good files land, messages are printable, and a second look changes nothing."""

import gzip
import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from orchestration.landing.feeds import FEED_NAMES, FEEDS, SENDS
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.reading.streams import ChangedFileError, HashedFile
from orchestration.landing.rejections import new_rejections, unbalanced_files
from orchestration.landing.zone import LandingZone

CONTROL = "a\n\x1b[31mb\x7f\u0085c"


def send(number: int, **more: object) -> bytes:
    record = {"message_id": f"wamid.{number}", "sent_at": 1790859600, "channel_id": "c", "contact_id": f"55119000{number:05}"} | more
    return json.dumps(record).encode() + b"\n"


class Zone:
    """A landing zone to fill; `good` are the ids of the sends that must land."""

    def __init__(self, folder: Path, rnd: random.Random) -> None:
        self.folder, self.rnd = folder, rnd
        self.good: set[str] = set()
        self.numbers = iter(range(10**6))

    def path(self, extension: str = ".jsonl") -> Path:
        """Return a path for a file in any of the feeds' folders, with an ordinary or an odd name."""
        name = self.rnd.choice(["f", CONTROL, "é", "a' b", "%s{}"]) + str(next(self.numbers))
        folder = self.folder / "sends" / self.rnd.choice([".", "2026/10", "x.jsonl"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}{extension}"

    def sends(self, count: int) -> list[bytes]:
        numbers = [next(self.numbers) for _ in range(count)]
        self.good |= {f"wamid.{number}" for number in numbers}
        return [send(number) for number in numbers]

    def lost(self) -> bytes:
        """Return a send that does not land because its file cannot be read."""
        return send(next(self.numbers))


def zst(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


def put_socket(zone: Zone) -> None:
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        path = zone.path()
        # The name of a socket is limited to 108 bytes.
        patch.chdir(path.parent)
        listening.bind(path.name)


# Files that land completely.
WHOLE: dict[str, Callable[[Zone], object]] = {
    "lines": lambda zone: zone.path().write_bytes(b"".join(zone.sends(3))),
    "nothing": lambda zone: zone.path(zone.rnd.choice([".jsonl", ".json", ".ndjson.gz", ".json.zst", ".jsonl.gz"])).touch(),
    "an archive of nothing": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(b"")),
    "members": lambda zone: zone.path(".jsonl.gz").write_bytes(b"".join(map(gzip.compress, [*zone.sends(2), b"", *zone.sends(1)]))),
    "members of a byte": lambda zone: zone.path(".jsonl.gz").write_bytes(
        b"".join(gzip.compress(bytes([byte])) for byte in b"\xef\xbb\xbf" + zone.sends(1)[0])
    ),
    "frames": lambda zone: zone.path(".jsonl.zst").write_bytes(b"".join(map(zst, zone.sends(3)))),
    "old Mac's line ends": lambda zone: zone.path().write_bytes(b"".join(zone.sends(3)).replace(b"\n", b"\r")),
    "Windows' line ends": lambda zone: zone.path(".json").write_bytes(b"".join(zone.sends(3)).replace(b"\n", b"\r\n")),
    "NUL bytes between lines": lambda zone: zone.path().write_bytes((b"\0" * 99 + b"\n").join(zone.sends(3))),
    "a cut record among objects on a line": lambda zone: zone.path().write_bytes(
        # A colon may be followed by an object, so a record that is cut there absorbs the next one.
        b"".join(map(bytes.strip, [*zone.sends(2), zone.lost()[: zone.rnd.randrange(1, 80)].rstrip(b": "), *zone.sends(3)]))
    ),
    "garbage between objects on a line": lambda zone: zone.path().write_bytes(
        zone.rnd.choice([b"garbage", b"\0" * 9, b"null", b"5", b"[1]"]).join(map(bytes.strip, zone.sends(3)))
    ),
    "brackets without end": lambda zone: zone.path().write_bytes(
        zone.sends(1)[0][:-2] + b', "x": ' + b"[" * 9999 + b"]" * 9999 + b"}\n" + zone.sends(1)[0]
    ),
    "a text that begins a line": lambda zone: zone.path().write_bytes(b'"' + b"\n" + b"".join(zone.sends(2))),
    "a long line": lambda zone: zone.path().write_bytes(b"x" * 200_000 + b"\n" + b"".join(zone.sends(2))),
    "brackets that open lines": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(b"{\n" * 9999 + b"".join(zone.sends(2)))),
    "a key twice": lambda zone: zone.path().write_bytes(
        zone.sends(1)[0].replace(b'"sent_at"', b'"message_id": ["x"], "sent_at": 1790859600, "sent_at"')
    ),
    "a link": lambda zone: zone.path().symlink_to(_outside(zone, b"".join(zone.sends(2)))),
}
# Files that do not land, and are set aside or rejected.
DAMAGED: dict[str, Callable[[Zone], object]] = {
    "half an archive": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(zone.lost())[: zone.rnd.randrange(1, 40)]),
    "half a frame": lambda zone: zone.path(".jsonl.zst").write_bytes(zst(zone.lost())[: zone.rnd.randrange(1, 40)]),
    "an archive and zeros": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(zone.lost()) + b"\0" * 512),
    "an archive and a byte": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(zone.lost()) + b"x"),
    "an archive in an archive": lambda zone: zone.path(".jsonl.gz").write_bytes(gzip.compress(gzip.compress(zone.lost()))),
    "an archive by another name": lambda zone: zone.path().write_bytes(gzip.compress(zone.lost())),
    "lines by the name of an archive": lambda zone: zone.path(".jsonl.zst").write_bytes(zone.lost()),
    "UTF-16": lambda zone: zone.path().write_bytes(zone.lost().decode().encode(zone.rnd.choice(["utf-16", "utf-16-be", "utf-32"]))),
    "half an array": lambda zone: zone.path(".json").write_bytes(b"[" + zone.lost() + b","),
    "a pipe": lambda zone: os.mkfifo(zone.path()),
    "a socket": put_socket,
    "a link to nowhere": lambda zone: zone.path().symlink_to("/nowhere"),
    "a link to itself": lambda zone: (path := zone.path()).symlink_to(path.name),
    "a link to a device": lambda zone: zone.path().symlink_to("/dev/zero"),
    "a link to a folder": lambda zone: zone.path().symlink_to("/"),
    "a file that changes whenever it is read": lambda zone: zone.path().symlink_to("/proc/self/environ"),
    "bytes": lambda zone: zone.path(zone.rnd.choice([".jsonl", ".json", ".json.gz", ".ndjson.zst"])).write_bytes(zone.rnd.randbytes(300)),
    "a name in Latin-1": lambda zone: Path(os.fsdecode(os.fsencode(zone.path("")) + b"\xed.jsonl")).write_bytes(zone.lost()),
    "no extension of ours": lambda zone: zone.path(zone.rnd.choice([".JSONL", ".csv", ".jsonl.bz2"])).write_bytes(zone.lost()),
}


def _outside(zone: Zone, content: bytes) -> Path:
    path = zone.folder.with_name(f"outside{next(zone.numbers)}")
    path.write_bytes(content)
    return path


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def land(connection: duckdb.DuckDBPyConnection, folder: Path) -> LandingReport:
    report = land_feed(connection, LandingZone(str(folder), FEED_NAMES), SENDS, max_record_bytes=100_000)
    assert unbalanced_files(connection) == []
    return report


def landed(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {message_id for (message_id,) in connection.execute("select message_id from raw.sends").fetchall()}


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.sampled(4)
def test_good_files_land_beside_any_other_object(connection: duckdb.DuckDBPyConnection, tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    zone = Zone(tmp_path / "landing", rnd)
    chosen = [*rnd.choices(sorted(WHOLE), k=8), *rnd.sample(sorted(DAMAGED), 6)]
    rnd.shuffle(chosen)
    for what in chosen:
        (WHOLE | DAMAGED)[what](zone)
    report = land(connection, zone.folder)
    assert landed(connection) == zone.good, chosen

    passed_over = [f"{passed.name}: {passed.reason}" for passed in report.skipped_entries]
    messages = [*report.files_set_aside, *report.files_changed, *passed_over, new_rejections(connection).explain(0.05)]
    assert all(message.isprintable() for message in messages), messages

    tables = "select * from raw.landed_files order by all", "select * from raw.rejected_records order by all"
    before = [connection.execute(table).fetchall() for table in tables]
    again = land(connection, zone.folder)
    assert (again.files_landed, again.records) == (0, 0)
    assert sorted(again.files_set_aside) == sorted(report.files_set_aside)
    assert [connection.execute(table).fetchall() for table in tables] == before

    # Whatever it was, it is replaced by a whole file.
    for path in [path for path in zone.folder.rglob("*") if path.is_symlink() or not path.is_dir()]:
        path.unlink()
        (path.parent / f"{os.fsencode(path.name).hex()[:40]}.jsonl").write_bytes(b"".join(zone.sends(2)))
    fixed = land(connection, zone.folder)
    assert (fixed.files_set_aside, fixed.files_changed, fixed.rejected) == ([], [], 0)
    assert landed(connection) == zone.good


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz"])
def test_file_that_grows_while_it_is_read_is_left_to_the_next_run(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "landing" / "sends" / name
    path.parent.mkdir(parents=True)
    content = send(1) if name != "a.jsonl.gz" else gzip.compress(send(1))
    path.write_bytes(content)
    original, reads = os.read, iter(range(50))

    def read(descriptor: int, size: int) -> bytes:
        next(reads)
        with path.open("ab") as file:
            file.write(content)
        return original(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        report = land(connection, tmp_path / "landing")
    assert report.files_changed == [f"sends/{name}: it changed while it was being read"]
    assert landed(connection) == set()
    path.write_bytes(content)
    land(connection, tmp_path / "landing")
    assert landed(connection) == {"wamid.1"}


def test_file_that_has_grown_since_it_was_opened_raises_changed_file_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 10)
    with HashedFile(path) as file:
        path.write_bytes(b"x" * 11)
        with pytest.raises(ChangedFileError):
            file.read(100)


def test_landing_zone_removed_during_listing_is_empty_or_reported(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    folder = tmp_path / "landing"
    for feed in FEED_NAMES:
        (folder / feed).mkdir(parents=True)
    zone = LandingZone(str(folder), FEED_NAMES)
    (folder / "sends" / "a.jsonl").write_bytes(send(1))
    land_feed(connection, zone, SENDS)
    shutil.rmtree(folder)
    for feed in FEEDS:
        report = land_feed(connection, zone, feed)
        assert report.is_missing == (feed is SENDS)
    assert landed(connection) == {"wamid.1"}
