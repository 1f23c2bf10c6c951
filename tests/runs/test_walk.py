"""Tests that the page that follows one webhook line to a TSV shows the results for the bundled logs."""

import json
import re

import duckdb
import pyarrow as pa

from orchestration.settings import SAMPLE_LOGS
from tests.pipeline import Pipeline
from tests.walk import PAGE, answered, shown

MESSAGE = "wamid.HBgNNTUxMTkwNzk3MzExNRUCABEYEjYyREJEQjBGQzRBMDRCMDNCNwA="


def test_line_is_line_20_of_the_file() -> None:
    file = pa.OSFile(str(SAMPLE_LOGS / "webhooks" / "2026-10-01.jsonl.zst"))
    line = pa.CompressedInputStream(file, "zstd").read().splitlines()[19]
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert json.loads(block) == json.loads(line)


def test_every_query_returns_the_rows_on_the_page(sample: Pipeline) -> None:
    queries = list(shown())
    assert len(queries) == 7
    for query, rows in queries:
        is_published = not re.search(r"\b(raw|staging|intermediate)\.", query)
        path = sample.settings.published_database if is_published else sample.settings.warehouse_path
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            assert answered(connection, query) == rows, query


def test_cells_are_those_of_the_tsv(sample: Pipeline) -> None:
    lines = (sample.settings.exports_dir / "sessionStartingCauses-2026-10-01.tsv").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if MESSAGE in line]
    (block,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    cells = [(name, value.strip()) for name, _, value in (line.partition(" ") for line in block.splitlines())]
    assert cells == list(zip(lines[0].split("\t"), row.split("\t"), strict=True))
