"""Tests of files as they occur in practice: changed while read, unreadable, oddly named, in other folders, or read by an older reader."""

import gzip
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from orchestration.errors import StartsError
from orchestration.landing import land, ledger
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, SENDS, WEBHOOKS, Feed
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.listing import LandingFile
from orchestration.landing.reading import streams
from orchestration.landing.reading.streams import HashedFile, UnreadableFileError
from orchestration.landing.rejections import Rejections, new_rejections, unbalanced_files
from orchestration.landing.zone import LandingZone
from orchestration.maintenance.replay import mark_files_with_rejections_to_reread


def send(number: int, **change: object) -> bytes:
    record = {"message_id": f"wamid.{number}", "sent_at": 1790859600, "channel_id": "c", "contact_id": f"55119000{number:05}"} | change
    return json.dumps(record).encode() + b"\n"


def sends(first: int, count: int) -> bytes:
    return b"".join(map(send, range(first, first + count)))


class Landing:
    """A landing zone in a folder, and a warehouse in memory."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.folder = folder
        self.connection = connection

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def land(self, feed: Feed = SENDS, **options: Any) -> LandingReport:
        report = land_feed(self.connection, LandingZone(str(self.folder), FEED_NAMES), feed, **options)
        assert unbalanced_files(self.connection) == []
        return report

    def query(self, sql: str) -> list[tuple]:
        return self.connection.execute(sql).fetchall()

    @property
    def sends(self) -> list[str]:
        return [
            message_id for (message_id,) in self.query("select message_id from raw.sends order by _file_name, _line_number, message_id")
        ]

    @property
    def ledger(self) -> dict[str, tuple[str, str | None]]:
        return {name: (status, reason) for name, status, reason in self.query("select file_name, status, reason from raw.landed_files")}

    def finish_build(self) -> None:
        self.connection.execute(
            "insert into state.builds select coalesce(max(build_id), 0) + 1, now(), now(), "
            "(select max(load_id) from raw.landed_files), 'x' from state.builds"
        )

    @property
    def rejections(self) -> Rejections:
        return new_rejections(self.connection)


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        (tmp_path / "landing" / "sends").mkdir(parents=True)
        yield Landing(tmp_path / "landing", connection)


@pytest.fixture
def open_landing() -> Iterator[Landing]:
    """Return a landing zone that unprivileged users can reach too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "sends").mkdir()
    try:
        with duckdb.connect() as connection:
            yield Landing(folder, connection)
    finally:
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root's right to read everything within a `with` block."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


# Changed while they are read


def during_first_read(monkeypatch: pytest.MonkeyPatch, path: Path, act: Callable[[], object]) -> None:
    """Call `act` once, after the first bytes of a file have been read for parsing."""
    original, done = HashedFile.read, []

    def read(file: HashedFile, size: int) -> bytes:
        piece = original(file, size)
        if not done and os.fstat(file._descriptor).st_ino == path.stat().st_ino:
            done.append(True)
            act()
        return piece

    monkeypatch.setattr(HashedFile, "read", read)


@pytest.mark.parametrize("is_known_size", [False, True])
@pytest.mark.parametrize("changed", [sends(500, 30), sends(0, 30) + sends(500, 5), sends(0, 7)])
def test_file_that_changes_while_it_is_read_lands_with_the_next_run(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, changed: bytes, is_known_size: bool
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 500)
    if is_known_size:
        landing.write("sends/other.jsonl", sends(900, 30))
        landing.land()
    path = landing.write("sends/a.jsonl", sends(100, 30))
    landing.write("sends/b.jsonl", sends(200, 3))
    during_first_read(monkeypatch, path, lambda: path.write_bytes(changed))
    report = landing.land()
    assert report.files_changed == ["sends/a.jsonl: it changed while it was being read"]
    assert "sends/a.jsonl" not in landing.ledger
    assert landing.query("select count(*) from raw.sends where _file_name = 'sends/b.jsonl'") == [(3,)]
    assert landing.query("select count(*) from raw.sends where _file_name = 'sends/a.jsonl'") == [(0,)]
    assert landing.query("select count(*) from raw.rejected_records") == [(0,)]
    assert landing.land().files_landed == 1
    assert landing.query("select count(*) from raw.sends where _file_name = 'sends/a.jsonl'") == [(changed.count(b"\n"),)]


def test_change_without_a_new_time_is_detected_by_the_hash(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a network share that caches sizes and times for a minute: hashed with one content, parsed with another."""
    monkeypatch.setattr(streams, "_file_state", lambda state: ())
    landing.write("sends/a.jsonl", sends(100, 30))
    path = landing.write("sends/b.jsonl", sends(200, 30))
    original, hashed = HashedFile.sha256, []

    def sha256(file: HashedFile) -> str:
        result = original(file)
        if not hashed and os.fstat(file._descriptor).st_ino == path.stat().st_ino:
            hashed.append(result)
            path.write_bytes(sends(300, 30))
        return result

    monkeypatch.setattr(HashedFile, "sha256", sha256)
    assert landing.land().files_changed == ["sends/b.jsonl: it changed while it was being read"]
    assert len(landing.sends) == 30
    landing.land()
    assert landing.query("select count(*) from raw.sends where message_id >= 'wamid.300'") == [(30,)]


def test_hashed_content_is_the_parsed_content(landing: Landing) -> None:
    contents = {
        "a.jsonl": sends(0, 5),
        "b.jsonl.gz": gzip.compress(sends(5, 5)),
        "c.jsonl.zst": pa.compress(sends(10, 5), codec="zstd", asbytes=True),
    }
    for name, content in contents.items():
        landing.write(f"sends/{name}", content)
    landing.land()
    for name, content in contents.items():
        expected = (streams.hashlib.sha256(content).hexdigest(), len(content))
        assert landing.query(f"select content_sha256, bytes from raw.landed_files where file_name = 'sends/{name}'") == [expected]


# Folders that cannot be listed


@pytest.mark.parametrize("folder", ["sends", "sends/2026/10"])
@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_unlistable_folder_raises_an_error_with_its_name(open_landing: Landing, folder: str, mode: int) -> None:
    open_landing.write(f"{folder}/a.jsonl", sends(0, 3))
    (open_landing.folder / folder).chmod(mode)
    with unprivileged(), pytest.raises(StartsError, match=f"{folder}/ in the landing zone cannot be listed"):
        open_landing.land()


def test_inaccessible_landing_zone_raises_a_readable_error(open_landing: Landing) -> None:
    for mode in (0o000, 0o600):
        open_landing.folder.chmod(mode)
        with unprivileged(), pytest.raises(StartsError, match="cannot be read"):
            open_landing.land()
    open_landing.folder.chmod(0o755)


def test_feed_that_is_not_a_folder_raises_an_error(landing: Landing) -> None:
    (landing.folder / "webhooks").symlink_to("/nowhere/at/all")
    with pytest.raises(StartsError, match="webhooks/ in the landing zone cannot be listed"):
        landing.land(WEBHOOKS)
    (landing.folder / "webhooks").unlink()
    landing.write("webhooks", b"")
    with pytest.raises(StartsError, match="a file, not a folder"):
        landing.land(WEBHOOKS)


def test_feed_without_a_folder_has_no_files(landing: Landing) -> None:
    assert landing.land(WEBHOOKS).files_landed == 0


def test_unlistable_folder_of_a_store_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a driver without its own recursive listing."""
    store = fsspec.filesystem("memory")
    names = (
        "sends/2026/a.jsonl",
        "sends/2026/b.log",
        "sends/secret/c.jsonl",
        "Webhook/d.jsonl",
        "e.jsonl",
        "sends/_f.jsonl",
        "sends/.g.log",
    )
    store.pipe({f"/zone/{name}": sends(number, 1) for number, name in enumerate(names)})
    monkeypatch.setattr(MemoryFileSystem, "find", fsspec.AbstractFileSystem.find)
    original = MemoryFileSystem.ls

    def ls(filesystem: MemoryFileSystem, path: str, detail: bool = True, **options: object) -> list:
        if path.endswith("secret"):
            raise PermissionError(path)
        return original(filesystem, path, detail, **options)

    try:
        zone = LandingZone("memory://zone", FEED_NAMES)
        assert [file.name for file in zone.files("sends")] == ["sends/2026/a.jsonl", "sends/secret/c.jsonl"]
        assert [passed.name for passed in zone.listing("sends").skipped_entries] == ["sends/2026/b.log", "sends/_f.jsonl"]
        assert [passed.name for passed in zone.misplaced()] == ["Webhook/", "e.jsonl"]
        assert zone.files("webhooks") == []
        monkeypatch.setattr(MemoryFileSystem, "ls", ls)
        with pytest.raises(StartsError, match="cannot be listed"):
            zone.files("sends")
    finally:
        store.rm([f"/zone/{name}" for name in names])


def test_object_that_changes_while_it_is_fetched_is_left_to_the_next_run(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/zone/sends/a.jsonl": sends(0, 1), "/zone/sends/b.jsonl": sends(10, 1)})
    original = MemoryFileSystem.get_file

    def get_file(filesystem: MemoryFileSystem, path: str, *arguments: Any, **options: object) -> None:
        original(filesystem, path, *arguments, **options)
        if path.endswith("a.jsonl"):
            store.pipe(path, sends(0, 2))

    try:
        zone = LandingZone("memory://zone", FEED_NAMES)
        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, "get_file", get_file)
            report = land_feed(landing.connection, zone, SENDS)
        assert report.files_changed == ["sends/a.jsonl: it changed while it was being read"]
        assert landing.sends == ["wamid.10"]
        land_feed(landing.connection, zone, SENDS)
        assert landing.sends == ["wamid.0", "wamid.1", "wamid.10"]
    finally:
        store.rm(["/zone/sends/a.jsonl", "/zone/sends/b.jsonl"])


def test_object_that_may_not_be_fetched_is_set_aside(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/zone/sends/a.jsonl": sends(0, 1), "/zone/sends/b.jsonl": sends(10, 1)})
    original = MemoryFileSystem.get_file

    def get_file(filesystem: MemoryFileSystem, path: str, *arguments: Any, **options: object) -> None:
        if path.endswith("a.jsonl"):
            raise PermissionError("Forbidden")
        original(filesystem, path, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    try:
        report = land_feed(landing.connection, LandingZone("memory://zone", FEED_NAMES), SENDS)
        assert report.files_set_aside == ["sends/a.jsonl: it cannot be read (Forbidden)"]
        assert landing.sends == ["wamid.10"]
    finally:
        store.rm(["/zone/sends/a.jsonl", "/zone/sends/b.jsonl"])


# Files that cannot be read


def test_unreadable_files_are_set_aside_and_land_once_they_are_readable(open_landing: Landing) -> None:
    landing, folder = open_landing, open_landing.folder / "sends"
    landing.write("sends/good.jsonl", sends(0, 3))
    latin = os.fsencode(folder) + b"/env\xedos.jsonl"
    Path(os.fsdecode(latin)).write_bytes(sends(10, 1))
    (folder / "dangling.jsonl").symlink_to("/nowhere/at/all")
    (folder / "round.jsonl").symlink_to("round.jsonl")
    (folder / "folder.jsonl").symlink_to("/")
    landing.write("sends/secret.jsonl", sends(20, 1)).chmod(0o000)
    os.mkfifo(folder / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.jsonl"))
    with unprivileged():
        report = landing.land()
    expected = {
        r"sends/env\xedos.jsonl": "its name is not UTF-8: rename it",
        "sends/dangling.jsonl": "a broken link",
        "sends/round.jsonl": "a link that cannot be followed (Too many levels of symbolic links)",
        "sends/folder.jsonl": "a link to a folder, not to a file",
        "sends/secret.jsonl": "it cannot be read (Permission denied)",
        "sends/pipe.jsonl": "a named pipe, not a file",
        "sends/socket.jsonl": "a socket, not a file",
    }
    assert sorted(report.files_set_aside) == sorted(f"{name}: {reason}" for name, reason in expected.items())
    assert landing.ledger == {"sends/good.jsonl": ("landed", None)} | {name: ("set_aside", reason) for name, reason in expected.items()}
    assert landing.sends == ["wamid.0", "wamid.1", "wamid.2"]

    rows = landing.query("select * from raw.landed_files order by all")
    with unprivileged():
        assert sorted(landing.land().files_set_aside) == sorted(report.files_set_aside)
    assert landing.query("select * from raw.landed_files order by all") == rows

    Path(os.fsdecode(latin)).rename(folder / "enviados.jsonl")
    (folder / "secret.jsonl").chmod(0o644)
    for name in ("dangling", "round", "folder", "pipe", "socket"):
        (folder / f"{name}.jsonl").unlink()
    landing.write("sends/dangling.jsonl", sends(30, 1))
    assert landing.land().files_set_aside == []
    names = ("sends/dangling.jsonl", "sends/enviados.jsonl", "sends/good.jsonl", "sends/secret.jsonl")
    assert landing.ledger == dict.fromkeys(names, ("landed", None))


def test_ledger_has_the_current_reason_why_a_file_is_unreadable(landing: Landing) -> None:
    path = landing.folder / "sends" / "a.jsonl"
    path.symlink_to("/nowhere")
    landing.land()
    path.unlink()
    os.mkfifo(path)
    landing.land()
    assert landing.ledger == {"sends/a.jsonl": ("set_aside", "a named pipe, not a file")}


def test_file_that_disappears_before_it_is_read_is_set_aside(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    landing.write("sends/a.jsonl", sends(0, 1))
    gone = landing.write("sends/b.jsonl", sends(10, 2))
    original = LandingZone.local_copies

    def local_copies(zone: LandingZone, files: list) -> object:
        gone.unlink()
        return original(zone, files)

    monkeypatch.setattr(LandingZone, "local_copies", local_copies)
    assert landing.land().files_set_aside == ["sends/b.jsonl: it cannot be read (No such file or directory)"]
    assert landing.sends == ["wamid.0"]
    monkeypatch.undo()
    landing.land()
    assert landing.ledger == {"sends/a.jsonl": ("landed", None)}


def test_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with HashedFile(tmp_path / "a.jsonl") as file, pytest.raises(UnreadableFileError, match="not a regular file"):
        file.read(1)


def test_files_set_aside_use_no_load_id(landing: Landing) -> None:
    """Otherwise a run in which nothing landed would build, and a load id that is used twice would hide rows from a build."""
    landing.write("sends/a.jsonl", sends(0, 1))
    landing.land()
    landing.finish_build()
    (landing.folder / "sends" / "b.jsonl").symlink_to("/nowhere")
    landing.land()
    assert landing.query("select max(load_id) from raw.landed_files") == [(1,)]
    (landing.folder / "sends" / "b.jsonl").unlink()
    landing.write("sends/b.jsonl", sends(5, 1))
    landing.land()
    assert landing.query("select _load_id from raw.sends where message_id = 'wamid.5'") == [(2,)]


def test_load_id_seen_by_a_build_is_not_reused(landing: Landing) -> None:
    """Cover a ledger that has lost the rows of the load: new rows with its id would be hidden from every later build."""
    landing.write("sends/a.jsonl", sends(0, 1))
    landing.land()
    landing.finish_build()
    landing.query("delete from raw.landed_files; delete from raw.landing_listing")
    landing.write("sends/b.jsonl", sends(5, 1))
    landing.land()
    assert landing.query("select _load_id from raw.sends where message_id = 'wamid.5'") == [(2,)]


def test_batches_are_limited_in_files_and_bytes() -> None:
    files = [LandingFile(f"{number}", "", size, "") for number, size in enumerate([30 << 20, 30 << 20, 30 << 20, 99 << 20, 1, *[0] * 1500])]
    assert [len(batch) for batch in land._batches(files)] == [2, 1, 1, 1000, 501]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl.gz", gzip.compress(sends(0, 99))[:-9], "the archive is cut short or damaged"),
        ("a.jsonl.gz", gzip.compress(sends(0, 9)) + b"trailing", "the archive is cut short or damaged"),
        ("a.jsonl.zst", pa.compress(sends(0, 9), codec="zstd", asbytes=True) + b"trailing", "the archive is cut short or damaged"),
        ("a.json", b"[" + send(1) + b",", "the JSON array of this file does not end"),
        ("a.json", b"[" + send(1) + b"}]", "mismatched bracket on line 2"),
        ("a.json", b"[" + send(1) + b"], " + send(2), "something follows the JSON array of this file on line 2"),
        ("a.json", json.dumps({"a": {"b": 1}}, indent=1).encode()[:-1], "the JSON of this file does not end"),
        ("a.jsonl", sends(0, 3).decode().encode("utf-16"), "UTF-16"),
        ("a.jsonl", sends(0, 3).decode().encode("utf-16-le"), "UTF-16"),
        ("a.jsonl", sends(0, 3).decode().encode("utf-16-be"), "UTF-16"),
        ("a.json.gz", gzip.compress(sends(0, 3).decode().encode("utf-32")), "UTF-16"),
    ],
)
def test_incomplete_file_is_set_aside_with_its_reason(landing: Landing, name: str, content: bytes, reason: str) -> None:
    landing.write(f"sends/{name}", content)
    landing.write("sends/b.jsonl", sends(50, 2))
    (set_aside,) = landing.land().files_set_aside
    assert reason in set_aside
    assert landing.ledger[f"sends/{name}"][0] == "set_aside"
    assert landing.sends == ["wamid.50", "wamid.51"]
    assert landing.query("select count(*) from raw.rejected_records") == [(0,)]


def test_damaged_first_line_with_a_utf_16_mark_alone_is_rejected(landing: Landing) -> None:
    landing.write("sends/a.jsonl", b"\xff\xfe not text\n" + sends(0, 3))
    assert landing.land().files_set_aside == []
    assert landing.query("select line_number from raw.rejected_records") == [(1,)]
    assert len(landing.sends) == 3


def test_many_damaged_files_are_parsed_in_one_pass(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        landing.write(f"sends/{number}.jsonl.gz", gzip.compress(sends(number * 10, 3))[: -9 if number % 2 else None])
    passes = []
    original = land.Lander._parse
    monkeypatch.setattr(land.Lander, "_parse", lambda lander, attempts: (passes.append(len(attempts)), original(lander, attempts)))
    report = landing.land()
    assert (report.files_landed, len(report.files_set_aside), passes) == (10, 10, [20])
    assert len(landing.sends) == 30


# What is passed over, and what is followed


def test_ignored_files_are_listed(landing: Landing) -> None:
    for name in (
        "a.JSONL",
        "b.jsonl.GZ",
        "c.log",
        "d.txt",
        "2026-part-0001",
        "e.json.bz2",
        "deep/er/f.csv",
        ".hidden.log",
        "_SUCCESS",
        "_g.jsonl",
        ".h/i.json",
        "_SUCCESS.crc",
    ):
        landing.write(f"sends/{name}", sends(0, 1))
    os.mkfifo(landing.folder / "sends" / "pipe")
    (landing.folder / "sends" / "dangling").symlink_to("/nowhere")
    reasons = {passed.name: passed.reason for passed in landing.land().skipped_entries}
    assert reasons == {
        "sends/a.JSONL": "its extension is not in lower case",
        "sends/b.jsonl.GZ": "its extension is not in lower case",
        "sends/pipe": "a named pipe, not a file",
        "sends/dangling": "a broken link",
        "sends/_g.jsonl": "its name begins with . or _, like those of drafts and markers",
        "sends/.h/": "its name begins with . or _, like those of drafts and markers",
    } | dict.fromkeys(
        ("sends/c.log", "sends/d.txt", "sends/2026-part-0001", "sends/e.json.bz2", "sends/deep/er/f.csv"),
        "its extension is not one of .jsonl, .ndjson, .json, alone or with .gz or .zst",
    )
    assert landing.sends == []


def test_folders_with_names_close_to_a_feed_are_listed(landing: Landing) -> None:
    for folder in (
        "webhook",
        "Webhooks2",
        "Sends",
        "SENT_RESULTS",
        "archive",
        "rates",
        ".sends",
        "botmaker/session",
        "botmaker/sent_results_lists",
    ):
        landing.write(f"{folder}/a.jsonl", sends(0, 1))
    for folder in ("sessions", "sent_result", "botmaker/sends", "botmaker/Webhooks"):
        landing.write(f"{folder}/a.jsonl", sends(0, 1))
    landing.write("sends-2026.jsonl", sends(0, 1))
    landing.write("SENDS.JSONL.GZ", sends(0, 1))
    landing.write("README.md", b"")
    zone = LandingZone(str(landing.folder), (*FEED_NAMES, "botmaker"))
    assert {passed.name: passed.reason.split(",")[0] for passed in zone.misplaced()} == {
        "webhook/": "its name is close to webhooks/",
        "Webhooks2/": "its name is close to webhooks/",
        "Sends/": "its name is close to sends/",
        "botmaker/session/": "its name is close to botmaker/sessions/",
        "sessions/": "its name is close to botmaker/sessions/",
        "sent_result/": "its name is close to botmaker/sent_results/",
        "botmaker/sends/": "its name is close to sends/",
        "botmaker/Webhooks/": "its name is close to webhooks/",
        "SENT_RESULTS/": "its name is close to botmaker/sent_results/",
        "sends-2026.jsonl": "it is outside the feeds' folders",
        "SENDS.JSONL.GZ": "it is outside the feeds' folders",
    }


def test_linked_folders_are_followed_but_not_in_circles(landing: Landing, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deeper" / "a.jsonl").write_bytes(sends(0, 2))
    landing.write("sends/2026/b.jsonl", sends(10, 1))
    (landing.folder / "sends" / "linked").symlink_to(tmp_path / "elsewhere")
    (landing.folder / "sends" / "0").symlink_to(landing.folder / "sends" / "2026")
    (tmp_path / "elsewhere" / "up").symlink_to(landing.folder / "sends")
    report = landing.land()
    assert [name for (name,) in landing.query("select file_name from raw.landed_files order by all")] == [
        "sends/2026/b.jsonl",
        "sends/linked/deeper/a.jsonl",
    ]
    assert [passed.name for passed in report.skipped_entries] == ["sends/0/", "sends/linked/up/"]
    assert {passed.reason for passed in report.skipped_entries} == {"a link to a folder that was already read"}


# Which files are looked into again


def test_change_with_the_same_size_and_time_is_detected(landing: Landing, tmp_path: Path) -> None:
    path = landing.write("sends/a.jsonl", sends(10, 2))
    target = tmp_path / "target.jsonl"
    target.write_bytes(sends(20, 2))
    (landing.folder / "sends" / "link.jsonl").symlink_to(target)
    moved = landing.write("sends/moved.jsonl", sends(30, 2))
    old = path.stat()
    for each in (path, target, moved):
        os.utime(each, ns=(old.st_atime_ns, old.st_mtime_ns))
    landing.land()
    # So that only the other parts of the version can show the change.
    landing.connection.execute("update raw.landing_listing set version = replace(version, ' unsettled', '')")
    path.write_bytes(sends(60, 2))
    target.write_bytes(sends(70, 2))
    other = landing.write("other", sends(80, 2))
    for each in (path, target, other):
        os.utime(each, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.rename(moved)
    assert landing.land().files_landed == 3
    assert {f"wamid.{number}" for number in (60, 61, 70, 71, 80, 81)} <= set(landing.sends)


@pytest.mark.parametrize(("seconds", "is_settled"), [(0, False), (1.9, False), (2.1, True)])
def test_file_is_settled_two_seconds_after_its_last_change(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, seconds: float, is_settled: bool
) -> None:
    changed_at = landing.write("sends/a.jsonl", sends(10, 2)).stat().st_ctime_ns
    monkeypatch.setattr("time.time_ns", lambda: changed_at + int(seconds * 1e9))
    assert [file.is_settled for file in LandingZone(str(landing.folder), FEED_NAMES).files("sends")] == [is_settled]


def test_file_that_has_just_changed_is_read_once_more(landing: Landing) -> None:
    path = landing.write("sends/a.jsonl", sends(10, 2))
    landing.land()
    path.write_bytes(sends(20, 2))
    state = path.stat()
    version = f"{state.st_size}/{state.st_mtime_ns}/{state.st_ctime_ns}/{state.st_ino}/{path.parent.stat().st_dev}"
    # As if the second change happened within one tick of the file system's clock.
    landing.connection.execute("update raw.landing_listing set version = $version || ' unsettled'", {"version": version})
    report = landing.land()
    assert (report.files_landed, report.files_known) == (1, 0)
    report = landing.land()
    assert (report.files_landed, report.files_known) == (0, 1)


def test_reread_reads_every_file(landing: Landing) -> None:
    path = landing.write("sends/a.jsonl", sends(10, 2))
    landing.write("sends/b.jsonl", sends(30, 2))
    landing.land()
    path.write_bytes(sends(20, 2))
    (file,) = [file for file in LandingZone(str(landing.folder), FEED_NAMES).files("sends") if file.name == "sends/a.jsonl"]
    landing.connection.execute(
        "update raw.landing_listing set version = $version where file_name = $name", {"version": file.version, "name": file.name}
    )
    assert landing.land().files_landed == 0
    report = landing.land(reread=True)
    assert (report.files_landed, report.files_known, report.files_reread) == (1, 1, 0)
    assert len(landing.query("from raw.landing_listing")) == 2
    assert len(landing.sends) == 6


# What holds publication back


def bad_batch(landing: Landing, name: str) -> None:
    landing.write("sends/good.jsonl", sends(0, 30))
    landing.land()
    landing.finish_build()
    landing.write(name, sends(100, 9) + b"garbage\n")
    landing.land()
    assert landing.rejections.are_too_many(0.05)


def test_share_of_rejected_records_may_be_as_large_as_the_limit() -> None:
    for rejected, are_too_many in ((0, False), (1, False), (2, True)):
        assert Rejections(records=20, rejected=rejected, worst_files=[]).are_too_many(0.05) == are_too_many


@pytest.mark.parametrize("folder", ["sends", "sends/2026/10"])
def test_folder_missing_during_a_run_does_not_clear_its_rejections(landing: Landing, tmp_path: Path, folder: str) -> None:
    bad_batch(landing, f"{folder}/bad.jsonl")
    (landing.folder / folder).rename(tmp_path / "away")
    report = landing.land()
    assert report.is_missing == (folder == "sends")
    assert landing.rejections.are_too_many(0.05)
    landing.land()
    assert landing.rejections.are_too_many(0.05)
    assert "If their whole folder is missing, put it back" in landing.rejections.explain(0.05)

    (tmp_path / "away").rename(landing.folder / folder)
    assert landing.land().files_landed == 0
    assert landing.rejections.are_too_many(0.05)
    (landing.folder / folder / "bad.jsonl").unlink()
    landing.land()
    assert not landing.rejections.are_too_many(0.05)
    assert landing.rejections.rejected == 0


def test_unmounted_disk_does_not_clear_its_rejections(landing: Landing) -> None:
    bad_batch(landing, "sends/bad.jsonl")
    (landing.folder / "sends" / "bad.jsonl").unlink()
    # The folder in its place is on another device.
    landing.connection.execute("update raw.landing_listing set version = regexp_replace(version, '/[0-9]+( unsettled)?$', '/0')")
    landing.land()
    assert landing.rejections.are_too_many(0.05)


def test_empty_folder_in_its_place_clears_the_rejections(landing: Landing) -> None:
    bad_batch(landing, "sends/2026/bad.jsonl")
    shutil.rmtree(landing.folder / "sends" / "2026")
    landing.land()
    assert landing.rejections.are_too_many(0.05)
    (landing.folder / "sends" / "2026").mkdir()
    landing.land()
    assert not landing.rejections.are_too_many(0.05)


def test_corrected_file_clears_its_earlier_rejections(landing: Landing) -> None:
    bad_batch(landing, "sends/bad.jsonl")
    landing.write("sends/bad.jsonl", sends(100, 10))
    landing.land()
    assert (landing.rejections.records, landing.rejections.rejected) == (10, 0)


def test_published_files_are_removed_from_the_listing_when_they_are_missing(landing: Landing, tmp_path: Path) -> None:
    landing.write("sends/a.jsonl", sends(0, 30) + b"garbage\n")
    landing.land()
    landing.finish_build()
    (landing.folder / "sends").rename(tmp_path / "away")
    landing.land()
    assert landing.query("from raw.landing_listing") == []


# Records of any form and size


def test_long_records_are_rejected_with_their_beginning(landing: Landing) -> None:
    long = json.dumps({"message_id": "x" * 5000}).encode()
    landing.write("sends/a.jsonl", send(0) + long + b"\n" + send(1))
    landing.write("sends/b.jsonl", long + send(2) + long + send(3))
    landing.write("sends/c.json", b"[" + send(4) + b"," + long + b",\n" + send(5) + b"]")
    report = landing.land(max_record_bytes=2000)
    assert (report.records, report.landed, report.rejected) == (10, 6, 4)
    assert landing.sends == [f"wamid.{number}" for number in range(6)]
    assert landing.query("select file_name, line_number, reason, record from raw.rejected_records order by all") == [
        (f"sends/{name}", line, "longer than 2,000 bytes", long[:1024].decode())
        for name, line in (("a.jsonl", 2), ("b.jsonl", 1), ("b.jsonl", 2), ("c.json", 2))
    ]


def test_beginning_of_a_long_record_of_an_erased_person_is_not_stored(landing: Landing, tmp_path: Path) -> None:
    people = ErasedPeople.load(tmp_path)
    people.add("2026-10-01", ["5511900000001"])
    landing.write("sends/a.jsonl", send(1, note="x" * 5000) + send(2))
    landing.land(max_record_bytes=2000, erased=people)
    assert landing.query("select record from raw.rejected_records") == [("(erased)",)]


NESTED = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("field", "lands"),
    [
        (b'"x": ' + NESTED, True),
        (b'"note": "a ,] b", "x": ' + NESTED, True),
        (b'"x": ' + NESTED[:-1] + b",]", False),
        (b'"x": NaN', False),
        (b'"x": -Infinity', False),
        (b'"x": 1e400', False),
        (b'"x": ' + b"9" * 5000, False),
        (b'"x": ' + b"9" * 300, True),
        (b'"x": "\\ud83d"', True),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_odd_record_is_checked_on_its_own(landing: Landing, name: str, field: bytes, lands: bool) -> None:
    odd = send(1).rstrip()[:-1] + b", " + field + b"}"
    content = b"[" + send(0) + b"," + odd + b"\n, " + send(2) + b"]" if name == "a.json" else send(0) + odd + b"\n" + send(2)
    landing.write(f"sends/{name}", content)
    report = landing.land()
    assert (report.records, report.rejected, report.files_set_aside) == (3, 0 if lands else 1, [])
    assert landing.sends == (["wamid.0", "wamid.1", "wamid.2"] if lands else ["wamid.0", "wamid.2"])


def test_unterminated_line_is_checked_on_its_own(landing: Landing) -> None:
    landing.write("sends/a.jsonl", send(0) + b'{"x": ' + b"[" * 100_000 + b"\n" + send(1) + b'{"x":\n' + send(2) + b'{"x": "y\n' + send(3))
    report = landing.land()
    assert (report.records, report.rejected) == (7, 3)
    assert landing.query("select line_number from raw.rejected_records order by all") == [(2,), (4,), (6,)]


@pytest.mark.parametrize("year", ["0001", "0999", "9998"])
def test_send_of_any_year_lands(landing: Landing, year: str) -> None:
    landing.write("sends/a.jsonl", send(0, sent_at=f"{year}-06-01T12:00:00Z"))
    landing.land()
    assert landing.query("select sent_at::varchar from raw.sends") == [(f"{year}-06-01 12:00:00",)]


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(sends(0, 2)) + gzip.compress(b"") + gzip.compress(sends(2, 2))),
        ("a.jsonl.zst", zstd(sends(0, 2)) + struct.pack("<II", 0x184D2A50, 4) + b"skip" + zstd(sends(2, 2))),
        ("a.jsonl.gz", gzip.compress(sends(0, 4).replace(b"\n", b""))),
        ("a.ndjson", b"\xef\xbb\xbf" + sends(0, 2) + b"\xef\xbb\xbf" + sends(2, 2)),
        ("a.jsonl", b"".join(json.dumps(json.loads(send(number)), indent=2).encode() for number in range(4))),
    ],
)
def test_consecutive_values_and_archive_members_are_all_read(landing: Landing, name: str, content: bytes) -> None:
    landing.write(f"sends/{name}", content)
    report = landing.land()
    assert (report.records, report.rejected) == (4, 0)
    assert landing.sends == [f"wamid.{number}" for number in range(4)]


# Files that an older version of the reader has read


@contextmanager
def reader(monkeypatch: pytest.MonkeyPatch, version: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(land, "READER_VERSION", version)
        yield


# This reader does not have templates, and rejects a link.
OLD_SENDS = replace(
    SENDS,
    land_sql=SENDS.land_sql.replace("s.template_name,", "null as template_name,"),
    parse_sql=SENDS.parse_sql.replace("types[12] not in ('VARCHAR', 'NULL')", "types[12] <> 'NULL'"),
)


def test_files_read_by_an_older_reader_are_reread_in_place(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    here = landing.write("sends/here.jsonl", send(0, template_name="t") + send(1, template_name="t", chat_link="https://x"))
    shutil.copy(here, here.with_name("same.jsonl"))
    gone = landing.write("sends/gone.jsonl", send(5, template_name="t"))
    landing.write("sends/damaged.jsonl.gz", b"none")
    with reader(monkeypatch, 1):
        landing.land(OLD_SENDS)
        assert landing.sends == ["wamid.5", "wamid.0"]
        assert landing.rejections.rejected == 1
    landing.finish_build()
    gone.unlink()
    with reader(monkeypatch, 2):
        report = landing.land()
        assert (report.files_landed, report.files_reread, report.files_known) == (1, 1, 0)
        assert landing.query("select message_id, template_name, _load_id from raw.sends order by all") == [
            ("wamid.0", "t", 2),
            ("wamid.1", "t", 2),
            ("wamid.5", None, 1),
        ]
        assert landing.query("from raw.rejected_records") == []
        assert landing.query("select file_name, reader_version, status from raw.landed_files order by all") == [
            ("sends/damaged.jsonl.gz", 2, "set_aside"),
            ("sends/gone.jsonl", 1, "landed"),
            ("sends/here.jsonl", 2, "landed"),
        ]
        # The next build must not be an increment to one that has counted the old rows.
        assert landing.query("select definition_sha256, through_load_id from state.builds") == [("", 0)]
        assert ledger.count_files_of_older_readers(landing.connection, 2) == 1
        assert landing.land().files_landed == 0
        # A content that an operator marked for a replay was not read by an older reader.
        landing.connection.execute("update raw.landed_files set reader_version = 0 where file_name = 'sends/gone.jsonl'")
        assert ledger.count_files_of_older_readers(landing.connection, 2) == 0


def test_reread_replaces_only_the_rows_of_its_own_content_and_feed(landing: Landing) -> None:
    landing.write("sends/a.jsonl", send(0))
    landing.land()
    # The file is replaced by another one of the same name, which is also in another feed.
    for name in ("sends/a.jsonl", "webhooks/a.jsonl"):
        landing.write(name, send(1) + b"no JSON\n")
    landing.land()
    landing.land(WEBHOOKS)
    landing.connection.execute("update raw.landed_files set reader_version = 0 where feed = 'sends' and rejected > 0")
    assert landing.land().files_reread == 1
    assert landing.sends == ["wamid.0", "wamid.1"]
    assert landing.query("select feed, count(*) from raw.rejected_records group by all order by all") == [("sends", 1), ("webhooks", 2)]
    assert landing.query("select feed, count(*) from raw.landed_files group by all order by all") == [("sends", 2), ("webhooks", 1)]


def test_kill_during_a_reread_loses_nothing(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        landing.write(f"sends/{number}.jsonl", send(number, template_name="t"))
    with reader(monkeypatch, 1):
        landing.land(OLD_SENDS)
    monkeypatch.setattr(land, "BATCH_FILES", 1)
    original, batches = ledger.write_listing, []

    def killed_at_the_second(*arguments: Any) -> None:
        batches.append(1)
        if len(batches) == 4:
            raise KeyboardInterrupt
        original(*arguments)

    with reader(monkeypatch, 2):
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "write_listing", killed_at_the_second)
            with pytest.raises(KeyboardInterrupt):
                landing.land()
        assert landing.query("select message_id, template_name from raw.sends order by all") == [
            ("wamid.0", "t"),
            ("wamid.1", None),
            ("wamid.2", None),
        ]
        landing.land()
        assert landing.query("select message_id, template_name from raw.sends order by all") == [(f"wamid.{n}", "t") for n in range(3)]
        assert len(landing.query("from raw.landed_files")) == 3


def test_replay_rereads_existing_files_and_keeps_the_rows_of_missing_ones(landing: Landing, tmp_path: Path) -> None:
    landing.write("sends/2026/a.jsonl", send(0) + send(1, chat_link="https://x"))
    landing.write("sends/b.jsonl", send(2) + send(3, chat_link="https://x"))
    landing.write("sends/c.jsonl", send(4))
    landing.land(OLD_SENDS)
    landing.finish_build()
    (landing.folder / "sends" / "2026").rename(tmp_path / "away")
    zone = LandingZone(str(landing.folder), FEED_NAMES)
    assert mark_files_with_rejections_to_reread(landing.connection, zone) == ["sends/b.jsonl"]
    assert len(landing.sends) == 3
    report = landing.land()
    assert (report.files_landed, report.files_reread) == (1, 1)
    assert landing.sends == ["wamid.0", "wamid.2", "wamid.3", "wamid.4"]


def test_replay_rereads_a_touched_file_and_skips_a_corrected_one(landing: Landing) -> None:
    for name in ("touched", "corrected"):
        landing.write(f"sends/{name}.jsonl", send(0) + f"{name} and no JSON\n".encode())
    landing.land()
    landing.write("sends/corrected.jsonl", send(0) + send(1))
    landing.land()
    landing.finish_build()
    os.utime(landing.folder / "sends" / "touched.jsonl", (0, 0))
    zone = LandingZone(str(landing.folder), FEED_NAMES)
    assert mark_files_with_rejections_to_reread(landing.connection, zone) == ["sends/touched.jsonl"]
    assert landing.land().files_reread == 1
    assert set(landing.sends) == {"wamid.0", "wamid.1"}


# Memory


@pytest.mark.thorough
def test_memory_is_bounded_by_the_limit_and_not_by_the_file(tmp_path: Path) -> None:
    """Read half a gigabyte without a line end, from an archive of a few kilobytes, and an array of a hundred megabytes."""
    line = zstd(b'{"a": "' + b"x" * (1 << 20))
    (tmp_path / "line.jsonl.zst").write_bytes(line + zstd(b"x" * (1 << 24)) * 31 + zstd(b'"}\n' + send(1)))
    element = send(1).rstrip() + b", "
    (tmp_path / "array.json.zst").write_bytes(zstd(b"[") + zstd(element * 100_000) * 8 + zstd(send(2) + b"]"))
    script = """
import resource, sys
from pathlib import Path
from orchestration.landing.reading.lines import Reading, read_lines
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in ("line.jsonl.zst", "array.json.zst"):
    reading = Reading()
    print(sum(len(batch) for batch in read_lines(Path(sys.argv[1]) / name, name, 0, reading)), len(reading.long_records))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    line, array, kilobytes = result.stdout.splitlines()
    assert (line, array) == ("1 1", "800001 0")
    assert int(kilobytes) < 300_000
