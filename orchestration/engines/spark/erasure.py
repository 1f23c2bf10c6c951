"""Erase a person from the lake: executors apply the conditions of `maintenance/person_rows.py` to the raw tables.

Each raw table is rewritten in its own commit. Therefore the plan of the erasure is first stored in a file of the data folder that only
its owner may read. `finish_erasure` carries out the plan, after a kill once more, and deletes the file last. Everything after raw is
dropped, and the job rebuilds it. Earlier states of the raw tables are deleted with their files (`history.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from orchestration.engines.spark.executors import open_scratch
from orchestration.engines.spark.history import drop_schema, expire_history
from orchestration.engines.spark.tables import ControlTables, in_threads
from orchestration.exports.on_demand import remove_all_on_demand
from orchestration.files import replace_private_file
from orchestration.identifiers import comparable_identifier, create_identifier_macros
from orchestration.landing.erased import ErasedPeople, ErasedPerson
from orchestration.maintenance.erasure import Erasure, erased_records_by_file, names_in_zone, save_hashes
from orchestration.maintenance.person_rows import (
    EVIDENCE,
    FILE_AND_LOAD,
    IDENTIFIERS,
    IDS_OF_PERSON,
    REFERENCED_IDS,
    ROWS_OF_PERSON,
    ROWS_THAT_NAME_PERSON,
    TABLES_OF_RECORDS,
    connected_identifiers,
    create_evidence,
    create_known_hashes,
    create_person_macros,
    identifiers_in,
    without_texts,
)
from orchestration.settings import Settings
from orchestration.transform.builds import invalidate_builds

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

_QUARANTINE = "rejected_records"
_TABLES = list(ROWS_THAT_NAME_PERSON)


@dataclass(frozen=True)
class _Work:
    """The remaining work of an erasure: the person, the tables that contain the person, and the ledger's new counts.

    `ledger` contains file_name, load_id, landed and erased of each file that loses records.
    """

    identifiers: list[str] = field(repr=False)
    ids: list[str] = field(repr=False)
    tables: list[str]
    ledger: list[tuple[str, int, int, int]]


def plan_on_lake(
    spark: SparkSession, control: duckdb.DuckDBPyConnection, settings: Settings, identifier: str
) -> tuple[Erasure, _Work, list[str]]:
    """Return what erasing a person would delete, the work to do, and the ids of messages that the person's rows refer to.

    The table of people must be up to date.
    """
    identifier = comparable_identifier(identifier)
    named = {identifier, *_identifiers_already_erased(spark, ErasedPeople.load(settings.data), identifier)}
    people = spark.sql(
        "select identifier from intermediate.int_people_identified where person_id in "
        "(select person_id from intermediate.int_people_identified where array_contains(from_json(:named, 'array<string>'), identifier))",
        {"named": json.dumps(sorted(named))},
    ).collect()
    return _plan(spark, control, sorted({*named, *(row["identifier"] for row in people)}))


def _plan(spark: SparkSession, control: duckdb.DuckDBPyConnection, identifiers: list[str]) -> tuple[Erasure, _Work, list[str]]:
    ids, referenced_ids = _own_and_referenced_ids(spark, identifiers)
    found = dict(zip(_TABLES, in_threads(partial(_lines, spark, identifiers, ids), _TABLES), strict=True))
    rows = {table: [(name, load_id, line) for name, load_id, line, is_row in found[table] if is_row] for table in ROWS_OF_PERSON}
    names = _names_in_zone(control, {(name, load_id) for lines in found.values() for name, load_id, *_ in lines})
    erasure = Erasure(identifiers, {table: len(lines) for table, lines in rows.items()}, names)
    tables = [table for table, lines in found.items() if lines]
    ledger = _ledger(control, [(*line, table in TABLES_OF_RECORDS) for table, lines in rows.items() for line in lines])
    return erasure, _Work(identifiers, ids, tables, ledger), referenced_ids


def erase_late_rows_from_lake(spark: SparkSession, tables: ControlTables, settings: Settings, lake: Path) -> int:
    """Do the same as `maintenance.late_erasure.erase_late_rows`, in the lake."""
    # Finish an erasure that failed halfway, because a retry in the same run would no longer find its rows.
    finish_erasure(spark, tables, settings, lake)
    erased = ErasedPeople.load(settings.data)
    if not erased.has_new_identifiers:
        return 0
    identifiers = set().union(*in_threads(partial(_erased_identifiers, spark, erased), list(IDENTIFIERS)))
    rows = 0
    for person, found in erased.by_person(sorted(identifiers)):
        of_person = erased.extend_by_identifiers(person, connected_identifiers(found, partial(_identifiers_in_evidence, spark)))
        erasure, work, referenced_ids = _plan(spark, tables.connection, of_person)
        erased.add_messages(person, work.ids, referenced_ids)
        replace_private_file(_path(settings), json.dumps(asdict(work)))
        finish_erasure(spark, tables, settings, lake)
        rows += sum(erasure.rows.values())
    erased.has_new_identifiers = False
    erased.save()
    return rows


def _identifiers_in_evidence(spark: SparkSession, identifiers: list[str]) -> set[str]:
    """Return the identifiers in the raw rows that are evidence for the person of some identifiers."""
    own, referenced = _own_and_referenced_ids(spark, identifiers)
    evidence = partial(create_evidence, identifiers=identifiers, ids=own, referenced_ids=referenced)

    def in_evidence(table: str) -> set[str]:
        query = identifiers_in(table, f"(from raw_rows where {EVIDENCE[table]})")
        return _distinct(spark, table, "identifier", partial(_select, evidence, query))

    return set().union(*in_threads(in_evidence, list(EVIDENCE)))


def _erased_identifiers(spark: SparkSession, erased: ErasedPeople, table: str) -> set[str]:
    return _distinct(
        spark, table, "identifier", partial(_select_erased_identifiers, erased, erased.people, identifiers_in(table, "raw_rows"))
    )


def erase_from_lake(spark: SparkSession, tables: ControlTables, settings: Settings, lake: Path, identifier: str) -> Erasure:
    """Erase a person from the raw tables and drop everything built from them. The job must run afterwards.

    The table of people must be up to date, and the caller holds the writer's lock.
    """
    erasure, work, referenced_ids = plan_on_lake(spark, tables.connection, settings, identifier)
    save_hashes(settings, work.identifiers, work.ids, referenced_ids)
    replace_private_file(_path(settings), json.dumps(asdict(work)))
    finish_erasure(spark, tables, settings, lake)
    return erasure


def finish_erasure(spark: SparkSession, tables: ControlTables, settings: Settings, lake: Path) -> None:
    """Finish an erasure if one is unfinished. Any part of it may already have been done."""
    path = _path(settings)
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    work = _Work(found["identifiers"], found["ids"], found["tables"], [tuple(entry) for entry in found["ledger"]])
    # No build may use partly erased raw tables.
    invalidate_builds(tables.connection, after_erasure=True)
    for name, load_id, landed, erased in work.ledger:
        tables.connection.execute(
            "update raw.landed_files set landed = $landed, erased = $erased where file_name = $name and load_id = $load_id",
            {"name": name, "load_id": load_id, "landed": landed, "erased": erased},
        )
    tables.write()
    in_threads(partial(_rewrite, spark, work), work.tables)
    for schema in ("marts", "intermediate", "staging"):
        drop_schema(spark, lake, schema)
    in_threads(lambda table: expire_history(spark, f"raw.{table}"), _TABLES)
    for left in (lake / ".landing", lake / ".drafts"):
        shutil.rmtree(left, ignore_errors=True)
    remove_all_on_demand(settings)
    tables.read_quarantine()
    path.unlink()


def _path(settings: Settings) -> Path:
    return settings.data / "erasure_under_way.json"


def _identifiers_already_erased(spark: SparkSession, erased: ErasedPeople, identifier: str) -> set[str]:
    """Return an already erased person's identifiers that are in the table of people."""
    person = erased.find(identifier)
    if person is None:
        return set()
    people: Any = spark.table("intermediate.int_people_identified").select("identifier")
    found = people.mapInArrow(
        partial(_select_erased_identifiers, erased, [person], "select identifier from raw_rows"), "identifier string"
    ).collect()
    return {row["identifier"] for row in found}


def _select_erased_identifiers(
    erased: ErasedPeople, people: list[ErasedPerson], query: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Select, on an executor, the identifiers in each batch of rows that belong to some erased people."""
    with TemporaryDirectory(prefix="erasure-") as scratch, open_scratch(scratch) as connection:
        create_identifier_macros(connection)
        known = create_known_hashes(connection, erased, people)
        for batch in batches:
            connection.register("raw_rows", pa.Table.from_batches([batch]))
            yield from connection.execute(f"from ({query}) where {known}").fetch_arrow_table().to_batches()
            connection.unregister("raw_rows")


def _own_and_referenced_ids(spark: SparkSession, identifiers: list[str]) -> tuple[list[str], list[str]]:
    """Return the ids of a person's messages and sessions, and the ids that the person's statuses and replies refer to."""
    return _ids(spark, identifiers, IDS_OF_PERSON), _ids(spark, identifiers, REFERENCED_IDS)


def _ids(spark: SparkSession, identifiers: list[str], of_tables: Mapping[str, tuple[str, str]]) -> list[str]:
    evidence = partial(create_evidence, identifiers=identifiers)

    def in_table(table: str) -> set[str]:
        id_, condition = of_tables[table]
        return _distinct(spark, table, "id", partial(_select, evidence, f"select distinct {id_} as id from raw_rows where {condition}"))

    return sorted(set().union(*in_threads(in_table, list(of_tables))))


def _distinct(
    spark: SparkSession, table: str, column: str, select: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
) -> set[str]:
    """Return the distinct non-null values of the one column that `select` computes on executors from the rows of a raw table."""
    frame: Any = spark.table(f"raw.{table}")
    return {row[column] for row in frame.mapInArrow(select, f"{column} string").distinct().collect()} - {None}


def _lines(spark: SparkSession, identifiers: list[str], ids: list[str], table: str) -> list[tuple[str, int, int, bool]]:
    """Return the file, load, line, and whether the row is to be deleted, of each row that contains the person."""
    is_row = f"coalesce({ROWS_OF_PERSON.get(table, 'false')}, false)"
    line = "line_number" if table == _QUARANTINE else "_line_number as line_number"
    query = f"select {FILE_AND_LOAD[table]}, {line}, {is_row} as is_row from raw_rows where {ROWS_THAT_NAME_PERSON[table]}"
    frame: Any = spark.table(f"raw.{table}")
    schema = "file_name string, load_id bigint, line_number bigint, is_row boolean"
    person = partial(create_person_macros, identifiers=identifiers, ids=ids)
    return [tuple(row) for row in frame.mapInArrow(partial(_select, person, query), schema).collect()]


def _rewrite(spark: SparkSession, work: _Work, table: str) -> None:
    from pyspark.sql import functions  # pyright: ignore[reportMissingImports]

    kept = f"where not coalesce({ROWS_OF_PERSON.get(table, 'false')}, false)"
    frame: Any = spark.table(f"raw.{table}")
    query = f"select * {without_texts(table)} from raw_rows {kept}"
    rewritten = frame.mapInArrow(
        partial(_select, partial(create_person_macros, identifiers=work.identifiers, ids=work.ids), query), frame.schema
    )
    rewritten.writeTo(f"raw.{table}").overwrite(functions.lit(True))


def _select(
    prepare: Callable[[duckdb.DuckDBPyConnection], None], query: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Run a query over each batch of rows on an executor, in a DuckDB in which `prepare` created the tables and macros of the query."""
    with TemporaryDirectory(prefix="erasure-") as scratch, open_scratch(scratch) as connection:
        prepare(connection)
        for batch in batches:
            connection.register("raw_rows", pa.Table.from_batches([batch]))
            yield from connection.execute(query).fetch_arrow_table().to_batches()
            connection.unregister("raw_rows")


def _names_in_zone(control: duckdb.DuckDBPyConnection, found: set[tuple[str, int | None]]) -> list[str]:
    files = pa.table(
        {"file_name": [name for name, _ in found], "load_id": [load_id for _, load_id in found]},
        schema=pa.schema([("file_name", pa.string()), ("load_id", pa.int64())]),
    )
    control.register("files_with_person", files)
    names = names_in_zone(control, "from files_with_person", "raw")
    control.unregister("files_with_person")
    return names


def _ledger(control: duckdb.DuckDBPyConnection, lines: list[tuple[str, int, int, bool]]) -> list[tuple[str, int, int, int]]:
    """Return the ledger's new counts of the files that lose these rows: each with its file, load, line, and whether it is a record."""
    columns = (("_file_name", pa.string()), ("_load_id", pa.int64()), ("_line_number", pa.int64()), ("is_record", pa.bool_()))
    erased_lines = pa.table({name: [line[at] for line in lines] for at, (name, _) in enumerate(columns)}, schema=pa.schema(columns))
    control.register("erased_lines", erased_lines)
    found = control.execute(
        f"""
        select f.file_name, f.load_id, f.landed - e.records, f.erased + e.records
        from ({erased_records_by_file("from erased_lines", "raw")}) as e
        inner join raw.landed_files as f on e.file_name = f.file_name and e.load_id = f.load_id
        """
    ).fetchall()
    control.unregister("erased_lines")
    return found
