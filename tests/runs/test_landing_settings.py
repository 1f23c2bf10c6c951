"""Tests that the settings and flags of landing take effect through the job."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.zone import LandingZone
from orchestration.warehouse import open_warehouse
from tests.pipeline import Pipeline


def send(number: int, **more: Any) -> str:
    record = {"message_id": f"wamid.{number}", "sent_at": 1791000000, "channel_id": "c", "contact_id": f"551198765000{number}"}
    return json.dumps({**record, "template_name": "t", **more}) + "\n"


@pytest.mark.thorough
def test_invisible_change_lands_with_the_reread_flag_and_a_long_record_with_a_higher_limit(warm: Callable[..., Pipeline]) -> None:
    run = warm(STARTS_MAX_RECORD_BYTES="2048", STARTS_MAX_REJECTED_SHARE="1")
    (run.landing / "sends").mkdir()
    file = run.landing / "sends" / "1.jsonl"
    file.write_text(send(1))
    assert run.command().returncode == 0

    file.write_text(send(1) + send(2) + send(3, customer_id="x" * 2048))
    (listed,) = LandingZone(str(run.landing), FEED_NAMES).files("sends")
    with open_warehouse(run.settings) as connection:
        # As if the file system had not shown the change.
        connection.execute("update raw.landing_listing set version = $version", {"version": listed.version})
    assert run.command().returncode == 0
    assert len(run.rows("fct_notifications")) == 1
    assert run.command("run", "--reread").returncode == 0
    assert len(run.rows("fct_notifications")) == 2
    # The third record is larger than the limit.
    (rejected,) = run.rows("raw.rejected_records", published=False)
    assert (rejected["line_number"], len(rejected["record"]) < 2048) == (3, True)

    run.environment["STARTS_MAX_RECORD_BYTES"] = "4096"
    assert run.command("replay").returncode == 0
    assert len(run.rows("fct_notifications")) == 3
