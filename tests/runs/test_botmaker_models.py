"""Tests of Botmaker's pages, from files to marts: rows derived by hand from the contract, sections 4.4 to 4.8."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.data.botmaker_items import Item, compact, event, message, put, put_all, result, session, time
from tests.pipeline import Pipeline, comparable


def columns_of(rows: list[Item], *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Return columns keyed by the first one; times are shown without their constant parts."""
    return {row[columns[0]]: tuple(str(row[name]).removeprefix("2026-10-") for name in columns[1:]) for row in rows}


@pytest.mark.thorough
def test_botmaker_alone_fills_the_marts(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    put_all(run.landing)
    assert run.run().success

    starts = run.rows("fct_session_starts")
    assert columns_of(starts, "session_id", "origin", "is_in_report", "user_type", "message_id", "last_status", "is_replied") == {
        "1111_2026-10-01T10:00:00Z": ("whatsapp_template", "True", "new", "m1", "replied", "True"),
        "1111_2026-10-03T10:00:00Z": ("whatsapp_template", "True", "returning", "m3", "not_sent", "False"),
        "2222_2026-10-01T10:00:00Z": ("organic", "False", "returning", "None", "None", "None"),
        "3333_2026-10-01T10:00:00Z": ("mass_notification", "True", "new", "m5", "replied", "True"),
        "5555_2026-10-01T10:00:00Z": ("other", "False", "new", "None", "None", "None"),
        "6666_2026-10-01T10:00:00Z": ("referred_campaign", "True", "new", "None", "None", "None"),
        "7777_2026-10-01T23:30:00Z": ("whatsapp_template", "True", "new", "None", "None", "None"),
    }
    assert {row["session_start_id"] for row in starts} == {row["session_id"] for row in starts}
    assert columns_of(starts, "session_id", "contact_id", "customer_id", "chat_link")["6666_2026-10-01T10:00:00Z"] == (
        "549666601", "6666", "https://go.botmaker.com/#/chats/6666",
    )  # fmt: skip
    assert {(row["channel_id"], row["line_number"], row["source"]) for row in starts} == {("boti-1", "541155550000", "botmaker")}

    notifications = run.rows("fct_notifications")
    assert columns_of(notifications, "message_id", "is_session_start", "is_in_report", "origin", "template_name", "notification_name") == {
        "m1": ("True", "True", "whatsapp_template", "welcome", "None"),
        "m2": ("False", "False", "whatsapp_template", "reminder", "None"),
        "m3": ("True", "True", "whatsapp_template", "welcome", "None"),
        "m4": ("False", "False", "whatsapp_template", "offer", "None"),
        "m5": ("True", "True", "mass_notification", "sale", "Sale"),
    }
    assert columns_of(notifications, "message_id", "sent_at", "delivered_at", "read_at", "replied_at", "failed_at", "last_status") == {
        "m1": ("01 10:00:01", "01 10:00:05", "None", "01 10:10:00", "None", "replied"),
        "m2": ("01 12:00:00", "None", "01 12:05:00", "01 12:30:00", "None", "replied"),
        "m3": ("03 10:00:00", "None", "None", "None", "03 10:00:02", "not_sent"),
        "m4": ("01 11:00:00", "None", "None", "None", "None", "pending"),
        "m5": ("01 10:00:02", "01 10:00:04", "None", "01 18:00:00", "None", "replied"),
    }
    assert columns_of(notifications, "message_id", "failure_code", "failure_group", "failure_detail")["m3"] == (
        "131049", "meta_limit", "ReceivedFailedStatus: Held back (really). (131049.0)",
    )  # fmt: skip

    daily = run.rows("session_starts_daily")
    totals = [sum(row[name] for row in daily) for name in ("session_starts", "notifications", "replied", "not_replied")]
    assert totals == [5, 3, 2, 0]
    assert sum(row["notifications"] for row in run.rows("funnel_session_starts") if row["stage"] == "sent") == 2
    assert {path.split("-", 1)[1] for path in run.tsv_bytes()} == {"2026-10-01.tsv", "2026-10-03.tsv"}


@pytest.mark.thorough
def test_tester_is_shown_if_configured(pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.settings import Settings

    run = pipeline()
    put_all(run.landing)
    monkeypatch.setattr(Settings, "dbt_vars", {"report_timezone": "America/Sao_Paulo", "include_testers": "true"})
    assert run.run().success
    assert "m6" in {row["message_id"] for row in run.rows("fct_session_starts")}


@pytest.mark.thorough
def test_logs_and_botmaker_appear_side_by_side(warm: Callable[..., Pipeline]) -> None:
    send = {
        "message_id": "wamid.1",
        "sent_at": "2026-10-01T12:00:00Z",
        "channel_id": "boti-1",
        "contact_id": "549111101",
        "template_name": "t",
    }
    both, logs, botmaker = warm("both"), warm("logs"), warm("botmaker")
    for run in (both, logs):
        (run.landing / "sends").mkdir()
        (run.landing / "sends" / "1.jsonl").write_bytes(compact(send))
    put_all(botmaker.landing)
    assert logs.run().success
    assert botmaker.run().success
    # The logs are built first, so that Botmaker's pages change a thread that the marts already contain.
    assert both.run().success
    put_all(both.landing)
    assert both.run().success

    # Botmaker has the line's number, and has had the person since two hours before the send of the logs.
    known_to_botmaker = {"line_number": "541155550000", "user_type": "returning"}
    for mart in ("fct_session_starts", "fct_notifications"):
        of_logs = logs.rows(mart)
        assert {row["user_type"] for row in of_logs} == {"new"}
        assert comparable(both.rows(mart)) == comparable([row | known_to_botmaker for row in of_logs] + botmaker.rows(mart)), mart
    assert {row["source"] for row in both.rows("fct_notifications")} == {"logs", "botmaker"}


@pytest.mark.thorough
def test_later_records_change_earlier_rows(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    sent = event("notification-sent", "01 10:00:00", "m1", "t")
    put(run.landing, "sent_results/1.json", compact(result("1_2026-10-01T10:00:00Z", sent="01 10:00:00") | {"notificationName": "N"}))
    put(run.landing, "sessions/1.json", compact(session("1", "01 10:00:00", events=[sent], contact="1")))
    put(
        run.landing,
        "sessions/2.json",
        compact(session("2", "02 10:00:00", contact="2", events=[sent | {"creationTime": time("02 10:00:00")}])),
    )
    assert run.run().success

    def starts() -> dict[Any, tuple[Any, ...]]:
        return columns_of(run.rows("fct_session_starts"), "customer_id", "contact_id", "origin", "last_status", "user_type", "line_number")

    assert starts() == {
        "1": ("1", "mass_notification", "sent", "new", "None"),
        "2": ("2", "whatsapp_template", "sent", "new", "None"),
    }
    # One message id in two sessions gives two rows; a change to one does not affect the other.
    assert len(run.rows("fct_notifications")) == 2

    # An open session closes with an answer, and its contact is now that of the second session.
    answered = session(
        "1",
        "01 10:00:00.500",
        events=[event("conversation-close", "01 12:00:00")],
        contact="2",
        messages=[message("u", "01 11:00:00", "user")],
    )
    put(run.landing, "sessions/3.json", compact(answered))
    assert run.run().success
    assert starts() == {
        "1": ("2", "mass_notification", "replied", "new", "None"),
        "2": ("2", "whatsapp_template", "sent", "returning", "None"),
    }
    assert {row["session_id"] for row in run.rows("fct_notifications")} == {"1_2026-10-01T10:00:00.500Z", "2_2026-10-02T10:00:00Z"}

    # A sent result arrives alone, then the channel's number.
    put(run.landing, "sent_results/2.json", compact(result("2_2026-10-02T10:00:00Z", read="02 11:00:00")))
    assert run.run().success
    assert starts()["2"] == ("2", "mass_notification", "read", "returning", "None")
    put(run.landing, "channels/1.json", compact({"items": [{"id": "boti-1", "number": 5411}]}))
    assert run.run().success
    assert starts() == {
        "1": ("2", "mass_notification", "replied", "new", "5411"),
        "2": ("2", "mass_notification", "read", "returning", "5411"),
    }

    # The first chat now belongs to a tester.
    put(
        run.landing,
        "sessions/4.json",
        compact(answered | session("1", "01 10:00:00", contact="2", tester=True, messages=[], events=[sent] * 9)),
    )
    assert run.run().success
    assert starts() == {"2": ("2", "mass_notification", "read", "new", "5411")}
    assert len(run.rows("fct_notifications")) == 1
