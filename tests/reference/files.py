"""The files of a landing zone, each content once, as records with their line numbers."""

import difflib
import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tests.reference.contract import Expected, RejectedError
from tests.reference.json_values import parse_value, split_values

EXTENSIONS = tuple(data + packed for data in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))
FEEDS = ("sends", "webhooks", "botmaker/sessions", "botmaker/sent_results", "botmaker/channels", "rates")
RATE_CARDS = tuple(f".csv{packed}" for packed in ("", ".gz", ".zst"))
FOLDERS = ("sends", "webhooks", "botmaker", "rates")
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


@dataclass
class Content:
    """A file: `records` are (line number, text); `size` is the number of records, once a reader has unpacked the pages."""

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
        """Record the content's rejected records and its ledger entry."""
        rejected = len(self.rejected)
        status = "set_aside" if self.is_damaged else "landed"
        expected.ledger[self.sha256] = (self.size, self.size - rejected, rejected, status)
        expected.rejected += [(self.name, number) for number in self.rejected]


class Zone:
    """A landing zone on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def contents(self, feed: str) -> Iterator[Content]:
        """Yield each content of a feed once, under the first of its file names."""
        seen = set()
        for path in self._files(feed):
            if path.name.endswith(_extensions(feed)):
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                if sha256 not in seen:
                    seen.add(sha256)
                    yield _content(path, self._name(path), sha256)

    def unread(self) -> list[str]:
        """Return files with other extensions and hidden data files in the feeds' folders, and folders whose names are close to a feed's."""
        files = [self._name(path) for feed in FEEDS for path in self._files(feed) if not path.name.endswith(_extensions(feed))]
        folders = [*_misspelt(self._folder, FOLDERS), *_misspelt(self._folder / "botmaker", [feed.split("/")[-1] for feed in FEEDS[2:5]])]
        hidden = {f"{self._name(path)}{'/' * path.is_dir()}" for feed in FEEDS for path in self._hidden(feed)}
        return sorted({*files, *(f"{self._name(folder)}/" for folder in folders), *hidden})

    def _hidden(self, feed: str) -> Iterator[Path]:
        """Yield the first hidden folder on each path inside a feed, and hidden files with a data extension."""
        for path in (self._folder / feed).rglob("*"):
            parts = path.relative_to(self._folder / feed).parts
            found = next((place for place, part in enumerate(parts) if part.startswith((".", "_"))), None)
            if found is not None and (found < len(parts) - 1 or path.is_dir() or path.name.endswith(_extensions(feed))):
                yield (self._folder / feed).joinpath(*parts[: found + 1])

    def _files(self, feed: str) -> list[Path]:
        """Return the files of a feed by name, without hidden ones."""
        paths = [path for path in (self._folder / feed).rglob("*") if path.is_file()]
        shown = [path for path in paths if not any(part.startswith((".", "_")) for part in path.relative_to(self._folder / feed).parts)]
        return sorted(shown, key=self._name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _extensions(feed: str) -> tuple[str, ...]:
    return RATE_CARDS if feed == "rates" else EXTENSIONS


def _misspelt(folder: Path, names: tuple[str, ...] | list[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    others = [path for path in folder.iterdir() if path.is_dir() and path.name not in names]
    return [path for path in others if difflib.get_close_matches(path.name.lower(), names, cutoff=0.8)]


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
    return [(number, value) for number, line in lines if line.strip(b" \t\r") for value in split_values(line)]


def _document(text: bytes) -> list[tuple[int, bytes]] | None:
    """Return the elements of an array, or the objects that span several lines; None for a file with one record per line.

    Raises `EOFError` if the document is incomplete.
    """
    if text.lstrip().startswith(b"["):
        return _elements(text)
    if not text.lstrip().startswith(b"{"):
        return None
    # If some line is a whole record, the file is JSON lines, and only its other lines are invalid.
    is_document = _is_object(text) or not any(_is_object(value) for _, value in _lines(text))
    return _objects(text) if is_document else None


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(parse_value(text), dict)
    except RejectedError:
        return False


def _elements(text: bytes) -> list[tuple[int, bytes]]:
    spans, depth, start = [], 0, 0
    for match in _STRUCTURE.finditer(text):
        if match[0] in (b"[", b"{"):
            depth += 1
            start = match.end() if depth == 1 else start
        elif match[0] in (b"]", b"}"):
            depth -= 1
        if (match[0] == b"," and depth == 1) or depth == 0:
            spans.append((start, match.start()))
            start = match.end()
        if depth == 0:
            if text[match.end() :].strip():
                raise EOFError("something follows the array")
            return _numbered(text, spans if len(spans) > 1 or text[slice(*spans[0])].strip() else [])
    raise EOFError("the array does not end")


def _objects(text: bytes) -> list[tuple[int, bytes]]:
    spans, depth, start = [], 0, 0
    for match in _STRUCTURE.finditer(text):
        if match[0] in (b"[", b"{"):
            depth += 1
        elif match[0] in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                spans.append((start, match.end()))
                start = match.end()
    if text[start:].strip():
        raise EOFError("the object does not end")
    return _numbered(text, spans)


def _numbered(text: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    """Return the text of each span with the number of its first line."""
    values = []
    for start, end in spans:
        value = text[start:end]
        first = start + len(value) - len(value.lstrip())
        values.append((text.count(b"\n", 0, first) + 1, value.strip()))
    return values
