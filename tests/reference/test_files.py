"""Tests of the reference: files, and the JSON in them."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.reference.contract import Expected, RejectedError, any_time
from tests.reference.files import Zone
from tests.reference.json_values import parse_value, split_values


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        (b'{"a": 1}{"b": 2}', [b'{"a": 1}', b'{"b": 2}']),
        (b' {"a": {}} \t {"b": 2}\r', [b'{"a": {}}', b'{"b": 2}']),
        (b'{"a": "}{"}', [b'{"a": "}{"}']),
        (rb'{"a": "\"}{\\"}{"b": 1}', [rb'{"a": "\"}{\\"}', b'{"b": 1}']),
        (b'{"a": [{"b": 1},{"c": 2}]}', [b'{"a": [{"b": 1},{"c": 2}]}']),
        # A truncated object does not affect its neighbours, unless it ends within a text.
        (b'{"a": 1}{"b": {"c": 1}{"d": 2}', [b'{"a": 1}', b'{"b": {"c": 1}', b'{"d": 2}']),
        (b'{"a": 1}{"b": "c{"d": 2}', [b'{"a": 1}', b'{"b": "c{"d": 2}']),
        (b"null", [b"null"]),
    ],
)
def test_split_values_splits_consecutive_objects(line: bytes, pieces: list[bytes]) -> None:
    assert split_values(line) == pieces


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'{"\uD83D": 1}', {"\ufffd": 1}),
        (b"[1, 1.5e3, -0, true, null]", [1, 1500.0, 0, True, None]),
        (b"1.7e308", 1.7e308),
    ],
)
def test_parse_value_accepts_valid_json(text: bytes, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    "text", [b"NaN", b"[-Infinity]", b"1e400", b"9" * 400, b"\xff", b'"\xed\xa0\xbd"', b'"\t"', b"[1,]", b"{,}", b"1 2"]
)
def test_parse_value_rejects_invalid_json(text: bytes) -> None:
    for place in (text, b'{"a": ' + text + b"}", b"[" * 5000 + text + b"]" * 5000):
        with pytest.raises(RejectedError):
            parse_value(place)


@pytest.mark.parametrize("value", [{"a": [1, {}, [], "]}", {"b": {"c": None}}], "d": 1.5}, [], {}, [[1, 2], [3]]])
def test_parse_value_accepts_any_depth(value: Any) -> None:
    deep = parse_value(b"[" * 5000 + json.dumps(value).encode() + b"]" * 5000)
    for _ in range(5000):
        (deep,) = deep
    assert deep == value


@pytest.mark.parametrize(
    "text",
    [b"", b"[1 2]", b'{"a" 1}', b'{"a": 1 "b": 2}', b"[1]]", b"{1: 2}", b'{"a":}', b"[}", b'{"a", 1}', b"[,]", b'["a]', b"[1", b"[1],[2]"],
)
def test_parse_value_rejects_invalid_json_at_any_depth(text: bytes) -> None:
    for place in (text, b'{"deep": ' + b"[" * 5000 + b"]" * 5000 + b', "text": ' + text + b"}"):
        with pytest.raises(RejectedError):
            parse_value(place)


def records(folder: Path, feed: str = "sends") -> list[tuple[int, str]]:
    return [(number, record.decode(errors="replace")) for content in Zone(folder).contents(feed) for number, record in content.records]


LINES = b'{"a": 1}\n\n{"b": 2}{"c": 3}\n'
AS_READ = [(1, '{"a": 1}'), (3, '{"b": 2}'), (3, '{"c": 3}')]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.ndjson", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n")),
        ("a.json", LINES),
        ("a.jsonl.gz", gzip.compress(LINES[:10], mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(LINES[10:], mtime=0)),
        ("a.json.zst", pa.compress(LINES[:10], "zstd", asbytes=True) + pa.compress(LINES[10:], "zstd", asbytes=True)),
    ],
)
def test_records_have_the_numbers_of_their_lines(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "sends" / "2026").mkdir(parents=True)
    (tmp_path / "sends" / "2026" / name).write_bytes(content)
    assert records(tmp_path) == AS_READ


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'[{"a": 1},\n {"b": [2]},\n3]', [(1, '{"a": 1}'), (2, '{"b": [2]}'), (3, "3")]),
        (b" [ ] ", []),
        (b"[{}]", [(1, "{}")]),
        (b'[{"a": "]},["}]', [(1, '{"a": "]},["}')]),
        (b'\n{\n"a": 1\n}\n{\n"b": 2\n}', [(2, '{\n"a": 1\n}'), (5, '{\n"b": 2\n}')]),
        # One document, although one of its lines is a whole record.
        (b'{"a": [\n{"b": 1}\n]}', [(1, '{"a": [\n{"b": 1}\n]}')]),
        # JSON lines, the first of which is invalid.
        (b'{"a": \n{"b": 1}', [(1, '{"a": '), (2, '{"b": 1}')]),
        (b'{"a": 1}{"b": ', [(1, '{"a": 1}'), (1, '{"b":')]),
    ],
)
def test_json_file_is_read_as_document_or_lines(tmp_path: Path, text: bytes, expected: list[tuple[int, str]]) -> None:
    (tmp_path / "sends").mkdir()
    (tmp_path / "sends" / "a.json").write_bytes(text)
    assert [(number, record.strip()) for number, record in records(tmp_path)] == [(number, record.strip()) for number, record in expected]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'[{"a": 1}, {"b"'),
        ("a.json", b"[1] 2"),
        ("a.json", b'{\n"a": {'),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-6]),
        ("a.jsonl.gz", b"no"),
    ],
)
def test_incomplete_file_is_set_aside(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "sends").mkdir()
    (tmp_path / "sends" / name).write_bytes(content)
    expected = Expected()
    for read in Zone(tmp_path).contents("sends"):
        read.count(expected)
    assert list(expected.ledger.values()) == [(0, 0, 0, "set_aside")]


def test_unread_files_and_folders_are_listed(tmp_path: Path) -> None:
    for name in (
        "sends/a.csv",
        "sends/a.JSONL",
        "sends/b",
        "sends/.hidden",
        "sends/_hidden.jsonl",
        "sends/_x/a.csv",
        "webhook/a.jsonl",
        "botmaker/Session/a.json",
        "other/a.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(zlib.compress(b""))
    assert Zone(tmp_path).unread() == [
        *("botmaker/Session/", "sends/_hidden.jsonl", "sends/_x/", "sends/a.JSONL", "sends/a.csv", "sends/b", "webhook/")
    ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (1790859600, "2026-10-01 13:00:00"),
        ("1790859600.5", "2026-10-01 13:00:00.500000"),
        (1790859600123, "2026-10-01 13:00:00.123000"),
        ("2026-10-01 10:00:00.123456-0300", "2026-10-01 13:00:00.123456"),
        ("2026-10-01T10:00-03", "2026-10-01 13:00:00"),
        ("20261001t130000z", "2026-10-01 13:00:00"),
        ("2026-10-01T13:00:00,25+00:00", "2026-10-01 13:00:00.250000"),
        ("0001-01-03T00:00:00Z", "0001-01-03 00:00:00"),
    ],
)
def test_any_time_reads_every_format(given: Any, meant: str) -> None:
    assert str(any_time(given)) == meant


@pytest.mark.parametrize(
    "given", [True, None, -1, 1e15, "2026-10-01T10:00:00", "0001-01-02T00:00:00Z", "9999-12-31T00:00:00Z", "2026-13-01T00:00:00Z"]
)
def test_any_time_rejects_invalid_times(given: Any) -> None:
    with pytest.raises(RejectedError):
        any_time(given)
