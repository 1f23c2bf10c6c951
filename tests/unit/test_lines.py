"""Tests of splitting a file into records, against an implementation of the same rules that reads one character at a time."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.landing.reading import document, streams
from orchestration.landing.reading.damaged_lines import later_record_starts
from orchestration.landing.reading.lines import MAX_RECORD_BYTES, Reading, read_lines
from tests.reference.json_values import begins_on_damaged_line

BLANK = b" \t\r\n"
# Each record as (line number, text); long records are listed with their beginning.
Records = list[tuple[int, str]]


def read(path: Path, limit: int = MAX_RECORD_BYTES) -> tuple[Records, Records]:
    """Return the records and the long ones, and check that they are numbered consecutively."""
    reading = Reading()
    columns: dict[str, list] = {name: [] for name in ("record_number", "line_number", "line", "undecodable")}
    for batch in read_lines(path, path.name, 7, reading, limit):
        batch.validate(full=True)
        assert set(batch["file_index"].to_pylist()) == {7}
        for name, values in columns.items():
            values += batch[name].to_pylist()
    texts = [bad if line is None else line for line, bad in zip(columns["line"], columns["undecodable"], strict=True)]
    numbers = sorted(columns["record_number"] + [record.record_number for record in reading.long_records])
    assert numbers == list(range(1, len(numbers) + 1))
    assert columns["record_number"] == sorted(columns["record_number"])
    long_records = [(record.line_number, record.beginning) for record in reading.long_records]
    return list(zip(columns["line_number"], texts, strict=True)), long_records


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# The rules of orchestration/landing/reading/lines.py, applied to one character at a time


@dataclass
class Piece:
    line: int
    text: bytes
    start: int
    rises: int = 0
    opens_text: bool = False
    is_within_line: bool = False
    # The brackets that the piece opens, each with the depth that it opens, counted from the start of the piece.
    openings: tuple[tuple[int, bytes], ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def follows(self, other: "Piece") -> bool:
        return self.text.startswith(b"{") and (self.is_within_line or (other.text.rstrip(BLANK).endswith(b"}") and not other.opens_text))

    def breaks_value(self, other: "Piece", innermost: bytes | None) -> bool:
        text = other.text.rstrip(BLANK)
        if self.text.startswith(b"{"):
            return text[-1:] not in (b",", b":", b"[") or (text.endswith(b",") and innermost == b"{")
        is_whole = text.startswith(b"{") and text.endswith(b"}") and not other.opens_text and other.rises == 0
        return is_whole and self.text[:1] not in (b",", b"}", b"]")


def pieces_of(content: bytes, limit: int) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    for number, line in enumerate(content.split(b"\n"), 1):
        begun, in_text, rises, last, position = 0, False, 0, b"", 0
        openings: list[tuple[int, bytes]] = []
        cuts: list[tuple[int, int, int, bool, list[tuple[int, bytes]]]] = []
        is_long = len(line.lstrip(BLANK)) - line.endswith(b"\r") > limit
        within = set() if is_long else set(begins_on_damaged_line(line))
        while position < len(line):
            character = line[position : position + 1]
            if position in within:
                cuts.append((begun, position, rises, in_text, openings))
                begun, in_text, rises, last, openings = position, False, 0, b"", []
            if character == b"\\" and line[position + 1 : position + 2] in (b"\\", b'"'):
                last, position = b"\\", position + 2
                continue
            if character == b'"':
                in_text = not in_text
            elif not in_text and character == b"{" and last == b"}":
                cuts.append((begun, position, rises, False, openings))
                begun, rises, openings = position, 0, []
            if not in_text:
                rises += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(character, 0)
                if character in (b"{", b"["):
                    openings.append((rises, character))
            if character not in (b" ", b"\t", b"\r"):
                last = character if not in_text else b"text"
            position += 1
        cuts.append((begun, len(line), rises, in_text, openings))
        for begin, end, rise, opens, opened in cuts:
            text = line[begin:end].lstrip(BLANK)
            if text.startswith(streams.BYTE_ORDER_MARK):
                text = text[3:].lstrip(BLANK)
            if text:
                pieces.append(Piece(number, text.removesuffix(b"\r"), start + end - len(text), rise, opens, begin > 0, tuple(opened)))
        start += len(line) + 1
    return pieces


def shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")


def lines_by_character(content: bytes, limit: int) -> tuple[Records, Records]:
    pieces, records, long_records, index = pieces_of(content, limit), [], [], 0
    while index < len(pieces):
        head, following = pieces[index], index + 1
        if head.text.startswith(b"{") and head.rises > 0 and not head.opens_text and len(head.text) <= limit:
            following = end_of_value(pieces, index, limit)
        text = content[head.start : pieces[following - 1].end]
        if len(text) > limit:
            long_records.append((head.line, shown(text[: min(limit, 1024)])))
        else:
            records.append((head.line, shown(text)))
        index = following
    return records, long_records


def end_of_value(pieces: list[Piece], head: int, limit: int) -> int:
    """Return the first piece after a value whose first piece leaves brackets open."""
    height, index, opened = pieces[head].rises, head + 1, dict(pieces[head].openings)
    while index < len(pieces):
        piece, previous = pieces[index], pieces[index - 1]
        if piece.follows(previous) or piece.breaks_value(previous, opened.get(height)) or piece.opens_text or len(piece.text) > limit:
            return head + 1
        if piece.end - pieces[head].start > limit:
            index += 1
            while index < len(pieces) and not pieces[index].follows(pieces[index - 1]):
                index += 1
            return index
        opened |= {height + rise: character for rise, character in piece.openings}
        height += piece.rises
        if height <= 0:
            return index + 1
        index += 1
    return head + 1


# What is split, and what is not


def some_value(rnd: random.Random, depth: int = 0) -> object:
    texts = ["", "a", "}{", "} {", '"', "\\", '\\"', "é🌵", "\ufeff", "[", "]", "{", "},{", "\n", "x" * 30]
    kind = rnd.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rnd.choice([None, True, 1, -2.5, 10**30])
    if kind < 5:
        return "".join(rnd.choices(texts, k=rnd.randrange(4)))
    if kind == 5:
        return [some_value(rnd, depth + 1) for _ in range(rnd.randrange(4))]
    return some_object(rnd, depth + 1)


def some_object(rnd: random.Random, depth: int = 0) -> dict[str, object]:
    return {rnd.choice(["a", "b", "}{", '"', "c\\"]): some_value(rnd, depth) for _ in range(rnd.randrange(4))}


def dumped(rnd: random.Random, value: object) -> bytes:
    """Serialise a value in different ways: with or without spaces, over several lines, with or without escapes."""
    indent = rnd.choice([None, None, 0, 1, 2, "\t"])
    text = json.dumps(
        value, indent=indent, ensure_ascii=rnd.random() < 0.5, separators=rnd.choice([(",", ":"), (", ", ": "), (" ,", " : ")])
    )
    return text.replace("\n", rnd.choice(["\n", "\r\n", "\n\n"])).encode() if indent is not None else text.encode()


SEPARATORS = [b"", b"", b" ", b"\t", b"\n", b"\n", b"\r\n", b"\n\n \n", b" \n ", b"  \r\n" + streams.BYTE_ORDER_MARK, b" " * 70]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("extension", ["jsonl", "ndjson", "json"])
def test_objects_are_found_whatever_is_between_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, extension: str) -> None:
    rnd = random.Random(seed)
    monkeypatch.setattr(streams, "CHUNK_BYTES", rnd.choice([1, 2, 7, 64, 1 << 20]))
    content, expected = rnd.choice(SEPARATORS), []
    for value in [some_object(rnd) for _ in range(rnd.randrange(1, 8))]:
        expected.append((content.count(b"\n") + 1, value))
        content += dumped(rnd, value) + rnd.choice(SEPARATORS)
    records, long_records = read(written(tmp_path, f"a.{extension}", content))
    assert [(line, json.loads(text)) for line, text in records] == expected
    assert long_records == []


@pytest.mark.parametrize("seed", range(60))
def test_elements_of_arrays_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rnd = random.Random(seed)
    monkeypatch.setattr(streams, "CHUNK_BYTES", rnd.choice([1, 2, 7, 64, 1 << 20]))
    monkeypatch.setattr(document, "_STEP_BYTES", rnd.choice([3, 1 << 20]))
    content, expected, blank = b"", [], [b"", b"", b" ", b"\n", b"\r\n\t"]
    for _ in range(rnd.randrange(1, 4)):
        elements = [some_value(rnd) for _ in range(rnd.randrange(5))]
        content += rnd.choice(blank) + b"["
        for index, element in enumerate(elements):
            content += rnd.choice(blank)
            expected.append((content.count(b"\n") + 1, element))
            content += dumped(rnd, element) + rnd.choice(blank) + (b"," if index < len(elements) - 1 else b"")
        content += rnd.choice(blank) + b"]" + rnd.choice(blank)
    if rnd.random() < 0.5:
        expected.append((content.count(b"\n") + 1, {"last": 1}))
        content += b'{"last": 1}'
    records, _ = read(written(tmp_path, "a.json", content))
    assert [(line, json.loads(text)) for line, text in records] == expected


def damaged(rnd: random.Random, content: bytes) -> bytes:
    for _ in range(rnd.randrange(4)):
        place = rnd.randrange(len(content) + 1)
        junk = [b"", b"\n", b'"', b"{", b"}", b"[", b"]", b"}{", b"\\", b"garbage", b"\xff", b"\0", b" " * 80, b"\n{\n", b'{"a":\n']
        content = content[:place] + rnd.choice(junk) + content[place + rnd.choice([0, 0, 1, 5, 40]) :]
    return content


def check_cut_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, limit: int) -> None:
    path = written(tmp_path, "a.jsonl", content)
    expected = lines_by_character(content, limit)
    for chunk in (1, 5, 33, 1 << 20):
        monkeypatch.setattr(streams, "CHUNK_BYTES", chunk)
        assert read(path, limit) == expected, (chunk, content)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("limit", [20, 100, 10_000])
@pytest.mark.parametrize("seed", range(120))
def test_damaged_files_are_split_by_the_rules_for_any_chunk_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, limit: int
) -> None:
    rnd = random.Random(seed)
    content = b"".join(dumped(rnd, some_object(rnd)) + rnd.choice(SEPARATORS) for _ in range(rnd.randrange(1, 8)))
    content = damaged(rnd, content).removeprefix(streams.BYTE_ORDER_MARK)
    if limit < 10_000:
        # After a long record, a mark is recognised by its three bytes, which must be in one chunk.
        content = content.replace(streams.BYTE_ORDER_MARK, b"")
    check_cut_whatever_the_chunks(tmp_path, monkeypatch, content, limit)


def some_send(rnd: random.Random, number: int) -> bytes:
    texts = ["t", "{{1}} {name}", "}{", "a {", '{"id": 1}', "x" * 20]
    record = {
        "id": str(number),
        "at": number,
        "error": rnd.choice([None, {}, {"code": 1}, [{"id": "m"}, {"id": "n"}]]),
        "text": rnd.choice(texts),
    }
    return json.dumps(record, separators=rnd.choice([(",", ":"), (", ", ": ")])).encode()


def damaged_send(rnd: random.Random, number: int) -> bytes:
    send = some_send(rnd, number)
    place = rnd.randrange(len(send))
    junk = [b"garbage", b"\0\0", b"null", b"5", b'"s"', b"[1]", b"{x", b",", b"}", b"{}", b'{"x" 1}', b'{"x":NaN}', b'"', b"\\", b"\xff"]
    return rnd.choice([send[:place], send[place:], send[:place] + send[place + 1 :], rnd.choice(junk), rnd.choice(junk) + send])


@pytest.mark.sampled(12)
@pytest.mark.parametrize("limit", [60, 300, 10_000])
@pytest.mark.parametrize("seed", range(240))
def test_damaged_lines_of_objects_are_split_by_the_rules_for_any_chunk_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, limit: int
) -> None:
    rnd = random.Random(seed)
    content = b""
    for number in range(rnd.randrange(2, 12)):
        content += damaged_send(rnd, number) if rnd.random() < 0.3 else some_send(rnd, number)
        content += rnd.choice([b"", b"", b"", b" ", b"\t", b"\n", b"\r\n"])
        content += rnd.choice([b""] * 9 + [b'{"a": {"b": 1},\n', b"}\n", dumped(rnd, some_object(rnd))])
    check_cut_whatever_the_chunks(tmp_path, monkeypatch, content, limit)


def sends(*numbers: int) -> list[bytes]:
    return [
        b'{"message_id":"wamid.i2x%d","sent_at":1793707200,"channel_id":"L","contact_id":"5511981300001","template_name":"t"}' % number
        for number in numbers
    ]


@pytest.mark.parametrize(("chunk", "end"), [(1, b""), (50, b"\n"), (1 << 20, b"\r\n")])
@pytest.mark.parametrize(
    "damage",
    [
        b'{"message_id":"wamid',
        b'{"message_id":"wamid.i2x4",',
        b'{"message_id":"wamid.i2x4","sent_at":17937',
        b'{"message_id":"wamid.i2x4","sent_at":1793707200,"channel',
        b'{"mess',
        b'{"',
        b"{",
        b'.i2x74","sent_at":1793707200,"channel_id":"L"}',
        b'"sent_at":1793707200}',
        b"garbage",
        b"\0\0\0",
        b"null",
        b"5",
        b"true",
        b'"s"',
        b"[1]",
        b'{"message_id":"\xff"}',
        b'{"a" 1}',
        b'{"x":NaN}',
        b'{"message_id":"4","error":{"code":1}',
        b'{"message_id":"4","messages":[{"id":"m1"}',
        b'{"message_id":"4","error:{"code":1,"t":"x"}}',
        b'{"message_id":"4","error":{"code":1}"t":"x"}',
        b'{"message_id":"4","text":"say {"hi"} x"}',
    ],
)
def test_damaged_record_on_a_line_loses_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes, end: bytes, chunk: int
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", chunk)
    pieces = [*sends(1, 2, 3), damage, *sends(5, 6, 7, 8, 9, 10)]
    records, _ = read(written(tmp_path, "a.jsonl", b"".join(pieces) + end))
    assert records == [(1, shown(piece)) for piece in pieces]


@pytest.mark.parametrize("between", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
@pytest.mark.parametrize(
    "head",
    [
        b'{"message_id":"a","sent_at":1',
        b'{"message_id":"a","sent_at":1,',
        b'{"message_id":"a","sent_at"',
        b'{"message_id":"a","sent_at":',
        b'{"message_id":"a","error":{"code":',
        b'{"message_id":"a","error":{"code":1',
        b'{"message_id":"a","error":{"code":1},',
        b'{"message_id":"a","agent_groups":["x"],',
        b'{"message_id":"a","agent_groups":["x"',
        b'{"message_id":"a","agent_groups":[{"id":1},{"id":2}],"x":tru',
        b"{",
    ],
)
def test_objects_between_the_head_and_the_tail_of_a_cut_record_are_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, chunk: int, between: int
) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", chunk)
    lines = [head, *sends(*range(between)), b'"channel_id":"L","contact_id":"5511981300001"}', *sends(9)]
    records, _ = read(written(tmp_path, "a.jsonl", b"\n".join(lines)))
    assert records == [(number, shown(line)) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize(("head", "tail"), [(b'"error":', b',"t":"x"}'), (b'"errors":[', b'],"t":"x"}'), (b'"errors":[1,', b'],"t":"x"}')])
def test_object_that_may_belong_to_the_record_around_it_stays_part_of_it(tmp_path: Path, head: bytes, tail: bytes) -> None:
    around = b"\n".join([b'{"message_id":"a",' + head, *sends(1), tail])
    records, _ = read(written(tmp_path, "a.jsonl", b"\n".join([around, *sends(2)])))
    assert records == [(1, shown(around)), (4, shown(sends(2)[0]))]


@pytest.mark.parametrize("head", [b'.i2x74","sent_at":1793707200,"template_name":"t"}', b'"t"}', b"}", b"garbage}"])
def test_objects_after_the_tail_of_a_record_are_read(tmp_path: Path, head: bytes) -> None:
    pieces = [head, *sends(2, 3, 4)]
    records, _ = read(written(tmp_path, "a.jsonl", b"".join(pieces) + b"\n"))
    assert records == [(1, shown(piece)) for piece in pieces]


def test_text_after_the_last_object_of_a_line_is_a_record_of_its_own(tmp_path: Path) -> None:
    pieces = [*sends(1, 2), b"garbage"]
    records, _ = read(written(tmp_path, "a.jsonl", b"".join(pieces) + b"\n"))
    assert records == [(1, shown(piece)) for piece in pieces]


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"error":{"code":1}',
        b'{"id":"S","messages":[{"id":"m1"}',
        b'{"id":"S","messages":[{"id":"m1"},{"id":"m2"}',
        b'{"id":"S","messages:[{"id":"m1"},{"id":"m2"}]}',
        b'{"error:{"code":1,"t":"x"}}',
        b'{"text":"say {"hi"} x"}',
        b'{"id":"S","text":"say {"id":"m1"}, x"}',
        b'{"error":{"code":1}"t":"x"}',
        b'{"id":"S",{"id":"q"},"t":1}',
        b'{"id":"S" {"id":"q"}}',
        b'{"id":"S","t":1}},"u":{"id":"q"}',
        b'{"a":1},{"a":2}',
    ],
)
def test_parts_of_a_damaged_record_are_not_records(tmp_path: Path, line: bytes) -> None:
    records, _ = read(written(tmp_path, "a.jsonl", line + b"\n" + b"".join(sends(2)) + b"\n"))
    assert records == [(1, shown(line)), (2, shown(sends(2)[0]))]


@pytest.mark.parametrize(
    ("line", "starts"),
    [
        # Only a place where JSON allows no object makes a line doubtful, or one within strings if quotes or brackets do not add up.
        (b'{}k":[{"b":1},', []),
        (b'{"a": "cut{"a": 1}{"a": "x', [10, 18]),
        (b'{"a": ["cut {"a": 1}{"a": "} x', [12, 20]),
        (b'\xef\xbb\xbf{"id":1} {"id":"2 ', [12]),
        # A comma, or a key that differs, joins an object to the damaged one, and anything but an object is none.
        (b'{"id":"0","at":0,"er,{"id":1} {"id":"x" ', []),
        (b'{"id":{"id":"x"}', []),
        (b'{{"id":1}', []),
        (b'[1]{"id":1}', []),
        (b'"cut}{"id": ]', []),
        (b'{"x":NaN}:"a {"} ', []),
        (b'{"id":1}[[1]{"id":1}]', [8]),
        # Only a comma breaks the damaged object; in an array of different types, an object may follow it.
        (b'{"id":"x",{"id":1}', [10]),
        (b'{"id":"x", "at":5 , {"id":1}', [20]),
        (b'{"id":["x",{"id":1}', []),
        (b'{"id":["x",{"id":1}]}', []),
        (b'{"id":"x",{"id":1,"t":2}\r{"id":"2 ', [10, 25]),
        # Escaped backslashes and quotes, and each kind of space.
        (b'{"a":"x\\\\"}{"a":1,"b":"y"', [11]),
        (b'{"k\\"":1 x{"k__":1}', []),
        (b'{"a":"x\\\\"}{"a":1}', [11]),
        (b'xt":"t"}\r{"id":1}', [9]),
        (b'xt":"t"}\t {"id":1}', [10]),
        (b'}{"id":1,"t":{"a":[{"b":1}]}}', [1]),
    ],
)
def test_places_where_records_begin_on_a_damaged_line(line: bytes, starts: list[int]) -> None:
    assert later_record_starts(line) == starts


def test_adversarial_line_is_read_in_bounded_time_and_depth(tmp_path: Path) -> None:
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    for line in (b'x{"a":[' * 5_000, b'{"a":1x' * 10_000, deep + b"x" + deep, b'}{"a":"' * 10_000, b' {" ' * 10_000):
        records, _ = read(written(tmp_path, "a.jsonl", line + b"\n" + b"".join(sends(1)) + b"\n"))
        assert records[-1] == (2, shown(sends(1)[0]))
