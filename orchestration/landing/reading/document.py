"""Cut a `.json` file into records: the elements of the arrays that it begins with, then lines (rules: `lines`)."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from orchestration.landing.reading.cuts import Cut, SkippedRecord, beginning_length
from orchestration.landing.reading.damaged_lines import without_escapes
from orchestration.landing.reading.line_cutter import LineCutter
from orchestration.landing.reading.pieces import (
    BLANK,
    CLOSING_BRACKET,
    COMMA,
    IS_BLANK,
    NEWLINE,
    bracket_depth_changes,
    is_outside_strings,
    skip_space,
)
from orchestration.landing.reading.streams import DamagedFileError

# Bytes of a JSON array that are cut at a time; the numpy arrays of a step are several times as large.
_STEP_BYTES = 4 << 20


def cut_document(pieces: Iterator[bytes], limit: int) -> Iterator[Cut]:
    """Cut a `.json` file: the elements of the arrays that it begins with, then lines. Raises `DamagedFileError`."""
    line, is_after_array = 1, False
    while (piece := next(pieces, None)) is not None:
        begun = piece.lstrip(BLANK)
        line += piece.count(b"\n", 0, len(piece) - len(begun))
        if begun.startswith(b"["):
            array = _ArrayCutter(limit, line)
            yield from array.cut(chain((begun[1:],), pieces))
            line, is_after_array = array.line, True
            pieces = chain((array.rest,), pieces)
        elif is_after_array and begun and not begun.startswith(b"{"):
            raise DamagedFileError(f"something follows the JSON array of this file on line {line}")
        elif begun:
            yield from LineCutter(limit, line=line, must_end=True).cut(chain((begun,), pieces))


class _ArrayCutter:
    """Cuts an array into its elements, after its opening bracket was read; `rest` is the text after the closing bracket."""

    def __init__(self, limit: int, line: int) -> None:
        self._limit = limit
        self.rest, self.line = b"", line
        # How many brackets are open at the start of the rest, which is outside strings.
        self._depth = 1
        self._has_elements = False
        self._is_over = False
        self._skipped: SkippedRecord | None = None

    def cut(self, pieces: Iterator[bytes]) -> Iterator[Cut]:
        for piece in pieces:
            for start in range(0, len(piece), _STEP_BYTES):
                self.rest += piece[start : start + _STEP_BYTES]
                yield from self._cut_elements()
                if self._is_over:
                    self.rest += piece[start + _STEP_BYTES :]
                    return
        raise DamagedFileError("the JSON array of this file does not end")

    def _cut_elements(self) -> Iterator[Cut]:
        block = self.rest
        text = without_escapes(block)
        bytes_ = np.frombuffer(text, dtype=np.uint8)
        is_outside = is_outside_strings(bytes_, np.zeros(1, dtype=np.int64))
        depths = self._depth + np.cumsum(bracket_depth_changes(bytes_, is_outside), dtype=np.int32)
        newlines = np.flatnonzero(bytes_ == NEWLINE)
        bounds = np.flatnonzero((bytes_ == COMMA) & is_outside & (depths == 1))
        array_ends = np.flatnonzero(depths == 0)[:1]
        self._is_over = len(array_ends) > 0
        if self._is_over:
            if bytes_[array_ends[0]] != CLOSING_BRACKET:
                line = self.line + int(np.searchsorted(newlines, array_ends[0]))
                raise DamagedFileError(f"the JSON array of this file has a mismatched bracket on line {line}")
            bounds = np.append(bounds[bounds < array_ends[0]], array_ends)
        if len(bounds):
            starts = skip_space(bytes_, np.concatenate(([0], bounds[:-1] + 1)), 1, IS_BLANK)
            starts = np.minimum(starts, bounds)
            ends = np.maximum(skip_space(bytes_, bounds - 1, -1, IS_BLANK) + 1, starts)
            lines = self.line + np.searchsorted(newlines, starts)
            if self._skipped is not None:
                yield self._skipped.cut()
                self._skipped = None
                starts, ends, lines = starts[1:], ends[1:], lines[1:]
            elif self._is_over and not self._has_elements and len(bounds) == 1 and starts[0] == ends[0]:
                starts, ends, lines = starts[1:], ends[1:], lines[1:]
            self._has_elements = True
            yield Cut(block, starts, ends, lines)
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
                self._consume(len(self.rest) - len(self.rest.lstrip(BLANK)))
            if len(self.rest) <= self._limit:
                return
            self._skipped = SkippedRecord(self.line, self.rest[: beginning_length(self._limit)], spans_lines=True)
        text = without_escapes(self.rest)
        state = (b'"' if text.count(b'"') % 2 else b"") + (b"\\" if text.endswith(b"\\") else b"")
        self._consume(len(self.rest), replacement=state)
        self._depth = depth
