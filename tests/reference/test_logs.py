"""Tests of the reference: the send log and webhooks, on small zones with results derived by hand."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.data.hostile_logs import write_files

START = 1_793_707_200  # 2026-11-03 12:00:00
HOUR, DAY = 3600, 24 * 3600
LINE = {"phone_number_id": "lab", "display_phone_number": "551130000009"}
ANA, ANA_SHORT, BIA, USER = "5511987650001", "551187650001", "5511987650002", "BR.1"
Compute = Callable[..., reference.Expected]


def send(id_: str = "s1", after: float = 0, **fields: Any) -> dict[str, Any]:
    """Return a template to Ana, this many seconds after noon."""
    return {"message_id": id_, "sent_at": START + after, "channel_id": "lab", "contact_id": ANA, "template_name": "t"} | fields


def change(kind: str, *items: dict[str, Any], field: str | None = "messages", **value: Any) -> dict[str, Any]:
    """Return a webhook body with one change."""
    content = {"metadata": LINE} | value | {kind: list(items)}
    return {"entry": [{"changes": [{"field": field, "value": content}]}]}


def status(id_: str = "s1", name: str = "delivered", after: float = 1, **fields: Any) -> dict[str, Any]:
    return change("statuses", {"id": id_, "status": name, "timestamp": str(START + after), "recipient_id": ANA} | fields)


def message(
    id_: str = "m1", after: float = 60, quotes: str | None = None, sender: str | None = ANA, contacts: Any = None, **fields: Any
) -> dict[str, Any]:
    """Return a text message from Ana, this many seconds after noon."""
    item: dict[str, Any] = {"id": id_, "timestamp": str(START + after), "type": "text", "from": sender} | fields
    item |= {"context": {"id": quotes}} if quotes else {}
    return change("messages", {name: value for name, value in item.items() if value is not None}, contacts=contacts)


def reaction(id_: str, after: float, to: str, emoji: str | None = "👍", **fields: Any) -> dict[str, Any]:
    return message(id_, after, type="reaction", reaction={"message_id": to, "emoji": emoji}, **fields)


def echo(id_: str = "e1", after: float = -HOUR, field: str = "smb_message_echoes", **fields: Any) -> dict[str, Any]:
    return change("message_echoes", {"id": id_, "timestamp": str(START + after), "to": ANA, "from": "551130000009"} | fields, field=field)


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    """Return a function that computes the reference for sends (which have a message_id) and webhook bodies."""

    def compute(*records: dict[str, Any]) -> reference.Expected:
        for feed, is_send in (("sends", True), ("webhooks", False)):
            lines = [json.dumps(record).encode() for record in records if ("message_id" in record) == is_send]
            write_files(tmp_path, feed, "all.jsonl", lines)
        return reference.compute(tmp_path)

    return compute


def at(after: float) -> datetime:
    return datetime(2026, 11, 3, 12) + timedelta(seconds=after)


def by_id(expected: reference.Expected) -> dict[str, dict[str, Any]]:
    return {row["message_id"]: row for row in expected.notifications}


def starts(expected: reference.Expected) -> list[str]:
    return sorted(row["session_start_id"] for row in expected.session_starts)


# People


@pytest.mark.parametrize(
    "records",
    [
        (message(sender=ANA_SHORT),),
        (status(recipient_user_id=USER), message(sender=None, from_user_id=USER)),
        (status(name="never heard of", recipient_id=None, recipient_user_id=USER), message(sender=None, from_user_id=USER)),
        (status(recipient_parent_user_id=USER), message(sender=None, from_parent_user_id=USER)),
        (message("m0", -DAY * 9, from_user_id=USER), message(sender=None, from_user_id=USER)),
        (message("m0", -DAY * 9, user_id=USER), message(sender=None, user_id=USER)),
        (status("other", recipient_user_id=USER), message(sender=BIA, contacts=[{"wa_id": BIA, "user_id": USER}])),
        (change("statuses", contacts=[{"wa_id": ANA, "user_id": USER}]), message(sender=None, from_user_id=USER)),
        (message(sender=None, contacts=[{"wa_id": ANA, "parent_user_id": USER}]),),
        (message("m0", 30, quotes="s1", sender=BIA), message(sender=BIA)),
        (reaction("m0", 30, "s1", sender=BIA), message(sender=BIA)),
        (reaction("m0", 30, "s1", emoji=None, sender=BIA), message(sender=BIA)),
        (message("m0", 1, type="system", system={"type": "user_changed_number", "wa_id": BIA}), message(sender=BIA)),
        (message("m0", 1, type="system", system={"type": "user_changed_number", "new_wa_id": BIA}), message(sender=BIA)),
        (
            message("m0", 1, type="system", system={"type": "user_changed_user_id", "user_id": {"previous": "BR.0", "current": USER}}),
            message(sender=None, from_user_id=USER),
        ),
        (
            status(recipient_user_id="BR.0"),
            change("user_id_update", {"user_id": {"previous": "BR.0", "current": USER}}, field="user_id_update"),
            message(sender=None, from_user_id=USER),
        ),
        (
            change("x", field="standby", standby={"contacts": [{"wa_id": ANA, "user_id": USER}]}),
            message(sender=None, from_user_id=USER),
        ),
    ],
)
def test_evidence_links_identifiers_to_one_person(compute: Compute, records: tuple[dict[str, Any], ...]) -> None:
    expected = compute(send(), *records)
    assert by_id(expected)["s1"]["last_status"] == "replied"
    assert {row["person_id"] for row in expected.session_starts} == {ANA}


@pytest.mark.parametrize(
    "records",
    [
        (message(sender=BIA),),
        (message(sender=BIA, contacts=[{"wa_id": ANA}, {"wa_id": BIA}]),),
        (status(recipient_user_id=USER, type="payment"), message(sender=None, from_user_id=USER)),
        (status(recipient_user_id=USER, recipient_type="group"), message(sender=None, from_user_id=USER)),
        (status(recipient_user_id=USER, recipient_participant_id=BIA), message(sender=None, from_user_id=USER)),
        (message("m0", 30, quotes="s1", group_id="G", sender=BIA), message(sender=BIA)),
        (message("m0", -DAY * 9, from_user_id=USER, group_id="G"), message(sender=None, from_user_id=USER)),
        # An inbound message with the id of a send is no evidence.
        (message("s1", 30, quotes="s1", sender=BIA), message(sender=BIA)),
        # A reaction refers to a send only through its own field.
        (message("m0", 30, quotes="s1", type="reaction", sender=BIA), message(sender=BIA)),
        (message("m0", 1, type="system", system={"type": "another notice", "wa_id": BIA}), message(sender=BIA)),
        (change("history", contacts=[{"wa_id": ANA, "user_id": USER}], field="history"), message(sender=None, from_user_id=USER)),
    ],
)
def test_other_records_are_no_evidence_for_one_person(compute: Compute, records: tuple[dict[str, Any], ...]) -> None:
    expected = compute(send(), *records)
    assert "m1" in starts(expected)
    assert len({row["person_id"] for row in expected.session_starts}) == 2


def test_evidence_across_records_uses_the_kept_copy_of_a_send(compute: Compute) -> None:
    copies = send(after=5, contact_id=BIA), send(contact_id=ANA)
    expected = compute(*copies, status(recipient_id=USER), message(sender=None, from_user_id=USER), send("s2", DAY * 3, contact_id=BIA))
    assert {id_: row["person_id"] for id_, row in by_id(expected).items()} == {"s1": ANA, "s2": BIA}


# Reading


@pytest.mark.parametrize("field", ["messages", None])
def test_change_of_a_read_field_is_used(compute: Compute, field: str | None) -> None:
    body = change("messages", {"id": "m1", "timestamp": str(START + 9), "from": ANA}, field=field)
    assert by_id(compute(send(), body))["s1"]["replied_at"] == at(9)


def test_standby_records_are_one_level_deeper(compute: Compute) -> None:
    inner = {
        "statuses": [{"id": "s1", "status": "read", "timestamp": str(START + 9)}],
        "messages": [{"id": "m1", "timestamp": str(START + 10), "from_user_id": USER}],
        "contacts": [{"wa_id": ANA, "user_id": USER}],
        "message_echoes": [{"id": "e1", "timestamp": str(START - 10), "message": {"to": ANA, "type": "text"}}],
    }
    ignored = {"statuses": [{"id": "s1", "status": "delivered", "timestamp": str(START)}]}
    expected = compute(send(), change("x", field="standby", **ignored), change("x", field="standby", standby=inner))
    assert by_id(expected)["s1"]["read_at"] == at(9)
    assert by_id(expected)["s1"]["delivered_at"] is None
    assert starts(expected) == ["e1"]


@pytest.mark.parametrize(
    ("records", "other_kinds", "rejected"),
    [
        ((status(type="payment"), status(recipient_type="group")), 2, 0),
        ((change("statuses"), change("message_echoes", field="smb_message_echoes"), change("x", field="standby", standby={})), 3, 0),
        (({"entry": [{"changes": []}, {}]}, {"entry": []}), 3, 0),
        ((change("messages", {"no": "id"}, field="history"), change("statuses", {"status": "RINGING"}, field="calls")), 2, 0),
        ((change("messages", {"id": "m", "timestamp": str(START), "from": ANA}, field="smb_message_echoes"),), 1, 0),
        ((echo(group_id="G"), echo(recipient_type="group")), 2, 0),
        ((echo(to=None),), 0, 1),
        ((change("messages", {"timestamp": "1"}, {"id": "m", "timestamp": "1", "from": ANA}),), 0, 1),
    ],
)
def test_other_parts_of_webhooks_are_counted_or_rejected(
    compute: Compute, records: tuple[dict[str, Any], ...], other_kinds: int, rejected: int
) -> None:
    expected = compute(*records)
    assert (len(expected.other_kinds), len(expected.rejected)) == (other_kinds, rejected)


@pytest.mark.parametrize(
    "record",
    [
        change("messages", field="history"),
        change("messages"),
        change("messages", field="standby", standby={}),
        status(type="payment"),
        status(recipient_participant_user_id=USER),
        echo(group_id="G"),
    ],
)
def test_counted_record_still_identifies_its_line(compute: Compute, record: dict[str, Any]) -> None:
    record["entry"][0]["changes"][0]["value"]["metadata"] = {"phone_number_id": "lab", "display_phone_number": "+54 11 6000-0"}
    (row,) = compute(send(channel_id="541160000"), record).session_starts
    assert (row["channel_id"], row["line_number"]) == ("lab", "541160000")


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        ({"code": 1, "title": "t", "details": "d"}, "1", "d"),
        ({"code": "1", "title": "t"}, "1", "t"),
        ({"code": 131026, "message": "m", "error_data": {"details": "d"}}, "131026", "d"),
        ({"code": 131026, "message": "m", "error_data": "d"}, "131026", "m"),
        ({"code": 0}, "0", None),
        ({"code": 131026.0}, "131026", None),
        ({"code": " 131026.00 "}, "131026", None),
        ({"code": "131026.5"}, "131026.5", None),
        ({"details": "d"}, None, "d"),
    ],
)
def test_send_log_error_gives_code_and_detail(compute: Compute, error: dict[str, Any], code: str | None, detail: str | None) -> None:
    (row,) = compute(send(error=error)).session_starts
    assert (row["last_status"], row["failure_code"], row["failure_detail"]) == ("not_sent", code, detail)
    assert row["failure_action"] is not None


@pytest.mark.parametrize("error", [None, {}, {"code": "", "title": ""}, {"type": "OAuthException"}, {"error_data": {}}])
def test_empty_send_log_error_is_ignored(compute: Compute, error: dict[str, Any] | None) -> None:
    (row,) = compute(send(error=error)).session_starts
    assert (row["last_status"], row["failure_group"], row["failure_action"]) == ("pending", None, None)


# Sessions


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # Webhooks have whole seconds: the send comes first within its second, whatever its fraction.
        ((send(after=0.9), message(after=0)), ["s1"]),
        ((send(after=1), message(after=0)), ["m1"]),
        # A session message comes after a person's message of the same second, unless that message quotes it.
        ((send(template_name=None), message(after=0)), ["m1"]),
        ((send(template_name=None), message(after=0, quotes="s1")), ["s1"]),
        ((echo("e1", 0), message(after=0)), ["m1"]),
        ((echo("e1", 0), message(after=0, quotes="e1")), ["e1"]),
        # A quote comes after its send.
        ((send(after=3.2), message(after=0, quotes="s1")), ["s1"]),
        ((send(after=3.2), reaction("m1", 0, "s1")), ["s1"]),
        # A quote of a send from another line does not: there it starts its own session.
        ((send(after=3, channel_id="else"), message(after=0, quotes="s1")), ["m1", "s1"]),
        ((send("s2"), send("s1")), ["s1"]),
        ((send(), send("s2", DAY)), ["s1"]),
        ((send(), send("s2", DAY + 0.9)), ["s1"]),
        ((send(), send("s2", DAY + 1)), ["s1", "s2"]),
        # Records that are not a person writing in this chat.
        ((message("m0", -60, type="system"), send()), ["s1"]),
        ((message("m0", -60, type="edit"), send()), ["s1"]),
        ((message("m0", -60, type="revoke"), send()), ["s1"]),
        ((message("m0", -60, type="request_welcome"), send()), ["s1"]),
        ((message("m0", -60, type="request_welcome", referral={}), send()), ["m0"]),
        ((reaction("m0", -60, "x", emoji=None), send()), ["s1"]),
        ((reaction("m0", -60, "x", emoji=""), send()), ["s1"]),
        ((reaction("m0", -60, "x"), send()), ["m0"]),
        ((message("m0", -60, group_id="G"), send()), ["s1"]),
        ((message("m0", -60, type="hologram"), send()), ["m0"]),
        ((message("m0", -60, type=None), send()), ["m0"]),
        # Echoes keep a session open; an echo with the id of a send of the log is a copy of it, even if it is earlier.
        ((echo(), send()), ["e1"]),
        ((echo("s1"), send()), ["s1"]),
        ((echo("e1", -HOUR), message("e1", -2 * HOUR), send()), ["e1"]),
        ((message("s1", -HOUR), send()), ["s1"]),
    ],
)
def test_records_start_the_expected_sessions(compute: Compute, records: tuple[dict[str, Any], ...], expected: list[str]) -> None:
    assert starts(compute(*records)) == expected


AD = {"source_type": "ad"}
NOT_SHOWN: dict[str, Any] = {"type": "unsupported", "errors": [{"code": 131060}]}


@pytest.mark.parametrize(
    ("records", "origin"),
    [
        ((message(after=0), message("m2", 3, referral=AD)), "organic"),
        ((message(after=0, **NOT_SHOWN), message("m2", 3, referral=AD)), "referred_campaign"),
        ((message(after=0, **NOT_SHOWN), message("m2", DAY, referral=AD)), "referred_campaign"),
        ((message(after=0, **NOT_SHOWN), message("m2", DAY + 1)), "organic"),
        ((message(after=0, **NOT_SHOWN), message("m2", 3, **NOT_SHOWN), message("m3", 4, referral=AD)), "referred_campaign"),
        ((message(after=0, **NOT_SHOWN), message("m2", 3), message("m3", 4, referral=AD)), "organic"),
        ((message(after=0, **NOT_SHOWN, referral=AD), message("m2", 3)), "referred_campaign"),
        ((message(after=0, type="unsupported", errors=[{"code": 131051}]), message("m2", 3, referral=AD)), "organic"),
        ((message(after=0, type="unsupported"), message("m2", 3, referral=AD)), "organic"),
    ],
)
def test_origin_comes_from_the_first_message_that_whatsapp_shows(
    compute: Compute, records: tuple[dict[str, Any], ...], origin: str
) -> None:
    first = next(row for row in compute(*records).session_starts if row["session_start_id"] == "m1")
    assert (first["session_started_at"], first["origin"]) == (at(0), origin)


@pytest.mark.parametrize(("after", "is_attempt"), [(0, False), (0.5, False), (DAY, False), (DAY + 1, True), (-1, True)])
def test_failed_send_is_an_attempt_only_if_no_session_is_open(compute: Compute, after: float, is_attempt: bool) -> None:
    expected = compute(send("s0"), send(after=after, error={"code": 1}))
    row = by_id(expected)["s1"]
    assert (row["is_session_start"], row["session_id"], row["session_start_id"]) == (
        is_attempt,
        *((None, "s1") if is_attempt else ("s0", "s0")),
    )


def test_shown_times_are_those_of_the_records(compute: Compute) -> None:
    row = by_id(compute(send(after=3.25), message(after=0, quotes="s1")))["s1"]
    assert (row["session_started_at"], row["replied_at"], row["first_reply_at"], row["last_status"]) == (at(3.25), at(0), at(0), "replied")


def test_echo_can_start_a_session(compute: Compute) -> None:
    (row,) = compute(echo(), status("e1", after=-HOUR + 2)).session_starts
    assert (row["origin"], row["is_in_report"], row["message_id"], row["last_status"]) == ("other", False, "e1", "delivered")
    assert (row["contact_id"], row["channel_id"], row["line_number"]) == (ANA, "lab", "551130000009")


def test_echo_with_the_id_of_a_send_does_not_change_its_columns(compute: Compute) -> None:
    (row,) = compute(echo("s1", to=BIA), send()).session_starts
    assert (row["contact_id"], row["sent_at"], row["template_name"]) == (ANA, at(0), "t")


@pytest.mark.parametrize(
    "fields", [{"to": None, "to_user_id": USER}, {"to": None, "message": {"to_user_id": USER}}, {"to": None, "message": {"to": USER}}]
)
def test_echo_can_be_addressed_to_a_user_id(compute: Compute, fields: dict[str, Any]) -> None:
    (row,) = compute(echo(**fields), status("e1", recipient_user_id=USER)).session_starts
    assert (row["contact_id"], row["person_id"]) == (USER, ANA)


def test_echo_without_metadata_belongs_to_the_sending_line(compute: Compute) -> None:
    body = echo()
    del body["entry"][0]["changes"][0]["value"]["metadata"]
    assert starts(compute(body, status("other"), send())) == ["e1"]


# Replies


@pytest.mark.parametrize(
    ("records", "replied_after", "first_after", "evidence"),
    [
        ((message(after=DAY),), DAY, DAY, "window"),
        ((message(after=DAY + 1),), None, DAY + 1, "window"),
        ((message(after=7 * DAY),), None, 7 * DAY, "window"),
        ((message(after=7 * DAY + 1),), None, None, None),
        ((message(after=30 * DAY, quotes="s1"),), 30 * DAY, 30 * DAY, "quoted"),
        ((message(after=2 * DAY), message("m2", 30 * DAY, quotes="s1")), 30 * DAY, 2 * DAY, "window"),
        ((message(after=60), message("m2", 60, quotes="s1")), 60, 60, "quoted"),
        ((message(after=0),), 0, 0, "window"),
        ((reaction("m1", 30 * DAY, "s1"),), 30 * DAY, 30 * DAY, "quoted"),
        ((reaction("m1", 60, "another"),), 60, 60, "window"),
        ((reaction("m1", 60, "s1", emoji=None),), None, None, None),
        ((message(after=60, quotes="unknown"),), 60, 60, "window"),
        # A message that quotes another of our messages answers only that one.
        ((send("s2", -9 * DAY), message(after=60, quotes="s2")), None, None, None),
        ((send("s2", 30, template_name=None), message(after=60, quotes="s2")), None, None, None),
        ((echo("e1", 30), message(after=60, quotes="e1")), None, None, None),
        # An answer goes to the latest notification before it, but not to one that was not sent or to a session message.
        ((send("s2", 30), message(after=60)), None, None, None),
        ((send("s2", 30, template_name=None), message(after=60)), 60, 60, "window"),
        ((send("s2", 30, error={"code": 1}), message(after=60)), 60, 60, "window"),
        ((send("s2", 0), message(after=60)), None, None, None),
        ((send("s0", 0), message(after=60)), 60, 60, "window"),
        ((send("s2", 30, channel_id="else"), message(after=60)), 60, 60, "window"),
        ((message(after=60, type="system"), message("m2", 70, type="edit"), message("m3", 80, type="revoke")), None, None, None),
        ((message(after=60, type="request_welcome", referral={}),), None, None, None),
        ((message(after=60, quotes="s1", group_id="G"),), None, None, None),
        ((message("s1", after=60),), None, None, None),
    ],
)
def test_replies_are_attributed_with_their_evidence(
    compute: Compute, records: tuple[dict[str, Any], ...], replied_after: float | None, first_after: float | None, evidence: str | None
) -> None:
    row = by_id(compute(send(), *records))["s1"]
    times = [None if after is None else at(after) for after in (replied_after, first_after)]
    assert [row["replied_at"], row["first_reply_at"], row["reply_evidence"]] == [*times, evidence]
    assert (row["is_replied"], row["is_read"]) == (replied_after is not None, replied_after is not None)


@pytest.mark.parametrize(
    ("records", "is_not_sent"),
    [
        ((), True),
        ((message(quotes="s1"),), False),
        ((message(quotes="s1", group_id="G"),), False),
        ((reaction("m1", 60, "s1", emoji=None),), False),
        ((message(quotes="s1", type="system"),), False),
        ((message("s1", quotes="s1"),), True),
        ((message(),), True),
        ((status(name="played"),), False),
        ((status(name="sent"),), True),
        ((status(name="delivered", type="payment"),), True),
    ],
)
def test_evidence_of_arrival_overrides_a_failed_status(compute: Compute, records: tuple[dict[str, Any], ...], is_not_sent: bool) -> None:
    (row,) = compute(send(), status(name="failed"), *records).notifications
    assert row["is_not_sent"] is is_not_sent
    assert row["failed_at"] == at(1)
    assert (row["failure_group"] is None) is not is_not_sent


# Ties


@pytest.mark.parametrize("is_reversed", [False, True])
def test_simultaneous_copies_of_a_send_have_a_fixed_winner(compute: Compute, is_reversed: bool) -> None:
    copies = [
        send(template_name=name, notification_name=bulk) for name, bulk in (("b", None), ("a", None), ("a", ""), ("a", "x"), (None, "a"))
    ]
    (row,) = compute(*(copies[::-1] if is_reversed else copies)).notifications
    assert (row["template_name"], row["notification_name"]) == ("a", "x")


@pytest.mark.parametrize("is_reversed", [False, True])
def test_simultaneous_copies_of_a_status_have_a_fixed_winner(compute: Compute, is_reversed: bool) -> None:
    copies = [status(name="failed", errors=[{"code": code, "title": "t"}]) for code in (2, 1, 10)] + [status(name="failed")]
    (row,) = compute(send(), *(copies[::-1] if is_reversed else copies)).notifications
    assert row["failure_code"] == "1"


@pytest.mark.parametrize("is_reversed", [False, True])
def test_simultaneous_copies_of_a_message_have_a_fixed_winner(compute: Compute, is_reversed: bool) -> None:
    copies = [reaction("m1", 60, "s1", emoji=None), reaction("m1", 60, "s1"), message(type="z", quotes="s1")]
    (row,) = compute(send(), *(copies[::-1] if is_reversed else copies)).notifications
    assert row["replied_at"] == at(60)


def test_user_type_is_per_line_and_person(compute: Compute) -> None:
    sends = send("s1"), send("s2", 3 * DAY, contact_id=ANA_SHORT), send("s3", 3 * DAY, channel_id="else"), send("s4", contact_id=BIA)
    created = send("s5", 9 * DAY, contact_id="5511987650005", customer_created_at=START + 9 * DAY - 61)
    types = {id_: row["user_type"] for id_, row in by_id(compute(*sends, created)).items()}
    assert types == {"s1": "new", "s2": "returning", "s3": "new", "s4": "new", "s5": "returning"}
