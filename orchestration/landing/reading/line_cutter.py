"""Cut lines into records: whole objects, objects next to each other, and objects over several lines (rules: `lines`)."""

from collections.abc import Iterator
from enum import Enum, auto

import numpy as np

from orchestration.landing.reading.cuts import Cut, SkippedRecord, beginning_length
from orchestration.landing.reading.damaged_lines import without_escapes
from orchestration.landing.reading.pieces import (
    BLANK,
    CARRIAGE_RETURN,
    CLOSING_BRACE,
    NEWLINE,
    OPENING_BRACE,
    Pieces,
    SecondLookRange,
    adjacent_object_starts,
    is_long,
    lines_that_may_be_damaged,
    misplaced_braces,
    pieces_of,
)
from orchestration.landing.reading.streams import DamagedFileError

# The most lines of a file that are searched in vain for the end of an object: a limit for files in which every line opens one.
_MAX_FRUITLESS_LINES = 10_000_000


class _Outcome(Enum):
    """The outcome for an object that is still open at the end of its first line."""

    CLOSED = auto()
    BROKEN = auto()
    OPEN = auto()
    TOO_LONG = auto()


class LineCutter:
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
        self._skipped: SkippedRecord | None = None
        self._fruitless_lines = 0
        self._has_whole_lines = False

    def cut(self, pieces: Iterator[bytes]) -> Iterator[Cut]:
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
        if (line_start == 0 and self._is_in_long_line) or is_long(line, self._limit):
            self._consume(place)
            self._is_in_long_line = True
        else:
            self._consume(line_start)
            self._done = place - line_start

    def _pieces(self, length: int, unfinished: int | None = None) -> Pieces:
        """Return the pieces that are not cut yet; the line that begins at `unfinished` continues after them."""
        first = self._rest.find(b"\n") + 1 or len(self._rest) if self._is_in_long_line else 0
        second_look = SecondLookRange(first, length if unfinished is None else unfinished, self._limit)
        return pieces_of(self._rest, length, second_look).starting_at(self._done)

    def _skip(self, *, is_last: bool) -> Iterator[Cut]:
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
        return (line_start == 0 and self._is_in_long_line) or is_long(self._rest[line_start:], self._limit)

    def _cut_lines(self, length: int, *, may_continue: bool, unfinished: int | None = None) -> Cut:
        """Cut the whole lines at the beginning of the rest; with `may_continue`, keep an object that the next lines may close."""
        simple = None if self._done else _simple_lines(self._rest, length, self._line)
        if simple is None:
            return self._cut_pieces(length, may_continue=may_continue, unfinished=unfinished)
        cut, newlines = simple
        self._has_whole_lines |= len(cut.starts) > 0
        self._rest, self._line = self._rest[length:], self._line + newlines
        self._is_in_long_line &= newlines == 0
        return cut

    def _cut_pieces(self, length: int, *, may_continue: bool, unfinished: int | None) -> Cut:
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
                    beginning = block[used : used + beginning_length(self._limit)]
                    self._skipped = SkippedRecord(self._line + int(pieces.lines[head]), beginning, spans_lines=True)
                break
        cut = Cut(block, pieces.starts[is_first], pieces.ends[lasts[is_first]], self._line + pieces.lines[is_first])
        is_whole = is_first & (lasts == np.arange(count)) & pieces.begins_object & (pieces.depth_changes == 0) & ~pieces.opens_string
        self._has_whole_lines |= bool(is_whole.any())
        if self._skipped is not None:
            self._consume(length, replacement=_state_after_lines(pieces))
        elif used < length:
            self._resume_at(used)
        else:
            self._consume(length)
        return cut

    def _cut_long_line(self) -> Iterator[Cut]:
        """Cut a line between its objects if more than the limit of it has been read, but not its end."""
        self._rest = _with_less_space(self._rest, self._limit)
        line_start = self._rest.rfind(b"\n") + 1
        if not is_long(self._rest[line_start:], self._limit):
            return
        solid = self._rest[line_start:].lstrip(BLANK)
        line_starts = np.zeros(1, dtype=np.int64)
        bytes_ = np.frombuffer(solid, dtype=np.uint8)
        adjacent_starts = adjacent_object_starts(solid, line_starts, misplaced_braces(bytes_))
        # Another object begins here, or the line is too long to be part of one, so no earlier object continues.
        yield self._cut_lines(len(self._rest) - len(solid) + int(adjacent_starts[-1:].sum()), may_continue=False, unfinished=line_start)
        self._is_in_long_line = True
        if len(self._rest) - self._rest.endswith(b"\r") > self._limit:
            self._skipped = SkippedRecord(self._line, self._rest[: beginning_length(self._limit)], spans_lines=False)
            self._rest = _state_at_end(self._rest)


class _ObjectEnds:
    """Finds where objects end that are open at the end of their first line; `heads` are the pieces that begin them."""

    def __init__(self, pieces: Pieces, heads: np.ndarray, limit: int) -> None:
        count = len(pieces.starts)
        self._count = count
        self._depths = np.cumsum(pieces.depth_changes)
        self._objects = np.flatnonzero(pieces.follows_object)
        stops = np.flatnonzero(pieces.breaks_value | pieces.opens_string | (pieces.ends - pieces.starts > limit))
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


def _simple_lines(block: bytes, length: int, first_line: int) -> tuple[Cut, int] | None:
    """Cut the lines of a block and count its newlines, if each line begins and ends like an object; otherwise return None.

    Most files consist only of such blocks.
    """
    bytes_ = np.frombuffer(block, dtype=np.uint8, count=length)
    ends = np.flatnonzero(bytes_ == NEWLINE)
    newlines = len(ends)
    if length and bytes_[-1] != NEWLINE:
        ends = np.append(ends, length)
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    lines = np.arange(first_line, first_line + len(ends), dtype=np.int64)
    ends = ends - ((ends > starts) & (bytes_[ends - 1] == CARRIAGE_RETURN))
    is_record = ends > starts
    if not is_record.all():
        starts, ends, lines = starts[is_record], ends[is_record], lines[is_record]
    if not len(starts):
        return Cut(block, starts, ends, lines), newlines
    if (bytes_[starts] != OPENING_BRACE).any() or (bytes_[ends - 1] != CLOSING_BRACE).any():
        return None
    misplaced = misplaced_braces(bytes_)
    if len(lines_that_may_be_damaged(bytes_, block[:length], starts, misplaced)):
        return None
    adjacent_starts = adjacent_object_starts(block[:length], starts, misplaced)
    if len(adjacent_starts):
        all_starts = np.sort(np.concatenate((starts, adjacent_starts)))
        line_of = np.searchsorted(starts, all_starts, side="right") - 1
        next_starts = np.append(all_starts[1:], length + 1)
        ends = np.minimum(ends[line_of], next_starts)
        starts, lines = all_starts, lines[line_of]
        ends = ends - ((ends == next_starts) & (bytes_[ends - 1] == CARRIAGE_RETURN))
    if pieces_of(block[starts[-1] : ends[-1]], int(ends[-1] - starts[-1])).depth_changes[0] > 0:
        return None
    return Cut(block, starts, ends, lines), newlines


def _with_less_space(block: bytes, limit: int) -> bytes:
    """Shorten the whitespace at the start of a block's last line; more of it would change nothing."""
    line_start = block.rfind(b"\n") + 1
    if len(block) - line_start <= limit:
        return block
    solid = block[line_start:].lstrip(BLANK)
    return block[:line_start] + block[line_start : min(len(block) - len(solid), line_start + limit + 1)] + solid


def _state_at_end(block: bytes) -> bytes:
    """Return a short text that leaves a reader in the same state as a block, as far as strings and objects are concerned."""
    line = without_escapes(block[block.rfind(b"\n") + 1 :])
    escape = b"\\" if line.endswith(b"\\") else b""
    if line.count(b'"') % 2:
        return b'"' + escape
    solid = block.rstrip(BLANK)
    last_line = without_escapes(solid[solid.rfind(b"\n") + 1 :])
    return b"}" if last_line.endswith(b"}") and last_line.count(b'"') % 2 == 0 else escape


def _state_after_lines(pieces: Pieces) -> bytes:
    """Return a line that leaves a reader in the same state as these pieces, which end with their line."""
    return b"}\n" if pieces.ends_object[-1:].any() else b""


def _end_of_long_line(block: bytes) -> int | None:
    """Return where a record ends that began before a block (the end of its line, or the start of the next object), or None."""
    newline = block.find(b"\n")
    pieces = pieces_of(block, len(block) if newline < 0 else newline)
    if len(pieces.starts) > 1:
        return int(pieces.starts[1])
    return newline + 1 if newline >= 0 else None
