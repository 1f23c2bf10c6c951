"""The files of a landing zone, each content once, as records with the lines on which they stand."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tests.reference.contract import Expected

ENDINGS = tuple(data + packed for data in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))


@dataclass
class Content:
    """A file: `records` are (line number, text); `size` is how many records it holds, once a reader has unpacked the pages."""

    name: str
    sha256: str
    records: list[tuple[int, bytes]]
    is_damaged: bool = False
    size: int = 0
    rejected: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size = len(self.records)

    def reject(self, line_number: int) -> None:
        self.rejected.append(line_number)

    def count(self, expected: Expected) -> None:
        """Note the content's rejected records and its line of the ledger."""
        rejected = len(self.rejected)
        status = "set_aside" if self.is_damaged else "landed"
        expected.ledger[self.sha256] = (self.size, self.size - rejected, rejected, status)
        expected.rejected += [(self.name, number) for number in self.rejected]


class Zone:
    """A landing zone on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def contents(self, feed: str) -> Iterator[Content]:
        """Yield each content of a feed once, under the first of its names."""
        seen = set()
        for path in sorted((self._folder / feed).rglob("*")):
            if path.is_file() and path.name.endswith(ENDINGS):
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                if sha256 not in seen:
                    seen.add(sha256)
                    yield _content(path, path.relative_to(self._folder).as_posix(), sha256)


def _content(path: Path, name: str, sha256: str) -> Content:
    try:
        text = _unpacked(path).removeprefix(b"\xef\xbb\xbf")
        is_json = name.removesuffix(".gz").removesuffix(".zst").endswith(".json")
        records = _document(text) if is_json else None
        return Content(name, sha256, _lines(text) if records is None else records)
    except (OSError, EOFError):
        return Content(name, sha256, [], is_damaged=True)


def _unpacked(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return stream.read()
    return path.read_bytes()


def _lines(text: bytes) -> list[tuple[int, bytes]]:
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(text.split(b"\n"), 1)]
    return [(number, line) for number, line in lines if line.strip(b" \t\r")]


def _document(text: bytes) -> list[tuple[int, bytes]] | None:
    """Return the elements of an array, or the one object, that a whole file is; None for one with a record on each line."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if isinstance(document, dict):
        start = len(text) - len(text.lstrip())
        return [(text.count(b"\n", 0, start) + 1, text.strip())]
    if not isinstance(document, list):
        return None
    decoded, decoder, elements = text.decode(), json.JSONDecoder(), []
    position = decoded.index("[") + 1
    for _ in document:
        while decoded[position] in " \t\r\n,":
            position += 1
        _, end = decoder.raw_decode(decoded, position)
        elements.append((decoded.count("\n", 0, position) + 1, decoded[position:end].encode()))
        position = end
    return elements
