"""What is published of the warehouse: the marts, by which day their rows are kept, in which order, and in which tables of the file."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from orchestration.transform.builds import BILL, MARTS, STARTS, UNDATED

# All other marts are kept by `session_start_date`.
_DATE_COLUMNS = {"fct_billed_messages": "billed_date"}
# What orders the rows of a day: by time, which sorts fastest, and then by what makes rows different. Two sessions of Botmaker may name
# one message. Other marts are small, and ordered by all their columns.
_ORDERS = {
    "fct_session_starts": ("sent_at", "session_start_id"),
    "fct_notifications": ("sent_at", "session_start_id", "message_id"),
    "fct_billed_messages": ("message_id",),
}


@dataclass(frozen=True)
class PublishedMart:
    """A mart: `date_column` is the day by which its rows are replaced; `order` makes an order of a day's rows without ties; `facts` are
    those in whose log its changed days stand.

    Rows without a day (messages that were not delivered, on no bill) are kept under `UNDATED`.
    """

    name: str
    date_column: str
    order: tuple[str, ...]
    facts: tuple[str, ...]

    @property
    def day(self) -> str:
        """Return the day of a row, as SQL."""
        return f"coalesce({self.date_column}, date '{UNDATED}')" if self.name in _DATE_COLUMNS else self.date_column

    @property
    def is_late(self) -> str:
        """Return whether a row is late, as SQL: a send in a session that began two days before or more, or a session without a send.

        Days of the past get such rows every day. In the order of a day they are the last ones.
        """
        return f"coalesce(sent_at >= {self.date_column} + interval 2 day, true)" if self.order[0] == "sent_at" else "false"

    @property
    def order_by(self) -> str:
        """Return the order of a file's rows, as SQL."""
        return ", ".join(self.order if self.order == ("all",) else (self.date_column, *self.order))

    def is_on(self, days: Collection[date]) -> str:
        """Return the condition for the rows of some days, as SQL.

        Literals, because DuckDB prunes row groups by them and not by a bound list.
        """
        literals = ", ".join(f"date '{day.isoformat()}'" for day in days)
        dated = f"{self.date_column} in ({literals})"
        return f"({dated} or {self.date_column} is null)" if UNDATED in days else dated

    def is_between(self, first: date, last: date) -> str:
        """Return the condition for the rows of all days from one to another, or for those without a day, as SQL."""
        if last == UNDATED:
            return f"{self.date_column} is null"
        return f"{self.date_column} between date '{first.isoformat()}' and date '{last.isoformat()}'"


PUBLISHED_MARTS = tuple(
    PublishedMart(name, _DATE_COLUMNS.get(name, "session_start_date"), _ORDERS.get(name, ("all",)), BILL if name in BILL else STARTS)
    for name in MARTS
)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the published file, named with its schema: its rows stand in `source`, with the day and the masks of `mart`.

    `shown_by` are the marts that show its rows, each with the condition for those that it shows, as SQL.
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


# The only mart that is a view, as in the warehouse: its rows stand in two tables, and written once more they were a third of the file.
SESSION_STARTS = "fct_session_starts"
PUBLISHED_TABLES = _tables()


def month_of(day: date) -> str:
    """Return the name of the file for a day's month: `2026-10`, or `undated`."""
    # Not by strftime, which writes the year 999 with three digits on some systems.
    return "undated" if day == UNDATED else day.isoformat()[:7]
