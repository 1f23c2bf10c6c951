"""What is published of the warehouse: the marts, by which day their rows are kept, and in which order."""

from dataclasses import dataclass

from orchestration.transform.builds import MARTS

# All other marts are kept by `session_start_date`.
_DATE_COLUMNS = {"fct_billed_messages": "billed_date"}
# What orders the rows of a day: by time, which sorts fastest, and then by what tells rows apart. Two sessions of Botmaker may name
# one message. Other marts are small, and ordered by all their columns.
_ORDERS = {
    "fct_session_starts": ("sent_at", "session_start_id"),
    "fct_notifications": ("sent_at", "session_start_id", "message_id"),
    "fct_billed_messages": ("message_id",),
}


@dataclass(frozen=True)
class PublishedMart:
    """A mart: `date_column` is the report day by which its rows are replaced; `order` makes an order of a day's rows without ties."""

    name: str
    date_column: str
    order: tuple[str, ...]


PUBLISHED_MARTS = tuple(PublishedMart(name, _DATE_COLUMNS.get(name, "session_start_date"), _ORDERS.get(name, ("all",))) for name in MARTS)
