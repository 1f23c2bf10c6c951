"""Tests that the checks of a build find damage: each compiled query finds nothing in the sample, and something after the damage."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.pipeline import Pipeline

SUMS = "assert_daily_marts_add_up_to_the_fact"
ONE = "rowid = (select min(rowid) from"

# The tests share one copy of the sample's warehouse.
pytestmark = pytest.mark.xdist_group("checks")


@pytest.fixture(scope="module")
def checks(sample: Pipeline) -> dict[str, str]:
    return sample.compiled_queries()


@pytest.fixture(scope="module")
def warehouse(sample: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    # The views of the warehouse contain the name of its file.
    copied = Path(shutil.copy(sample.settings.warehouse_path, tmp_path_factory.mktemp("checks") / "warehouse.duckdb"))
    with duckdb.connect(str(copied)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("check", "damage"),
    [
        (SUMS, "update marts.session_starts_daily set notifications = notifications + 1"),
        (SUMS, "update marts.session_starts_daily set session_starts = session_starts + 1"),
        (SUMS, "update marts.session_starts_daily set replied = replied + 1"),
        (SUMS, "update marts.status_session_starts set notifications = notifications + 1"),
        (SUMS, "update marts.funnel_session_starts set notifications = notifications + 1 where stage = 'sent'"),
        (SUMS, "update marts.funnel_session_starts set notifications = notifications + 1 where stage = 'replied'"),
        (SUMS, "update marts.sends_by_hour set notifications = notifications + 1"),
        (SUMS, "update marts.sends_by_hour set not_sent = not_sent + 1"),
        (SUMS, "update marts.sends_by_hour set sent = sent + 1"),
        (SUMS, "update marts.sends_by_hour set replied = replied + 1"),
        (SUMS, "update marts.sends_by_hour set replied_within_72h = replied_within_72h + 1"),
        ("assert_funnel_is_monotone", "update marts.funnel_session_starts set notifications = notifications + 1000 where stage = 'read'"),
        ("assert_funnel_is_monotone", "delete from marts.funnel_session_starts where stage = 'replied'"),
        ("assert_billed_messages_and_rates_add_up", f"delete from marts.fct_billed_messages where {ONE} marts.fct_billed_messages)"),
        ("assert_billed_messages_and_rates_add_up", "update marts.fct_billed_messages set cost = 1 where cost_basis = 'free'"),
        ("assert_every_send_and_session_reaches_the_facts", f"delete from marts.fct_notifications where {ONE} marts.fct_notifications)"),
        (
            "assert_every_landed_send_is_kept_or_a_copy",
            f"delete from intermediate.int_sends_deduplicated where {ONE} intermediate.int_sends_deduplicated)",
        ),
        (
            "assert_every_webhook_item_is_kept_or_a_copy_or_unused",
            f"delete from intermediate.int_statuses_merged where {ONE} intermediate.int_statuses_merged)",
        ),
        (
            "assert_every_webhook_item_is_kept_or_a_copy_or_unused",
            f"delete from intermediate.int_inbound_messages_deduplicated where {ONE} intermediate.int_inbound_messages_deduplicated)",
        ),
        ("flags_cumulative_fct_notifications_", "update marts.fct_notifications set is_sent = true where is_not_sent"),
        ("flags_cumulative_fct_notifications_", "update marts.fct_notifications set last_status = 'sent' where last_status = 'read'"),
    ],
)
def test_check_finds_damage(checks: dict[str, str], warehouse: duckdb.DuckDBPyConnection, check: str, damage: str) -> None:
    assert warehouse.execute(checks[check]).fetchall() == []
    warehouse.begin()
    try:
        warehouse.execute(damage)
        assert warehouse.execute(checks[check]).fetchall()
    finally:
        warehouse.rollback()
