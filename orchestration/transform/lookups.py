"""Check the look-ups, which users edit: dbt and DuckDB report a mistake in a CSV file without its line, or without its file."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from orchestration.errors import BlockedError
from orchestration.settings import DBT_PROJECT_DIR
from orchestration.yaml_files import read_yaml

SEEDS = DBT_PROJECT_DIR / "seeds"
_DESCRIPTIONS = "lookups.yml"
# Spreadsheets in Brazil and Argentina separate the values of a CSV file by semicolons, and write it in Windows-1252.
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
_MAX_LISTED = 5


def refuse_unreadable_lookups(folder: Path = SEEDS) -> None:
    """Raise `BlockedError` if a look-up has another shape than `lookups.yml` declares; it lists file, line and what to correct."""
    problems = [problem for name, columns in _declared_columns(folder).items() for problem in _problems(folder / f"{name}.csv", columns)]
    if problems:
        more = f"\n… and {len(problems) - _MAX_LISTED:,} more." if len(problems) > _MAX_LISTED else ""
        raise BlockedError("Look-ups cannot be read, so nothing is built:\n" + "\n".join(problems[:_MAX_LISTED]) + more)


def _declared_columns(folder: Path) -> dict[str, list[str]]:
    return {seed["name"]: [column["name"] for column in seed["columns"]] for seed in read_yaml(folder / _DESCRIPTIONS)["seeds"]}


def _problems(path: Path, declared: list[str]) -> Iterator[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        yield f"{path} is missing: restore it, or create it with the line `{','.join(declared)}` alone."
        return
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        yield f"{path}, line {line}: not UTF-8. Save the file as `CSV UTF-8`."
        return
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(rows, [])
        missing = [column for column in declared if column not in header]
        if missing:
            yield f"{path}, line 1: {_wrong_header(header, missing)}"
            return
        line = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                counts = f"{len(row)} values, but line 1 has {len(header)} columns"
                yield f"{path}, line {line}: {counts}. Put quotes around a value with a comma."
            line = rows.line_num + 1
    except csv.Error:
        yield f"{path}, line {line}: a quotation mark is not closed, or text follows one. Write a quotation mark within a value twice."


def _wrong_header(header: list[str], missing: list[str]) -> str:
    for separator, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            return f"the values are separated by {name}. Save the file with commas."
    return f"it must list the columns {', '.join(missing)}, too."
