"""Readers that poll what is published while runs are killed and restarted."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from orchestration.settings import Settings


class NotYetError(Exception):
    """Raised if what a reader opened was replaced meanwhile, according to the manifest or the file system: the reader starts again."""


class Reader(Thread):
    """Reads one thing repeatedly until it is stopped; records the distinct consecutive states and any error."""

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
    """Start a reader for each way of reading, and stop all of them after the `with` block."""
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
    """Return the manifest, and by name the daily files that it lists. Raises `NotYetError` if a file does not match its entry."""
    manifest = json.loads((settings.exports_dir / "manifest.json").read_bytes())
    contents = {}
    for entry in manifest["files"]:
        path = settings.exports_dir / entry["file"]
        contents[entry["file"]] = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(contents[entry["file"]]).hexdigest() != entry["sha256"]:
            raise NotYetError
    return manifest, contents
