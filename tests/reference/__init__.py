"""The contract, computed a second time in plain Python and without a look at the SQL.

Slow, simple and literal: one record after the other, one rule after the other. The whole-run tests
hold every row of the marts and every cell of the TSVs against it.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

from tests.reference import botmaker, logs
from tests.reference.contract import Expected, Lines
from tests.reference.files import Zone
from tests.reference.marts import KEYS, TSV_FIELDS, daily, funnel, statuses, tsv_rows

__all__ = ["KEYS", "TSV_FIELDS", "Expected", "compute", "daily", "funnel", "statuses", "tsv_rows"]


def compute(landing: Path, time_zone: str = "America/Sao_Paulo", *, include_testers: bool = False) -> Expected:
    """Compute the facts, rejected records and ledger of all files in a landing zone, as if they had come at once."""
    expected, lines, zone = Expected(), Lines(), ZoneInfo(time_zone)
    records = logs.read(Zone(landing), lines, expected)
    sessions = botmaker.read(Zone(landing), lines, expected)
    logs.compute(records, lines, zone, expected)
    botmaker.compute(sessions, lines, zone, expected, include_testers=include_testers)
    return expected
