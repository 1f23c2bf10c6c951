"""Read a file of JSON values as a stream of Arrow batches that DuckDB can parse in bulk.

DuckDB's own JSON reader gives no line numbers, stops at one bad byte and accepts a damaged archive. So this package cuts the bytes
into records, a chunk at a time and without a Python object per record, and DuckDB only parses them. Arrow decompresses, because it
verifies the checks that gzip and zstd define.

How a file is cut, whatever its extension (contract, sections 2 and 3):

- A line is a record; blank lines are skipped. A byte order mark at the start of a line is ignored.
- In JSON, `}` is never followed by `{` outside strings with only whitespace between them. Where this occurs, one record ends and
  another begins, on one line or across two.
- If a line contains damage and objects next to it, `damaged_lines` decides which of them are records. Each truncated part, and each
  part between objects, is one record. This requires the end of the line, so a line longer than the record limit is cut between
  objects only.
- A line that begins with `{` and leaves brackets open continues on the next lines until they are closed. If another object begins
  (after `}`, or where JSON allows none in the open one), a line after a whole object cannot continue the open one, a line leaves a
  string open, or the file ends before that, the line is a (bad) record alone, and the next line is read as if this one had not been
  there.
- In a `.json` file that begins with an array, the elements are the records; another array or lines may follow it.
- A record longer than the limit is one rejected record, and only its beginning is kept. While it is skipped, it ends with its line
  or, if it spans several lines, where the next object begins.

The content of a record is checked elsewhere. Memory is bounded by the chunk and the limit, not by the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from orchestration.landing.reading.cuts import Cut, beginning_length
from orchestration.landing.reading.document import cut_document
from orchestration.landing.reading.line_cutter import LineCutter
from orchestration.landing.reading.streams import DamagedFileError, HashedFile, chunks

MAX_RECORD_BYTES = 16 << 20

# Arrow's string views hold strings up to this length inside the view itself.
_INLINE_BYTES = 12

LINES_SCHEMA = pa.schema(
    [
        ("file_index", pa.int32()),
        # Numbers the records of a file; several may share a line.
        ("record_number", pa.int64()),
        ("line_number", pa.int64()),
        ("line", pa.string_view()),
        # The text of a line that is not UTF-8, with the invalid bytes written as \xNN.
        ("undecodable", pa.string()),
    ]
)


@dataclass(frozen=True)
class LongRecord:
    """A record that is longer than the limit; only its `beginning` is kept."""

    record_number: int
    line_number: int
    beginning: str


@dataclass
class Reading:
    """What is known about a file after it was read to its end."""

    sha256: str = ""
    bytes: int = 0
    long_records: list[LongRecord] = field(default_factory=list)


def read_lines(
    path: Path, file_name: str, file_index: int, reading: Reading | None = None, max_record_bytes: int = MAX_RECORD_BYTES
) -> Iterator[pa.RecordBatch]:
    """Yield `LINES_SCHEMA` batches of one file, and fill `reading` at its end.

    `file_name` is the name in the landing zone; its extension shows how the file is compressed. Raises `DamagedFileError`, with
    `reading` filled nevertheless, and `UnreadableFileError` and `ChangedFileError` of `streams`.
    """
    reading = Reading() if reading is None else reading
    is_document = Path(file_name).name.removesuffix(".gz").removesuffix(".zst").endswith(".json")
    with HashedFile(path) as file:
        try:
            pieces = chunks(file, file_name)
            cuts = cut_document(pieces, max_record_bytes) if is_document else LineCutter(max_record_bytes).cut(pieces)
            yield from _batches(cuts, file_index, max_record_bytes, reading.long_records)
        except DamagedFileError:
            reading.sha256, reading.bytes = file.sha256(), file.bytes
            raise
        reading.sha256, reading.bytes = file.sha256(), file.bytes


def _batches(cuts: Iterator[Cut], file_index: int, limit: int, long_records: list[LongRecord]) -> Iterator[pa.RecordBatch]:
    """Number the records, and move those that are too long to `long_records`."""
    records = 0
    for cut in cuts:
        numbers = np.arange(records + 1, records + 1 + len(cut.starts), dtype=np.int64)
        records += len(numbers)
        is_long = np.full(len(numbers), True) if cut.is_beginning else cut.ends - cut.starts > limit
        for index in np.flatnonzero(is_long).tolist():
            start = cut.starts[index]
            beginning = cut.block[start : min(cut.ends[index], start + beginning_length(limit))].decode(errors="backslashreplace")
            long_records.append(LongRecord(int(numbers[index]), int(cut.lines[index]), beginning))
        if is_long.any():
            cut = Cut(cut.block, cut.starts[~is_long], cut.ends[~is_long], cut.lines[~is_long])
            numbers = numbers[~is_long]
        if len(numbers):
            yield _batch(cut, numbers, file_index)


def _batch(cut: Cut, numbers: np.ndarray, file_index: int) -> pa.RecordBatch:
    # String views have 32-bit offsets.
    if len(cut.block) < 1 << 31 and _is_utf8(cut.block, int(cut.ends[-1])):
        lines = _string_views(cut)
        undecodable = pa.nulls(len(numbers), pa.string())
    else:
        # Decode record by record, so that the valid ones still land.
        lines, undecodable = _decoded([cut.block[start:end] for start, end in zip(cut.starts.tolist(), cut.ends.tolist(), strict=True)])
    index = pa.array(np.full(len(numbers), file_index, dtype=np.int32))
    return pa.record_batch([index, pa.array(numbers), pa.array(cut.lines), lines, undecodable], schema=LINES_SCHEMA)


def _is_utf8(block: bytes, length: int) -> bool:
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, length], dtype=np.int64)), pa.py_buffer(block)])
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _string_views(cut: Cut) -> pa.Array:
    """Return string views, in Arrow's layout, that point at each record in the block."""
    bytes_ = np.frombuffer(cut.block, dtype=np.uint8)
    views = np.zeros((len(cut.starts), 4), dtype=np.int32)
    lengths = cut.ends - cut.starts
    views[:, 0] = lengths
    prefixes = bytes_[np.minimum(cut.starts[:, None] + np.arange(4), len(bytes_) - 1)]
    views[:, 1] = np.ascontiguousarray(prefixes).view(np.int32)[:, 0]
    views[:, 3] = cut.starts
    short = np.flatnonzero(lengths <= _INLINE_BYTES)
    places = np.arange(_INLINE_BYTES)
    texts = bytes_[np.minimum(cut.starts[short, None] + places, len(bytes_) - 1)]
    views.view(np.uint8)[short, 4:] = texts * (places < lengths[short, None])
    return pa.Array.from_buffers(pa.string_view(), len(cut.starts), [None, pa.py_buffer(views), pa.py_buffer(cut.block)])


def _decoded(records: list[bytes]) -> tuple[pa.Array, pa.Array]:
    """Return the columns `line` and `undecodable` of `LINES_SCHEMA`; each record is in one of the two."""
    lines: list[str | None] = []
    undecodable: list[str | None] = []
    for record in records:
        try:
            lines.append(record.decode())
            undecodable.append(None)
        except UnicodeDecodeError:
            lines.append(None)
            undecodable.append(record.decode(errors="backslashreplace"))
    return pa.array(lines, pa.string_view()), pa.array(undecodable, pa.string())
