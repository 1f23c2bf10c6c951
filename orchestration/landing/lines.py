"""Read a file of JSON values as a stream of Arrow batches that DuckDB can parse in bulk.

DuckDB's own JSON reader gives no line numbers, stops at one bad byte and accepts a damaged archive. So this module cuts the bytes
into records, a chunk at a time and without a Python object per record, and DuckDB only parses them. Arrow decompresses, because it
verifies the checks that gzip and zstd define.

How a file is cut, whatever its extension (contract, sections 2 and 3):

- A line is a record; blank lines are skipped. A byte order mark at the start of a line is ignored.
- In JSON, `}` is never followed by `{` outside strings with only whitespace between them. Where this occurs, one record ends and
  another begins, on one line or across two.
- If a line contains damage and objects next to it, `damaged_lines` decides which of them are records. Each truncated part, and each
  part between objects, is one record. This requires the end of the line, so a line longer than the record limit is cut between
  objects only.
- A line that begins with `{` and leaves brackets open continues on the next lines until they are closed. If another object begins,
  a line leaves a string open, or the file ends before that, the line is a (bad) record alone, and the next line is read as if this
  one had not been there.
- In a `.json` file that begins with an array, the elements are the records; another array or lines may follow it.
- A record longer than the limit is one rejected record, and only its beginning is kept. While it is skipped, it ends with its line
  or, if it spans several lines, where the next object begins.

The content of a record is checked elsewhere. Memory is bounded by the chunk and the limit, not by the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from orchestration.landing.damaged_lines import later_record_starts, without_escapes
from orchestration.landing.streams import BYTE_ORDER_MARK, DamagedFileError, HashedFile, chunks

MAX_RECORD_BYTES = 16 << 20
_MAX_BEGINNING_BYTES = 1024

_BLANK = b" \t\r\n"
_NEWLINE, _CARRIAGE_RETURN, _QUOTE, _COMMA = b'\n\r",'
_OPENING_BRACE, _CLOSING_BRACE, _OPENING_BRACKET, _CLOSING_BRACKET = b"{}[]"
_IS_SPACE = np.isin(np.arange(256), list(b" \t\r"))
_IS_BLANK = np.isin(np.arange(256), list(_BLANK))
# After these bytes, an object begins within another value or at the start of a line.
_IS_BEFORE_OBJECTS = np.isin(np.arange(256), list(b",:[\n"))
# Only files crafted to be slow contain longer runs of whitespace.
_STEPS_OVER_SPACE = 64
# Arrow's string views hold strings up to this length inside the view itself.
_INLINE_BYTES = 12
# Bytes of a JSON array that are cut at a time; the numpy arrays of a step are several times as large.
_STEP_BYTES = 4 << 20
# The most lines of a file that are searched in vain for the end of an object: a limit for files in which every line opens one.
_MAX_FRUITLESS_LINES = 10_000_000

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


@dataclass(frozen=True)
class _Cut:
    """Records in a block, from `starts` to `ends`. With `is_beginning`, the block is the beginning of a record that is too long."""

    block: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    is_beginning: bool = False


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
            cuts = _cut_document(pieces, max_record_bytes) if is_document else _LineCutter(max_record_bytes).cut(pieces)
            yield from _batches(cuts, file_index, max_record_bytes, reading.long_records)
        except DamagedFileError:
            reading.sha256, reading.bytes = file.sha256(), file.bytes
            raise
        reading.sha256, reading.bytes = file.sha256(), file.bytes


def _batches(cuts: Iterator[_Cut], file_index: int, limit: int, long_records: list[LongRecord]) -> Iterator[pa.RecordBatch]:
    """Number the records, and move those that are too long to `long_records`."""
    records = 0
    for cut in cuts:
        numbers = np.arange(records + 1, records + 1 + len(cut.starts), dtype=np.int64)
        records += len(numbers)
        is_long = np.full(len(numbers), True) if cut.is_beginning else cut.ends - cut.starts > limit
        for index in np.flatnonzero(is_long).tolist():
            start = cut.starts[index]
            beginning = cut.block[start : min(cut.ends[index], start + _beginning_length(limit))].decode(errors="backslashreplace")
            long_records.append(LongRecord(int(numbers[index]), int(cut.lines[index]), beginning))
        if is_long.any():
            cut = _Cut(cut.block, cut.starts[~is_long], cut.ends[~is_long], cut.lines[~is_long])
            numbers = numbers[~is_long]
        if len(numbers):
            yield _batch(cut, numbers, file_index)


def _beginning_length(limit: int) -> int:
    """Return how many bytes of a long record are kept: at most the limit, because no more of a skipped record is certain to be read yet."""
    return min(limit, _MAX_BEGINNING_BYTES)


def _batch(cut: _Cut, numbers: np.ndarray, file_index: int) -> pa.RecordBatch:
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


def _string_views(cut: _Cut) -> pa.Array:
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


# Lines


@dataclass(frozen=True)
class _Pieces:
    """A block cut at its newlines and between objects; pieces start after leading whitespace, and blank pieces are left out.

    `lines` counts from 0. `depth_changes` is how many more brackets a piece opens than it closes. `opens_string` is whether it ends within
    a string. `follows_object` is whether it begins an object after the end of another one, or after another piece on its line.
    """

    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    depth_changes: np.ndarray
    opens_string: np.ndarray
    begins_object: np.ndarray
    ends_object: np.ndarray
    follows_object: np.ndarray

    def starting_at(self, place: int) -> "_Pieces":
        first = int(np.searchsorted(self.starts, place))
        return self if first == 0 else _Pieces(*(getattr(self, item.name)[first:] for item in fields(self)))


@dataclass(frozen=True)
class _SecondLookRange:
    """Which lines of a block may get a second look: those that begin within a range and are no longer than the limit."""

    start: int
    end: int
    limit: int


@dataclass(frozen=True)
class _SkippedRecord:
    """A record that is too long; only its beginning is kept."""

    line: int
    beginning: bytes
    spans_lines: bool

    def cut(self) -> _Cut:
        return _Cut(self.beginning, np.array([0]), np.array([len(self.beginning)]), np.array([self.line]), is_beginning=True)


class _Outcome(Enum):
    """The outcome for an object that is still open at the end of its first line."""

    CLOSED = auto()
    BROKEN = auto()
    OPEN = auto()
    TOO_LONG = auto()


class _LineCutter:
    """Cuts a file, or the rest of one, into its records.

    With `must_end`, the file is damaged if its end truncates an object over several lines, unless a line contained a whole object.
    """

    def __init__(self, limit: int, *, line: int = 1, must_end: bool = False) -> None:
        self._limit = limit
        self._must_end = must_end
        # The bytes that are not cut yet, and the number of their first line.
        self._rest, self._line = b"", line
        # How far the first line of the rest is cut. The line is kept whole, because a second look needs all of it.
        self._done = 0
        # Whether the rest begins within a line that is longer than the limit.
        self._is_in_long_line = False
        self._skipped: _SkippedRecord | None = None
        self._fruitless_lines = 0
        self._has_whole_lines = False

    def cut(self, pieces: Iterator[bytes]) -> Iterator[_Cut]:
        for piece in pieces:
            self._rest += piece
            yield from self._skip(is_last=False)
            if self._skipped is None:
                yield self._cut_lines(self._rest.rfind(b"\n") + 1, may_continue=True)
            if self._skipped is None and len(self._rest) - self._rest.rfind(b"\n") - 1 > self._limit:
                yield from self._cut_long_line()
        yield from self._skip(is_last=True)
        yield self._cut_lines(len(self._rest), may_continue=True)
        yield from self._skip(is_last=True)
        if self._rest and self._must_end and not self._has_whole_lines:
            raise DamagedFileError("the JSON of this file does not end")
        yield self._cut_lines(len(self._rest), may_continue=False)

    def _consume(self, length: int, replacement: bytes = b"") -> None:
        """Drop the beginning of the rest, and put in its place the shortest text that leaves a reader in the same state."""
        newlines = self._rest.count(b"\n", 0, length)
        self._line += newlines - replacement.count(b"\n")
        self._rest, self._done = replacement + self._rest[length:], 0
        self._is_in_long_line &= newlines == 0

    def _resume_at(self, place: int) -> None:
        """Drop the bytes before a place, except the beginning of a line that may get a second look."""
        line_start = self._rest.rfind(b"\n", 0, place) + 1
        newline = self._rest.find(b"\n", place)
        line = self._rest[line_start : len(self._rest) if newline < 0 else newline]
        if (line_start == 0 and self._is_in_long_line) or _is_long(line, self._limit):
            self._consume(place)
            self._is_in_long_line = True
        else:
            self._consume(line_start)
            self._done = place - line_start

    def _pieces(self, length: int, unfinished: int | None = None) -> _Pieces:
        """Return the pieces that are not cut yet; the line that begins at `unfinished` continues after them."""
        first = self._rest.find(b"\n") + 1 or len(self._rest) if self._is_in_long_line else 0
        second_look = _SecondLookRange(first, length if unfinished is None else unfinished, self._limit)
        return _pieces(self._rest, length, second_look).starting_at(self._done)

    def _skip(self, *, is_last: bool) -> Iterator[_Cut]:
        """Drop the bytes of a record that is too long, and yield the record at its end."""
        if self._skipped is None:
            return
        end = self._end_of_lines(is_last=is_last) if self._skipped.spans_lines else _end_of_long_line(self._rest)
        if end is None and not is_last:
            self._drop_skipped(spans_lines=self._skipped.spans_lines)
            return
        yield self._skipped.cut()
        self._skipped = None
        if end is None:
            self._consume(len(self._rest))
        else:
            self._resume_at(end)

    def _end_of_lines(self, *, is_last: bool) -> int | None:
        """Return where the next object begins after a skipped record that spans lines, or None."""
        self._rest = _with_less_space(self._rest, self._limit)
        line_start = self._rest.rfind(b"\n") + 1
        # A last line whose end has not been read is cut only if it is too long.
        length = len(self._rest) if is_last or self._is_long_from(line_start) else line_start
        pieces = self._pieces(length, None if is_last else line_start)
        objects = pieces.starts[pieces.follows_object]
        return int(objects[0]) if len(objects) else None

    def _drop_skipped(self, *, spans_lines: bool) -> None:
        line_start = self._rest.rfind(b"\n") + 1
        if not spans_lines or self._is_long_from(line_start):
            self._consume(len(self._rest), replacement=_state_at_end(self._rest))
            self._is_in_long_line = True
        elif line_start:
            self._consume(line_start, replacement=_state_after_lines(self._pieces(line_start)))

    def _is_long_from(self, line_start: int) -> bool:
        return (line_start == 0 and self._is_in_long_line) or _is_long(self._rest[line_start:], self._limit)

    def _cut_lines(self, length: int, *, may_continue: bool, unfinished: int | None = None) -> _Cut:
        """Cut the whole lines at the beginning of the rest; with `may_continue`, keep an object that the next lines may close."""
        simple = None if self._done else _simple_lines(self._rest, length, self._line)
        if simple is None:
            return self._cut_pieces(length, may_continue=may_continue, unfinished=unfinished)
        cut, newlines = simple
        self._has_whole_lines |= len(cut.starts) > 0
        self._rest, self._line = self._rest[length:], self._line + newlines
        self._is_in_long_line &= newlines == 0
        return cut

    def _cut_pieces(self, length: int, *, may_continue: bool, unfinished: int | None) -> _Cut:
        block, pieces = self._rest, self._pieces(length, unfinished)
        count, used, settled = len(pieces.starts), length, 0
        lasts, is_first = np.arange(count), np.full(count, True)
        is_head = pieces.begins_object & (pieces.depth_changes > 0) & ~pieces.opens_string & (pieces.ends - pieces.starts <= self._limit)
        object_ends = _ObjectEnds(pieces, np.flatnonzero(is_head), self._limit)
        for index, head in enumerate(object_ends.heads):
            if head < settled or self._fruitless_lines > _MAX_FRUITLESS_LINES:
                continue
            outcome, end = object_ends.find(index)
            if outcome is _Outcome.CLOSED or (outcome is _Outcome.TOO_LONG and not may_continue):
                is_first[head + 1 : end] = False
                lasts[head] = end - 1
                settled = end
            elif outcome is _Outcome.BROKEN or not may_continue:
                self._fruitless_lines += end - head
            else:
                is_first[head:] = False
                used = int(pieces.starts[head])
                if outcome is _Outcome.TOO_LONG:
                    beginning = block[used : used + _beginning_length(self._limit)]
                    self._skipped = _SkippedRecord(self._line + int(pieces.lines[head]), beginning, spans_lines=True)
                break
        cut = _Cut(block, pieces.starts[is_first], pieces.ends[lasts[is_first]], self._line + pieces.lines[is_first])
        is_whole = is_first & (lasts == np.arange(count)) & pieces.begins_object & (pieces.depth_changes == 0) & ~pieces.opens_string
        self._has_whole_lines |= bool(is_whole.any())
        if self._skipped is not None:
            self._consume(length, replacement=_state_after_lines(pieces))
        elif used < length:
            self._resume_at(used)
        else:
            self._consume(length)
        return cut

    def _cut_long_line(self) -> Iterator[_Cut]:
        """Cut a line between its objects if more than the limit of it has been read, but not its end."""
        self._rest = _with_less_space(self._rest, self._limit)
        line_start = self._rest.rfind(b"\n") + 1
        if not _is_long(self._rest[line_start:], self._limit):
            return
        solid = self._rest[line_start:].lstrip(_BLANK)
        line_starts = np.zeros(1, dtype=np.int64)
        bytes_ = np.frombuffer(solid, dtype=np.uint8)
        adjacent_starts = _adjacent_object_starts(solid, line_starts, _misplaced_braces(bytes_))
        # Another object begins here, or the line is too long to be part of one, so no earlier object continues.
        yield self._cut_lines(len(self._rest) - len(solid) + int(adjacent_starts[-1:].sum()), may_continue=False, unfinished=line_start)
        self._is_in_long_line = True
        if len(self._rest) - self._rest.endswith(b"\r") > self._limit:
            self._skipped = _SkippedRecord(self._line, self._rest[: _beginning_length(self._limit)], spans_lines=False)
            self._rest = _state_at_end(self._rest)


class _ObjectEnds:
    """Finds where objects end that are open at the end of their first line; `heads` are the pieces that begin them."""

    def __init__(self, pieces: _Pieces, heads: np.ndarray, limit: int) -> None:
        count = len(pieces.starts)
        self._count = count
        self._depths = np.cumsum(pieces.depth_changes)
        self._objects = np.flatnonzero(pieces.follows_object)
        stops = np.flatnonzero(pieces.follows_object | pieces.opens_string | (pieces.ends - pieces.starts > limit))
        too_long = np.maximum(np.searchsorted(pieces.ends, pieces.starts[heads] + limit, side="right"), heads + 1)
        # Lists, because Python takes ten times as long to read one element of an array.
        self.heads: list[int] = heads.tolist()
        self._bases: list[int] = (self._depths[heads] - pieces.depth_changes[heads]).tolist()
        self._stops: list[int] = _next_after(stops, heads, count).tolist()
        self._too_long: list[int] = too_long.tolist()
        # For heads before which no bracket was left open, which is almost always the case.
        self._closings: list[int] = _next_after(np.flatnonzero(self._depths <= 0), heads, count).tolist()

    def find(self, index: int) -> tuple[_Outcome, int]:
        """Return the outcome of the object at a head's index, and the first piece that does not belong to the object."""
        stop, too_long = self._stops[index], self._too_long[index]
        bound = min(stop, too_long)
        if self._bases[index] == 0:
            last = self._closings[index]
        else:
            last = _first_at_most(self._depths, self.heads[index] + 1, bound, self._bases[index])
        if last < bound:
            return _Outcome.CLOSED, last + 1
        if stop == bound < self._count:
            return _Outcome.BROKEN, stop
        if bound == self._count:
            return _Outcome.OPEN, bound
        next_object = int(_next_after(self._objects, np.array([too_long]), self._count)[0])
        return (_Outcome.CLOSED if next_object < self._count else _Outcome.TOO_LONG), next_object


def _next_after(sorted_: np.ndarray, values: np.ndarray, otherwise: int) -> np.ndarray:
    """Return, for each of the values, the smallest element that is greater, or `otherwise`."""
    return np.append(sorted_, otherwise)[np.searchsorted(sorted_, values, side="right")]


def _first_at_most(values: np.ndarray, start: int, end: int, limit: int) -> int:
    """Return the first place from `start` whose value is at most the limit, or `end`."""
    window = 64
    while start < end:
        found = np.flatnonzero(values[start : min(start + window, end)] <= limit)
        if len(found):
            return start + int(found[0])
        start += window
        # Most objects end soon; some searches read all that is there.
        window *= 4
    return end


def _simple_lines(block: bytes, length: int, first_line: int) -> tuple[_Cut, int] | None:
    """Cut the lines of a block and count its newlines, if each line begins and ends like an object; otherwise return None.

    Most files consist only of such blocks.
    """
    bytes_ = np.frombuffer(block, dtype=np.uint8, count=length)
    ends = np.flatnonzero(bytes_ == _NEWLINE)
    newlines = len(ends)
    if length and bytes_[-1] != _NEWLINE:
        ends = np.append(ends, length)
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    lines = np.arange(first_line, first_line + len(ends), dtype=np.int64)
    ends = ends - ((ends > starts) & (bytes_[ends - 1] == _CARRIAGE_RETURN))
    is_record = ends > starts
    if not is_record.all():
        starts, ends, lines = starts[is_record], ends[is_record], lines[is_record]
    if not len(starts):
        return _Cut(block, starts, ends, lines), newlines
    if (bytes_[starts] != _OPENING_BRACE).any() or (bytes_[ends - 1] != _CLOSING_BRACE).any():
        return None
    misplaced = _misplaced_braces(bytes_)
    if len(_damaged_lines(bytes_, block[:length], starts, misplaced)):
        return None
    adjacent_starts = _adjacent_object_starts(block[:length], starts, misplaced)
    if len(adjacent_starts):
        all_starts = np.sort(np.concatenate((starts, adjacent_starts)))
        line_of = np.searchsorted(starts, all_starts, side="right") - 1
        next_starts = np.append(all_starts[1:], length + 1)
        ends = np.minimum(ends[line_of], next_starts)
        starts, lines = all_starts, lines[line_of]
        ends = ends - ((ends == next_starts) & (bytes_[ends - 1] == _CARRIAGE_RETURN))
    if _pieces(block[starts[-1] : ends[-1]], int(ends[-1] - starts[-1])).depth_changes[0] > 0:
        return None
    return _Cut(block, starts, ends, lines), newlines


def _pieces(block: bytes, length: int, second_look: _SecondLookRange | None = None) -> _Pieces:
    text = without_escapes(block[:length])
    bytes_ = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(bytes_ == _NEWLINE)
    line_starts = np.concatenate(([0], newlines + 1))
    line_starts = line_starts[line_starts < length]
    misplaced = _misplaced_braces(bytes_)
    if second_look is not None:
        found = _starts_by_second_look(block[:length], line_starts[_damaged_lines(bytes_, text, line_starts, misplaced)], second_look)
        # From these places on, strings begin and end as they do from the start of a line.
        line_starts = np.sort(np.concatenate((line_starts, found)), kind="stable")
    is_outside = _is_outside_strings(bytes_, line_starts)
    # Both arrays are sorted already; numpy's union hashes them, which took ten times as long.
    starts = np.sort(np.concatenate((line_starts, _adjacent_object_starts(text, line_starts, misplaced))), kind="stable")
    starts = starts[np.append(True, starts[1:] != starts[:-1])[: len(starts)]]
    ends = np.append(starts[1:], length)[: len(starts)]
    lines = np.searchsorted(newlines, starts)
    depth_changes = np.add.reduceat(_depth_changes(bytes_, is_outside), starts, dtype=np.int32) if length else np.zeros(0, dtype=np.int32)
    is_within_line = (starts > 0) & (bytes_[starts - 1] != _NEWLINE)
    starts, solid_ends = _skip_space(bytes_, starts, 1, _IS_BLANK), _skip_space(bytes_, ends - 1, -1, _IS_BLANK)
    if BYTE_ORDER_MARK in text:
        is_marked = np.array([text.startswith(BYTE_ORDER_MARK, start) for start in starts.tolist()], dtype=bool)
        starts = np.where(is_marked, _skip_space(bytes_, starts + is_marked * len(BYTE_ORDER_MARK), 1, _IS_BLANK), starts)
    is_solid = starts <= solid_ends
    starts, ends, solid_ends = starts[is_solid], ends[is_solid], solid_ends[is_solid]
    ends = ends - (bytes_[ends - 1] == _NEWLINE)
    ends = ends - (bytes_[ends - 1] == _CARRIAGE_RETURN)
    opens_string = ~is_outside[solid_ends]
    begins_object = bytes_[starts] == _OPENING_BRACE
    ends_object = (bytes_[solid_ends] == _CLOSING_BRACE) & ~opens_string
    follows_object = begins_object & (np.concatenate(([False], ends_object))[: len(starts)] | is_within_line[is_solid])
    return _Pieces(starts, ends, lines[is_solid], depth_changes[is_solid], opens_string, begins_object, ends_object, follows_object)


def _is_outside_strings(bytes_: np.ndarray, line_starts: np.ndarray) -> np.ndarray:
    """Return for each byte whether it is outside strings (closing quotes are outside); each of the lines begins outside."""
    is_inside = np.bitwise_xor.accumulate((bytes_ == _QUOTE).view(np.uint8))
    at_line_starts = np.concatenate(([0], is_inside[line_starts[1:] - 1]))[: len(line_starts)].astype(np.uint8)
    if at_line_starts.any():
        is_inside ^= np.repeat(at_line_starts, np.diff(np.append(line_starts, len(bytes_))))
    return is_inside == 0


def _depth_changes(bytes_: np.ndarray, is_outside: np.ndarray) -> np.ndarray:
    """Return for each byte outside strings 1 if it is an opening bracket and -1 if it is a closing one, otherwise 0; as int8."""
    opens = ((bytes_ == _OPENING_BRACE) | (bytes_ == _OPENING_BRACKET)) & is_outside
    closes = ((bytes_ == _CLOSING_BRACE) | (bytes_ == _CLOSING_BRACKET)) & is_outside
    return opens.view(np.int8) - closes.view(np.int8)


@dataclass(frozen=True)
class _MisplacedBraces:
    """Opening braces where JSON allows no object to begin; `follow_object` marks those after a closing brace."""

    braces: np.ndarray
    follow_object: np.ndarray


def _misplaced_braces(bytes_: np.ndarray) -> _MisplacedBraces:
    braces = np.flatnonzero(bytes_ == _OPENING_BRACE)
    braces = braces[np.searchsorted(braces, 1) :]
    before, two_before = bytes_[braces - 1], bytes_[braces - 2]
    # Two bytes are checked first, because this runs for every file.
    braces = braces[~(_IS_BEFORE_OBJECTS[before] | (_IS_SPACE[before] & _IS_BEFORE_OBJECTS[two_before]))]
    before = _skip_space(bytes_, braces - 1, -1, _IS_SPACE)
    is_misplaced = (before >= 0) & ~_IS_BEFORE_OBJECTS[bytes_[before]]
    return _MisplacedBraces(braces[is_misplaced], bytes_[before[is_misplaced]] == _CLOSING_BRACE)


def _adjacent_object_starts(text: bytes, line_starts: np.ndarray, misplaced: _MisplacedBraces) -> np.ndarray:
    """Return where an object begins after another one on the same line, outside strings."""
    braces = misplaced.braces[misplaced.follow_object]
    if not len(braces):
        return braces
    quotes = np.flatnonzero(np.frombuffer(without_escapes(text), dtype=np.uint8) == _QUOTE)
    lines = line_starts[np.searchsorted(line_starts, braces, side="right") - 1]
    return braces[(np.searchsorted(quotes, braces) - np.searchsorted(quotes, lines)) % 2 == 0]


def _damaged_lines(bytes_: np.ndarray, text: bytes, line_starts: np.ndarray, misplaced: _MisplacedBraces) -> np.ndarray:
    """Return the lines that may need a second look: no lines of valid objects, and almost no undamaged lines."""
    is_candidate = np.zeros(len(misplaced.braces), dtype=bool)
    after = _skip_space(bytes_, misplaced.braces + 1, 1, _IS_SPACE)
    is_in_block = after < len(bytes_)
    is_candidate[is_in_block] = bytes_[after[is_in_block]] == _QUOTE
    if not is_candidate.any():
        return np.zeros(0, dtype=np.int64)
    solid = np.frombuffer(without_escapes(text), dtype=np.uint8)
    is_outside = _is_outside_strings(solid, line_starts)
    line_of = np.searchsorted(line_starts, misplaced.braces, side="right") - 1
    is_adjacent = misplaced.follow_object & is_outside[misplaced.braces]
    lines = np.unique(line_of[is_candidate])
    is_damaged = ~_are_complete_objects(
        solid, is_outside, line_starts, lines, np.bincount(line_of[is_adjacent], minlength=len(line_starts))[lines]
    )
    is_damaged |= np.isin(lines, line_of[is_candidate & ~is_adjacent])
    return lines[is_damaged]


def _are_complete_objects(
    bytes_: np.ndarray, is_outside: np.ndarray, line_starts: np.ndarray, lines: np.ndarray, adjacent_counts: np.ndarray
) -> np.ndarray:
    """Return for each of these lines whether it closes its outermost brackets `adjacent_counts` + 1 times, and nothing follows."""
    depth_changes = _depth_changes(bytes_, is_outside)
    # Only brackets are kept, because few bytes are brackets.
    brackets = np.flatnonzero(depth_changes)
    depth_changes = depth_changes[brackets]
    depths = np.append(0, np.cumsum(depth_changes, dtype=np.int32))
    ends = np.append(line_starts[1:], len(bytes_))
    firsts, afters = np.searchsorted(brackets, line_starts), np.searchsorted(brackets, ends)
    # Only whitespace precedes the first line.
    bases = np.repeat(depths[firsts], afters - firsts)
    is_out = np.append(0, np.cumsum((depth_changes < 0) & (depths[1:] <= bases), dtype=np.int32))
    closings_out = is_out[afters] - is_out[firsts]
    lasts = _skip_space(bytes_, ends[lines] - 1, -1, _IS_BLANK)
    is_closed = (bytes_[lasts] == _CLOSING_BRACE) & is_outside[lasts] & (depths[afters] == depths[firsts])[lines]
    return is_closed & (closings_out[lines] == adjacent_counts + 1)


def _starts_by_second_look(block: bytes, line_starts: np.ndarray, second_look: _SecondLookRange) -> np.ndarray:
    found: list[int] = []
    for start in line_starts[(line_starts >= second_look.start) & (line_starts < second_look.end)].tolist():
        newline = block.find(b"\n", start)
        line = block[start : len(block) if newline < 0 else newline]
        if not _is_long(line, second_look.limit):
            found += [start + place for place in later_record_starts(line)]
    return np.array(found, dtype=np.int64)


def _is_long(line: bytes, limit: int) -> bool:
    return len(line.lstrip(_BLANK)) - line.endswith(b"\r") > limit


def _with_less_space(block: bytes, limit: int) -> bytes:
    """Shorten the whitespace at the start of a block's last line; more of it would change nothing."""
    line_start = block.rfind(b"\n") + 1
    if len(block) - line_start <= limit:
        return block
    solid = block[line_start:].lstrip(_BLANK)
    return block[:line_start] + block[line_start : min(len(block) - len(solid), line_start + limit + 1)] + solid


def _skip_space(bytes_: np.ndarray, places: np.ndarray, step: int, is_space: np.ndarray) -> np.ndarray:
    """Return the first place that is not whitespace from each place on, in steps of 1 or -1; -1 or the length if there is none."""
    places = places.copy()
    moving = np.flatnonzero((places >= 0) & (places < len(bytes_)))
    for _ in range(_STEPS_OVER_SPACE):
        moving = moving[is_space[bytes_[places[moving]]]]
        if not len(moving):
            return places
        places[moving] += step
        moving = moving[(places[moving] >= 0) & (places[moving] < len(bytes_))]
    solid = np.flatnonzero(~is_space[bytes_])
    found = np.searchsorted(solid, places[moving], side="left") if step > 0 else np.searchsorted(solid, places[moving], side="right") - 1
    places[moving] = np.concatenate(([-1], solid, [len(bytes_)]))[found + 1]
    return places


def _state_at_end(block: bytes) -> bytes:
    """Return a short text that leaves a reader in the same state as a block, as far as strings and objects are concerned."""
    line = without_escapes(block[block.rfind(b"\n") + 1 :])
    escape = b"\\" if line.endswith(b"\\") else b""
    if line.count(b'"') % 2:
        return b'"' + escape
    solid = block.rstrip(_BLANK)
    last_line = without_escapes(solid[solid.rfind(b"\n") + 1 :])
    return b"}" if last_line.endswith(b"}") and last_line.count(b'"') % 2 == 0 else escape


def _state_after_lines(pieces: _Pieces) -> bytes:
    """Return a line that leaves a reader in the same state as these pieces, which end with their line."""
    return b"}\n" if pieces.ends_object[-1:].any() else b""


def _end_of_long_line(block: bytes) -> int | None:
    """Return where a record ends that began before a block (the end of its line, or the start of the next object), or None."""
    newline = block.find(b"\n")
    pieces = _pieces(block, len(block) if newline < 0 else newline)
    if len(pieces.starts) > 1:
        return int(pieces.starts[1])
    return newline + 1 if newline >= 0 else None


# Documents


def _cut_document(pieces: Iterator[bytes], limit: int) -> Iterator[_Cut]:
    """Cut a `.json` file: the elements of the arrays that it begins with, then lines. Raises `DamagedFileError`."""
    line, is_after_array = 1, False
    while (piece := next(pieces, None)) is not None:
        begun = piece.lstrip(_BLANK)
        line += piece.count(b"\n", 0, len(piece) - len(begun))
        if begun.startswith(b"["):
            array = _ArrayCutter(limit, line)
            yield from array.cut(chain((begun[1:],), pieces))
            line, is_after_array = array.line, True
            pieces = chain((array.rest,), pieces)
        elif is_after_array and begun and not begun.startswith(b"{"):
            raise DamagedFileError(f"something follows the JSON array of this file on line {line}")
        elif begun:
            yield from _LineCutter(limit, line=line, must_end=True).cut(chain((begun,), pieces))


class _ArrayCutter:
    """Cuts an array into its elements, after its opening bracket was read; `rest` is the text after the closing bracket."""

    def __init__(self, limit: int, line: int) -> None:
        self._limit = limit
        self.rest, self.line = b"", line
        # How many brackets are open at the start of the rest, which is outside strings.
        self._depth = 1
        self._has_elements = False
        self._is_over = False
        self._skipped: _SkippedRecord | None = None

    def cut(self, pieces: Iterator[bytes]) -> Iterator[_Cut]:
        for piece in pieces:
            for start in range(0, len(piece), _STEP_BYTES):
                self.rest += piece[start : start + _STEP_BYTES]
                yield from self._cut_elements()
                if self._is_over:
                    self.rest += piece[start + _STEP_BYTES :]
                    return
        raise DamagedFileError("the JSON array of this file does not end")

    def _cut_elements(self) -> Iterator[_Cut]:
        block = self.rest
        text = without_escapes(block)
        bytes_ = np.frombuffer(text, dtype=np.uint8)
        is_outside = _is_outside_strings(bytes_, np.zeros(1, dtype=np.int64))
        depths = self._depth + np.cumsum(_depth_changes(bytes_, is_outside), dtype=np.int32)
        newlines = np.flatnonzero(bytes_ == _NEWLINE)
        bounds = np.flatnonzero((bytes_ == _COMMA) & is_outside & (depths == 1))
        array_ends = np.flatnonzero(depths == 0)[:1]
        self._is_over = len(array_ends) > 0
        if self._is_over:
            if bytes_[array_ends[0]] != _CLOSING_BRACKET:
                line = self.line + int(np.searchsorted(newlines, array_ends[0]))
                raise DamagedFileError(f"the JSON array of this file has a mismatched bracket on line {line}")
            bounds = np.append(bounds[bounds < array_ends[0]], array_ends)
        if len(bounds):
            starts = _skip_space(bytes_, np.concatenate(([0], bounds[:-1] + 1)), 1, _IS_BLANK)
            starts = np.minimum(starts, bounds)
            ends = np.maximum(_skip_space(bytes_, bounds - 1, -1, _IS_BLANK) + 1, starts)
            lines = self.line + np.searchsorted(newlines, starts)
            if self._skipped is not None:
                yield self._skipped.cut()
                self._skipped = None
                starts, ends, lines = starts[1:], ends[1:], lines[1:]
            elif self._is_over and not self._has_elements and len(bounds) == 1 and starts[0] == ends[0]:
                starts, ends, lines = starts[1:], ends[1:], lines[1:]
            self._has_elements = True
            yield _Cut(block, starts, ends, lines)
            self._consume(int(bounds[-1]) + 1)
            self._depth = 1
        if not self._is_over:
            self._skip_long_element(int(depths[-1]))

    def _consume(self, length: int, replacement: bytes = b"") -> None:
        self.line += self.rest.count(b"\n", 0, length)
        self.rest = replacement + self.rest[length:]

    def _skip_long_element(self, depth: int) -> None:
        """Drop the current element once it is too long, and keep the state in which it leaves a reader."""
        if self._skipped is None:
            if len(self.rest) > self._limit:
                self._consume(len(self.rest) - len(self.rest.lstrip(_BLANK)))
            if len(self.rest) <= self._limit:
                return
            self._skipped = _SkippedRecord(self.line, self.rest[: _beginning_length(self._limit)], spans_lines=True)
        text = without_escapes(self.rest)
        state = (b'"' if text.count(b'"') % 2 else b"") + (b"\\" if text.endswith(b"\\") else b"")
        self._consume(len(self.rest), replacement=state)
        self._depth = depth
