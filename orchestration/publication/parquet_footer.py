"""Assemble Parquet files from row groups and columns of other files, without decoding a value.

The bytes of a column of a row group mean the same at any position in a file: only the footer records the position. So if one day of a
month's file changed, the file is copied except for the changed columns of that day, and a footer with the new positions is written. The
footer is a struct in Apache Thrift's compact protocol (https://github.com/apache/parquet-format: parquet.thrift). It is decoded into plain
values, so that fields unknown to this module stay unchanged.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from orchestration.files import copy_range

_MAGIC = b"PAR1"
_EPOCH = date(1970, 1, 1)

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# Fields of parquet.thrift, by struct.
_FILE_SCHEMA, _FILE_ROWS, _FILE_ROW_GROUPS = 2, 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSET, _CHUNK_META, _CHUNK_INDEXES = 2, 3, (4, 5, 6, 7)
_META_TYPE, _META_PATH, _META_CODEC, _META_UNCOMPRESSED, _META_SIZE = 1, 3, 4, 6, 7
_META_OFFSETS, _META_STATISTICS, _META_BLOOM_FILTER = (9, 10, 11), 12, (14, 15)
# Each size of a row group is the sum of this field over its columns.
_GROUP_SIZES = {2: _META_UNCOMPRESSED, 6: _META_SIZE}
_STATISTICS_MAX, _STATISTICS_MIN = 5, 6

# A struct maps field numbers to (type, value); a list is a pair of the type of its items and the items.
Struct = dict[int, tuple[int, Any]]


class UnknownParquetError(Exception):
    """A Parquet file does not have the expected structure, so it must be written as a whole."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file and its decoded footer."""

    path: Path
    footer: Struct

    @property
    def row_groups(self) -> list[Struct]:
        return self.footer[_FILE_ROW_GROUPS][1][1]

    def rows_of(self, row_group: int) -> int:
        return self.row_groups[row_group][_GROUP_ROWS][1]

    def days_of_row_groups(self, date_column: str) -> list[date] | None:
        """Return the day of each row group, or None if the statistics of a row group do not show a single day."""
        days = [_one_day(group, date_column) for group in self.row_groups]
        return None if None in days else [day for day in days if day is not None]


def read_parquet_file(path: Path) -> ParquetFile:
    """Decode a file's footer. Raises `UnknownParquetError`."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < 12:
            raise UnknownParquetError(f"{path} is too short")
        file.seek(-8, os.SEEK_END)
        size, magic = struct.unpack("<I4s", file.read(8))
        if magic != _MAGIC or size + 12 > file.tell():
            raise UnknownParquetError(f"{path} has no footer")
        file.seek(-8 - size, os.SEEK_END)
        footer = file.read(size)
    try:
        return ParquetFile(path, _Reader(footer).struct())
    except (IndexError, KeyError, struct.error) as error:
        raise UnknownParquetError(f"{path} has a footer that cannot be decoded") from error


@dataclass(frozen=True)
class Part:
    """Row groups of a file. The columns of `replacement`, a file with only these columns and the same row groups, replace theirs."""

    file: ParquetFile
    row_groups: Sequence[int]
    replacement: ParquetFile | None = None

    def chunks_of_groups(self) -> Iterator[tuple[Struct, list[tuple[ParquetFile, Struct]]]]:
        """Yield each row group with its columns, and with each column the file that contains its bytes."""
        for position, number in enumerate(self.row_groups):
            group = self.file.row_groups[number]
            chunks = (
                [(self.file, chunk) for chunk in _chunks(group)] if self.replacement is None else self._with_replacement(group, position)
            )
            yield group, chunks

    def _with_replacement(self, group: Struct, position: int) -> list[tuple[ParquetFile, Struct]]:
        assert self.replacement is not None
        if len(self.replacement.row_groups) != len(self.row_groups) or self.replacement.rows_of(position) != group[_GROUP_ROWS][1]:
            raise UnknownParquetError(f"{self.replacement.path} has other row groups")
        new = {_column_key(chunk): chunk for chunk in _chunks(self.replacement.row_groups[position])}
        chunks = []
        for chunk in _chunks(group):
            key = _column_key(chunk)
            chunks.append((self.replacement, new.pop(key)) if key in new else (self.file, chunk))
        if new:
            raise UnknownParquetError(f"{self.replacement.path} has other columns")
        return chunks


def write_parquet_file(target: Path, parts: Sequence[Part]) -> int:
    """Write the row groups of all parts, in this order, to one file; return its number of rows. Raises `UnknownParquetError`."""
    footer = dict(parts[0].file.footer)
    groups = []
    with target.open("wb") as written:
        written.write(_MAGIC)
        written.flush()
        for part in parts:
            if part.file.footer[_FILE_SCHEMA] != footer[_FILE_SCHEMA]:
                raise UnknownParquetError(f"{part.file.path} has other columns")
            with part.file.path.open("rb") as file, (part.replacement or part.file).path.open("rb") as other:
                for group, chunks in part.chunks_of_groups():
                    offset = os.lseek(written.fileno(), 0, os.SEEK_CUR)
                    moved = []
                    for is_of_file, neighbours in groupby(chunks, key=lambda each: each[0] is part.file):
                        run = [chunk for _, chunk in neighbours]
                        start, size = _byte_range(run)
                        by = os.lseek(written.fileno(), 0, os.SEEK_CUR) - start
                        copy_range((file if is_of_file else other).fileno(), written.fileno(), start, size)
                        moved += [_relocated_chunk(chunk, by) for chunk in run]
                    groups.append(_relocated(group, moved, offset, len(groups)))
        rows = sum(group[_GROUP_ROWS][1] for group in groups)
        footer[_FILE_ROWS] = (_I64, rows)
        footer[_FILE_ROW_GROUPS] = (_LIST, (_STRUCT, groups))
        encoded = _encoded_struct(footer)
        os.write(written.fileno(), encoded + struct.pack("<I", len(encoded)) + _MAGIC)
    return rows


def _column_key(chunk: Struct) -> tuple[Any, Any, Any]:
    """Return a column's path, type and codec, which must be the same in both files."""
    meta = chunk[_CHUNK_META][1]
    return tuple(meta[_META_PATH][1][1]), meta[_META_TYPE][1], meta[_META_CODEC][1]


def _chunks(group: Struct) -> list[Struct]:
    return group[_GROUP_COLUMNS][1][1]


def _one_day(group: Struct, date_column: str) -> date | None:
    for chunk in _chunks(group):
        meta = chunk[_CHUNK_META][1]
        if meta[_META_PATH][1][1] == [date_column.encode()] and _META_STATISTICS in meta:
            statistics = meta[_META_STATISTICS][1]
            least, most = (statistics.get(field, (0, b""))[1] for field in (_STATISTICS_MIN, _STATISTICS_MAX))
            if least == most and len(least) == 4:
                return _EPOCH + timedelta(days=struct.unpack("<i", least)[0])
    return None


def _byte_range(chunks: Sequence[Struct]) -> tuple[int, int]:
    """Return the start of adjacent columns in their file, and their total size. Raises `UnknownParquetError` if they are not adjacent."""
    metas = [chunk[_CHUNK_META][1] for chunk in chunks]
    starts = [min(meta[field][1] for field in _META_OFFSETS if field in meta) for meta in metas]
    ends = [start + meta[_META_SIZE][1] for start, meta in zip(starts, metas, strict=True)]
    if starts[1:] != ends[:-1]:
        raise UnknownParquetError("the columns of a row group are not adjacent")
    return starts[0], ends[-1] - starts[0]


def _relocated(group: Struct, chunks: list[Struct], offset: int, ordinal: int) -> Struct:
    """Return a row group's metadata for columns at another position. Indexes and filters outside the row group are left out."""
    moved = dict(group)
    moved[_GROUP_COLUMNS] = (_LIST, (_STRUCT, chunks))
    for field, of_column in _GROUP_SIZES.items():
        if field in group:
            moved[field] = (_I64, sum(chunk[_CHUNK_META][1][of_column][1] for chunk in chunks))
    if _GROUP_OFFSET in group:
        moved[_GROUP_OFFSET] = (_I64, offset)
    if _GROUP_ORDINAL in group:
        moved[_GROUP_ORDINAL] = (_I16, ordinal)
    return moved


def _relocated_chunk(chunk: Struct, by: int) -> Struct:
    meta = {field: value for field, value in chunk[_CHUNK_META][1].items() if field not in _META_BLOOM_FILTER}
    for field in _META_OFFSETS:
        if field in meta:
            meta[field] = (_I64, meta[field][1] + by)
    moved = {field: value for field, value in chunk.items() if field not in _CHUNK_INDEXES}
    # Zero means that the column's metadata is only in the footer.
    if moved[_CHUNK_OFFSET][1]:
        moved[_CHUNK_OFFSET] = (_I64, moved[_CHUNK_OFFSET][1] + by)
    moved[_CHUNK_META] = (_STRUCT, meta)
    return moved


class _Reader:
    """Decodes values of the compact protocol, from the beginning of `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while header := self._byte():
            kind = header & 0x0F
            number = number + (header >> 4) if header >> 4 else self._signed()
            fields[number] = (kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind in (_LIST, _SET):
            header = self._byte()
            size = header >> 4 if header >> 4 != 15 else self._unsigned()
            item = header & 0x0F
            # A boolean in a list has its own byte.
            return item, [self._byte() if item in (_TRUE, _FALSE) else self._value(item) for _ in range(size)]
        if kind == _STRUCT:
            return self.struct()
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise KeyError(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise IndexError(size)
        self._at += size
        return self._data[self._at - size : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def _encoded_struct(fields: Struct) -> bytes:
    encoded = bytearray()
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - before
        encoded += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _encoded_signed(number)
        encoded += _encoded_value(kind, value)
        before = number
    return bytes(encoded) + b"\0"


def _encoded_value(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE):
        return b""
    if kind in (_I16, _I32, _I64):
        return _encoded_signed(value)
    if kind == _BINARY:
        return _encoded_unsigned(len(value)) + value
    if kind in (_LIST, _SET):
        item, items = value
        header = bytes([len(items) << 4 | item]) if len(items) < 15 else bytes([0xF0 | item]) + _encoded_unsigned(len(items))
        return header + b"".join(bytes([each]) if item in (_TRUE, _FALSE) else _encoded_value(item, each) for each in items)
    if kind == _STRUCT:
        return _encoded_struct(value)
    return bytes([value]) if kind == _BYTE else value


def _encoded_unsigned(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _encoded_signed(value: int) -> bytes:
    return _encoded_unsigned(value << 1 if value >= 0 else (-value << 1) - 1)
