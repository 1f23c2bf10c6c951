"""JSON as it occurs in the landing zone (contract, section 2): concatenated values, unpaired surrogates, any depth."""

import json
import math
import re
from itertools import pairwise
from typing import Any

from tests.reference.contract import RejectedError

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)
_BETWEEN_VALUES = re.compile(rb'"(?:[^"\\]|\\.)*"?|(?P<end>\}[ \t\r]*)(?=\{)', re.DOTALL)
_MAYBE_BETWEEN = re.compile(rb"\}[ \t\r]*\{")
_TOKENS = re.compile(r'[ \t\r\n]*([\[\]{},:]|"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+)', re.DOTALL)


def split_values(line: bytes) -> list[bytes]:
    """Split a line into its records: between consecutive objects, and around damaged parts."""
    begins = [0, *begins_on_damaged_line(line), len(line)]
    stretches = [line[begin:end] for begin, end in pairwise(begins)]
    return [piece.strip(b" \t\r") for stretch in stretches for piece in _between_objects(stretch)]


def _between_objects(line: bytes) -> list[bytes]:
    """Split at `}{`, which valid JSON never has outside texts."""
    if not _MAYBE_BETWEEN.search(line):
        return [line]
    pieces, start = [], 0
    for match in _BETWEEN_VALUES.finditer(line):
        if match["end"]:
            pieces.append(line[start : match.end()])
            start = match.end()
    return [*pieces, line[start:]]


def begins_on_damaged_line(line: bytes) -> list[int]:
    """Return the start of each record after the first, by the rules of orchestration/landing/reading/damaged_lines.py."""
    plain = re.sub(rb"\\[\\\"]", b"__", line)
    start = len(line) - len(line.lstrip(b" \t\r"))
    if line.startswith(b"\xef\xbb\xbf", start):
        start = len(line) - len(line[start + 3 :].lstrip(b" \t\r"))
    begins = [match.start() for match in re.finditer(rb'\{[ \t\r]*"', plain) if match.start() > start]
    apart = [place for place in begins if _solid_before(plain, place) not in b",:["]
    after_commas = [place for place in begins if _follows_odd_comma(plain, place)]
    in_text, rises, is_outside = False, 0, False
    for place, byte in enumerate(plain):
        if byte in b'"':
            in_text = not in_text
        elif not in_text:
            rises += (byte in b"{[") - (byte in b"}]")
            is_outside |= place in apart
    if not ((apart or after_commas) and (in_text or rises)) and not is_outside:
        return []
    found: list[int] = []
    place: int | None = start
    key_before: bytes | None = None
    while place is not None:
        end, broken_at = _object_from(plain, place)
        key = _key_at(line, plain, place)
        if end is not None and _may_end(plain, end):
            key_before = key
            place = len(plain) - len(plain[end:].lstrip(b" \t\r"))
        else:
            after = [other for other in begins if other > place and _resumes(line, plain, other, broken_at, key or key_before)]
            place = min(after, default=None)
        if place == len(plain):
            place = None
        found += [] if place is None else [place]
    return found


def _resumes(line: bytes, plain: bytes, place: int, broken_at: int, key: bytes | None) -> bool:
    before = _solid_before(plain, place)
    if before in b",:[" and (before != b"," or place != broken_at):
        return False
    if before != b"}" and (key is None or _key_at(line, plain, place) != key):
        return False
    end, _ = _object_from(plain, place)
    if end is None or not _may_end(plain, end) or _depth(plain[place:end]) > 200:
        return False
    try:
        json.loads(line[place:end])
    except ValueError:
        return False
    return True


def _object_from(plain: bytes, place: int) -> tuple[int | None, int]:
    """Return the end of an object, or None, and the position after its end or the first one that cannot belong to an object."""
    start, opened, in_text, after_text = place, b"", False, False
    while place < len(plain):
        character = plain[place : place + 1]
        if in_text:
            in_text, after_text = character != b'"', character == b'"'
        elif character in b" \t\r":
            pass
        elif after_text and character not in b",:}]":
            break
        elif character == b'"' and opened:
            in_text = True
        elif character == b"{" and opened and (_solid_before(plain, place) not in b",:[" or _lacks_key(plain, place, opened)):
            break
        elif character in b"{[" and (opened or character == b"{"):
            opened += character
        elif character in b"}]" and opened:
            opened = opened[:-1]
        elif not opened:
            break
        if not in_text and character not in b' \t\r"':
            after_text = False
        place += 1
        if place > start and not opened:
            return place, place
    return None, place


def _lacks_key(plain: bytes, place: int, opened: bytes) -> bool:
    return _solid_before(plain, place) == b"," and opened.endswith(b"{")


def _may_end(plain: bytes, end: int) -> bool:
    rest = plain[end:].lstrip(b" \t\r")
    return not rest or rest[:1] not in b",:}]"


def _depth(plain: bytes) -> int:
    height, highest, in_text = 0, 0, False
    for byte in plain:
        in_text ^= byte in b'"'
        height += 0 if in_text else (byte in b"{[") - (byte in b"}]")
        highest = max(highest, height)
    return highest


def _key_at(line: bytes, plain: bytes, place: int) -> bytes | None:
    match = re.compile(rb'\{[ \t\r]*("[^"]*")[ \t\r]*:').match(plain, place)
    return match and line[match.start(1) : match.end(1)]


def _follows_odd_comma(plain: bytes, place: int) -> bool:
    before = plain[:place].rstrip(b" \t\r")
    return before.endswith(b",") and before[:-1].rstrip(b" \t\r")[-1:] not in (b"", b"}")


def _solid_before(plain: bytes, place: int) -> bytes:
    return plain[:place].rstrip(b" \t\r")[-1:] or b" "


def parse_value(text: bytes) -> Any:
    """Return a JSON value of any depth. Raises `RejectedError` for invalid text, NaN, and numbers outside the range of a double."""
    try:
        decoded = _ESCAPES.sub(lambda match: r"\ufffd" if match["half"] else match[0], text.decode())
        return _parse(decoded)
    except ValueError as error:
        raise RejectedError("json") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole, object_pairs_hook=_first_of_each_key)
    except RecursionError:
        return _parse_deep(text)


def _first_of_each_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


def _parse_deep(text: str) -> Any:
    """Parse without recursion: `open_values` are the lists and objects around the current position, `keys` their keys."""
    open_values: list[Any] = [[]]
    keys: list[str | None] = [None]
    expects, position, text = "value", 0, text.rstrip(" \t\r\n")
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise ValueError(f"at {position}")
        token, position = match[1], match.end()
        if expects in ("value", "value or end") and token not in ("]", "}", ",", ":"):
            value = {"[": [], "{": {}}[token] if token in "[{" else _parse(token)
            if isinstance(open_values[-1], dict):
                open_values[-1].setdefault(keys[-1], value)
            else:
                open_values[-1].append(value)
            expects = "next"
            if token in "[{":
                open_values.append(value)
                keys.append(None)
                expects = "value or end" if token == "[" else "key or end"
        elif expects in ("key", "key or end") and token.startswith('"'):
            keys[-1], expects = _parse(token), "colon"
        elif expects == "colon" and token == ":":
            expects = "value"
        elif expects == "next" and token == "," and len(open_values) > 1:
            expects = "key" if isinstance(open_values[-1], dict) else "value"
        elif (
            expects in ("next", "value or end", "key or end")
            and len(open_values) > 1
            and token == ("}" if isinstance(open_values[-1], dict) else "]")
        ):
            open_values.pop()
            keys.pop()
            expects = "next"
        else:
            raise ValueError(f"{token} at {position}")
    if expects != "next" or len(open_values) != 1 or len(open_values[0]) != 1:
        raise ValueError("the text ends within a value")
    return open_values[0][0]
