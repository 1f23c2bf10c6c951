"""A file of JSON lines as a stream of Arrow batches, ready for DuckDB to parse in bulk.

DuckDB's own JSON reader gives no line numbers, stops at one bad byte and trusts a damaged archive.
So the bytes are cut into lines here, a chunk at a time and without a Python object per line, and
only the parsing is DuckDB's. Decompression is Arrow's, which checks what gzip and zstd promise.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

# 16 MiB keeps a chunk near the processor's cache; 4 and 64 MiB were no faster on 1.5 GB of webhooks.
CHUNK_BYTES = 16 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NEWLINE, _CARRIAGE_RETURN = 10, 13
_SPACES = [ord(" "), ord("\t"), _CARRIAGE_RETURN]
# Arrow's string views hold strings up to this length inside the view itself.
_INLINE_BYTES = 12
_WHITESPACE = re.compile(r"[ \t\r\n]*")

LINES_SCHEMA = pa.schema(
    [
        ("file_index", pa.int32()),
        # Counts the records of a file; the elements of an array may share a line.
        ("record_number", pa.int64()),
        ("line_number", pa.int64()),
        ("line", pa.string_view()),
        # What a line says that is not UTF-8, with the offending bytes written as \xNN.
        ("undecodable", pa.string()),
    ]
)


class DamagedFileError(Exception):
    """The file cannot be read whole: its archive is cut short or damaged, or its JSON does not end."""


def read_lines(path: Path, file_name: str, file_index: int) -> Iterator[pa.RecordBatch]:
    """Yield `LINES_SCHEMA` batches of one file; blank lines are no records but do count.

    `file_name` is the name in the landing zone: its ending says how it is packed. A `.json` file
    may also hold one object or one array, whose elements then are the records. Raises
    `DamagedFileError`.
    """
    if file_name.removesuffix(".gz").removesuffix(".zst").endswith(".json"):
        document = _read_document(path, file_name)
        if document is not None:
            yield from _document_batches(document, file_index)
            return
    first_line = 1
    for chunk in _chunks(path, file_name):
        yield _line_batch(chunk, file_index, first_line)
        first_line += chunk.count(b"\n")


def _open(path: Path, file_name: str) -> pa.NativeFile:
    source = pa.OSFile(str(path))
    if file_name.endswith(".gz"):
        return pa.CompressedInputStream(source, "gzip")
    if file_name.endswith(".zst"):
        return pa.CompressedInputStream(source, "zstd")
    return source


def _chunks(path: Path, file_name: str) -> Iterator[bytes]:
    """Yield the file's bytes in pieces that end where a line ends."""
    rest, is_start = b"", True
    with _open(path, file_name) as stream:
        while piece := _read(stream):
            if is_start:
                piece, is_start = piece.removeprefix(_BYTE_ORDER_MARK), False
            whole_lines = piece.rfind(b"\n") + 1
            if whole_lines:
                yield rest + piece[:whole_lines]
                rest = piece[whole_lines:]
            else:
                rest += piece
    if rest:
        yield rest


def _read(stream: pa.NativeFile) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except OSError as error:
        raise DamagedFileError(f"the archive is cut short or damaged ({error})") from error


def _line_batch(chunk: bytes, file_index: int, first_line: int) -> pa.RecordBatch:
    bytes_ = np.frombuffer(chunk, dtype=np.uint8)
    ends = np.flatnonzero(bytes_ == _NEWLINE)
    if bytes_[-1] != _NEWLINE:
        ends = np.append(ends, len(bytes_))
    starts = np.concatenate(([0], ends[:-1] + 1))
    numbers = np.arange(first_line, first_line + len(ends), dtype=np.int64)
    ends = ends - ((ends > starts) & (bytes_[ends - 1] == _CARRIAGE_RETURN))
    is_record = ends > starts
    # Hardly a record starts with a space: only such lines are looked at whole.
    for line in np.flatnonzero(is_record & np.isin(bytes_[starts.clip(max=len(bytes_) - 1)], _SPACES)):
        is_record[line] = bool(chunk[starts[line] : ends[line]].strip(b" \t\r"))
    if not is_record.all():
        starts, ends, numbers = starts[is_record], ends[is_record], numbers[is_record]
    if not _is_utf8(chunk):
        return _checked_batch(chunk, starts, ends, numbers, file_index)
    lines = _string_views(chunk, bytes_, starts, ends)
    return _batch(lines, pa.nulls(len(lines), pa.string()), numbers, file_index)


def _is_utf8(chunk: bytes) -> bool:
    whole = pa.Array.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, len(chunk)], dtype=np.int64)), pa.py_buffer(chunk)]
    )
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _string_views(chunk: bytes, bytes_: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.Array:
    """Point at each line where it lies in the chunk, by Arrow's string-view layout."""
    views = np.zeros((len(starts), 4), dtype=np.int32)
    lengths = ends - starts
    views[:, 0] = lengths
    prefixes = bytes_[np.minimum(starts[:, None] + np.arange(4), len(bytes_) - 1)]
    views[:, 1] = np.ascontiguousarray(prefixes).view(np.int32)[:, 0]
    views[:, 3] = starts
    inlined = views.view(np.uint8)
    for short in np.flatnonzero(lengths <= _INLINE_BYTES):
        text = chunk[starts[short] : ends[short]]
        inlined[short, 4:] = 0
        inlined[short, 4 : 4 + len(text)] = np.frombuffer(text, dtype=np.uint8)
    return pa.Array.from_buffers(pa.string_view(), len(starts), [None, pa.py_buffer(views), pa.py_buffer(chunk)])


def _checked_batch(chunk: bytes, starts: np.ndarray, ends: np.ndarray, numbers: np.ndarray, file_index: int) -> pa.RecordBatch:
    """Take a chunk with bytes that are not UTF-8 line by line, so that its good lines still land."""
    lines, undecodable = _decoded([chunk[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)])
    return _batch(lines, undecodable, numbers, file_index)


def _decoded(records: list[bytes]) -> tuple[pa.Array, pa.Array]:
    """Return the columns `line` and `undecodable` of `LINES_SCHEMA`: each record is in one of the two."""
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


def _batch(
    lines: pa.Array, undecodable: pa.Array, line_numbers: np.ndarray, file_index: int, record_numbers: np.ndarray | None = None
) -> pa.RecordBatch:
    index = pa.array(np.full(len(lines), file_index, dtype=np.int32))
    records = pa.array(line_numbers if record_numbers is None else record_numbers)
    return pa.record_batch([index, records, pa.array(line_numbers), lines, undecodable], schema=LINES_SCHEMA)


def _read_document(path: Path, file_name: str) -> str | None:
    """Return the text of a file that is one JSON array or one object, or None if it is JSON lines."""
    chunks = _chunks(path, file_name)
    start = b""
    for chunk in chunks:
        start += chunk
        if start.strip():
            break
    stripped = start.lstrip()
    is_document = stripped.startswith(b"[") or (stripped.startswith(b"{") and not _is_json(stripped.split(b"\n", 1)[0]))
    if not is_document:
        return None
    text = (start + b"".join(chunks)).decode(errors="surrogateescape")
    if stripped.startswith(b"{") and any(_is_json(line.encode(errors="surrogateescape")) for line in text.split("\n")):
        # A whole record on a line of its own: these are JSON lines, and only the first one is bad.
        return None
    return text


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _document_batches(document: str, file_index: int) -> Iterator[pa.RecordBatch]:
    numbered = list(_elements(document))
    if numbered:
        numbers, elements = zip(*numbered, strict=True)
        lines, undecodable = _decoded([element.encode(errors="surrogateescape") for element in elements])
        line_numbers, record_numbers = np.array(numbers, dtype=np.int64), np.arange(1, len(numbers) + 1)
        yield _batch(lines, undecodable, line_numbers, file_index, record_numbers)


def _elements(document: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of each element of the array, or of each object written over many lines."""
    decoder = json.JSONDecoder()
    is_array = document.lstrip().startswith("[")
    position = _after_whitespace(document, document.index("[") + 1 if is_array else 0)
    line_number, counted = 1, 0
    while position < len(document) and document[position] != "]":
        try:
            _, end = decoder.raw_decode(document, position)
        except (ValueError, RecursionError) as error:
            raise DamagedFileError(f"the JSON of this file does not hold together ({error})") from error
        line_number += document.count("\n", counted, position)
        counted = position
        yield line_number, document[position:end]
        position = _after_whitespace(document, end)
        if is_array and document[position : position + 1] == ",":
            position = _after_whitespace(document, position + 1)
        elif is_array and document[position : position + 1] != "]":
            raise DamagedFileError("the JSON array of this file does not end")
    if is_array and document[position:].rstrip() != "]":
        raise DamagedFileError("the JSON array of this file does not end, or something follows it")


def _after_whitespace(text: str, position: int) -> int:
    match = _WHITESPACE.match(text, position)
    return match.end() if match else position
