"""List rejected records, and check whether they are few enough to publish the rest (contract, section 3)."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from orchestration.errors import BlockedError
from orchestration.files import atomic_write, quoted
from orchestration.installation import command
from orchestration.landing.listing import printable_name


@dataclass(frozen=True)
class Rejections:
    """The new records since the last finished build, and how many of them were rejected.

    A file that has been changed or removed since then no longer counts. A file whose folder is missing still counts, because it was
    not removed (`ledger.prune_listing`).
    """

    records: int
    rejected: int
    worst_files: list[tuple[str, int, str]]

    @property
    def share(self) -> float:
        return self.rejected / self.records if self.records else 0.0

    def are_too_many(self, limit: float) -> bool:
        return self.share > limit

    def explain(self, limit: float) -> str:
        worst = "; ".join(f"{printable_name(name)}: {count} ({reason})" for name, count, reason in self.worst_files)
        return (
            f"{self.rejected} of {self.records} new records were rejected ({self.share:.1%}, the limit is {limit:.1%}), "
            f"so nothing is published. Most of them: {worst}. List them with `{command()} rejected`, correct or remove the "
            "files and run again, or raise STARTS_MAX_REJECTED_SHARE if this is expected. If their whole folder is missing, "
            "put it back, or create it empty if the files are gone for good."
        )


def refuse_too_many_rejections(connection: duckdb.DuckDBPyConnection, limit: float) -> None:
    """Raise `BlockedError` if the share of rejected records among the new ones is above the limit, so that nothing is built."""
    rejections = new_rejections(connection)
    if rejections.are_too_many(limit):
        raise BlockedError(rejections.explain(limit))


def unbalanced_files(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int, int, int, int]]:
    """Return the files whose counts do not add up, as (name, records, landed, rejected, erased, records in quarantine)."""
    return connection.execute(
        """
        select f.file_name, f.records, f.landed, f.rejected, f.erased, count(r.line_number) as in_quarantine
        from raw.landed_files as f
        left join raw.rejected_records as r on f.feed = r.feed and f.content_sha256 = r.content_sha256
        group by f.feed, f.content_sha256, f.file_name, f.records, f.landed, f.rejected, f.erased
        having f.records <> f.landed + f.rejected + f.erased or f.rejected <> in_quarantine
        """
    ).fetchall()


def delete_old_payloads(connection: duckdb.DuckDBPyConnection, first_day: date) -> int:
    """Clear the text of records rejected before a day and return their number; the rejections stay listed."""
    row = connection.execute(
        "update raw.rejected_records set record = null where record is not null and landed_at < $first_day", {"first_day": first_day}
    ).fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True)
class RejectedRecord:
    """A rejected record. `is_in_zone` is whether its file is unchanged in the landing zone; otherwise the file was fixed or removed.

    `record` is the payload, which names people. It is None if it was not requested or was cleared.
    """

    feed: str
    file_name: str
    line_number: int
    reason: str
    landed_at: datetime
    is_in_zone: bool
    record: str | None


_REJECTED_SQL = """
    select
        r.feed,
        r.file_name,
        r.line_number,
        r.reason,
        r.landed_at,
        exists (from raw.landing_listing as l where l.feed = r.feed and l.content_sha256 = r.content_sha256) as is_in_zone,
        r.record
    from raw.rejected_records as r
    where $feed is null or r.feed = $feed
    order by r.landed_at desc, r.feed, r.file_name, r.line_number, r.reason
"""


def count_rejected(connection: duckdb.DuckDBPyConnection, feed: str | None) -> tuple[int, int]:
    """Return the number of rejected records, of one feed or of all, and of the file contents that contain them."""
    row = connection.execute(
        "select count(*), count(distinct content_sha256) from raw.rejected_records where $feed is null or feed = $feed", {"feed": feed}
    ).fetchone()
    assert row is not None
    return row


def list_rejected(connection: duckdb.DuckDBPyConnection, feed: str | None, limit: int, *, with_payload: bool) -> list[RejectedRecord]:
    """Return the latest rejected records, of one feed or of all, with payloads only if requested."""
    record = "record" if with_payload else "null"
    rows = connection.execute(f"select * replace ({record} as record) from ({_REJECTED_SQL}) limit $limit", {"feed": feed, "limit": limit})
    return [RejectedRecord(*row) for row in rows.fetchall()]


def write_rejected(connection: duckdb.DuckDBPyConnection, path: Path, feed: str | None, limit: int | None, *, with_payload: bool) -> int:
    """Write rejected records to a CSV file, with payloads if requested, and return their number. Writes the whole file or nothing."""
    columns = "feed, file_name, line_number, reason, landed_at, is_in_zone" + (", record" if with_payload else "")
    with atomic_write(path) as draft:
        row = connection.execute(
            f"copy (select {columns} from ({_REJECTED_SQL}) limit $limit) to {quoted(draft)} (format csv, header true)",
            {"feed": feed, "limit": limit},
        ).fetchone()
    assert row is not None
    return int(row[0])


UNPUBLISHED_FILES_SQL = """
    select distinct f.*
    from raw.landed_files as f
    semi join raw.landing_listing as l on f.feed = l.feed and f.content_sha256 = l.content_sha256
    where f.load_id > (select coalesce(max(through_load_id), 0) from state.builds where finished_at is not null)
"""


def new_rejections(connection: duckdb.DuckDBPyConnection) -> Rejections:
    row = connection.execute(
        f"select coalesce(sum(records), 0)::bigint, coalesce(sum(rejected), 0)::bigint from ({UNPUBLISHED_FILES_SQL})"
    ).fetchone()
    assert row is not None
    worst = connection.execute(
        f"""
        select r.file_name, count(*) as records, mode(r.reason) as reason
        from raw.rejected_records as r
        semi join ({UNPUBLISHED_FILES_SQL}) as f on r.feed = f.feed and r.content_sha256 = f.content_sha256
        group by r.file_name order by records desc, r.file_name limit 3
        """
    ).fetchall()
    return Rejections(records=row[0], rejected=row[1], worst_files=worst)
