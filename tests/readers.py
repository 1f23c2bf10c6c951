"""Readers that look at what is published again and again, while runs are ended and others go on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from orchestration.settings import Settings


class NotYetError(Exception):
    """What a reader opened was replaced meanwhile, as the manifest or the file system says: it has to begin again."""


class Reader(Thread):
    """Reads one thing again and again until it is stopped; keeps the states that it sees, one after the other, and what went wrong."""

    def __init__(self, read: Callable[[], Any], stop: Event) -> None:
        super().__init__()
        self.read, self.stop = read, stop
        self.seen: list[Any] = []
        self.errors: list[str] = []

    def run(self) -> None:
        while not self.stop.wait(0.01):
            try:
                state = self.read()
            except NotYetError:
                continue
            except Exception as error:
                self.errors.append(repr(error))
                continue
            if [state] != self.seen[-1:]:
                self.seen.append(state)


@contextmanager
def readers(reads: Mapping[str, Callable[[], Any]]) -> Iterator[dict[str, Reader]]:
    """Start a reader for each way to read, and stop all of them after the `with` block."""
    stop = Event()
    threads = {name: Reader(read, stop) for name, read in reads.items()}
    for thread in threads.values():
        thread.start()
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads.values():
            thread.join()


def read_listed(settings: Settings) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest, and the daily files that it says belong together, by name. Raises `NotYetError` where one is not as it says."""
    manifest = json.loads((settings.exports_dir / "manifest.json").read_bytes())
    contents = {}
    for entry in manifest["files"]:
        path = settings.exports_dir / entry["file"]
        contents[entry["file"]] = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(contents[entry["file"]]).hexdigest() != entry["sha256"]:
            raise NotYetError
    return manifest, contents
