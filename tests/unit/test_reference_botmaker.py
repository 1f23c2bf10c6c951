"""Tests of the reference on small Botmaker cases with results derived by hand."""

import json
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.data.hostile_botmaker import hostile_items
from tests.pipeline import comparable
from tests.reference.botmaker import session_key

Compute = Callable[..., reference.Expected]


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    """Return a function that computes the reference for sessions, sent results and channels, each a record of one file."""

    def compute(
        *sessions: dict[str, Any], results: tuple[dict[str, Any], ...] = (), channels: tuple[dict[str, Any], ...] = (), **how: Any
    ) -> reference.Expected:
        for feed, records in (("sessions", sessions), ("sent_results", results), ("channels", channels)):
            folder = tmp_path / "botmaker" / feed
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "all.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return reference.compute(tmp_path, **how)

    return compute


def at(minute: float, hour: int = 12) -> str:
    seconds = round(minute * 60)
    return f"2026-10-05T{hour:02d}:{seconds // 60:02d}:{seconds % 60:02d}Z"


def time(minute: float, hour: int = 12) -> datetime:
    return datetime.fromisoformat(at(minute, hour).removesuffix("Z"))


def session(**fields: Any) -> dict[str, Any]:
    chat = {"chatId": "CHAT1", "channelId": "line-1", "contactId": "+55 11 90000-0001"} | fields.pop("ids", {})
    return {
        "id": f"CHAT1_{at(0)}",
        "creationTime": at(0),
        "startingCause": "WhatsAppTemplate",
        "chat": {"chat": chat, **fields.pop("chat", {})},
    } | fields


def event(kind: str, minute: float, message_id: str = "m1", **info: Any) -> dict[str, Any]:
    return {
        "name": f"notification-{kind}",
        "creationTime": at(minute),
        "info": {"messageId": message_id, "whatsappTemplate": "oferta"} | info,
    }


def message(id_: str, minute: float, sender: str = "user", **content: Any) -> dict[str, Any]:
    return {"id": id_, "creationTime": at(minute), "from": sender, "content": {"type": "text", **content}}


def status_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["last_status"], row["sent_at"], row["delivered_at"], row["read_at"], row["replied_at"])


def test_template_with_a_reply_is_replied(compute: Compute) -> None:
    item = session(events=[event("sent", 0.1), event("delivered", 1)], messages=[message("in1", 5), message("in2", 6)])
    expected = compute(item)
    (row,) = expected.session_starts
    assert status_of(row) == ("replied", time(0.1), time(1), None, time(5))
    assert (row["first_reply_at"], row["reply_evidence"]) == (time(5), "window")
    assert (row["is_sent"], row["is_delivered"], row["is_read"], row["is_replied"]) == (True, True, True, True)
    assert row["session_start_id"] == row["session_id"] == "CHAT1_2026-10-05T12:00:00Z"
    assert (row["contact_id"], row["customer_id"]) == ("5511900000001", "CHAT1")
    assert row["chat_link"] == "https://go.botmaker.com/#/chats/CHAT1"
    assert (row["origin"], row["is_in_report"], row["user_type"], row["source"]) == ("whatsapp_template", True, "new", "botmaker")
    assert str(row["session_start_date"]) == "2026-10-05"
    (notification,) = expected.notifications
    assert notification["is_session_start"]
    assert expected.rejected == []
    assert (1, 1, 0, "landed") in expected.ledger.values()


def test_replies_go_to_the_latest_notification_before_them(compute: Compute) -> None:
    events = [event("sent", 0), event("sent", 10, "m2"), event("sent", 10, "m3"), event("sent", 20, "m4", whatsappTemplate=None)]
    expected = compute(session(events=events, messages=[message("a", 10), message("b", 15), message("c", 20)]))
    replied = {row["message_id"]: row["replied_at"] for row in expected.notifications}
    assert replied == {"m1": None, "m2": None, "m3": time(10), "m4": time(20)}
    assert {row["message_id"]: row["origin"] for row in expected.notifications} == {
        "m1": "whatsapp_template",
        "m2": "whatsapp_template",
        "m3": "whatsapp_template",
        "m4": "other",
    }
    assert [row["message_id"] for row in expected.notifications if row["is_session_start"]] == ["m1"]
    assert [row["is_in_report"] for row in expected.notifications if not row["is_session_start"]] == [False] * 3


def test_failure_has_its_code(compute: Compute) -> None:
    reason = "ReceivedFailedStatus: tried (2) times. (131049.0)"
    (row,) = compute(session(events=[event("error", 2, reason=reason, error="other (1)")], messages=[message("in", 3)])).session_starts
    assert status_of(row) == ("not_sent", None, None, None, None)
    assert (row["failure_code"], row["failure_group"], row["failure_detail"]) == ("131049", "meta_limit", reason)
    assert (row["failure_action"], row["reply_evidence"]) == ("wait_24h", None)
    assert (row["failed_at"], row["is_sent"], row["is_replied"]) == (time(2), False, False)
    # The platform created a session although nothing was sent.
    assert row["session_id"] == f"CHAT1_{at(0)}"


def test_failed_message_that_was_delivered_is_not_a_failure(compute: Compute) -> None:
    (row,) = compute(session(events=[event("status-error", 2, reason="x (131026)"), event("delivered", 3)])).session_starts
    assert status_of(row) == ("delivered", None, time(3), None, None)
    assert (row["failed_at"], row["failure_code"], row["failure_group"], row["failure_detail"]) == (time(2), None, None, None)


@pytest.mark.parametrize("sender", ["bot", "agent"])
def test_message_replaces_a_missing_event(compute: Compute, sender: str) -> None:
    ours = message("m1", 1, sender, whatsAppTemplateName="oferta")
    of_the_user = message("m2", 1, "user", whatsAppTemplateName="oferta")
    expected = compute(session(messages=[ours, of_the_user]))
    assert [(row["message_id"], row["template_name"], row["last_status"], row["sent_at"]) for row in expected.notifications] == [
        ("m1", "oferta", "replied", time(1))
    ]


def test_sent_result_describes_the_starting_notification(compute: Compute) -> None:
    result = {"notificationName": "Black Friday", "status": {"sent": at(1), "delivered": at(2), "answered": at(9), "error": at(1)}}
    later = {"notificationName": "Another", "status": {"sent": at(3), "read": at(7)}}
    item = session(startingCause="Organic", events=[event("sent", 0.5), event("delivered", 3), event("sent", 30, "m2")])
    never_came = {"sessionId": "CHAT9_2026-10-05T12:00:00Z"}
    results = ({"sessionId": f"CHAT1_{at(0)[:-1]}.900Z"} | later, {"sessionId": f"CHAT1_{at(0)}"} | result, never_came)
    expected = compute(item, results=results)
    (row,) = expected.session_starts
    assert (row["origin"], row["notification_name"], row["template_name"]) == ("mass_notification", "Black Friday", "oferta")
    assert status_of(row) == ("replied", time(0.5), time(2), time(7), time(9))
    assert (row["failed_at"], row["failure_group"]) == (time(1), None)
    (other,) = [row for row in expected.notifications if row["message_id"] == "m2"]
    assert (other["notification_name"], other["origin"], status_of(other)) == (
        None,
        "whatsapp_template",
        ("sent", time(30), None, None, None),
    )


def test_failure_reported_only_by_a_sent_result_counts(compute: Compute) -> None:
    result = {"sessionId": f"CHAT1_{at(0)}", "notificationName": "Aviso", "status": {"error": at(1)}}
    (row,) = compute(session(messages=[message("m1", 0, "bot", whatsAppTemplateName="t")]), results=(result,)).session_starts
    assert (row["last_status"], row["failed_at"], row["failure_code"], row["failure_group"]) == ("not_sent", time(1), None, "unknown")


def test_session_without_a_push_has_no_notification(compute: Compute) -> None:
    for cause, origin, is_in_report in (
        ("ReferredCampaign", "referred_campaign", True),
        ("Organic", "organic", False),
        ("?", "other", False),
    ):
        expected = compute(session(startingCause=cause, events=[event("sent", 3)]))
        (row,) = expected.session_starts
        assert (row["origin"], row["is_in_report"], row["message_id"], row["is_sent"], row["is_replied"]) == (
            origin,
            is_in_report,
            None,
            False,
            None,
        )
        assert [(row["is_session_start"], row["origin"]) for row in expected.notifications] == [(False, "whatsapp_template")]
    (row,) = compute(session()).session_starts
    assert (row["origin"], row["is_in_report"], row["message_id"], row["last_status"]) == ("whatsapp_template", True, None, None)


def test_items_of_one_session_are_merged(compute: Compute) -> None:
    short = session(startingCause="Organic", events=[event("delivered", 4)], ids={"contactId": "5511900000002"})
    full = session(id="CHAT1_2026-10-05T12:00:00.250Z", events=[event("sent", 1)], messages=[message("in", 5)])
    for items in ((short, full), (full, short), (short, full, short)):
        (row,) = compute(*items).session_starts
        assert row["session_id"] == "CHAT1_2026-10-05T12:00:00.250Z"
        assert (row["contact_id"], row["origin"]) == ("5511900000001", "whatsapp_template")
        assert status_of(row) == ("replied", time(1), time(4), None, time(5))
    assert session_key("CHAT_1_2026-10-05T12:00:00.250Z") == session_key("CHAT_1_2026-10-05T12:00:00Z")
    assert session_key("odd_1") == ("odd_1",)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_conflicting_items_of_the_same_size_have_a_fixed_winner(compute: Compute, is_reversed: bool) -> None:
    items = [session(startingCause="Organic"), session(startingCause=None), session(startingCause="Organic", ids={"contactId": None})]
    (row,) = compute(*(items[::-1] if is_reversed else items)).session_starts
    assert (row["origin"], row["contact_id"]) == ("organic", "5511900000001")


@pytest.mark.parametrize(
    ("cause", "channel_id", "origin"),
    [
        ("Referral", "line-1", "referred_campaign"),
        ("REFERRAL", "boti-webchat-1", "referred_webchat"),
        ("Referral", "odd-chat", "referred_webchat"),
        ("ReferredCampaign", "boti-webchat-1", "referred_campaign"),
        ("whatsapptemplate", "line-1", "whatsapp_template"),
        ("ORGANIC", "line-1", "organic"),
        ("referrals", "line-1", "other"),
        ("", "line-1", "other"),
        (None, "line-1", "other"),
    ],
)
def test_starting_cause_gives_the_origin(compute: Compute, cause: str | None, channel_id: str, origin: str) -> None:
    channels = ({"id": "odd-chat", "platform": "webchat"}, {"id": "line-1", "platform": "whatsapp"})
    (row,) = compute(session(startingCause=cause, ids={"channelId": channel_id}), channels=channels).session_starts
    assert row["origin"] == origin


@pytest.mark.parametrize(
    ("ids", "contact_id", "person_id"),
    [
        ({"contactId": "551187650001"}, "551187650001", "5511987650001"),
        ({"contactId": "551187650001", "userId": "BR.1"}, "551187650001", "5511987650001"),
        ({"contactId": None, "userId": "BR.1"}, "BR.1", "5511987650001"),
        ({"contactId": " ", "parentUserId": "BR.ENT.1"}, "BR.ENT.1", "BR.ENT.1"),
        ({"contactId": ""}, "CHAT1", "CHAT1"),
    ],
)
def test_session_belongs_to_the_expected_person(compute: Compute, ids: dict[str, Any], contact_id: str, person_id: str) -> None:
    known = session(id="CHAT2_2026-10-01T00:00:00Z", ids={"contactId": "5511987650001", "userId": "BR.1"})
    (row,) = [row for row in compute(known, session(ids=ids)).session_starts if row["session_id"].startswith("CHAT1")]
    assert (row["contact_id"], row["person_id"]) == (contact_id, person_id)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("131049.0", "131049"),
        (" 131049 ", "131049"),
        ("x (1) y (2.0)", "2"),
        ("code 131049", None),
        ("131049.0.0", None),
        ("(#131030) no", "131030"),
        (None, None),
    ],
)
def test_failure_code_is_read_from_the_reason(compute: Compute, reason: str | None, code: str | None) -> None:
    (row,) = compute(session(events=[event("error", 1, reason=reason)])).session_starts
    assert (row["failure_code"], row["last_status"]) == (code, "not_sent")


def test_channel_and_its_number_are_one_line(compute: Compute) -> None:
    channels = ({"id": "line-1", "number": "+55 11 4002-8922"},)
    (row,) = compute(session(), channels=channels).session_starts
    assert (row["channel_id"], row["channel_name"]) == ("108234567890101", "Loja Brasil")


def test_testers_are_left_out(compute: Compute) -> None:
    tester = session(chat={"isTester": True}, events=[event("sent", 1)])
    assert compute(tester).session_starts == compute(tester).notifications == []
    assert len(compute(tester, include_testers=True).session_starts) == 1


@pytest.mark.parametrize(
    ("created", "user_type"), [(None, "new"), ("11:59:00Z", "new"), ("11:58:59.999Z", "returning"), ("12:00:05Z", "new")]
)
def test_user_is_new_depending_on_the_age_of_the_chat(compute: Compute, created: str | None, user_type: str) -> None:
    chat = {"creationTime": f"2026-10-05T{created}"} if created else {}
    assert [row["user_type"] for row in compute(session(chat=chat)).session_starts] == [user_type]


def test_second_session_is_of_a_returning_user(compute: Compute) -> None:
    later = session(id=f"CHAT1_{at(0, 18)}", creationTime=at(0, 18), ids={"contactId": "5511900000001"})
    elsewhere = session(id=f"CHAT2_{at(0, 19)}", creationTime=at(0, 19), ids={"channelId": "line-2"})
    types = {row["session_id"]: row["user_type"] for row in compute(session(), later, elsewhere).session_starts}
    assert types == {f"CHAT1_{at(0)}": "new", f"CHAT1_{at(0, 18)}": "returning", f"CHAT2_{at(0, 19)}": "new"}


def test_bad_event_does_not_affect_good_ones(compute: Compute) -> None:
    bad = {"name": "notification-read", "creationTime": "soon", "info": {"messageId": "m1"}}
    expected = compute(session(events=[bad, event("sent", 1)]), session(id=5), session(events={}))
    assert expected.rejected == [("botmaker/sessions/all.jsonl", number) for number in (1, 2, 3)]
    assert (3, 0, 3, "landed") in expected.ledger.values()
    assert [status_of(row) for row in expected.session_starts] == [("sent", time(1), None, None, None)]


def test_channels_feed_gives_the_numbers_of_lines(compute: Compute) -> None:
    channels = ({"id": "line-1", "number": "+54 11 9292"}, {"id": "line-1", "number": "54 11 9191"})
    assert [row["line_number"] for row in compute(session(), channels=channels).session_starts] == ["54119191"]


def test_daily_totals_count_starts_notifications_and_replies(compute: Compute) -> None:
    answered = session(events=[event("sent", 1)], messages=[message("in", 2)])
    failed = session(id=f"CHAT2_{at(0)}", events=[event("error", 1, "m2")], ids={"contactId": "2"})
    pending = session(id=f"CHAT3_{at(0)}", messages=[message("m3", 1, "bot", whatsAppTemplateName="oferta")], ids={"contactId": "3"})
    referred = session(id=f"CHAT4_{at(0)}", startingCause="ReferredCampaign", ids={"contactId": "4"})
    counts = reference.daily(compute(answered, failed, pending, referred).session_starts)
    assert {cell[1]: count for cell, count in counts.items()} == {"whatsapp_template": (3, 3, 1, 1), "referred_campaign": (1, 0, 0, 0)}


@pytest.mark.parametrize("seed", range(5))
def test_order_and_repetition_change_nothing(compute: Compute, seed: int) -> None:
    def items(records: list[Any]) -> list[dict[str, Any]]:
        return [record for record in records if isinstance(record, dict)]

    records, rnd = hostile_items(seed), random.Random(seed)
    sessions, results = items(records.sessions), items(records.results)
    at_once = compute(*sessions, results=tuple(results))
    for records_of_feed in (sessions, results):
        records_of_feed += rnd.sample(records_of_feed, 20)
        rnd.shuffle(records_of_feed)
    shuffled = compute(*sessions, results=tuple(results))
    assert comparable(shuffled.session_starts) == comparable(at_once.session_starts)
    assert comparable(shuffled.notifications) == comparable(at_once.notifications)
