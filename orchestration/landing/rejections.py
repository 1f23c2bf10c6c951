"""Whether what was rejected is little enough to publish the rest (contract, section 3)."""

from dataclasses import dataclass
from datetime import date

import duckdb

from orchestration.errors import StartsError


@dataclass(frozen=True)
class Rejections:
    """Records that are new since the last finished build, and how many of them could not be read.

    A file that was changed or removed since does not count any more. One whose folder is away still does: it was not removed
    (`ledger.known_names`).
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
        worst = "; ".join(f"{name}: {count} ({reason})" for name, count, reason in self.worst_files)
        return (
            f"{self.rejected} of {self.records} new records were rejected ({self.share:.1%}, the limit is {limit:.1%}), "
            f"so nothing is published. Most of them: {worst}. Look at raw.rejected_records, correct or remove the files and run again, "
            "or raise STARTS_MAX_REJECTED_SHARE if this is to be expected. Where their folder is missing as a whole, put it back, "
            "or leave it there empty if they are gone for good."
        )


def refuse_too_many_rejections(connection: duckdb.DuckDBPyConnection, limit: float) -> None:
    """Raise `StartsError` if more than a share of the new records could not be read: nothing is built from the rest."""
    rejections = new_rejections(connection)
    if rejections.are_too_many(limit):
        raise StartsError(rejections.explain(limit))


def unbalanced_files(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int, int, int, int]]:
    """Return the files whose sums do not hold, as (name, records, landed, rejected, erased, records in quarantine)."""
    return connection.execute(
        """
        select f.file_name, f.records, f.landed, f.rejected, f.erased, count(r.line_number) as in_quarantine
        from raw.landed_files as f
        left join raw.rejected_records as r on f.feed = r.feed and f.content_sha256 = r.content_sha256
        group by f.feed, f.content_sha256, f.file_name, f.records, f.landed, f.rejected, f.erased
        having f.records <> f.landed + f.rejected + f.erased or f.rejected <> in_quarantine
        """
    ).fetchall()


def forget_old_payloads(connection: duckdb.DuckDBPyConnection, first_day: date) -> int:
    """Clear the text of records rejected before a day, and return of how many; that they were rejected stays known."""
    row = connection.execute(
        "update raw.rejected_records set record = null where record is not null and landed_at < $first_day", {"first_day": first_day}
    ).fetchone()
    assert row is not None
    return int(row[0])


UNPUBLISHED_FILES = """
    select distinct f.*
    from raw.landed_files as f
    semi join raw.landing_listing as l on f.feed = l.feed and f.content_sha256 = l.content_sha256
    where f.load_id > (select coalesce(max(through_load_id), 0) from state.builds where finished_at is not null)
"""


def new_rejections(connection: duckdb.DuckDBPyConnection) -> Rejections:
    row = connection.execute(
        f"select coalesce(sum(records), 0)::bigint, coalesce(sum(rejected), 0)::bigint from ({UNPUBLISHED_FILES})"
    ).fetchone()
    assert row is not None
    worst = connection.execute(
        f"""
        select r.file_name, count(*) as records, mode(r.reason) as reason
        from raw.rejected_records as r
        semi join ({UNPUBLISHED_FILES}) as f on r.feed = f.feed and r.content_sha256 = f.content_sha256
        group by r.file_name order by records desc, r.file_name limit 3
        """
    ).fetchall()
    return Rejections(records=row[0], rejected=row[1], worst_files=worst)
