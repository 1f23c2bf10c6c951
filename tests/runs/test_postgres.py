"""Tests of the marts in PostgreSQL: a server for the tests, two states of one warehouse, and every expected failure."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from orchestration.errors import StartsError
from orchestration.files import quoted
from orchestration.publication import postgres
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.publication.postgres import TABLES, publish_to_postgres
from orchestration.publication.publish import Publication
from orchestration.settings import PROJECT_ROOT, PostgresSettings, Settings
from orchestration.transform.builds import MARTS
from orchestration.warehouse import open_warehouse
from tests.data.hostile_logs import hostile_records, write_files
from tests.documents import queries
from tests.marts import Warehouse, settings_of, start
from tests.pipeline import Pipeline, comparable, query
from tests.postgres import PASSWORD, Server, running_server, server_programs

PROGRAMS = server_programs()
pytestmark = [
    pytest.mark.xdist_group("postgres"),
    pytest.mark.skipif(PROGRAMS is None, reason="need a PostgreSQL server (apt-get install postgresql)"),
    pytest.mark.skipif(
        find_spec("adbc_driver_postgresql") is None, reason="need the driver for PostgreSQL (.venv/bin/uv sync --inexact --extra postgres)"
    ),
]
_numbers = count(1)
COMMENT = r"It is written as C:\temp\'it', with a \ at its end \\"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert PROGRAMS is not None
    with running_server(PROGRAMS) as started:
        yield started


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Settings]:
    """Return one warehouse after its first run, and after a second one that changed a few days."""
    folder = tmp_path_factory.mktemp("states")
    run = Pipeline(folder / "landing", folder / "data", {})
    sends, webhooks = hostile_records(7, more_contacts=60)
    write_files(run.landing, "sends", "1.jsonl", sends)
    write_files(run.landing, "webhooks", "1.jsonl", webhooks)
    write_files(run.landing, "botmaker/sessions", "1.jsonl", [_session_with_one_message(hour) for hour in (10, 20)])
    run.environment = {"STARTS_MAX_REJECTED_SHARE": "1"}
    assert run.run().success
    shutil.copytree(run.data, folder / "first", symlinks=True)
    late = {
        "message_id": "late",
        "sent_at": 1791500000,
        "channel_id": "c\u0000",
        "contact_id": "5511977770000",
        "template_name": "é🌵'" * 9999,
    }
    write_files(run.landing, "sends", "2.jsonl", [json.dumps(late).encode()])
    assert run.run().success
    return [Settings(data=folder / "first"), Settings(data=run.data)]


def _session_with_one_message(hour: int) -> bytes:
    at = f"2026-10-05T{hour}:00:00Z"
    session = {
        "id": f"CHAT_{at}",
        "creationTime": at,
        "startingCause": "WhatsAppTemplate",
        "chat": {"chat": {"chatId": "CHAT", "channelId": "line", "contactId": "5511977770001"}},
        "events": [{"name": "notification-sent", "creationTime": at, "info": {"messageId": "M", "whatsappTemplate": "welcome"}}],
    }
    return json.dumps(session).encode()


@pytest.fixture
def database(server: Server) -> str:
    name = f"bi_{next(_numbers)}"
    server.execute("postgres", f"create database {name}")
    return name


def published(settings: Settings, target: PostgresSettings) -> Publication:
    with open_warehouse(settings) as warehouse:
        return publish_to_postgres(warehouse, settings, target)


def rows(server: Server, database: str, table: str, schema: str = "conversation_starts") -> list[dict[str, Any]]:
    columns = server.rows(database, f"""
        select cast(column_name as text), data_type = 'numeric' from information_schema.columns
        where table_schema = '{schema}' and table_name = '{table}' order by ordinal_position
    """)  # fmt: skip
    # The driver returns decimal numbers as text.
    return [
        {
            name: Decimal(value) if is_decimal and value is not None else value
            for (name, is_decimal), value in zip(columns, row, strict=True)
        }
        for row in server.rows(database, f"select * from {schema}.{table}")
    ]


def expected(settings: Settings, table: str) -> list[tuple[tuple[str, str], ...]]:
    kept = query(settings.published_database, f"select * from {table}")
    return comparable([{key: value.replace("\0", " ") if isinstance(value, str) else value for key, value in row.items()} for row in kept])


def is_state(server: Server, database: str, settings: Settings) -> bool:
    return all(comparable(rows(server, database, table)) == expected(settings, table) for table in TABLES)


def versions(server: Server, database: str, table: str) -> dict[str, set[str]]:
    """Return the transactions that wrote the rows of each report day, or billed day."""
    found: dict[str, set[str]] = {}
    day_of_row = next(mart.date_column for mart in PUBLISHED_MARTS if mart.name == table)
    for day, transaction in server.rows(
        database, f"select cast({day_of_row} as text), cast(xmin as text) from conversation_starts.{table}"
    ):
        found.setdefault(day, set()).add(transaction)
    return found


def test_full_publication_equals_the_published_marts(server: Server, database: str, states: list[Settings]) -> None:
    publication = published(states[1], PostgresSettings(server.url(database)))
    assert publication.changed
    assert publication.days_replaced is None
    assert is_state(server, database, states[1])
    assert publication.rows == {mart: len(rows(server, database, mart)) for mart in MARTS}
    without_comment = server.rows(database, """
        select cast(c.relname as text), cast(a.attname as text) from pg_class as c
        join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0
        where c.relnamespace = 'conversation_starts'::regnamespace and c.relkind = 'r'
            and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)
    """)  # fmt: skip
    assert without_comment == []
    keys = server.rows(
        database,
        """
        select cast(conrelid::regclass as text) from pg_constraint
        where contype = 'p' and connamespace = 'conversation_starts'::regnamespace order by 1
        """,
    )
    # A PostgreSQL index entry is limited in size and ids are not, so there is no primary key.
    assert keys == []


@pytest.mark.thorough
def test_second_publication_with_nothing_new_changes_nothing(server: Server, database: str, states: list[Settings]) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0], target)
    before = {table: server.rows(database, f"select cast(xmin as text) from conversation_starts.{table}") for table in TABLES}
    again = published(states[0], target)
    assert not again.changed
    assert before == {table: server.rows(database, f"select cast(xmin as text) from conversation_starts.{table}") for table in TABLES}


def test_only_changed_days_are_rewritten(server: Server, database: str, states: list[Settings]) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0], target)
    before = {mart: versions(server, database, mart) for mart in MARTS}
    publication = published(states[1], target)
    assert publication.days_replaced == [date(2026, 10, 8)]
    assert is_state(server, database, states[1])
    for mart in MARTS:
        after = versions(server, database, mart)
        assert {day for day in after if after[day] != before[mart].get(day)} == {"2026-10-08"}, mart
        assert len(after) > 5


@pytest.mark.parametrize("state", [0, 1])
def test_rows_changed_by_another_program_are_repaired(server: Server, database: str, states: list[Settings], state: int) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0], target)
    server.execute(database, "delete from conversation_starts.fct_session_starts where session_start_date = '2026-10-03'")
    server.execute(database, "insert into conversation_starts.sends_by_hour (select * from conversation_starts.sends_by_hour limit 1)")
    publication = published(states[state], target)
    assert (publication.changed, publication.days_replaced) == (True, None)
    assert is_state(server, database, states[state])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Return a warehouse of one day, published to files."""
    warehouse = Warehouse(settings_of(tmp_path_factory.mktemp("site")))
    with open_warehouse(warehouse.settings) as connection:
        connection.execute(f"comment on column marts.fct_notifications.person_id is {quoted(COMMENT)}")
    day = date(2026, 10, 5)
    warehouse.publish(warehouse.build({day: [start(1, day)]}))
    return warehouse


def test_descriptions_are_the_same_whatever_the_server_reads_in_backslashes(server: Server, database: str, site: Warehouse) -> None:
    server.execute("postgres", f"alter database {database} set standard_conforming_strings = off")
    published(site.settings, PostgresSettings(server.url(database)))
    column = "a.attrelid = 'conversation_starts.fct_notifications'::regclass and a.attname = 'person_id'"
    comments = server.rows(database, f"select col_description(a.attrelid, a.attnum) from pg_attribute as a where {column}")
    assert comments == [(COMMENT,)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("change", "days_replaced"),
    [
        ("delete from conversation_starts.publish_info", None),
        ("insert into conversation_starts.publish_info select * from conversation_starts.publish_info", None),
        ("update conversation_starts.publish_info set published_at = '2020-01-01'", []),
    ],
)
def test_changed_description_of_the_publication_is_repaired(
    server: Server, database: str, site: Warehouse, change: str, days_replaced: list[date] | None
) -> None:
    target = PostgresSettings(server.url(database))
    published(site.settings, target)
    server.execute(database, change)
    publication = published(site.settings, target)
    assert (publication.changed, publication.days_replaced) == (True, days_replaced)
    assert is_state(server, database, site.settings)


def test_days_on_which_only_the_bill_changed_are_rewritten(server: Server, database: str, tmp_path: Path) -> None:
    warehouse, target = Warehouse(settings_of(tmp_path)), PostgresSettings(server.url(database))
    days = [date(2026, 10, 5), date(2026, 10, 6)]
    warehouse.publish(warehouse.build({day: [start(day.day, day)] for day in days}))
    published(warehouse.settings, target)
    with open_warehouse(warehouse.settings) as connection:
        connection.execute("update marts.fct_billed_messages set cost = 0.05 where billed_date = $day", {"day": days[0]})
        build = warehouse.finish(connection, [])
        connection.execute(
            "insert into state.changed_days values ('fct_billed_messages', $day, $number)", {"day": days[0], "number": build.change_number}
        )
    assert warehouse.publish(build).days_replaced == [days[0]]
    assert published(warehouse.settings, target).days_replaced == [days[0]]
    assert is_state(server, database, warehouse.settings)


def test_files_of_other_settings_are_not_published(server: Server, database: str, site: Warehouse) -> None:
    settings = settings_of(site.settings.data.parent, report_timezone="Pacific/Apia")
    with pytest.raises(StartsError, match="STARTS_REPORT_TIMEZONE"):
        published(settings, PostgresSettings(server.url(database)))


def test_reader_in_a_long_transaction_delays_a_new_table_and_is_reported(server: Server, database: str, site: Warehouse) -> None:
    from adbc_driver_postgresql import dbapi

    target = PostgresSettings(server.url(database))
    published(site.settings, target)
    server.execute(database, "alter table conversation_starts.sends_by_hour add column more int")
    with dbapi.connect(server.url(database)) as reader, reader.cursor() as cursor:
        # So that a publication without a limit ends too.
        cursor.execute("set idle_in_transaction_session_timeout = '10s'")
        cursor.execute("select * from conversation_starts.sends_by_hour")
        cursor.fetchall()
        with (
            patch.object(postgres, "_LOCK_TIMEOUT", "100ms"),
            pytest.raises(StartsError, match=r"lock timeout.*tables are as they were\. Someone is reading the tables"),
        ):
            published(site.settings, target)
    assert published(site.settings, target).changed
    assert is_state(server, database, site.settings)


@pytest.mark.thorough
@pytest.mark.parametrize("why", ["another warehouse", "another definition", "an older publication", "a table with another shape"])
def test_unusable_base_is_replaced_completely(server: Server, database: str, states: list[Settings], why: str) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0] if why != "an older publication" else states[1], target)
    changes = {
        "another warehouse": "update conversation_starts.publish_info set build_started_at = build_started_at - interval '1 second'",
        "another definition": "update conversation_starts.publish_info set definition_sha256 = 'x'",
        "a table with another shape": "alter table conversation_starts.fct_session_starts drop column source",
    }
    if why in changes:
        server.execute(database, changes[why])
    wanted = states[0] if why == "an older publication" else states[1]
    assert published(wanted, target).days_replaced is None
    assert is_state(server, database, wanted)


def test_failure_in_the_middle_keeps_the_old_state(server: Server, database: str, states: list[Settings]) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0], target)
    server.execute(
        database, "alter table conversation_starts.session_starts_daily add constraint no_more check (notifications < 0) not valid"
    )
    with pytest.raises(StartsError, match=r"violates check constraint.*tables are as they were"):
        published(states[1], target)
    assert is_state(server, database, states[0])
    server.execute(database, "alter table conversation_starts.session_starts_daily drop constraint no_more")
    assert published(states[1], target).changed
    assert is_state(server, database, states[1])


@pytest.mark.thorough
@pytest.mark.parametrize("whole", [False, True])
def test_reader_never_sees_a_mixed_state(server: Server, database: str, states: list[Settings], whole: bool) -> None:
    from adbc_driver_postgresql import dbapi

    target = PostgresSettings(server.url(database))
    published(states[0], target)
    if whole:
        server.execute(database, "update conversation_starts.publish_info set definition_sha256 = 'x'")
    seen = []

    def look(cursor: Any) -> list[tuple[Any, ...]]:
        counts = " union all ".join(
            f"select '{table}', count(*), max(cast(t as text)) from conversation_starts.{table} as t" for table in TABLES
        )
        cursor.execute(f"select * from ({counts}) as counts order by 1")
        return cursor.fetchall()

    verify = postgres._Copy._verify

    def look_before_commit(copy: Any) -> dict[str, int]:
        done = verify(copy)
        with dbapi.connect(server.url(database), autocommit=True) as other, other.cursor() as cursor:
            seen.append(look(cursor))
        return done

    with dbapi.connect(server.url(database)) as reader, reader.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read")
        old = look(cursor)
        with patch.object(postgres._Copy, "_verify", look_before_commit):
            published(states[1], target)
        assert seen == [old]
        assert look(cursor) == old
        reader.commit()
        assert look(cursor) != old
    assert is_state(server, database, states[1])


@pytest.mark.thorough
def test_reader_role_can_read_but_not_write(server: Server, database: str, states: list[Settings]) -> None:
    from adbc_driver_postgresql import dbapi

    server.execute(database, "drop role if exists bi_reader", "create role bi_reader login password 'reader'")
    published(states[0], PostgresSettings(server.url(database)))
    # A role that is configured later gets access although nothing else has changed.
    assert not published(states[0], PostgresSettings(server.url(database), reader="bi_reader")).changed
    as_reader = {"user": "bi_reader", "password": "reader"}
    for table in TABLES:
        assert server.rows(database, f"select count(*) from conversation_starts.{table}", **as_reader)[0][0] > 0
        for statement in ("delete from {0}", "update {0} set build_id = 0", "truncate {0}", "drop table {0}", "create table {0}_2 (a int)"):
            with pytest.raises(dbapi.Error, match=r"permission denied|must be owner|does not exist"):
                server.execute(database, statement.format(f"conversation_starts.{table}"), **as_reader)
    # Recreated tables are readable too.
    server.execute(database, "alter table conversation_starts.fct_session_starts drop column source")
    published(states[1], PostgresSettings(server.url(database), reader="bi_reader"))
    assert server.rows(database, "select count(source) from conversation_starts.fct_session_starts", **as_reader)[0][0] > 0
    server.execute(database, "drop owned by bi_reader", "drop role bi_reader")


def test_documented_roles_are_sufficient(server: Server, states: list[Settings]) -> None:
    (roles,) = [query.text for query in queries() if query.text.startswith("create role")]
    server.execute("postgres", "create database bi", *(statement for line in roles.splitlines() if (statement := line.partition(";")[0])))
    target = PostgresSettings(server.url("bi", "publisher", "…"), reader="bi_reader")
    published(states[0], target)
    as_reader = {"user": "bi_reader", "password": "…"}
    assert server.rows("bi", "select count(*) from conversation_starts.fct_session_starts", **as_reader)[0][0] > 0
    # The right to create the schema is needed only once.
    server.execute(
        "bi", "revoke create on database bi from publisher", "update conversation_starts.publish_info set definition_sha256 = 'x'"
    )
    assert published(states[0], target).days_replaced is None


def test_problems_that_the_operator_can_fix_are_explained(server: Server, database: str, states: list[Settings]) -> None:
    server.execute(
        database,
        "drop role if exists without_rights",
        "create role without_rights login password 'nothing'",
        "create schema theirs",
        "create table theirs.fct_session_starts (a int)",
    )
    weak = server.url(database, user="without_rights", password="nothing")
    for target, message in [
        (PostgresSettings(server.url(database, password="wrong")), "the user or the password is wrong"),
        (PostgresSettings("postgresql://postgres:secret@127.0.0.1:1/bi"), "no server listens there"),
        (PostgresSettings(server.url("nowhere")), "the database or the user does not exist"),
        (PostgresSettings(weak), r"permission denied for database.*right to create"),
        (PostgresSettings(server.url(database), reader="missing"), r'role "missing" does not exist.*STARTS_POSTGRES_READER'),
        (PostgresSettings(server.url(database), schema="theirs"), r"no publication created \(fct_session_starts\)"),
    ]:
        with pytest.raises(StartsError, match=message) as caught:
            published(states[0], target)
        assert caught.value.__cause__ is None
    with patch.object(postgres, "find_spec", return_value=None), pytest.raises(StartsError, match="--extra postgres"):
        published(states[0], PostgresSettings(server.url(database)))
    assert server.rows(database, "select 1 from pg_namespace where nspname = 'conversation_starts'") == []


def test_view_that_blocks_the_replacement_of_a_table_is_reported(server: Server, database: str, states: list[Settings]) -> None:
    target = PostgresSettings(server.url(database))
    published(states[0], target)
    server.execute(
        database,
        "alter table conversation_starts.fct_session_starts add column more int",
        "create view public.theirs as select origin from conversation_starts.fct_session_starts",
    )
    with pytest.raises(StartsError, match=r"other objects depend on it.*Drop what depends"):
        published(states[1], target)
    assert len(rows(server, database, "fct_session_starts")) == len(query(states[0].published_database, "select * from fct_session_starts"))


def test_concurrent_publications_do_not_collide(server: Server, database: str, states: list[Settings]) -> None:
    from adbc_driver_postgresql import dbapi

    target = PostgresSettings(server.url(database))
    with dbapi.connect(server.url(database)) as other, other.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('conversation_starts conversation_starts'))")
        cursor.fetchall()
        with pytest.raises(StartsError, match="Another publication"):
            published(states[0], target)


@pytest.mark.thorough
def test_password_is_never_shown_or_stored(
    server: Server, database: str, states: list[Settings], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Check logs, events, metadata and stored files of Dagster runs, one that succeeds and several that fail."""
    from dagster import DagsterInstance

    from orchestration.definitions import defs

    job = defs.resolve_job_def("publish_to_postgres")
    logged = []
    for url, success in [
        (server.url(database), True),
        (server.url(database, password=PASSWORD + "-wrong"), False),
        (f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/bi", False),
        (f"postgresql://postgres:{PASSWORD}/half@127.0.0.1:1/bi", False),
    ]:
        environment = {"STARTS_DATA": str(states[0].data), "STARTS_POSTGRES_URL": url}
        with patch.dict(os.environ, environment), DagsterInstance.local_temp(str(tmp_path)) as instance:
            result = job.execute_in_process(instance=instance, raise_on_error=False)
            assert result.success is success
            logged += [repr(event) + str(event.event_specific_data) for event in result.all_events]
            logged += [entry.to_json() for entry in instance.all_logs(result.run_id)]
    output = capfd.readouterr()
    assert "cannot be reached" in output.err
    for text in (output.out, output.err, *logged, repr(PostgresSettings(server.url(database)))):
        assert PASSWORD not in text
    for path in [*tmp_path.rglob("*"), *states[0].data.rglob("*")]:
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.thorough
def test_run_with_a_url_publishes_to_postgres(server: Server, database: str, states: list[Settings]) -> None:
    command = [sys.executable, "-m", "orchestration"]
    environment = os.environ | {
        "STARTS_LANDING": str(states[1].data.parent / "landing"),
        "STARTS_DATA": str(states[1].data),
        "STARTS_POSTGRES_URL": server.url(database),
        "STARTS_MAX_REJECTED_SHARE": "1",
        "DAGSTER_HOME": str(PROJECT_ROOT),
    }
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published  PostgreSQL at 127.0.0.1:" in done.stdout
    assert is_state(server, database, states[1])
    environment["STARTS_POSTGRES_URL"] = f"postgresql://postgres:{PASSWORD}/half@127.0.0.1/bi"
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "STARTS_POSTGRES_URL is not a URL" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_job_publishes_to_postgres_only_if_a_url_is_set(states: list[Settings]) -> None:
    from orchestration.definitions import defs

    assert not any("postgres" in name for name in defs.resolve_job_def("conversation_starts").graph.node_dict)
    with patch.dict(os.environ, {"STARTS_DATA": str(states[0].data)}):
        result = defs.resolve_job_def("publish_to_postgres").execute_in_process(raise_on_error=False)
    assert not result.success
