"""Tests of publication: whole versions, months that keep their bytes, and nothing that another program wrote (contract, section 7)."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.errors import StartsError
from orchestration.files import quoted
from orchestration.publication import parquet, versions
from orchestration.publication import publish as publish_module
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.publication.parquet import DayPart
from orchestration.publication.publish import Publication, publish
from orchestration.publication.published import open_published
from orchestration.publication.source import changed_days_between, source_of
from orchestration.publication.versions import current_version, recover_publication
from orchestration.settings import PROJECT_ROOT, Contacts, FileMode, Settings
from orchestration.transform.builds import MARTS, REPORT_FACTS, FinishedBuild
from orchestration.warehouse import open_warehouse
from tests.marts import FACT_COLUMNS, Warehouse, settings_of, start
from tests.pipeline import comparable, query
from tests.tiers import thorough

SEPTEMBER, OCTOBER, NOVEMBER = date(2026, 9, 30), date(2026, 10, 1), date(2026, 11, 2)
BUILDS = {SEPTEMBER: [start(1, SEPTEMBER)], OCTOBER: [start(n, OCTOBER) for n in (2, 3)], NOVEMBER: [start(4, NOVEMBER)]}


class Site:
    """A data folder with a warehouse of finished marts and its publication."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.warehouse = Warehouse(settings)

    def publish(self, build: FinishedBuild, *, thorough: bool = False) -> Publication:
        with open_warehouse(self.settings) as connection:
            return publish(connection, self.settings, build, thorough=thorough)

    def build_and_publish(self, days: dict[date, list[dict[str, Any]]], **fields: Any) -> Publication:
        return self.publish(self.warehouse.build(days, **fields))

    def month(self, mart: str, month: str) -> Path:
        return self.settings.published_dir / "parquet" / mart / f"{month}.parquet"

    def months(self) -> dict[str, tuple[int, bytes]]:
        """Return inode and bytes of each Parquet file by name."""
        folder = self.settings.published_dir / "parquet"
        return {str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes()) for path in sorted(folder.glob("*/*"))}

    def assert_is_published(self) -> None:
        """Compare every published row, in both forms, with the marts of the warehouse."""
        for mart in PUBLISHED_MARTS:
            rows = query(self.settings.warehouse_path, f"select * from marts.{mart.name}")
            assert comparable(query(self.settings.published_database, f"select * from {mart.name}")) == comparable(rows)
            files = sorted((self.settings.published_dir / "parquet" / mart.name).glob("*"))
            assert comparable([row for path in files for row in pq.read_table(path).to_pylist()]) == comparable(rows)
            days = {row[mart.date_column] for row in rows}
            assert {path.name for path in files} == {f"{str(day)[:7] if day else 'undated'}.parquet" for day in days}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def site(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> Site:
    folder = made_once("published_site", lambda folder: Site(settings_of(folder)).build_and_publish(BUILDS))
    shutil.copytree(folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Site(settings_of(tmp_path))


def test_marts_are_published_with_the_columns_of_the_contract(site: Site) -> None:
    site.assert_is_published()
    columns = query(site.settings.published_database, "from (describe fct_session_starts)")
    assert [row["column_name"] for row in columns] == list(FACT_COLUMNS)
    comments = query(site.settings.published_database, "select comment from duckdb_columns() where column_name = 'person_id'")
    assert {row["comment"] for row in comments} >= {"Who it is, in the spelling of the report."}
    assert names_in(site.settings.published_dir) == {"conversation_starts.duckdb", "parquet", ".versions"}
    with duckdb.connect() as reader:
        reader.execute(f"attach {quoted(site.settings.published_database)} as under_another_name (read_only)")
        assert reader.execute("select count(*) from under_another_name.fct_session_starts").fetchone() == (4,)


def test_unchanged_month_keeps_its_bytes_and_its_inode(site: Site) -> None:
    before = site.months()
    publication = site.build_and_publish({NOVEMBER: [start(5, NOVEMBER), start(6, NOVEMBER)]})
    after = site.months()
    assert publication.days_replaced == [NOVEMBER]
    assert {name for name in before if before[name] != after[name]} == {f"{mart}/2026-11.parquet" for mart in MARTS}
    site.assert_is_published()


def test_mart_whose_rows_of_a_changed_day_are_equal_keeps_its_file(site: Site) -> None:
    before = site.months()
    site.build_and_publish({NOVEMBER: [start(4, NOVEMBER, customer_id="C-1")]})
    after = site.months()
    assert {name for name in before if before[name] != after[name]} == {
        f"fct_{mart}/2026-11.parquet" for mart in ("session_starts", "notifications")
    }
    before = after
    site.build_and_publish({NOVEMBER: [start(4, NOVEMBER, customer_id="C-1"), start(5, NOVEMBER, is_session_start=False)]})
    after = site.months()
    assert {name for name in before if before[name] != after[name]} == {
        f"fct_{mart}/2026-11.parquet" for mart in ("notifications", "billed_messages")
    }
    # After a change of the models everything is rewritten, and equal files stay.
    before = after
    publication = site.build_and_publish({}, definition="another")
    assert publication.days_replaced is None
    assert set(publication.net_rows_added.values()) == {0}
    assert site.months() == before


def test_only_changed_rows_of_a_changed_day_are_written(site: Site) -> None:
    """Written rows follow the rows that stay in place."""

    def in_order() -> list[str]:
        rows = query(site.settings.published_database, "select session_start_id from fct_notifications order by rowid")
        return [row["session_start_id"] for row in rows]

    read, same, new = start(2, OCTOBER, last_status="read", is_read=True), start(3, OCTOBER), start(5, OCTOBER)
    site.build_and_publish({**BUILDS, OCTOBER: [read, same, new]})
    site.assert_is_published()
    assert (set(in_order()[:3]), set(in_order()[3:])) == ({"m-1", "m-3", "m-4"}, {"m-2", "m-5"})
    order = in_order()
    site.build_and_publish({**BUILDS, OCTOBER: [same, new]})
    site.assert_is_published()
    assert in_order() == [each for each in order if each != "m-2"]


def test_messages_of_one_session_sent_at_one_time_have_a_fixed_order(site: Site) -> None:
    sent_at, numbers = datetime(2026, 11, 2, 15), [*range(10, 40)]
    Random(1).shuffle(numbers)
    site.build_and_publish({NOVEMBER: [start(number, NOVEMBER, session_start_id="s", sent_at=sent_at) for number in numbers]})
    ids = pq.read_table(site.month("fct_notifications", "2026-11"))["message_id"].to_pylist()
    assert ids == sorted(ids)


def test_publication_records_until_when_replies_are_known(site: Site) -> None:
    def known_until() -> list[dict[str, Any]]:
        return query(
            site.settings.published_database,
            "select newest_webhook_event_at is null as no_webhook, newest_webhook_event_at = published_at as is_capped, "
            "newest_botmaker_event_at, newest_event_at from publish_info",
        )

    # Without events it is unknown, and not the time of the publication.
    assert known_until() == [{"no_webhook": True, "is_capped": None, "newest_botmaker_event_at": None, "newest_event_at": None}]
    ahead, earlier = datetime(2099, 1, 1), datetime(2026, 10, 1)
    with open_warehouse(site.settings) as connection:
        connection.execute(
            "insert into intermediate.int_newest_events values ('webhooks', $at), ('webhooks', $b)", {"at": ahead, "b": earlier}
        )
        connection.execute("insert into intermediate.int_newest_events values ('botmaker', $at), ('sends', $at)", {"at": earlier})
    site.build_and_publish({NOVEMBER: [start(5, NOVEMBER)]})
    assert known_until() == [{"no_webhook": False, "is_capped": True, "newest_botmaker_event_at": earlier, "newest_event_at": ahead}]
    with open_warehouse(site.settings) as connection:
        connection.execute("insert into intermediate.int_newest_events values ('botmaker', $at)", {"at": ahead})
    site.build_and_publish({NOVEMBER: []})
    capped = query(site.settings.published_database, "select newest_botmaker_event_at = published_at as is_capped from publish_info")
    assert capped == [{"is_capped": True}]


def test_days_changed_since_a_newer_source_are_unknown(site: Site) -> None:
    older, newer = (source_of(site.settings, site.warehouse.build({day: [start(5, day)]})) for day in (OCTOBER, NOVEMBER))
    with open_warehouse(site.settings) as connection:
        assert changed_days_between(connection, older, newer, REPORT_FACTS) == [NOVEMBER]
        assert changed_days_between(connection, newer, newer, REPORT_FACTS) == []
        assert changed_days_between(connection, newer, older, REPORT_FACTS) is None


def test_month_without_rows_loses_its_file(site: Site) -> None:
    site.build_and_publish({OCTOBER: []})
    site.assert_is_published()
    assert not site.month("fct_notifications", "2026-10").exists()


def test_nothing_new_changes_no_byte(site: Site) -> None:
    before = versions_of_files(site.settings.data)
    assert not site.publish(site.warehouse.build({})).changed
    assert versions_of_files(site.settings.data) == before


def versions_of_files(folder: Path) -> dict[Path, tuple[int, int, int]]:
    stats = {path: path.lstat() for path in folder.rglob("*") if path.name != "warehouse.duckdb"}
    return {path: (found.st_ino, found.st_size, found.st_mtime_ns) for path, found in stats.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("day", [date(999, 6, 1), date(1, 1, 3), date(9999, 12, 29)])
def test_month_of_any_year_has_a_file_name_of_one_format(site: Site, day: date) -> None:
    site.build_and_publish({day: [start(7, day)]})
    site.build_and_publish({day: [start(8, day)], OCTOBER: [start(2, OCTOBER)]})
    site.assert_is_published()
    assert site.month("fct_notifications", f"{day.year:04d}-{day.month:02d}").exists()


class TestLargeMonths:
    """Months with more than one row group have row groups by day; unchanged ones are copied."""

    DAYS = tuple(date(2026, 10, day) for day in range(1, 7))

    @pytest.fixture(autouse=True)
    def small_row_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "_ROW_GROUP_ROWS", 10)

    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        made = Site(settings_of(tmp_path))
        made.build_and_publish({day: [start(day.day * 100 + n, day, session_id=None) for n in range(7)] for day in self.DAYS})
        return made

    def test_each_row_group_has_one_day(self, site: Site) -> None:
        site.assert_is_published()
        file = pq.ParquetFile(site.month("fct_notifications", "2026-10"))
        days = [set(file.read_row_group(number, columns=["session_start_date"])[0].to_pylist()) for number in range(file.num_row_groups)]
        assert days == [{day} for day in self.DAYS]

    def test_only_changed_days_are_written(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        written = self.recorded(monkeypatch)
        site.build_and_publish({self.DAYS[2]: [start(1000 + n, self.DAYS[2]) for n in range(3)]})
        site.assert_is_published()
        # The three facts and the funnel are large here; the other marts have one row per day.
        assert sorted(parts for _, parts, _ in written if len(parts) == 1) == [[DayPart(self.DAYS[2])]] * 4

    def test_only_the_late_rows_of_a_day_are_written(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        written = self.recorded(monkeypatch)
        day, on_its_day = self.DAYS[2], [start(self.DAYS[2].day * 100 + n, self.DAYS[2], session_id=None) for n in range(7)]
        late = [start(1000 + n, day, session_id=None, sent_at=datetime(2026, 10, 5 + n, 12), is_session_start=False) for n in range(2)]
        by_person = start(1010, day, session_id=None, sent_at=None, message_id=None)
        for rows in ([late[0], by_person], [*late, by_person], [by_person | {"user_type": "returning"}]):
            del written[:]
            site.build_and_publish({day: [*on_its_day, *rows]})
            site.assert_is_published()
            facts = {"fct_session_starts", "fct_notifications"}
            assert {part for mart, parts, _ in written if mart in facts for part in parts} == {DayPart(day, is_late=True)}
        assert [columns for mart, _, columns in written if mart == "fct_session_starts"] == [{"user_type"}]

    def test_only_the_changed_columns_of_a_day_with_the_same_rows_are_written(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        written = self.recorded(monkeypatch)
        rows = [start(day.day * 100 + n, day, session_id=None) for day in self.DAYS[2:4] for n in range(7)]
        read = {"is_read": True, "last_status": "read", "read_at": datetime(2026, 10, 9, 12)}
        site.build_and_publish({self.DAYS[2]: [*rows[:5], rows[5] | read, rows[6]], self.DAYS[3]: rows[7:]})
        site.assert_is_published()
        facts = {"fct_session_starts", "fct_notifications"}
        assert sorted(each for each in written if each[0] in facts) == [
            (fact, [DayPart(self.DAYS[2])], set(read)) for fact in sorted(facts)
        ]

    @staticmethod
    def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[DayPart], frozenset[str] | None]]:
        """Return a list that collects each write to Parquet: the mart, parts of days and columns, None for all columns."""
        written: list[tuple[str, list[DayPart], frozenset[str] | None]] = []
        write_rows = parquet._write_rows

        def record(connection: Any, mart: Any, path: Path, parts: list[DayPart], columns: frozenset[str] | None, rows: int) -> None:
            written.append((mart.name, parts, columns))
            write_rows(connection, mart, path, parts, columns, rows)

        monkeypatch.setattr(parquet, "_write_rows", record)
        return written

    def test_messages_without_a_billed_date_have_their_own_file(self, site: Site) -> None:
        failed = {"is_delivered": False, "is_sent": False, "is_not_sent": True, "last_status": "not_sent"}
        for count in (1, 5, 4, 0):
            site.build_and_publish({self.DAYS[2]: [start(2000 + n, self.DAYS[2], **failed) for n in range(count)]})
            site.assert_is_published()
        assert "undated.parquet" not in names_in(site.settings.published_dir / "parquet" / "fct_billed_messages")

    @pytest.mark.thorough
    def test_bytes_depend_only_on_the_rows(self, site: Site, tmp_path: Path) -> None:
        days = [
            {self.DAYS[0]: [start(1, self.DAYS[0])], self.DAYS[5]: []},
            {date(2026, 10, 20): [start(2, date(2026, 10, 20))]},
            {self.DAYS[2]: [start(n, self.DAYS[2], agent_groups="ü" * n) for n in range(30)]},
        ]
        for replaced in days:
            site.build_and_publish(replaced)
        self.assert_bytes_follow_from_rows(site, tmp_path)

    @pytest.mark.parametrize("seed", [0, *thorough(1, 2, 3)])
    def test_bytes_depend_only_on_the_rows_after_random_changes(self, site: Site, tmp_path: Path, seed: int) -> None:
        """Change some columns on some days in each publication, and sometimes add, delete or move rows.

        One row in three has no notification; a notification may start a session in one publication and not in the next.
        """

        def made(number: int, day: date) -> dict[str, Any]:
            row = start(number, day, session_id=None)
            return row | {"message_id": None} if number % 3 == 0 else row | {"is_session_start": number % 5 > 0}

        drawn = Random(seed)
        rows = {day: [made(day.day * 100 + n, day) for n in range(7 + 9 * (day.day % 2))] for day in self.DAYS}
        site.build_and_publish(rows)
        for _ in range(4):
            for day in drawn.sample(self.DAYS, 3):
                for row in drawn.sample(rows[day], drawn.randint(0, 2)):
                    row |= drawn.choice(
                        [
                            {"is_read": not row["is_read"]},
                            {"agent_groups": drawn.choice([None, "ü" * drawn.randint(1, 40)]), "chat_link": f"https://{drawn.random()}"},
                            {"replied_at": drawn.choice([None, datetime(2026, 10, 9, 12, drawn.randint(0, 59))])},
                            {"sent_at": drawn.choice([None, datetime(2026, 10, drawn.randint(1, 9), 15, drawn.randint(0, 59))])},
                            {"is_session_start": not row["is_session_start"]} if row["message_id"] else {"user_type": "returning"},
                        ]
                    )
                if drawn.random() < 0.3:
                    rows[day].pop()
                if drawn.random() < 0.3:
                    rows[day].append(made(day.day * 100 + drawn.randint(50, 99), day))
            site.build_and_publish(rows)
        self.assert_bytes_follow_from_rows(site, tmp_path)

    @staticmethod
    def assert_bytes_follow_from_rows(site: Site, tmp_path: Path) -> None:
        site.assert_is_published()
        notifications = query(site.settings.warehouse_path, "from marts.fct_notifications")
        others = query(site.settings.warehouse_path, "from intermediate.int_starts_without_notification_unioned")
        rows = [*notifications, *others]
        Random(1).shuffle(rows)
        at_once = Site(settings_of(tmp_path / "at_once"))
        at_once.build_and_publish(
            {day: [row for row in rows if row["session_start_date"] == day] for day in {row["session_start_date"] for row in rows}}
        )
        assert {name: content for name, (_, content) in at_once.months().items()} == {
            name: content for name, (_, content) in site.months().items()
        }

    @pytest.mark.thorough
    def test_month_shrinks_to_one_row_group_and_grows_again(self, site: Site) -> None:
        site.build_and_publish({day: [] for day in self.DAYS[1:]})
        site.assert_is_published()
        site.build_and_publish({self.DAYS[3]: [start(n, self.DAYS[3]) for n in range(20)]})
        site.assert_is_published()

    def test_row_group_with_late_and_other_rows_of_a_day_is_not_reused(self, tmp_path: Path) -> None:
        made, (first, second) = Site(settings_of(tmp_path / "other")), self.DAYS[:2]
        late = [start(150 + n, first, session_id=None, sent_at=datetime(2026, 10, 5, 12, n), is_session_start=False) for n in range(2)]
        made.build_and_publish({first: [*(start(100 + n, first, session_id=None) for n in range(7)), *late]})
        made.build_and_publish({second: [start(200 + n, second, session_id=None) for n in range(7)]})
        made.assert_is_published()

    def test_row_groups_with_other_columns_are_not_reused(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        # As another version of DuckDB might write the same column.
        path = current_version(site.settings)
        assert path is not None
        with open_warehouse(site.settings) as connection:
            connection.execute("alter table marts.fct_notifications alter column channel_name type varchar")
        monkeypatch.setattr(parquet, "PARQUET_OPTIONS", parquet.PARQUET_OPTIONS + ", field_ids 'auto'")
        site.build_and_publish({self.DAYS[2]: [start(1, self.DAYS[2])]})
        site.assert_is_published()


def test_files_of_an_earlier_version_of_the_project_are_replaced(tmp_path: Path) -> None:
    made = Site(settings_of(tmp_path))
    old = made.settings.published_dir
    (old / "parquet").mkdir(parents=True)
    for mart in MARTS:
        (old / "parquet" / f"{mart}.parquet").write_bytes(b"PAR1 of before")
    (old / "conversation_starts.duckdb").write_bytes(b"a database of before")
    (old / ".conversation_starts.duckdb.draft").write_bytes(b"half a database")
    (old / "conversation_starts.duckdb.wal").write_bytes(b"a log of before")
    made.build_and_publish(BUILDS)
    made.assert_is_published()
    assert names_in(old) == {"conversation_starts.duckdb", "parquet", ".versions"}
    assert names_in(old / ".versions") == {"1", "current"}


WRITE_AND_DIE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute(sys.argv[2])
print("written", flush=True)
if sys.argv[3] == "close":
    connection.close()
elif sys.argv[3] == "stay":
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def write_as_a_bi_tool(site: Site, how: str, statement: str = "delete from fct_notifications") -> subprocess.Popen[bytes]:
    """Open the published file read-write, as tools do by default, and change it, with the rights of a user who may do so."""
    path = site.settings.published_database
    path.chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_DIE, str(path), statement, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    if how != "stay":
        process.wait()
    return process


@pytest.mark.sampled(2)
@pytest.mark.parametrize("how", ["die", "close", "stay"])
@pytest.mark.parametrize("changes", [True, False])
def test_changes_by_a_bi_tool_are_in_no_later_publication(site: Site, how: str, changes: bool) -> None:
    process = write_as_a_bi_tool(site, how)
    try:
        with pytest.raises(StartsError, match="another program has changed it"), open_published(site.settings):
            pass
        if how == "stay":
            next(site.settings.published_dir.rglob("*.wal")).unlink()
            with pytest.raises(StartsError, match=r"holds .* open for writing"), open_published(site.settings):
                pass
        if changes:
            site.build_and_publish({NOVEMBER: [start(5, NOVEMBER)]})
        else:
            site.publish(site.warehouse.build({}))
        site.assert_is_published()
    finally:
        process.kill()
        process.wait()
    site.assert_is_published()
    with open_published(site.settings) as published:
        assert published.execute("select count(*) from fct_session_starts").fetchone() == (4,)
    assert list(site.settings.published_dir.rglob("*.wal")) == []


def test_change_by_a_bi_tool_during_the_copy_is_not_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the number of rows, so that counts do not show the change."""
    original = publish_module.copy_file

    def copy_file(source: Path, target: Path) -> None:
        write_as_a_bi_tool(site, "close", "update fct_notifications set template_name = 'wrong'")
        original(source, target)

    monkeypatch.setattr(publish_module, "copy_file", copy_file)
    publication = site.build_and_publish({NOVEMBER: [start(5, NOVEMBER)]})
    assert publication.damaged == ["conversation_starts.duckdb"]
    site.assert_is_published()


def cut_short(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(b"x" * 200)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("damage", [cut_short, overwrite, Path.unlink])
@pytest.mark.parametrize("name", ["conversation_starts.duckdb", "parquet/fct_notifications/2026-10.parquet"])
def test_damaged_file_is_rewritten_by_the_next_run(site: Site, damage: Callable[[Path], None], name: str) -> None:
    before = site.months()
    damage((site.settings.published_dir / name).resolve())
    publication = site.publish(site.warehouse.build({}))
    assert publication.damaged == [name]
    site.assert_is_published()
    assert {name: content for name, (_, content) in site.months().items()} == {name: content for name, (_, content) in before.items()}
    assert not site.publish(site.warehouse.build({})).changed


def test_file_cut_short_without_a_new_time_is_rewritten(site: Site) -> None:
    path = site.month("fct_notifications", "2026-10").resolve()
    found = path.stat()
    cut_short(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert site.publish(site.warehouse.build({})).damaged == ["parquet/fct_notifications/2026-10.parquet"]
    site.assert_is_published()


def test_deleted_published_file_is_rewritten(site: Site) -> None:
    site.settings.published_database.unlink()
    recover_publication(site.settings)
    assert site.publish(site.warehouse.build({})).days_replaced is None
    site.assert_is_published()


@pytest.mark.parametrize("name", ["conversation_starts.duckdb", "parquet/status_session_starts/2026-11.parquet"])
def test_thorough_check_finds_damage_that_size_and_time_do_not_show(site: Site, name: str) -> None:
    path = (site.settings.published_dir / name).resolve()
    if name.endswith("duckdb"):
        write_as_a_bi_tool(site, "close", "update fct_notifications set template_name = 'wrong' where message_id = 'm-2'")
    else:
        overwrite(path)
    (record,) = (site.settings.data / ".published").iterdir()
    content = json.loads(record.read_text())
    for file in content["files"]:
        if file["name"] == name:
            file |= {"bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    record.write_text(json.dumps(content))
    assert not site.publish(site.warehouse.build({})).changed
    assert site.publish(site.warehouse.build({}), thorough=True).damaged == [name]
    site.assert_is_published()
    assert not site.publish(site.warehouse.build({}), thorough=True).changed


def test_thorough_check_finds_a_published_day_that_the_marts_do_not_have(site: Site) -> None:
    with open_warehouse(site.settings) as connection:
        connection.execute("delete from marts.session_starts_daily where session_start_date = $day", {"day": OCTOBER})
    assert site.publish(site.warehouse.build({}), thorough=True).damaged == ["conversation_starts.duckdb"]


def test_thorough_check_does_not_report_changed_days_as_damage(site: Site) -> None:
    publication = site.publish(site.warehouse.build({NOVEMBER: [start(5, NOVEMBER)]}), thorough=True)
    assert (publication.days_replaced, publication.damaged) == ([NOVEMBER], [])


@pytest.mark.thorough
def test_thorough_check_accepts_masked_files(tmp_path: Path) -> None:
    made = Site(settings_of(tmp_path, contacts=Contacts.MASKED, mask_key="k"))
    made.build_and_publish(BUILDS)
    assert not made.publish(made.warehouse.build({}), thorough=True).changed


def test_marts_that_differ_from_the_recorded_build_are_not_published(site: Site) -> None:
    with open_warehouse(site.settings) as connection:
        connection.execute("delete from marts.fct_notifications where session_start_date = $day", {"day": OCTOBER})
    before = site.months()
    with pytest.raises(StartsError, match="differs from the marts in the rows per day of fct_session_starts, fct_notifications"):
        site.build_and_publish({NOVEMBER: [start(5, NOVEMBER)]})
    assert site.months() == before
    assert len(query(site.settings.published_database, "from fct_notifications")) == 4


def test_version_is_kept_for_its_readers_for_one_publication(site: Site) -> None:
    folder = (site.settings.published_dir / "parquet").resolve()
    site.build_and_publish({OCTOBER: []})
    # A reader that resolved the link earlier finds its complete state.
    assert len([row for path in (folder / "fct_notifications").glob("*") for row in pq.read_table(path).to_pylist()]) == 4
    assert len(query(folder.with_name("conversation_starts.duckdb"), "from fct_notifications")) == 4
    # Its large file is kept only until the next run starts.
    recover_publication(site.settings)
    assert names_in(folder.parent) == {"parquet"}
    site.build_and_publish({NOVEMBER: []})
    assert not folder.exists()


def test_reader_that_meets_a_publication_gets_the_new_version(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = duckdb.connect

    def publish_before_connecting(path: str, **options: Any) -> duckdb.DuckDBPyConnection:
        monkeypatch.setattr(duckdb, "connect", connect)
        for day in (OCTOBER, NOVEMBER):
            site.build_and_publish({day: []})
        return connect(path, **options)

    monkeypatch.setattr(duckdb, "connect", publish_before_connecting)
    with open_published(site.settings) as published:
        assert published.execute("select count(*) from fct_notifications").fetchone() == (1,)


def test_next_start_removes_the_draft_that_a_kill_left(site: Site) -> None:
    draft = site.settings.published_dir / ".versions" / "2"
    draft.mkdir()
    (draft / "conversation_starts.duckdb").write_bytes(b"half a database")
    recover_publication(site.settings)
    assert names_in(draft.parent) == {"1", "current"}


def test_folder_in_place_of_the_link_is_replaced(site: Site) -> None:
    """Backups that follow links restore folders."""
    current = site.settings.published_dir / ".versions" / "current"
    target = current.resolve()
    current.unlink()
    shutil.copytree(target, current)
    site.publish(site.warehouse.build({}))
    assert current.is_symlink()
    site.assert_is_published()


@pytest.mark.parametrize("why", ["erased", *thorough("masked", "another key")])
def test_files_that_must_no_longer_be_read_are_deleted(tmp_path: Path, why: str) -> None:
    contacts = {"contacts": Contacts.MASKED, "mask_key": "k"} if why == "another key" else {}
    made = Site(settings_of(tmp_path, **contacts))
    made.build_and_publish(BUILDS)
    if why == "erased":
        with open_warehouse(made.settings) as connection:
            connection.execute("update state.builds set started_at = started_at - interval 1 microsecond")
    else:
        made.settings = settings_of(tmp_path, contacts=Contacts.MASKED, mask_key="another")
    made.build_and_publish({NOVEMBER: []})
    (version,) = (path for path in (made.settings.published_dir / ".versions").iterdir() if not path.is_symlink())
    assert version.name == "2"
    if why != "erased":
        assert [path for path in made.settings.published_dir.rglob("*") if path.is_file() and b"5511900000" in path.read_bytes()] == []


def modes(folder: Path) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"file": set(), "folder": set()}
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            found["folder" if path.is_dir() else "file"].add(stat.S_IMODE(path.stat().st_mode))
    return found


def test_published_files_are_read_only_and_private_to_the_user_or_the_group(site: Site) -> None:
    assert modes(site.settings.published_dir) == {"file": {0o400}, "folder": {0o700}}
    # The setgid bit of the folder, which gives new files its group, stays.
    site.settings.published_dir.chmod(0o2700)
    site.settings = settings_of(site.settings.data.parent, files_mode=FileMode.GROUP)
    site.publish(site.warehouse.build({}))
    assert modes(site.settings.published_dir)["file"] == {0o440}
    assert stat.S_IMODE(site.settings.published_dir.stat().st_mode) == 0o2700
    site.build_and_publish({NOVEMBER: [start(5, NOVEMBER)]})
    assert modes(site.settings.published_dir)["file"] == {0o440}
    assert modes((site.settings.published_dir / "parquet").resolve().parent)["folder"] == {0o750}
    assert stat.S_IMODE(site.settings.published_dir.stat().st_mode) == 0o2750


PUBLISH_TWICE = """
import sys
from pathlib import Path
from random import Random
from tests.unit.test_publication import BUILDS, NOVEMBER, Site, cut_short, settings_of, start
site = Site(settings_of(Path(sys.argv[1])))
site.build_and_publish(BUILDS)
for n in range(3):
    site.build_and_publish({NOVEMBER: [start(n, NOVEMBER)]})
cut_short(site.month("fct_notifications", "2026-10"))
site.publish(site.warehouse.build({}))
site.assert_is_published()
try:
    import duckdb
    duckdb.connect(str(site.settings.published_database))
except duckdb.IOException as error:
    print(error)
"""


@pytest.mark.thorough
def test_read_only_files_do_not_block_the_next_publication(tmp_path: Path) -> None:
    # Without root's right to write to any file.
    without_rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*without_rights, sys.executable, "-c", PUBLISH_TWICE, str(tmp_path)], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Permission denied" in done.stdout


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a file system without links, such as FAT or some network shares."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "symlink_to", refused)
    monkeypatch.setattr(Path, "hardlink_to", refused)


@pytest.mark.thorough
def test_files_are_copied_to_their_names_if_links_are_not_supported(without_links: None, tmp_path: Path) -> None:
    made = Site(settings_of(tmp_path))
    made.build_and_publish(BUILDS)
    made.assert_is_published()
    before = {name: content for name, (_, content) in made.months().items()}
    made.build_and_publish({NOVEMBER: [start(5, NOVEMBER)], OCTOBER: []})
    made.assert_is_published()
    assert not [path for path in made.settings.published_dir.rglob("*") if path.is_symlink()]
    assert before["fct_notifications/2026-09.parquet"] == made.months()["fct_notifications/2026-09.parquet"][1]
    for damage in (cut_short, Path.unlink):
        damage(made.month("fct_notifications", "2026-09"))
        recover_publication(made.settings)
        made.assert_is_published()


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EPERM, errno.ENOSPC])
def test_file_that_cannot_get_a_further_link_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"a month")
    os.utime(source, ns=(1, 1_000_000_001))
    if code == errno.ENOSPC:
        with pytest.raises(OSError, match=os.strerror(code)):
            versions.link_or_copy(source, target)
    else:
        versions.link_or_copy(source, target)
        assert (target.read_bytes(), target.stat().st_mtime_ns) == (b"a month", 1_000_000_001)


@pytest.mark.thorough
def test_unreadable_publication_record_causes_a_full_publication(site: Site) -> None:
    for content in (b"", b"{}", b"null", b"\xff", b'{"source": 1}'):
        (record,) = (site.settings.data / ".published").iterdir()
        record.write_bytes(content)
        assert site.publish(site.warehouse.build({})).days_replaced is None
        site.assert_is_published()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("pointer", [b"../../elsewhere", b"99", b"", b"\xff", "١".encode()])
def test_pointer_to_a_missing_version_counts_as_nothing_published(site: Site, pointer: bytes) -> None:
    current = site.settings.published_dir / ".versions" / "current"
    current.unlink()
    current.write_bytes(pointer)
    assert current_version(site.settings) is None
    site.publish(site.warehouse.build({}))
    site.assert_is_published()


def test_full_disk_keeps_the_last_publication(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = site.months()
    monkeypatch.setattr(versions, "_write_record", full)
    with pytest.raises(StartsError, match="No space is left on the disk"):
        site.build_and_publish({NOVEMBER: []})
    monkeypatch.undo()
    assert site.months() == before
    site.publish(site.warehouse.build({}))
    site.assert_is_published()


def test_opening_the_published_file_before_the_first_publication_is_an_error(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with pytest.raises(StartsError, match="Nothing is published yet"), open_published(settings):
        pass


def test_damaged_published_file_is_reported(site: Site) -> None:
    path = site.settings.published_database.resolve()
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"x" * (before.st_size - 3 * 4096))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StartsError, match=r"is damaged.*Delete it and run the job again"), open_published(site.settings) as published:
        published.execute("from fct_session_starts").fetchall()
    # Once the damage is found, the file is also not used as the base of the next publication.
    site.build_and_publish({NOVEMBER: [start(9, NOVEMBER)]})
    site.assert_is_published()
