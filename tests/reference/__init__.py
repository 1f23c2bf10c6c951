"""The contract implemented a second time, in plain Python and independently of the SQL.

The code is slow, simple and literal: one record after another, one rule after another. The whole-run tests compare every row of the marts
and every cell of the TSVs with it.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

from tests.reference import botmaker, costs, logs
from tests.reference.contract import Expected
from tests.reference.files import Zone
from tests.reference.marts import HOURLY_COUNTS, KEYS, TSV_FIELDS, by_hour, daily, funnel, statuses, tsv_rows
from tests.reference.people import Lines, People
from tests.reference.user_types import add_user_types

__all__ = ["HOURLY_COUNTS", "KEYS", "TSV_FIELDS", "Expected", "by_hour", "compute", "daily", "funnel", "statuses", "tsv_rows"]


def compute(landing: Path, time_zone: str = "America/Sao_Paulo", *, include_testers: bool = False) -> Expected:
    """Compute the facts, rejected records and ledger of all files in a landing zone, as if they had arrived at once."""
    expected, lines, people, zone = Expected(), Lines(), People(), ZoneInfo(time_zone)
    expected.unread = Zone(landing).unread()
    cards = costs.read_cards(Zone(landing), expected)
    records = logs.read(Zone(landing), lines, people, expected)
    sessions = botmaker.read(Zone(landing), lines, people, expected)
    logs.link_people(records, people)
    expected.too_many_identifiers = people.too_connected()
    logs.compute(records, lines, people, zone, expected)
    costs.bill(records, lines, people, zone, cards, expected)
    # If the id of a session is also that of a record of the logs, both would have the same row id: the record of the logs keeps it.
    ids = {row["id"] for row in (*records.sends, *records.echoes, *records.messages)}
    sessions = {key: session for key, session in sessions.items() if session.chosen["id"] not in ids}
    botmaker.compute(sessions, lines, people, zone, expected, include_testers=include_testers)
    add_user_types(expected)
    return expected
