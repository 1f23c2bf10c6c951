"""JSON as the landing zone has it (contract, section 2): values that follow each other, half emojis, any depth."""

import json
import math
import re
from typing import Any

from tests.reference.contract import RejectedError

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole emoji
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)
_BETWEEN_VALUES = re.compile(rb'"(?:[^"\\]|\\.)*"?|(?P<end>\}[ \t\r]*)(?=\{)', re.DOTALL)
_MAYBE_BETWEEN = re.compile(rb"\}[ \t\r]*\{")
_TOKENS = re.compile(r'[ \t\r\n]*([\[\]{},:]|"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+)', re.DOTALL)


def split_values(line: bytes) -> list[bytes]:
    """Cut a line between an object and the next one: outside texts, valid JSON never has `}{`."""
    if not _MAYBE_BETWEEN.search(line):
        return [line.strip(b" \t\r")]
    pieces, start = [], 0
    for match in _BETWEEN_VALUES.finditer(line):
        if match["end"]:
            pieces.append(line[start : match.end()])
            start = match.end()
    return [piece.strip(b" \t\r") for piece in [*pieces, line[start:]]]


def parse_value(text: bytes) -> Any:
    """Return a JSON value of any depth. Raises `RejectedError` for other text, NaN, and numbers that no double holds."""
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
    """Parse without recursion: `open_values` are the lists and objects around the present place, `keys` theirs."""
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
