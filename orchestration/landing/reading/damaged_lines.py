"""Find where records begin on a damaged line: complete objects next to a truncated one, or next to text that is not JSON.

The result depends only on the bytes of the line, not on how the file is read. Doubtful places are not cut, because a part of a
damaged object must not land as a record: a line with one damaged object stays one rejected record.

- A line is examined if an object seems to begin where JSON allows none (a `{"` that is neither at the start of the line nor after
  `,`, `:` or `[`), and either that place is outside strings or the line has an unclosed string or unbalanced brackets. Such a line is
  also examined for a `{"` after a comma that follows no `}`: JSON allows an object there only in an array of different types.
- Reading starts at the beginning of the line. An object that is closed is a record, unless `,`, `:`, `}` or `]` follows it.
  Anything else is one bad record, up to the next standalone object.
- A standalone object is valid JSON and is not followed by `,`, `:`, `}` or `]`. It either follows `}`, or it follows none of `,`,
  `:` and `[` and begins with the same key as the damaged object (if that has no key: as the complete object before it). It may
  follow a comma if only that comma breaks the damaged object, because an object cannot contain objects without keys. After a colon,
  it belongs to the damaged object.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass

from orchestration.landing.reading.streams import BYTE_ORDER_MARK

_SPACE = re.compile(rb"[ \t\r]*")
_LINE_START = re.compile(rb"[ \t\r]*(?:" + BYTE_ORDER_MARK + rb"[ \t\r]*)?")
_OBJECT_START = re.compile(rb'\{(?=[ \t\r]*+")')
_FIRST_KEY = re.compile(rb'\{[ \t\r]*("[^"]*")[ \t\r]*:')
# Texts and strings up to the next bracket, or up to a string that is not followed by `,`, `:`, `}`, `]` or the end of the line. At most
# 1,000 at a time: without a limit, a greedy repetition takes 35 bytes of memory per byte of the line. A possessive one takes none, but
# before Python 3.11.5 it does not stop before such a string (https://github.com/python/cpython/issues/106052).
_NO_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"[^"]*+"(?=[ \t\r]*+(?:[,:}\]]|\Z))){1,1000}')
_BLANK_BYTES = b" \t\r"
_CONTINUES_VALUE = b",:}]"
_MAY_PRECEDE_OBJECT = b",:["
# Python's JSON parser is not guaranteed to handle deeper nesting.
_DEEPEST = 200
# Limits the work on lines crafted to be slow: the bytes that may be read per byte of a line, and a constant on top.
_BUDGET_FACTOR, _BUDGET_CONSTANT = 8, 4096


def without_escapes(text: bytes) -> bytes:
    """Replace escaped backslashes and quotes by underscores, so each quote left begins or ends a string; keep the length."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text


def later_record_starts(line: bytes) -> list[int]:
    """Return where records after the first begin on a line without its newline; empty if the line needs no second look."""
    damaged = _DamagedLine(line)
    return damaged.record_starts() if damaged.needs_second_look() else []


@dataclass(frozen=True)
class _Scan:
    """How far an object was read: to its end, or to the first byte that cannot be part of it."""

    stop: int
    is_closed: bool
    depth: int


class _DamagedLine:
    def __init__(self, line: bytes) -> None:
        self._line, self._text = line, without_escapes(line)
        self._start = _match_end(_LINE_START, line, 0)
        self._candidates = [match.start() for match in _OBJECT_START.finditer(self._text, self._start + 1)]
        self._budget = _BUDGET_FACTOR * len(line) + _BUDGET_CONSTANT

    def needs_second_look(self) -> bool:
        misplaced = [place for place in self._candidates if self._byte_before(place) not in _MAY_PRECEDE_OBJECT]
        if not misplaced and not any(self._follows_odd_comma(place) for place in self._candidates):
            return False
        outside = self._text.split(b'"')[::2]
        depth_change = sum(part.count(b"{") + part.count(b"[") - part.count(b"}") - part.count(b"]") for part in outside)
        if self._text.count(b'"') % 2 or depth_change:
            return True
        quotes, counted = 0, 0
        for place in misplaced:
            quotes, counted = quotes + self._text.count(b'"', counted, place), place
            if quotes % 2 == 0:
                return True
        return False

    def record_starts(self) -> list[int]:
        found: list[int] = []
        place, last_key = self._start, None
        while self._budget > 0:
            scan = self._scan(place)
            key = self._first_key(place)
            following = self._skip_space(scan.stop) if self._is_standalone(scan) else self._next(place, scan, key or last_key)
            if self._is_standalone(scan):
                last_key = key
            if following is None or following >= len(self._text):
                break
            found.append(following)
            place = following
        return found

    def _next(self, damaged: int, scan: _Scan, key: bytes | None) -> int | None:
        """Return where the next standalone object begins after the damaged text at `damaged`, or None."""
        for place in self._candidates[bisect_right(self._candidates, damaged) :]:
            before = self._byte_before(place)
            if before in _MAY_PRECEDE_OBJECT and not (before == b"," and place == scan.stop):
                continue
            if before != b"}" and (key is None or self._first_key(place) != key):
                continue
            if self._budget <= 0:
                return None
            if self._is_standalone_json(place):
                return place
        return None

    def _is_standalone_json(self, place: int) -> bool:
        scan = self._scan(place)
        if not self._is_standalone(scan) or scan.depth > _DEEPEST:
            return False
        self._budget -= scan.stop - place
        try:
            json.loads(self._line[place : scan.stop])
        except (ValueError, RecursionError):
            return False
        return True

    def _scan(self, place: int) -> _Scan:
        scan = self._read(place)
        self._budget -= scan.stop - place + 1
        return scan

    def _read(self, place: int) -> _Scan:
        text, start, depth = self._text, place, 0
        opened = bytearray()
        while place < len(text):
            character = text[place : place + 1]
            if character == b"{" and place > start:
                before = self._byte_before(place)
                if before not in _MAY_PRECEDE_OBJECT or (before == b"," and opened[-1:] == b"{"):
                    break
            if character in (b"{", b"["):
                opened += character
                depth = max(depth, len(opened))
            elif opened and character in (b"}", b"]"):
                opened.pop()
            else:
                break
            place += 1
            if not opened:
                return _Scan(place, text.startswith(b"{", start), depth)
            place = _skip_to_bracket(text, place)
        return _Scan(place, False, depth)

    def _is_standalone(self, scan: _Scan) -> bool:
        after = self._skip_space(scan.stop)
        return scan.is_closed and (after == len(self._text) or self._text[after] not in _CONTINUES_VALUE)

    def _first_key(self, place: int) -> bytes | None:
        match = _FIRST_KEY.match(self._text, place)
        return None if match is None else self._line[match.start(1) : match.end(1)]

    def _skip_space(self, place: int) -> int:
        return _match_end(_SPACE, self._text, place)

    def _follows_odd_comma(self, place: int) -> bool:
        comma = self._place_before(place)
        return self._text[comma] == ord(",") and comma > 0 and self._text[self._place_before(comma)] != ord("}")

    def _byte_before(self, place: int) -> bytes:
        """Return the last byte before a place that is not whitespace."""
        before = self._place_before(place)
        return self._text[before : before + 1]

    def _place_before(self, place: int) -> int:
        place -= 1
        while place > 0 and self._text[place] in _BLANK_BYTES:
            place -= 1
        return place


def _skip_to_bracket(text: bytes, place: int) -> int:
    while (end := _match_end(_NO_BRACKETS, text, place)) > place:
        place = end
    return place


def _match_end(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()
