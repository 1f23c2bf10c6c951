"""Where the records of a damaged line begin: whole objects next to one that is cut, or next to what is no JSON.

The bytes of the line alone decide, never how a file comes in. What is in doubt is not cut, because a part of a damaged
object must not land as a record: a line with one damaged object stays one rejected record.

- A line is looked at if an object seems to begin on it where none may within JSON (`{"` that neither begins the line nor
  follows `,`, `:` or `[`), and that is outside texts, or the line leaves a text or brackets open.
- From the beginning of the line: an object that ends is a record, unless `,`, `:`, `}` or `]` follows it. What else begins
  there is one bad record, up to the next object that stands for itself.
- Such an object is valid JSON, is followed by none of `,`, `:`, `}` and `]`, and follows either `}`, or none of `,`, `:` and
  `[` and begins with the first key of the damaged object, or of the whole one before. It may follow a comma where that
  alone breaks the damaged object: an object holds no objects without keys. After a colon it belongs to the damaged one.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass

from orchestration.landing.streams import BYTE_ORDER_MARK

_SPACE = re.compile(rb"[ \t\r]*")
_LINE_START = re.compile(rb"[ \t\r]*(?:" + BYTE_ORDER_MARK + rb"[ \t\r]*)?")
_BEGIN = re.compile(rb'\{(?=[ \t\r]*+")')
_FIRST_KEY = re.compile(rb'\{[ \t\r]*("[^"]*")[ \t\r]*:')
# Up to the next bracket, or a text after which no JSON goes on.
_NO_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"[^"]*+"(?=[ \t\r]*+(?:[,:}\]]|\Z)))*+')
_BLANK_BYTES = b" \t\r"
_GOES_ON = b",:}]"
_MAY_HOLD_OBJECTS = b",:["
# The parser of Python has no more depth for certain.
_DEEPEST = 200
# A bound for lines that are made to be slow: how many bytes may be read for each byte of a line.
_READ_TIMES, _READ_MORE = 8, 4096


def without_escapes(text: bytes) -> bytes:
    """Blank escaped backslashes and quotes, so that each quote left begins or ends a text; the length stays."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text


def begins_within(line: bytes) -> list[int]:
    """Return where records begin after the first on a line, which has no newline; nothing if it needs no second look."""
    look = _Look(line)
    return look.begins() if look.is_needed() else []


@dataclass(frozen=True)
class _Scan:
    """How far an object was read: up to its end, or to what cannot be within it."""

    stop: int
    ends: bool
    depth: int


class _Look:
    def __init__(self, line: bytes) -> None:
        self._line, self._text = line, without_escapes(line)
        self._start = _match_end(_LINE_START, line, 0)
        self._candidates = [match.start() for match in _BEGIN.finditer(self._text, self._start + 1)]
        self._left = _READ_TIMES * len(line) + _READ_MORE

    def is_needed(self) -> bool:
        firm = [place for place in self._candidates if self._before(place) not in _MAY_HOLD_OBJECTS]
        if not firm:
            return False
        outside = self._text.split(b'"')[::2]
        rises = sum(part.count(b"{") + part.count(b"[") - part.count(b"}") - part.count(b"]") for part in outside)
        if self._text.count(b'"') % 2 or rises:
            return True
        quotes, counted = 0, 0
        for place in firm:
            quotes, counted = quotes + self._text.count(b'"', counted, place), place
            if quotes % 2 == 0:
                return True
        return False

    def begins(self) -> list[int]:
        found: list[int] = []
        place, last_key = self._start, None
        while self._left > 0:
            scan = self._scan(place)
            key = self._first_key(place)
            following = self._over_space(scan.stop) if self._stands_alone(scan) else self._next(place, scan, key or last_key)
            if self._stands_alone(scan):
                last_key = key
            if following is None or following >= len(self._text):
                break
            found.append(following)
            place = following
        return found

    def _next(self, damaged: int, scan: _Scan, key: bytes | None) -> int | None:
        """Return where the next object begins that stands for itself, after a place at which none does."""
        for place in self._candidates[bisect_right(self._candidates, damaged) :]:
            before = self._before(place)
            if before in _MAY_HOLD_OBJECTS and not (before == b"," and place == scan.stop):
                continue
            if before != b"}" and (key is None or self._first_key(place) != key):
                continue
            if self._left <= 0:
                return None
            if self._is_sound(place):
                return place
        return None

    def _is_sound(self, place: int) -> bool:
        scan = self._scan(place)
        if not self._stands_alone(scan) or scan.depth > _DEEPEST:
            return False
        self._left -= scan.stop - place
        try:
            json.loads(self._line[place : scan.stop])
        except (ValueError, RecursionError):
            return False
        return True

    def _scan(self, place: int) -> _Scan:
        scan = self._read(place)
        self._left -= scan.stop - place + 1
        return scan

    def _read(self, place: int) -> _Scan:
        text, start, depth = self._text, place, 0
        opened = bytearray()
        while place < len(text):
            character = text[place : place + 1]
            if character == b"{" and place > start:
                before = self._before(place)
                if before not in _MAY_HOLD_OBJECTS or (before == b"," and opened[-1:] == b"{"):
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
            place = _match_end(_NO_BRACKETS, text, place)
        return _Scan(place, False, depth)

    def _stands_alone(self, scan: _Scan) -> bool:
        after = self._over_space(scan.stop)
        return scan.ends and (after == len(self._text) or self._text[after] not in _GOES_ON)

    def _first_key(self, place: int) -> bytes | None:
        match = _FIRST_KEY.match(self._text, place)
        return None if match is None else self._line[match.start(1) : match.end(1)]

    def _over_space(self, place: int) -> int:
        return _match_end(_SPACE, self._text, place)

    def _before(self, place: int) -> bytes:
        """Return the byte before a place, white space skipped."""
        place -= 1
        while place > 0 and self._text[place] in _BLANK_BYTES:
            place -= 1
        return self._text[place : place + 1]


def _match_end(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()
