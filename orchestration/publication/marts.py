"""Define what is published: the marts, the day and the order of their rows, and the tables of the published file."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from orchestration.transform.builds import BILL_FACTS, MARTS, REPORT_FACTS, UNDATED

# The day of a row in all other marts is `session_start_date`.
_DATE_COLUMNS = {"fct_billed_messages": "billed_date"}
# The order of a day's rows: first by time, which sorts fastest, then by the columns that make rows unique. Two Botmaker sessions may
# have the same message. All other marts are small, and ordered by all their columns.
_ORDERS = {
    "fct_session_starts": ("sent_at", "session_start_id"),
    "fct_notifications": ("sent_at", "session_start_id", "message_id"),
    "fct_billed_messages": ("message_id",),
}


@dataclass(frozen=True)
class PublishedMart:
    """A mart that is published.

    `date_column` is the day by which its rows are replaced. `order` sorts the rows of a day without ties. `facts` are the facts whose
    changed days apply to the mart. Rows without a day (messages that were not delivered, on no bill) are stored under `UNDATED`.
    """

    name: str
    date_column: str
    order: tuple[str, ...]
    facts: tuple[str, ...]

    @property
    def day(self) -> str:
        """Return the SQL expression for the day of a row."""
        return f"coalesce({self.date_column}, date '{UNDATED}')" if self.name in _DATE_COLUMNS else self.date_column

    @property
    def is_late(self) -> str:
        """Return the SQL condition for a late row: a send two or more days after the day of its session, or a session without a send.

        Past days get such rows every day. They come last in the order of a day.
        """
        return f"coalesce(sent_at >= {self.date_column} + interval 2 day, true)" if self.order[0] == "sent_at" else "false"

    @property
    def order_by(self) -> str:
        """Return the SQL `order by` list for the rows of a file."""
        return ", ".join(self.order if self.order == ("all",) else (self.date_column, *self.order))

    def is_on(self, days: Collection[date]) -> str:
        """Return the SQL condition for the rows of these days.

        It uses literals, because DuckDB prunes row groups by literals but not by a bound list.
        """
        literals = ", ".join(f"date '{day.isoformat()}'" for day in days)
        dated = f"{self.date_column} in ({literals})"
        return f"({dated} or {self.date_column} is null)" if UNDATED in days else dated

    def is_between(self, first: date, last: date) -> str:
        """Return the SQL condition for the rows from `first` to `last`, or for the rows without a day if `last` is `UNDATED`."""
        if last == UNDATED:
            return f"{self.date_column} is null"
        return f"{self.date_column} between date '{first.isoformat()}' and date '{last.isoformat()}'"


PUBLISHED_MARTS = tuple(
    PublishedMart(
        name, _DATE_COLUMNS.get(name, "session_start_date"), _ORDERS.get(name, ("all",)), BILL_FACTS if name in BILL_FACTS else REPORT_FACTS
    )
    for name in MARTS
)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the published file. `name` includes the schema; the rows come from `source`, with the day and the masks of `mart`.

    `shown_by` lists the marts that show its rows, each with the SQL condition for the rows that it shows.
    """

    name: str
    source: str
    mart: PublishedMart
    shown_by: tuple[tuple[PublishedMart, str], ...]

    @property
    def schema(self) -> str:
        return self.name.partition(".")[0]


def _tables() -> tuple[PublishedTable, ...]:
    marts = {mart.name: mart for mart in PUBLISHED_MARTS}
    session_starts = marts.pop(SESSION_STARTS)
    in_notifications = {"fct_notifications": ((session_starts, "is_session_start"),)}
    return (
        *(
            PublishedTable(f"main.{name}", f"marts.{name}", mart, ((mart, "true"), *in_notifications.get(name, ())))
            for name, mart in marts.items()
        ),
        PublishedTable(
            "parts.starts_without_notification",
            "intermediate.int_starts_without_notification_unioned",
            session_starts,
            ((session_starts, "true"),),
        ),
    )


# The only mart that is a view, as in the warehouse: its rows are in two tables, and writing them again took a third of the file.
SESSION_STARTS = "fct_session_starts"
PUBLISHED_TABLES = _tables()


def month_of(day: date) -> str:
    """Return the file name for a day's month: `2026-10`, or `undated`."""
    # Not with `strftime`, which on some systems writes the year 999 with three digits.
    return "undated" if day == UNDATED else day.isoformat()[:7]
