"""Tests of Parquet files that are assembled from parts of others: what they keep, and which parts do not fit together."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.publication.parquet_footer import ParquetFile, Part, UnknownParquetError, read_parquet_file, write_parquet_file

ROWS = pa.table({"day": ["a", "b", "c", "d"], "name": ["k", "l", "m", "n"]})


def written(path: Path, table: pa.Table, rows: int = 2, codec: str = "zstd") -> ParquetFile:
    """Write a file with row groups of `rows` rows, and with indexes of its pages."""
    pq.write_table(table, path, row_group_size=rows, compression=codec, write_page_index=True)
    return read_parquet_file(path)


def test_columns_of_a_replacement_replace_those_of_the_same_name(tmp_path: Path) -> None:
    old = written(tmp_path / "old.parquet", ROWS)
    names = ROWS.select(["name"]).set_column(0, "name", [["w", "x", "y", "z"]])
    new = written(tmp_path / "new.parquet", names)
    target = tmp_path / "target.parquet"
    assert write_parquet_file(target, [Part(old, [1]), Part(old, [0, 1], new)]) == 6
    assert pq.read_table(target).to_pydict() == {"day": [*"cdabcd"], "name": [*"mnwxyz"]}
    # The offsets of the old indexes mean other places in the new file.
    metadata = pq.ParquetFile(target).metadata
    assert not any(metadata.row_group(group).column(column).has_column_index for group in range(3) for column in range(2))
    assert not any(metadata.row_group(group).column(column).has_offset_index for group in range(3) for column in range(2))


def test_bloom_filters_of_parts_are_left_out(tmp_path: Path) -> None:
    part, target = tmp_path / "part.parquet", tmp_path / "target.parquet"
    with duckdb.connect() as connection:
        for first in (0, 500):
            connection.execute(
                f"copy (select 'n' || ({first} + range % 500) as name from range(5000)) to '{part}' (write_bloom_filter true)"
            )
            filters = f"select count(bloom_filter_offset) from parquet_metadata('{part}')"
            assert connection.execute(filters).fetchone() == (1,)
        write_parquet_file(target, [Part(read_parquet_file(part), [0])] * 2)
        assert connection.execute(filters.replace(str(part), str(target))).fetchone() == (0,)


@pytest.mark.parametrize(
    ("replacement", "rows", "codec", "reason"),
    [
        (ROWS.select(["name"]), 4, "zstd", "other row groups"),
        (ROWS.select(["name"]), 3, "zstd", "other row groups"),
        (ROWS.select(["name"]).rename_columns(["other"]), 2, "zstd", "other columns"),
        (pa.table({"name": [1, 2, 3, 4]}), 2, "zstd", "other columns"),
        (ROWS.select(["name"]), 2, "snappy", "other columns"),
    ],
)
def test_replacement_that_does_not_fit_is_refused(tmp_path: Path, replacement: pa.Table, rows: int, codec: str, reason: str) -> None:
    old = written(tmp_path / "old.parquet", ROWS)
    new = written(tmp_path / "new.parquet", replacement, rows, codec)
    with pytest.raises(UnknownParquetError, match=reason):
        write_parquet_file(tmp_path / "target.parquet", [Part(old, [0, 1], new)])


def test_columns_with_something_between_them_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "old.parquet", ROWS)
    footer = deepcopy(file.footer)
    # Row groups of the footer, columns of the first, metadata of its first column, compressed size.
    meta = footer[4][1][1][0][1][1][1][0][3][1]
    meta[7] = (meta[7][0], meta[7][1] - 1)
    with pytest.raises(UnknownParquetError, match="not adjacent"):
        write_parquet_file(tmp_path / "target.parquet", [Part(replace(file, footer=footer), [0])])
