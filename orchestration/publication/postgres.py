"""Publish the marts from the published file to a PostgreSQL database, in one transaction.

Rows are deleted and copied in; tables are not truncated or swapped. Only this way, a reader with an older snapshot keeps seeing all of
the old state, and no one waits. A table is dropped only if its columns changed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import duckdb

from orchestration.errors import StartsError
from orchestration.files import quoted
from orchestration.installation import how_to_install
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.publication.publish import Publication
from orchestration.publication.published import check_settings, open_published
from orchestration.publication.source import Source, changed_days_between
from orchestration.settings import PostgresSettings, Settings
from orchestration.transform.builds import BILL_FACTS, REPORT_FACTS

TABLES = (*(mart.name for mart in PUBLISHED_MARTS), "publish_info")

_TYPES = {
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP": "timestamp without time zone",
    "BOOLEAN": "boolean",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
}
# The index on the day serves the report's period and the replacement of days; the indexes on these columns serve look-ups of one
# person, session or message. There is no primary key: ids have any length, and a B-tree entry takes at most 2,700 bytes, while a hash
# index stores four bytes. Checks before the publication ensure that ids are unique.
_LOOKUP_COLUMNS = ("session_start_id", "message_id", "person_id", "contact_id")
# A table that someone reads in a long transaction cannot be dropped; it keeps the old state until the next run.
_LOCK_TIMEOUT = "60s"
_CONNECT_TIMEOUT_SECONDS = 15

_MODES_WITH_TLS = {"require", "verify-ca", "verify-full"}
_LOCAL_HOST = re.compile(r"(?:/.*|(?:localhost|127(?:\.\d{1,3}){3}|::1|\[::1\])?(?::\d*)?)", re.IGNORECASE)

_REFUSALS = (
    ("password authentication failed", "the user or the password is wrong"),
    ("no password supplied", "the server requires a password and none was given"),
    ("no pg_hba.conf entry", "the server does not accept this user from this address (pg_hba.conf)"),
    ("root certificate file", "the file that verifies its certificate is missing; see `sslrootcert`"),
    ("does not exist", "the database or the user does not exist"),
    ("could not translate host name", "its host name is unknown"),
    ("connection refused", "no server listens there (connection refused)"),
    ("no such file or directory", "no server listens there (no such socket)"),
    ("timeout expired", f"it did not answer within {_CONNECT_TIMEOUT_SECONDS} seconds"),
    ("permission denied for database", "this user may not connect to the database"),
    ("too many", "it has no free connections"),
    ("does not support ssl", "it offers no TLS; add sslmode=disable to the URL only for a network that you trust"),
    ("ssl", "the encrypted connection failed; see `sslmode`"),
    ("starting up", "it is still starting up"),
)
_ADVICE = {
    "42501": "Give the user of STARTS_POSTGRES_URL the right to create and write there.",
    "42704": "Create the role in STARTS_POSTGRES_READER, or set another.",
    "2BP01": "Drop what depends on the table (such as a view), publish, and create it again.",
    "55P03": "Someone is reading the tables in a long transaction; publish again when it has ended.",
    "25006": "The database is read-only: connect to the primary server.",
    "53100": "The server's disk is full.",
}


def publish_to_postgres(warehouse: duckdb.DuckDBPyConnection, settings: Settings, target: PostgresSettings) -> Publication:
    """Update the database to match the published file; change no row if nothing changed."""
    with open_published(settings) as published, _connection(target) as database:
        check_settings(published, settings)
        return _Copy(warehouse, published, database, target).run()


class _Copy:
    """One publication, in one transaction of `database`."""

    def __init__(
        self, warehouse: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection, database: Any, target: PostgresSettings
    ) -> None:
        self._warehouse = warehouse
        self._published = published
        self._database = database
        self._target = target
        self._columns = {table: _columns(published, table) for table in TABLES}

    def run(self) -> Publication:
        self._execute("set local standard_conforming_strings = on")
        self._execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
        self._lock_schema()
        present = self._tables_present()
        days = self._days_to_replace(present)
        changed = days != [] or self._info(present) != self._published_info()
        if changed:
            self._write(present, days)
        self._grant()
        try:
            rows = self._verify()
        except StartsError:
            if days is None:
                raise
            # Someone else deleted or added rows: the existing rows cannot be relied on, so all are replaced.
            days, changed = None, True
            self._write(present, days)
            rows = self._verify()
        self._database.commit()
        return Publication(changed=changed, rows=rows, days_replaced=days)

    def _lock_schema(self) -> None:
        ((alone,),) = self._rows(f"select pg_try_advisory_xact_lock(hashtext({quoted('conversation_starts ' + self._target.schema)}))")
        if not alone:
            raise StartsError(f"Another publication to the schema {self._target.schema} is in progress. Nothing was changed.")

    def _tables_present(self) -> dict[str, list[tuple[str, str]]]:
        """Return the columns of the existing tables. Raises `StartsError` if no publication created the tables in the schema."""
        columns = self._rows(
            f"""
            select cast(c.relname as text), cast(a.attname as text), format_type(a.atttypid, a.atttypmod)
            from pg_class as c
            join pg_namespace as n on c.relnamespace = n.oid
            join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
            where n.nspname = {quoted(self._target.schema)} and c.relname in ({", ".join(map(quoted, TABLES))})
            order by c.relname, a.attnum
            """
        )
        present: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in columns:
            present.setdefault(table, []).append((column, kind))
        if present and "publish_info" not in present:
            raise StartsError(
                f"The schema {self._target.schema} holds tables that no publication created ({', '.join(present)}). "
                "Set another schema in STARTS_POSTGRES_SCHEMA. Nothing was changed."
            )
        return present

    def _days_to_replace(self, present: dict[str, list[tuple[str, str]]]) -> list[date] | None:
        """Return the days that changed since the publication in the database, or None if all rows must be replaced."""
        if present != self._columns:
            return None
        before = self._info(present)
        if not before:
            return None
        now = Source.model_validate(self._published_info())
        return changed_days_between(self._warehouse, Source.model_validate(before), now, (*REPORT_FACTS, *BILL_FACTS))

    def _info(self, present: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
        if present.get("publish_info") != self._columns["publish_info"]:
            return {}
        names = [name for name, _ in self._columns["publish_info"]]
        rows = self._rows(f"select {', '.join(names)} from {self._name('publish_info')}")
        return dict(zip(names, rows[0], strict=True)) if len(rows) == 1 else {}

    def _published_info(self) -> dict[str, Any]:
        names = [name for name, _ in self._columns["publish_info"]]
        row = self._published.execute(f"select {', '.join(names)} from publish_info").fetchone()
        assert row is not None
        return dict(zip(names, row, strict=True))

    def _write(self, present: dict[str, list[tuple[str, str]]], days: list[date] | None) -> None:
        if days is None:
            self._prepare_schema()
        for mart in PUBLISHED_MARTS:
            if days is None:
                self._replace_all(mart.name, present.get(mart.name))
            elif days:
                self._replace_rows(mart.name, mart.is_on(days))
        self._replace_all("publish_info", present.get("publish_info"))

    def _prepare_schema(self) -> None:
        # `if not exists` would require the right to create even if the schema exists.
        if not self._rows(f"select 1 from pg_namespace where nspname = {quoted(self._target.schema)}"):
            self._execute(f'create schema "{self._target.schema}"')

    def _replace_all(self, table: str, columns_before: list[tuple[str, str]] | None) -> None:
        if columns_before == self._columns[table]:
            self._replace_rows(table, "true")
        else:
            if columns_before is not None:
                self._execute(f"drop table {self._name(table)}")
            self._execute(f"create table {self._name(table)} ({', '.join(f'{name} {kind}' for name, kind in self._columns[table])})")
            self._copy_rows(table, "true")
            self._index(table)
        self._comment(table)
        if table != "publish_info":
            self._execute(f"analyze {self._name(table)}")

    def _replace_rows(self, table: str, condition: str) -> None:
        self._execute(f"delete from {self._name(table)} where {condition}")
        self._copy_rows(table, condition)

    def _copy_rows(self, table: str, condition: str) -> None:
        # PostgreSQL cannot store a NUL character in a text.
        columns = ", ".join(f"replace({name}, chr(0), ' ') as {name}" if kind == "text" else name for name, kind in self._columns[table])
        batches = self._published.execute(f"select {columns} from {table} where {condition}").to_arrow_reader()
        with self._database.cursor() as cursor:
            cursor.adbc_ingest(table, batches, mode="append", db_schema_name=self._target.schema)

    def _index(self, table: str) -> None:
        columns = {name for name, _ in self._columns[table]}
        indexes = [f"({mart.date_column})" for mart in PUBLISHED_MARTS if mart.name == table]
        for index in [*indexes, *(f"using hash ({column})" for column in _LOOKUP_COLUMNS if column in columns)]:
            self._execute(f"create index on {self._name(table)} {index}")

    def _comment(self, table: str) -> None:
        comments = self._published.execute(
            """
            select 'table', '', comment from duckdb_tables() where table_name = $table and comment is not null
            union all
            select 'table', '', comment from duckdb_views() where view_name = $table and comment is not null
            union all
            select 'column', column_name, comment from duckdb_columns() where table_name = $table and comment is not null
            """,
            {"table": table},
        ).fetchall()
        for kind, column, comment in comments:
            name = f"{self._name(table)}.{column}" if kind == "column" else self._name(table)
            self._execute(f"comment on {kind} {name} is {quoted(comment)}")

    def _grant(self) -> None:
        """Grant read access to the reader's role, if it does not have it yet; grant nothing else."""
        reader, schema = self._target.reader, self._target.schema
        if reader is None:
            return
        checks = [f"has_schema_privilege({quoted(reader)}, {quoted(schema)}, 'usage')"]
        checks += [f"has_table_privilege({quoted(reader)}, {quoted(self._name(table))}, 'select')" for table in TABLES]
        if self._rows(f"select {' and '.join(checks)}") != [(True,)]:
            self._execute(f'grant usage on schema "{schema}" to "{reader}"')
            self._execute(f'grant select on {", ".join(map(self._name, TABLES))} to "{reader}"')

    def _verify(self) -> dict[str, int]:
        """Compare the row count of each table with the published mart, before the commit makes the rows visible."""
        copied, published = {}, {}
        for mart in PUBLISHED_MARTS:
            ((copied[mart.name],),) = self._rows(f"select count(*) from {self._name(mart.name)}")
            ((published[mart.name],),) = self._published.execute(f"select count(*) from {mart.name}").fetchall()
        if copied != published:
            raise StartsError(
                f"The tables in PostgreSQL would differ from the published marts (rows {copied}, not {published}), so they were not "
                f"changed. Drop the schema {self._target.schema} and publish again."
            )
        return copied

    def _name(self, table: str) -> str:
        return f'"{self._target.schema}".{table}'

    def _execute(self, statement: str) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(statement)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._database.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


def _columns(published: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    rows = published.execute(
        "select column_name, data_type from duckdb_columns() where table_name = $table order by column_index", {"table": table}
    ).fetchall()
    return [(name, _postgres_type(kind)) for name, kind in rows]


def _postgres_type(kind: str) -> str:
    return kind.replace("DECIMAL", "numeric") if kind.startswith("DECIMAL") else _TYPES[kind]


@contextmanager
def _connection(target: PostgresSettings) -> Iterator[Any]:
    """Open the database for one transaction, rolled back unless committed. Raises only `StartsError`, never the driver's errors."""
    if find_spec("adbc_driver_postgresql") is None:
        raise StartsError(f"The driver for PostgreSQL is not installed: run {how_to_install('postgres')}.")
    from adbc_driver_postgresql import dbapi

    problem = None
    database = None
    try:
        database = dbapi.connect(connection_url(target.url, os.environ))
    except dbapi.Error as error:
        problem = f"PostgreSQL at {target.address} cannot be reached: {_refusal(str(error))}. Check STARTS_POSTGRES_URL."
    # Raised outside the `except` block, so that the driver's message, which may quote the URL, is not in the traceback.
    if database is None:
        raise StartsError(problem)
    try:
        yield database
    except dbapi.Error as error:
        problem = _explain(error, target)
        raise StartsError(problem) from None
    finally:
        _close(database)


def _close(database: Any) -> None:
    """Roll back what was not committed, and disconnect. If the connection is lost, the server has already rolled back."""
    from adbc_driver_postgresql import dbapi

    for step in (database.rollback, database.close):
        try:
            step()
        except dbapi.Error:
            continue


def connection_url(url: str, environ: Mapping[str, str]) -> str:
    """Return the URL to connect with. Add a time limit, and TLS for a remote server, unless the URL sets them or PGSSLMODE requires TLS.

    With libpq's default, `prefer`, the connection continues without TLS if the server has none, or someone in between claims so.
    """
    asked = dict(parse_qsl(urlsplit(url).query))
    added = {} if "connect_timeout" in asked else {"connect_timeout": str(_CONNECT_TIMEOUT_SECONDS)}
    if "sslmode" not in asked and not _is_local(url, asked) and environ.get("PGSSLMODE") not in _MODES_WITH_TLS:
        added["sslmode"] = "require"
    return f"{url}{'&' if '?' in url else '?'}{urlencode(added)}" if added else url


def _is_local(url: str, asked: Mapping[str, str]) -> bool:
    """Return whether all servers are on this machine: their address is a socket folder or a loopback address."""
    hosts = asked.get("hostaddr") or asked.get("host") or urlsplit(url).netloc.rpartition("@")[2]
    return all(_LOCAL_HOST.fullmatch(host) for host in hosts.split(","))


def _refusal(words: str) -> str:
    """Return why there is no connection, without the driver's own message, which may quote the URL."""
    return next((reason for sign, reason in _REFUSALS if sign in words.lower()), "the driver gave no reason that can be shown")


def _explain(error: Exception, target: PostgresSettings) -> str:
    """Return the first line of PostgreSQL's error, which contains no values, and what to do about it."""
    said = re.search(r"(?:ERROR|FATAL):\s+([^\n]+)", str(error))
    reason = said[1] if said else "the connection broke"
    advice = _ADVICE.get(getattr(error, "sqlstate", None) or "", "Correct that and publish again.")
    return f"The publication to PostgreSQL at {target.address} failed: {reason}. The tables are as they were. {advice}"
