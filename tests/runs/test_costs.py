"""Tests of WhatsApp's bill, summed by hand, across the days on which Meta changed its prices (contract, section 5)."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.comparison import assert_equals_the_reference
from tests.data.hostile_logs import write_files
from tests.pipeline import Pipeline, query

BRAZIL, URUGUAY = "5511987650001", "59894231234"
CARDS = """\
effective_from,currency,market,category,rate
2025-01-01,USD,BR,marketing,0.0500
2025-07-01,USD,BR,marketing,0.0625
2025-07-01,USD,BR,utility,0.0068
2026-10-01,USD,BR,marketing,0.0630
2026-10-01,USD,BR,utility,0.0080
2026-10-01,USD,BR,service,0.0080
2026-10-01,USD,Rest of Latin America,marketing,0.0740
"""
REGULAR, IN_WINDOW = "regular", "free_customer_service"


def status(id_: str, name: str, at: str, category: str, type_: str | None = REGULAR, to: str = BRAZIL, model: str = "PMP") -> bytes:
    """Return a webhook body with one status; `at` is UTC."""
    pricing = {"billable": type_ == REGULAR, "pricing_model": model, "category": category} | ({"type": type_} if type_ else {})
    seconds = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())
    item = {"id": id_, "status": name, "timestamp": str(seconds), "recipient_id": to, "pricing": pricing}
    value = {"metadata": {"phone_number_id": "108234567890101"}, "statuses": [item]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()


# The time zone of the bill is three hours behind UTC.
STATUSES = [
    # Until 30 June 2025 WhatsApp charged per conversation and sent no pricing type: the cost of a message is unknown.
    status("last of CBP", "delivered", "2025-07-01 02:59:59", "marketing", None, model="CBP"),
    status("first of PMP", "delivered", "2025-07-01 03:00:00", "marketing"),
    status("in window 2025", "delivered", "2025-07-01 12:00:00", "utility", IN_WINDOW),
    # Until 30 September 2026 utility templates and service messages in an open window are free.
    status("in window 2026", "delivered", "2026-10-01 02:59:59", "utility", IN_WINDOW),
    status("service 2026", "read", "2026-10-01 02:59:59", "service", IN_WINDOW),
    status("in window since", "delivered", "2026-10-01 03:00:00", "utility"),
    status("service since", "delivered", "2026-10-01 03:00:00", "service"),
    # The day of delivery counts, not the day of the send; a later `read` without a price changes nothing.
    status("over midnight", "sent", "2026-10-01 02:58:00", "marketing"),
    status("over midnight", "delivered", "2026-10-01 03:01:00", "marketing"),
    status("abroad", "delivered", "2026-10-02 12:00:00", "marketing", to=URUGUAY),
    status("failed", "sent", "2026-10-02 12:00:00", "marketing"),
    status("no rate", "delivered", "2026-10-02 12:00:00", "authentication"),
]


def invoice(run: Pipeline) -> dict[str, tuple[int, int, int, Decimal | None]]:
    """Return (free, charged, unpriced, cost) by month, as a reader of the published file computes it."""
    rows = query(
        run.settings.published_database,
        """
        select coalesce(strftime(billed_date, '%Y-%m'), 'undated') as month,
            count(*) filter (cost_basis = 'free') as free, count(*) filter (cost_basis = 'rate_card') as charged,
            count(*) filter (cost_basis = 'unpriced') as unpriced, sum(cost) as cost
        from fct_billed_messages group by all
        """,
    )
    return {row["month"]: (row["free"], row["charged"], row["unpriced"], row["cost"]) for row in rows}


@pytest.fixture
def billed(pipeline: Callable[..., Pipeline]) -> Pipeline:
    run = pipeline()
    write_files(run.landing, "webhooks", "1.jsonl", STATUSES)
    write_files(run.landing, "sends", "1.jsonl", [
        b'{"message_id": "abroad", "sent_at": "2026-10-02T11:59:00Z", "channel_id": "108234567890101", "contact_id": "%s", '
        b'"template_name": "offer"}' % URUGUAY.encode(),
    ])  # fmt: skip
    write_files(run.landing, "rates", "own.csv", [CARDS.encode()])
    assert run.run().success
    return run


@pytest.mark.thorough
def test_bill_covers_price_changes_and_a_late_rate_card(billed: Pipeline) -> None:
    assert invoice(billed) == {
        "2025-06": (0, 0, 1, None),
        "2025-07": (1, 1, 0, Decimal("0.0625")),
        "2026-09": (2, 0, 0, Decimal(0)),
        # 0.0080 in the window, 0.0080 service, 0.0630 over midnight, 0.0740 in Uruguay.
        "2026-10": (0, 4, 1, Decimal("0.1530")),
        "undated": (1, 0, 0, Decimal(0)),
    }
    assert_equals_the_reference(billed)
    months = {path.stem: path for path in (billed.settings.published_dir / "parquet" / "fct_billed_messages").iterdir()}
    assert months.keys() == invoice(billed).keys()
    assert pq.read_table(months["undated"]).column("message_id").to_pylist() == ["failed"]
    (abroad,) = [row for row in billed.rows("fct_billed_messages") if row["message_id"] == "abroad"]
    shown = ("market", "billed_date", "template_name", "session_start_id", "cost_basis")
    assert [abroad[name] for name in shown] == ["UY", date(2026, 10, 2), "offer", "abroad", "rate_card"]
    exports = {path.name: path.read_bytes() for path in billed.settings.exports_dir.iterdir()}

    # The late card adds 0.0315 for the authentication and 0.0020 for Uruguay to October; no other month and no TSV changes.
    late = b"2026-10-01,USD,BR,authentication,0.0315\n2026-10-02,USD,Uruguay,marketing,0.0760\n"
    write_files(billed.landing, "rates", "late.csv", [CARDS.splitlines()[0].encode(), late])
    before = invoice(billed)
    result = billed.run()
    assert result.success
    assert invoice(billed) == before | {"2026-10": (0, 5, 0, Decimal("0.1865"))}
    assert_equals_the_reference(billed)
    tsvs = {name: content for name, content in exports.items() if name.endswith(".tsv")}
    assert billed.tsv_bytes() == tsvs
    assert days_replaced(result) == 1


@pytest.mark.thorough
def test_late_statuses_and_cards_replace_rows_of_earlier_days(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    write_files(run.landing, "webhooks", "1.jsonl", [
        status("old", "delivered", "2026-09-01 12:00:00", "utility"),
        status("moved", "read", "2026-10-02 12:00:00", "utility"),
    ])  # fmt: skip
    assert run.run().success

    def billed_messages() -> dict[str, tuple[date, str]]:
        found = run.rows("fct_billed_messages")
        rows = {row["message_id"]: (row["billed_date"], row["cost_basis"]) for row in found}
        assert len(rows) == len(found)
        return rows

    assert billed_messages() == {"old": (date(2026, 9, 1), "unpriced"), "moved": (date(2026, 10, 2), "unpriced")}
    # By the clock of this status, the message was delivered after it was read. Its earlier day is the earliest of the new statuses.
    write_files(run.landing, "webhooks", "2.jsonl", [
        status("moved", "delivered", "2026-10-03 12:00:00", "utility"),
        status("new", "delivered", "2026-10-05 12:00:00", "utility"),
    ])  # fmt: skip
    assert run.run().success
    new = {"new": (date(2026, 10, 5), "unpriced")}
    assert billed_messages() == {"old": (date(2026, 9, 1), "unpriced"), "moved": (date(2026, 10, 3), "unpriced")} | new
    write_files(run.landing, "rates", "late.csv", [CARDS.splitlines()[0].encode(), b"2026-08-01,USD,BR,utility,0.0080\n"])
    assert run.run().success
    assert set(billed_messages().values()) == {(day, "rate_card") for day in (date(2026, 9, 1), date(2026, 10, 3), date(2026, 10, 5))}


def days_replaced(result: Any) -> int:
    events = [event for event in result.get_asset_materialization_events() if event.asset_key.path == ["published_marts"]]
    return events[0].materialization.metadata["report_days_replaced"].value


@pytest.mark.thorough
def test_time_zone_and_currency_of_the_bill_are_settings(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    run = pipeline(STARTS_BILLING_TIMEZONE="UTC", STARTS_BILLING_CURRENCY="EUR")
    write_files(run.landing, "webhooks", "1.jsonl", STATUSES[:3])
    write_files(run.landing, "rates", "dollars.csv", [CARDS.encode()])
    write_files(run.landing, "rates", "euros.csv", [CARDS.replace("USD", "€").replace("0.0625", "0.0570").encode()])
    assert run.run().success
    # In UTC all three are in July.
    assert invoice(run) == {"2025-07": (1, 1, 1, Decimal("0.0570"))}
    assert {row["currency"] for row in run.rows("fct_billed_messages")} == {"EUR", None}
