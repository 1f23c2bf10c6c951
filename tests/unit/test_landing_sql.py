"""Tests of the landing SQL on every shape of record: rows of the raw tables, and rejected records with their reasons."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.landing.erased import MAX_IDENTIFIERS, ErasedPeople
from orchestration.landing.feeds import (
    BOTMAKER_CHANNELS,
    BOTMAKER_SENT_RESULTS,
    BOTMAKER_SESSIONS,
    FEEDS,
    READER_VERSION,
    SENDS,
    WEBHOOKS,
    Feed,
)
from orchestration.maintenance.late_erasure import erase_late_rows
from orchestration.settings import Settings
from tests.data import odd_records
from tests.landing import (
    LINE,
    NUMBER,
    PARENT,
    SEND,
    USER_ID,
    Landing,
    Record,
    body,
    change,
    echo,
    message,
    status,
)
from tests.tiers import thorough


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    made = Landing(tmp_path)
    yield made
    made.connection.close()


# Statuses

STATUS_COLUMNS = ("message_id", "status", "happened_at::varchar", "phone_number_id", "display_phone_number", "recipient_id")


def test_status_lands_with_every_identifier_and_its_price(landing: Landing) -> None:
    pricing = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
    recipients = {"recipient_user_id": USER_ID, "recipient_parent_user_id": PARENT}
    assert landing.land(WEBHOOKS, body(change(statuses=[status(pricing=pricing, **recipients)]))) == []
    assert landing.rows("webhook_statuses", *STATUS_COLUMNS) == [
        ("wamid.1", "delivered", "2026-11-03 12:00:04", "108", "+55 11 4002-8922", NUMBER)
    ]
    assert landing.rows(
        "webhook_statuses",
        "recipient_user_id",
        "recipient_parent_user_id",
        *("pricing_model", "pricing_category", "pricing_type", "pricing_billable", "error_code"),
    ) == [(USER_ID, PARENT, "PMP", "marketing", "regular", True, None)]
    assert landing.kinds() == []


def test_status_keeps_its_first_error(landing: Landing) -> None:
    errors = [{"code": 131049, "title": "t", "message": "m", "error_data": {"details": "d"}}, {"code": 1}]
    landing.land(WEBHOOKS, body(change(statuses=[status(status="failed", errors=errors)])))
    assert landing.rows("webhook_statuses", "error_code", "error_title", "error_message", "error_details") == [("131049", "t", "m", "d")]


@pytest.mark.parametrize(("given", "landed"), [(True, True), (False, False), ("yes", None), (1, None), (None, None)])
def test_billable_is_null_unless_it_is_a_boolean(landing: Landing, given: Any, landed: bool | None) -> None:
    landing.land(WEBHOOKS, body(change(statuses=[status(pricing={"billable": given})])))
    assert landing.rows("webhook_statuses", "pricing_billable") == [(landed,)]


def test_absent_recipient_is_null_and_not_another_identifier(landing: Landing) -> None:
    landing.land(WEBHOOKS, body(change(statuses=[status(recipient_id=None, recipient_user_id=USER_ID)])))
    assert landing.rows("webhook_statuses", "recipient_id", "recipient_user_id") == [(None, USER_ID)]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"type": "payment", "payment": {"reference_id": "x"}}, "status of a payment"),
        ({"recipient_type": "group"}, "status of a group"),
        ({"recipient_participant_id": NUMBER}, "status of a group"),
        ({"recipient_participant_user_id": USER_ID}, "status of a group"),
    ],
)
def test_statuses_of_payments_and_groups_are_other_kinds(landing: Landing, fields: Record, kind: str) -> None:
    without_time = status(timestamp=None, **fields)
    assert landing.land(WEBHOOKS, body(change(statuses=[status(**fields), status(id="wamid.2"), without_time]))) == []
    assert landing.rows("webhook_statuses", "message_id") == [("wamid.2",)]
    assert landing.kinds() == [kind, kind]


def test_status_to_an_individual_is_not_another_kind(landing: Landing) -> None:
    landing.land(WEBHOOKS, body(change(statuses=[status(recipient_type="individual", recipient_participant_id="", type="message")])))
    assert (len(landing.rows("webhook_statuses", "message_id")), landing.kinds()) == (1, [])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": None}, "statuses[].id: missing"),
        ({"id": ["a"]}, "statuses[].id: not a string"),
        ({"status": ""}, "statuses[].status: missing"),
        ({"status": {}}, "statuses[].status: not a string"),
        ({"recipient_id": {"a": 1}}, "statuses[].recipient_id: not a string"),
        ({"recipient_user_id": [1]}, "statuses[].recipient_user_id: not a string"),
        ({"recipient_parent_user_id": [1]}, "statuses[].recipient_parent_user_id: not a string"),
        ({"timestamp": "soon"}, "statuses[].timestamp: missing or not Unix seconds"),
        ({"timestamp": None}, "statuses[].timestamp: missing or not Unix seconds"),
        *(
            ({"timestamp": text}, "statuses[].timestamp: missing or not Unix seconds")
            for text in ("0x10", "0b101", "1_793_707_200", "+1", " 1", "1.", "-0")
        ),
    ],
)
def test_bad_status_rejects_its_body_but_not_its_neighbours(landing: Landing, fields: Record, reason: str) -> None:
    assert landing.land(WEBHOOKS, body(change(statuses=[status(**fields), status(id="wamid.2")]))) == [(1, reason)]
    assert landing.rows("webhook_statuses", "message_id") == [("wamid.2",)]
    assert (landing.report.records, landing.report.landed, landing.report.rejected) == (1, 0, 1)


# Messages


def test_message_lands_with_every_identifier(landing: Landing) -> None:
    given = message(from_user_id=USER_ID, from_parent_user_id=PARENT, context={"id": "wamid.1"}, group_id="")
    assert landing.land(WEBHOOKS, body(change(messages=[given]))) == []
    assert landing.rows(
        "webhook_messages",
        *("message_id", "message_type", "happened_at::varchar", "phone_number_id", "display_phone_number"),
        *("sender_id", "sender_user_id", "sender_parent_user_id", "context_message_id", "reaction_message_id"),
        *("has_reaction_emoji", "is_in_group", "has_referral"),
    ) == [
        (
            *("wamid.in", "text", "2026-11-03 12:01:40", "108", "+55 11 4002-8922"),
            *(NUMBER, USER_ID, PARENT, "wamid.1", None),
            *(False, False, False),
        )
    ]


SENDERS = ("from", "from_user_id", "from_parent_user_id", "user_id", "parent_user_id")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("known", range(len(SENDERS)))
def test_sender_is_the_first_identifier_of_a_message(landing: Landing, known: int) -> None:
    identifiers = {name: name if place >= known else "" for place, name in enumerate(SENDERS)}
    landing.land(WEBHOOKS, body(change(messages=[message(**identifiers)], contacts=[{"wa_id": "contact"}])))
    assert landing.rows("webhook_messages", "sender_id", "sender_user_id", "sender_parent_user_id") == [
        (SENDERS[known], "from_user_id" if known < 2 else "user_id" if known < 4 else None, SENDERS[2] if known < 3 else "parent_user_id")
    ]


@pytest.mark.parametrize(
    ("contacts", "sender"),
    [
        ([{"wa_id": NUMBER, "user_id": USER_ID}], NUMBER),
        ([{"user_id": USER_ID, "parent_user_id": PARENT}], USER_ID),
        ([{"parent_user_id": PARENT}], PARENT),
        ([{"wa_id": NUMBER}, {"wa_id": "5511900000002"}], None),
        ([], None),
    ],
)
def test_only_a_single_contact_can_replace_the_sender(landing: Landing, contacts: list[Record], sender: str | None) -> None:
    messages = [{"id": f"wamid.{n}", "timestamp": "1", "type": "text"} for n in range(2)]
    rejected = landing.land(WEBHOOKS, body(change(messages=messages, contacts=contacts)))
    assert landing.rows("webhook_messages", "sender_id") == ([(sender,)] * 2 if sender else [])
    assert rejected == ([] if sender else [(1, "messages[].from: missing")])


@pytest.mark.parametrize(
    ("reaction", "landed"),
    [
        ({"message_id": "wamid.1", "emoji": "👍"}, ("wamid.1", True)),
        ({"message_id": "wamid.1", "emoji": ""}, ("wamid.1", False)),
        ({"message_id": "wamid.1"}, ("wamid.1", False)),
        (None, (None, False)),
    ],
)
def test_reaction_lands_with_its_message_and_emoji(landing: Landing, reaction: Record | None, landed: tuple[Any, ...]) -> None:
    landing.land(WEBHOOKS, body(change(messages=[message(type="reaction", reaction=reaction)])))
    assert landing.rows("webhook_messages", "reaction_message_id", "has_reaction_emoji") == [landed]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "errors", "landed"),
    [
        ("unsupported", [{"code": 131060, "title": "This message is unavailable"}], "unavailable"),
        ("unsupported", [{"code": "131060"}], "unavailable"),
        ("unsupported", [{"code": 131060.0}], "unavailable"),
        ("unsupported", [{"code": 131051}], "unsupported"),
        *(("unsupported", odd, "unsupported") for odd in (None, [], {}, "131060", 131060, [131060], [{}], [[]], [{"code": {"a": 131060}}])),
        ("text", [{"code": 131060}], "text"),
    ],
)
def test_message_hidden_by_whatsapp_has_its_own_kind(landing: Landing, kind: str, errors: Any, landed: str) -> None:
    assert landing.land(WEBHOOKS, body(change(messages=[message(type=kind, errors=errors)]))) == []
    assert landing.rows("webhook_messages", "message_type") == [(landed,)]


def test_reaction_with_an_unpaired_surrogate_has_an_emoji(landing: Landing) -> None:
    line = json.dumps(body(change(messages=[message(type="reaction", reaction={"message_id": "wamid.1", "emoji": "\ud83d"})])))
    assert landing.land(WEBHOOKS, line.encode()) == []
    assert landing.rows("webhook_messages", "has_reaction_emoji") == [(True,)]


def test_group_and_referral_are_recorded(landing: Landing) -> None:
    landing.land(WEBHOOKS, body(change(messages=[message(group_id="G", referral={"source_type": "ad", "source_id": "1"})])))
    assert landing.rows("webhook_messages", "is_in_group", "has_referral", "referral_source_type", "referral_source_id") == [
        (True, True, "ad", "1")
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": ""}, "messages[].id: missing"),
        ({"id": {}}, "messages[].id: not a string"),
        ({"timestamp": "x"}, "messages[].timestamp: missing or not Unix seconds"),
        ({"timestamp": "0x10"}, "messages[].timestamp: missing or not Unix seconds"),
        ({"from": ["x"]}, "messages[].from: not a string"),
        ({"from_user_id": {}}, "messages[].from_user_id: not a string"),
        ({"from_parent_user_id": {}}, "messages[].from_parent_user_id: not a string"),
        ({"type": ["text"]}, "messages[].type: not a string"),
        ({"context": {"id": {}}}, "messages[].context.id: not a string"),
        ({"reaction": {"message_id": []}}, "messages[].reaction.message_id: not a string"),
    ],
)
def test_bad_message_rejects_its_body_but_not_its_neighbours(landing: Landing, fields: Record, reason: str) -> None:
    assert landing.land(WEBHOOKS, body(change(messages=[message(**fields), message(id="wamid.2")]))) == [(1, reason)]
    assert landing.rows("webhook_messages", "message_id") == [("wamid.2",)]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "metadata.phone_number_id: missing"),
        ({"display_phone_number": "none"}, "metadata.phone_number_id: missing"),
        ({"phone_number_id": {"a": 1}}, "metadata.phone_number_id: not a string"),
        ({"phone_number_id": "108", "display_phone_number": [1]}, "metadata.display_phone_number: not a string"),
        ({"display_phone_number": "+55 11"}, None),
    ],
)
def test_message_without_a_line_is_rejected(landing: Landing, metadata: Record, reason: str | None) -> None:
    assert landing.land(WEBHOOKS, body(change(metadata=metadata, messages=[message()]))) == ([(1, reason)] if reason else [])


def test_statuses_and_messages_of_one_change_both_land(landing: Landing) -> None:
    statuses = [status(id=f"wamid.{n}") for n in range(3)]
    messages = [message(id=f"wamid.in{n}") for n in range(2)]
    assert landing.land(WEBHOOKS, body(change(statuses=statuses, messages=messages), change(messages=[message(id="wamid.in2")]))) == []
    assert len(landing.rows("webhook_statuses", "message_id")) == 3
    assert len(landing.rows("webhook_messages", "message_id")) == 3
    assert (landing.report.records, landing.report.landed) == (1, 1)


# Fields


@pytest.mark.parametrize("field", ["messages", None])
def test_change_without_a_field_is_read(landing: Landing, field: str | None) -> None:
    landing.land(WEBHOOKS, body(change(field, statuses=[status()], messages=[message()])), body({"value": change()["value"]}))
    assert (len(landing.rows("webhook_statuses", "1")), len(landing.rows("webhook_messages", "1"))) == (1, 1)
    assert landing.kinds() == ["nothing inside"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("value", [{"messages": [message()], "statuses": [status()]}, {"statuses": "x"}, [[], "x"], "x", None])
@pytest.mark.parametrize("field", ["history", "account_update", "messages_of_tomorrow", "", 5])
def test_any_other_field_counts_as_one_other_kind(landing: Landing, field: Any, value: Any) -> None:
    assert landing.land(WEBHOOKS, body({"field": field, "value": value})) == []
    assert (landing.rows("webhook_statuses", "1"), landing.rows("webhook_messages", "1")) == ([], [])
    assert landing.kinds() == [str(field)]


@pytest.mark.parametrize("metadata", ["value", "standby"])
def test_standby_is_read_one_level_deeper(landing: Landing, metadata: str) -> None:
    inner: Record = {"statuses": [status()], "messages": [message(**{"from": ""})], "contacts": [{"wa_id": NUMBER}]}
    inner |= {"message_echoes": [{"id": "wamid.echo", "timestamp": "1", "message": {"to": NUMBER, "type": "text"}}]}
    value: Record = {"standby": inner}
    {"value": value, "standby": inner}[metadata]["metadata"] = LINE
    assert landing.land(WEBHOOKS, body({"field": "standby", "value": value})) == []
    line = ("108", "+55 11 4002-8922")
    assert landing.rows("webhook_statuses", "message_id", "phone_number_id", "display_phone_number") == [("wamid.1", *line)]
    assert landing.rows("webhook_messages", "sender_id", "phone_number_id", "display_phone_number") == [(NUMBER, *line)]
    assert landing.rows("webhook_echoes", "recipient_id", "phone_number_id", "display_phone_number") == [(NUMBER, *line)]
    assert landing.kinds() == []


def test_each_field_reads_only_its_own_lists(landing: Landing) -> None:
    lists = {"statuses": [status()], "messages": [message()], "message_echoes": [echo()]}
    landing.land(
        WEBHOOKS,
        body(change("messages", message_echoes=[echo()], standby=lists)),
        body(change("standby", **lists)),
        body(change("smb_message_echoes", statuses=[status()], messages=[message()])),
    )
    for table in ("webhook_statuses", "webhook_messages", "webhook_echoes"):
        assert landing.rows(table, "1") == []
    assert landing.kinds() == ["messages", "smb_message_echoes", "standby"]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "given",
    [
        {"entry": []},
        {"entry": [{"id": "1"}]},
        {"entry": [{"changes": []}]},
        {"entry": [{"changes": None}]},
        body({}),
        body({"value": {}}),
        body({"value": {"statuses": [], "messages": None}}),
    ],
)
def test_empty_change_counts_as_one_other_kind(landing: Landing, given: Record) -> None:
    assert landing.land(WEBHOOKS, given) == []
    assert landing.kinds() == ["nothing inside"]


def test_every_change_and_empty_entry_is_counted(landing: Landing) -> None:
    landing.land(WEBHOOKS, {"entry": [{"changes": [change("a"), change("b"), change(statuses=[status()])]}, {"changes": []}, {}]})
    assert landing.kinds() == ["a", "b", "nothing inside", "nothing inside"]


def test_contacts_alone_count_as_one_other_kind_and_are_linked(landing: Landing) -> None:
    contacts = [{"wa_id": NUMBER, "user_id": USER_ID}, {"wa_id": "2", "user_id": "BR.2"}]
    landing.land(WEBHOOKS, body(change(contacts=contacts)))
    assert (landing.kinds(), len(landing.rows("webhook_identities", "1"))) == (["messages"], 2)


# Lines


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "given",
    [
        change("history", messages=[message()]),
        change("history", history=[{"metadata": {"phase": 0}}]),
        change(errors=[{"code": 130429}]),
        change(None, statuses=[]),
        change("user_id_update", user_id_update=[{"wa_id": NUMBER, "user_id": USER_ID}]),
        change("standby", standby={}),
        change("standby", metadata={}, standby={"metadata": LINE}),
        change("smb_message_echoes", message_echoes=[echo(group_id="G")]),
        change(statuses=[status(type="payment")]),
        change(statuses=[status(recipient_type="group"), status(recipient_type="group")]),
    ],
)
def test_counted_record_identifies_its_line_once_per_file(landing: Landing, given: Record) -> None:
    assert landing.land(WEBHOOKS, body(change(statuses=[status()])), body(given), body(given)) == []
    columns = ("phone_number_id", "display_phone_number", "_line_number")
    assert landing.rows("webhook_channels", *columns) == [("108", "+55 11 4002-8922", 2)]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"phone_number_id": "108"},
        {"phone_number_id": "", "display_phone_number": "551140028922"},
        {"phone_number_id": ["108"], "display_phone_number": "551140028922"},
    ],
)
def test_no_line_is_identified_without_both_id_and_number(landing: Landing, metadata: Any) -> None:
    assert landing.land(WEBHOOKS, body(change("history", metadata=metadata))) == []
    assert (landing.kinds(), landing.rows("webhook_channels", "1")) == (["history"], [])


def test_rejected_record_identifies_no_line(landing: Landing) -> None:
    given = [body(change(statuses=[status(id=None)])), body(change("history"), {"field": "messages", "value": {"statuses": {}}})]
    assert len(landing.land(WEBHOOKS, *given)) == 2
    assert landing.rows("webhook_channels", "1") == []


# Echoes

ECHO_COLUMNS = ("message_id", "message_type", "happened_at::varchar", "phone_number_id", "sender_id", "recipient_id")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("field", ["smb_message_echoes", "standby"])
@pytest.mark.parametrize(
    "given",
    [
        {"id": "e", "timestamp": "1", "type": "text", "from": "55", "to": NUMBER},
        {"id": "e", "timestamp": "1", "message": {"type": "text", "from": "55", "to": NUMBER}},
        {"id": "e", "timestamp": 1, "type": "text", "from": "55", "to_user_id": NUMBER},
        {"id": "e", "timestamp": 1.0, "message": {"type": "text", "from": "55", "to": NUMBER}},
        {"id": "e", "timestamp": "1", "message": {"type": "text", "from": "55", "to": "", "to_user_id": NUMBER}},
        {"id": "e", "timestamp": "1", "type": "text", "from": "55", "to_parent_user_id": NUMBER},
        {"id": "e", "message": {"timestamp": "1", "type": "text", "from": "55", "to_parent_user_id": NUMBER}},
    ],
)
def test_echo_is_read_in_either_form(landing: Landing, field: str, given: Record) -> None:
    lists: Record = {"message_echoes": [given]}
    assert landing.land(WEBHOOKS, body(change(field, **(lists if field == "smb_message_echoes" else {"standby": lists})))) == []
    assert landing.rows("webhook_echoes", *ECHO_COLUMNS) == [("e", "text", "1970-01-01 00:00:01", "108", "55", NUMBER)]
    assert landing.kinds() == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("fields", "metadata", "reason"),
    [
        ({"id": None}, LINE, "message_echoes[].id: missing or not a string"),
        ({"id": {}}, LINE, "message_echoes[].id: missing or not a string"),
        ({"timestamp": "x"}, LINE, "message_echoes[].timestamp: missing or not Unix seconds"),
        ({"to": None}, LINE, "message_echoes[].to: missing or not a string"),
        ({"to": [1]}, LINE, "message_echoes[].to: missing or not a string"),
        ({"from": None}, {}, "metadata.phone_number_id: missing"),
        ({"from": "none"}, {}, "metadata.phone_number_id: missing"),
        ({"from": None}, {"display_phone_number": "+55 11"}, None),
        ({}, {}, None),
        ({}, {"phone_number_id": []}, "metadata.phone_number_id: not a string"),
    ],
)
def test_bad_echo_rejects_its_body(landing: Landing, fields: Record, metadata: Record, reason: str | None) -> None:
    given = body(change("smb_message_echoes", metadata=metadata, message_echoes=[echo(**fields)]))
    assert landing.land(WEBHOOKS, given) == ([(1, reason)] if reason else [])
    assert len(landing.rows("webhook_echoes", "1")) == (0 if reason else 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"group_id": "G"},
        {"message": {"group_id": "G"}},
        {"recipient_type": "group"},
        {"message": {"recipient_type": "group"}},
        {"group_id": "G", "to": None},
    ],
)
def test_echoes_to_groups_are_other_kinds(landing: Landing, fields: Record) -> None:
    assert landing.land(WEBHOOKS, body(change("smb_message_echoes", message_echoes=[echo(**fields), echo(id="wamid.2")]))) == []
    assert landing.rows("webhook_echoes", "message_id") == [("wamid.2",)]
    assert landing.kinds() == ["echo of a group"]


# Identities

IDENTITY_COLUMNS = ("kind", "wa_id", "user_id", "parent_user_id", "previous_wa_id", "previous_user_id", "previous_parent_user_id")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("contact", "landed"),
    [
        ({"wa_id": "2", "user_id": USER_ID}, ("2", USER_ID, None)),
        ({"wa_id": "2", "parent_user_id": PARENT}, ("2", None, PARENT)),
        ({"user_id": USER_ID, "parent_user_id": PARENT, "wa_id": ""}, (None, USER_ID, PARENT)),
        ({"wa_id": "2", "user_id": {"a": 1}}, None),
        ({"wa_id": "2", "profile": {"name": "x"}}, None),
        ("x", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("lists", [{"statuses": [status()]}, {"messages": [message()]}])
def test_contact_links_its_two_identifiers(landing: Landing, lists: Record, contact: Any, landed: tuple[str | None, ...] | None) -> None:
    assert landing.land(WEBHOOKS, body(change(contacts=[contact], **lists))) == []
    expected = [] if landed is None else [("contact", *landed, None, None, None)]
    assert landing.rows("webhook_identities", *IDENTITY_COLUMNS) == expected


def test_contact_already_linked_by_its_record_is_left_out(landing: Landing) -> None:
    contact = {"wa_id": NUMBER, "user_id": USER_ID}
    named = {"recipient_user_id": USER_ID}
    landing.land(
        WEBHOOKS,
        body(change(contacts=[contact], statuses=[status(**named)])),
        body(change(contacts=[contact], messages=[message(from_user_id=USER_ID)])),
    )
    assert landing.rows("webhook_identities", "kind") == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "lists",
    [
        {"statuses": [status(recipient_user_id=USER_ID, timestamp=None)]},
        {"statuses": [status(recipient_user_id=USER_ID, recipient_type="group")]},
        {"messages": [message(from_user_id=USER_ID, group_id="G")]},
        {"messages": [message(from_user_id=USER_ID, id=None)]},
        {"statuses": [status()], "messages": [message()]},
        {"statuses": [status(id="other", recipient_id="2", recipient_user_id="BR.2"), status(recipient_user_id=USER_ID)]},
    ],
)
def test_contact_not_linked_by_another_landed_record_is_linked(landing: Landing, lists: Record) -> None:
    landing.land(WEBHOOKS, body(change(contacts=[{"wa_id": NUMBER, "user_id": USER_ID}], **lists)))
    assert landing.rows("webhook_identities", "kind", "wa_id", "user_id") == [("contact", NUMBER, USER_ID)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("system", "fields", "landed"),
    [
        ({"type": "user_changed_number", "wa_id": "9"}, {}, [("9", None, None, NUMBER, None, None)]),
        ({"type": "user_changed_number", "new_wa_id": "9"}, {}, [("9", None, None, NUMBER, None, None)]),
        (
            {"type": "user_changed_user_id", "user_id": "BR.9", "parent_user_id": "BR.ENT.9"},
            {"from_user_id": USER_ID, "from_parent_user_id": PARENT},
            [(None, "BR.9", "BR.ENT.9", NUMBER, USER_ID, PARENT)],
        ),
        (
            {"type": "user_changed_user_id", "user_id": {"previous": USER_ID, "current": "BR.9"}},
            {},
            [(None, "BR.9", None, NUMBER, USER_ID, None)],
        ),
        (
            {"type": "user_changed_user_id", "user_id": "BR.9", "previous_user_id": "BR.0", "previous_parent_user_id": PARENT},
            {},
            [(None, "BR.9", None, NUMBER, "BR.0", PARENT)],
        ),
        (
            {"type": "user_changed_user_id", "user_id": {"previous": "BR.0", "current": "BR.9"}, "wa_id": "9", "new_wa_id": "8"},
            {"from_user_id": USER_ID},
            [
                ("9", "BR.9", None, NUMBER, USER_ID, None),
                ("9", "BR.9", None, "8", None, None),
                ("9", "BR.9", None, "BR.0", None, None),
            ],
        ),
        ({"type": "user_changed_number"}, {}, []),
        ({"type": "user_changed_number", "wa_id": NUMBER}, {}, []),
        ({"type": "user_identity_changed", "wa_id": "9"}, {}, []),
        ({"type": "user_changed_number", "wa_id": "9"}, {"group_id": "G"}, []),
        ({"type": "user_changed_number", "wa_id": "9"}, {"type": "text"}, []),
        ({"type": "user_changed_number", "wa_id": "9"}, {"id": None}, []),
        ("user_changed_number", {}, []),
    ],
)
def test_notice_links_old_and_new_identifier(landing: Landing, system: Any, fields: Record, landed: list[tuple[str | None, ...]]) -> None:
    landing.land(WEBHOOKS, body(change(messages=[message(**{"type": "system"} | fields, system=system)])))
    kind = system["type"] if isinstance(system, dict) else ""
    assert landing.rows("webhook_identities", *IDENTITY_COLUMNS) == [(kind, *row) for row in landed]


@pytest.mark.parametrize(("new", "sender"), [({}, "BR.9"), ({"wa_id": "9"}, "9")])
def test_notice_without_a_sender_lands_with_the_new_identifier(landing: Landing, new: Record, sender: str) -> None:
    notice = {"type": "user_changed_user_id", "user_id": "BR.9", "parent_user_id": PARENT} | new
    assert landing.land(WEBHOOKS, body(change(messages=[message(**{"from": None}, type="system", system=notice)]))) == []
    assert landing.rows("webhook_messages", "sender_id") == [(sender,)]
    assert landing.rows("webhook_identities", "user_id", "parent_user_id") == [("BR.9", PARENT)]


UPDATE = {
    "wa_id": NUMBER,
    "user_id": {"previous": USER_ID, "current": "BR.9"},
    "parent_user_id": {"previous": PARENT, "current": "BR.ENT.9"},
}


@pytest.mark.parametrize("updates", [[UPDATE], UPDATE, [UPDATE, "x", None, {"wa_id": "1"}]])
def test_user_id_update_links_and_counts_as_one_other_kind(landing: Landing, updates: Any) -> None:
    assert (
        landing.land(WEBHOOKS, body(change("user_id_update", contacts=[{"wa_id": "7", "user_id": "BR.7"}], user_id_update=updates))) == []
    )
    assert landing.kinds() == ["user_id_update"]
    assert landing.rows("webhook_identities", *IDENTITY_COLUMNS) == [("user_id_update", NUMBER, "BR.9", "BR.ENT.9", None, USER_ID, PARENT)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("value", [{}, {"user_id_update": None}, {"user_id_update": "x"}, {"user_id_update": [[]]}, "x", None])
def test_user_id_update_may_contain_anything(landing: Landing, value: Any) -> None:
    assert landing.land(WEBHOOKS, body({"field": "user_id_update", "value": value})) == []
    assert (landing.kinds(), landing.rows("webhook_identities", "kind")) == (["user_id_update"], [])


# Bodies of the wrong shape


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "entry: missing"),
        ({"entry": {}}, "entry: not a list"),
        ({"entry": ["x"]}, "entry: not a list of objects"),
        ({"entry": [{"changes": {}}]}, "changes: not a list"),
        ({"entry": [{"changes": [[]]}]}, "changes: not a list of objects"),
        (body({"field": "messages", "value": "x"}), "value: not an object"),
        (body({"field": "standby", "value": []}), "value: not an object"),
        (body({"field": "standby", "value": {"standby": "x"}}), "standby: not an object"),
        (body(change(statuses={})), "statuses: not a list"),
        (body(change(messages="x")), "messages: not a list"),
        (body(change(None, statuses={})), "statuses: not a list"),
        (body(change("standby", standby={"statuses": 5})), "statuses: not a list"),
        (body(change("standby", standby={"messages": {}})), "messages: not a list"),
        (body(change("standby", standby={"message_echoes": {}})), "message_echoes: not a list"),
        (body(change("smb_message_echoes", message_echoes=echo())), "message_echoes: not a list"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_body_of_the_wrong_shape_is_rejected(landing: Landing, given: Record | bytes, reason: str) -> None:
    assert landing.land(WEBHOOKS, given, body(change(statuses=[status()]))) == [(1, reason)]
    assert (len(landing.rows("webhook_statuses", "1")), landing.kinds()) == (1, [])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (change(statuses=[status()], messages="x"), "messages: not a list"),
        (change(messages=[message()], statuses={}), "statuses: not a list"),
        (change("standby", standby={"statuses": [status()], "messages": 1}), "messages: not a list"),
        (change("standby", standby={"statuses": [status()], "message_echoes": {}}), "message_echoes: not a list"),
        (change("standby", standby={"message_echoes": [echo()], "statuses": {}}), "statuses: not a list"),
        (change(statuses=[None, status()]), "statuses or messages: a list with a null"),
        (change(messages=[message(), None]), "statuses or messages: a list with a null"),
        (change(messages=[None], statuses=[status()]), "statuses or messages: a list with a null"),
        (change("smb_message_echoes", message_echoes=[echo(), None]), "message_echoes[].id: missing or not a string"),
        (change(statuses=["x", status()]), "statuses[].id: missing"),
        (change(messages=[message(), 5]), "messages[].id: missing"),
        (change(messages=["{", message()]), "messages[].id: missing"),
        (change("smb_message_echoes", message_echoes=["x", echo()]), "message_echoes[].id: missing or not a string"),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", " : ")])
def test_good_items_land_beside_a_list_of_the_wrong_shape(
    landing: Landing, given: Record, reason: str, separators: tuple[str, str]
) -> None:
    assert landing.land(WEBHOOKS, json.dumps(body(given), separators=separators).encode()) == [(1, reason)]
    tables = ("webhook_statuses", "webhook_messages", "webhook_echoes")
    assert sum(len(landing.rows(table, "1")) for table in tables) == 1
    assert (landing.kinds(), landing.report.rejected) == ([], 1)


def test_all_faults_of_a_body_are_listed_once(landing: Landing) -> None:
    bad = change(statuses=[status(id=None), status(id=None)], messages={})
    assert landing.land(WEBHOOKS, body(bad, change(messages=[message(id=None)]))) == [
        (1, "messages: not a list; messages[].id: missing; statuses[].id: missing")
    ]


# The largest body that Meta announces: a thousand items, 3 MB.
ITEMS_OF_A_BODY, LONG = 1000, "x" * 2900


@pytest.mark.sampled(2)
@pytest.mark.parametrize("is_one_change", [True, False])
@pytest.mark.parametrize(
    ("kind", "items", "reason"),
    [
        ("statuses", [status(pricing={"note": LONG})] * ITEMS_OF_A_BODY, None),
        ("messages", [message(text=LONG)] * ITEMS_OF_A_BODY, None),
        ("statuses", [status(pricing={"note": LONG}, id=None)] * ITEMS_OF_A_BODY, "statuses[].id: missing"),
        ("messages", [message(text=LONG, id=None)] * ITEMS_OF_A_BODY, "messages[].id: missing"),
    ],
)
def test_memory_for_a_large_body_does_not_grow_with_its_items(
    landing: Landing, kind: str, items: list[Record], reason: str | None, is_one_change: bool
) -> None:
    """A task of an executor has 1 GB (`engines/spark/executors.py`)."""
    landing.connection.execute("set memory_limit = '1GB'; set threads = 1")
    given = body(*(change(**{kind: part}) for part in ([items] if is_one_change else [[item] for item in items])))
    assert [found for _, found in landing.land(WEBHOOKS, given)] == ([reason] if reason else [])
    assert landing.rows("rejected_records", "record") == ([(json.dumps(given),)] if reason else [])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("padding", ["", LONG * 2], ids=["short", "long"])
@pytest.mark.parametrize("kind", ["statuses", "messages", "message_echoes", "m\\u0065ssages"])
def test_invalid_item_after_valid_items_rejects_its_body_with_the_text(landing: Landing, kind: str, padding: str) -> None:
    item, field = {"statuses": (status, "messages"), "message_echoes": (echo, "smb_message_echoes")}.get(kind, (message, "messages"))
    good, bad = item(note=padding), item(id=None)
    given = json.dumps(body(change(statuses=[status()]), change(field, **{kind: [good, bad, bad]}))).replace("\\\\u", "\\u").encode()
    assert len(landing.land(WEBHOOKS, given)) == 1
    assert landing.rows("rejected_records", "record") == [(given.decode(),)]


@pytest.mark.parametrize("bad", [{"entry": [{"changes": "x"}]}, {"entry": ["x"]}])
def test_bad_entry_does_not_affect_the_others(landing: Landing, bad: Record) -> None:
    good = body(change(statuses=[status()]))
    ((_, reason),) = landing.land(WEBHOOKS, {"entry": bad["entry"] + good["entry"]})
    assert reason in ("changes: not a list", "entry: not a list of objects")
    assert len(landing.rows("webhook_statuses", "1")) == 1


# JSON

GOOD: list[tuple[Feed, Record, str]] = [
    (SENDS, SEND, "sends"),
    (WEBHOOKS, body(change(statuses=[status()])), "webhook_statuses"),
    (BOTMAKER_SESSIONS, odd_records.session(), "botmaker_sessions"),
    (BOTMAKER_SENT_RESULTS, odd_records.result(), "botmaker_sent_results"),
    (BOTMAKER_CHANNELS, odd_records.channel(), "botmaker_channels"),
]
COMMA, NAN, BEYOND = "a comma before a closing bracket", "NaN or Infinity", "a number that no double holds"


def with_note(record: Record, note: str) -> bytes:
    return f'{json.dumps(record)[:-1]}, "note": {note}}}'.encode()


@pytest.mark.parametrize(("feed", "record", "table"), GOOD)
@pytest.mark.parametrize(
    ("note", "problem"),
    [
        ("[1,]", COMMA),
        ('{"a": 1 ,\t}', COMMA),
        ("NaN", NAN),
        ("nan", NAN),
        ("[1, -Infinity]", NAN),
        ("[Inf ]", NAN),
        ("1e400", BEYOND),
        ("[-1E+999]", BEYOND),
        ("[0,1.5e309]", BEYOND),
        ("9" * 400, BEYOND),
        ("9" * 5000, BEYOND),
    ],
)
@pytest.mark.sampled(3)
def test_json_that_only_a_lenient_parser_accepts_is_rejected(
    landing: Landing, feed: Feed, record: Record, table: str, note: str, problem: str
) -> None:
    assert landing.land(feed, with_note(record, note), record) == [(1, f"not JSON: {problem}")]
    assert len(landing.rows(table, "1")) == 1


def test_nothing_of_a_body_that_is_not_json_lands(landing: Landing) -> None:
    given = body(
        change(messages=[message()], contacts=[{"wa_id": "2", "user_id": USER_ID}]),
        change("smb_message_echoes", message_echoes=[echo(), echo(group_id="G")]),
        change("user_id_update", user_id_update=[UPDATE]),
    )
    assert landing.land(WEBHOOKS, with_note(given, "NaN")) == [(1, f"not JSON: {NAN}")]
    for table in ("messages", "echoes", "identities", "channels", "other_kinds"):
        assert landing.rows(f"webhook_{table}", "1") == [], table


@pytest.mark.parametrize(("feed", "record", "table"), GOOD)
@pytest.mark.parametrize(
    "note",
    [
        '"a ,] b: NaN, [NaN, 1e400, ,}"',
        r'"\",]\\"',
        "1.7976931348623157e308",
        "[" + "9" * 300 + "]",
        "0." + "1" * 5000,
        "1e-400",
        '{"nan": "inf", "e": [null, 12e3]}',
        "[" * 2000 + '",]"' + "]" * 2000,
        r'"\ud83d\ude00 \ud83d"',
        r'{"\ude00": "\\ud83d \\\ud83d \\\\"}',
        r'"\uD83D\uD83D\uDE00"',
    ],
)
@pytest.mark.sampled(3)
def test_odd_but_valid_json_lands(landing: Landing, feed: Feed, record: Record, table: str, note: str) -> None:
    assert landing.land(feed, with_note(record, note)) == []
    assert len(landing.rows(table, "1")) == 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("given", "landed"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\ude00x", "\ufffdx"),
        (r"a\uD83D\uD83D\uDE00", "a\ufffd😀"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ude00\ud83d", "😀\ufffd"),
        (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
        (r"\\\ud83d", "\\\ufffd"),
        (r"\\\\ud83d \udbff", "\\\\ud83d \ufffd"),
        (r"\ud83d\u0041\"\ude00", '\ufffdA"\ufffd'),
        (r"\ud83d\\ude00", "\ufffd\\ude00"),
    ],
)
def test_unpaired_surrogate_becomes_a_replacement_character(landing: Landing, given: str, landed: str) -> None:
    line = json.dumps(SEND | {"template_name": "?"}).replace('"?"', f'"{given}"')
    assert landing.land(SENDS, line.encode()) == []
    assert landing.rows("sends", "template_name") == [(landed,)]


def test_rejected_record_keeps_its_unpaired_surrogate(landing: Landing) -> None:
    line = json.dumps(SEND | {"template_name": "\ud83d", "message_id": None})
    assert landing.land(SENDS, line.encode()) == [(1, "message_id: missing")]
    assert landing.rows("rejected_records", "record") == [(line,)]


def test_raw_control_character_is_rejected_even_beside_an_unpaired_surrogate(landing: Landing) -> None:
    line = json.dumps(SEND | {"template_name": "?"}).replace("?", "\x01\\ud83d")
    assert landing.land(SENDS, line.encode()) == [(1, "not JSON")]


ODD_RECORDS = [record for record in odd_records.odd_records(1, swaps=0) if record.lands is not None]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_odd_records_in_one_file_land_or_are_rejected_as_in_the_contract(landing: Landing, feed: Feed) -> None:
    records = [record for record in ODD_RECORDS if record.feed == feed.name]
    rejected = {line for line, _ in landing.land(feed, *(record.line for record in records))}
    assert [str(record) for line, record in enumerate(records, 1) if (line not in rejected) != record.lands] == []


@pytest.mark.parametrize("record", thorough(*ODD_RECORDS[::3]), ids=str)
def test_single_odd_record_lands_or_is_rejected_as_in_the_contract(landing: Landing, record: odd_records.OddRecord) -> None:
    feed = next(feed for feed in FEEDS if feed.name == record.feed)
    assert (landing.land(feed, record.line) == []) == record.lands


def test_values_of_any_type_in_any_place_stop_no_landing(landing: Landing) -> None:
    records = [record for seed in range(3) for record in odd_records.odd_records(seed, swaps=150) if record.lands is None]
    for feed in FEEDS:
        of_feed = [record.line for record in records if record.feed == feed.name]
        landing.land(feed, *of_feed)
        assert landing.report.records >= len(of_feed)
        assert landing.report.records == landing.report.landed + landing.report.rejected


# Sends


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("error", "landed"),
    [
        ({"code": 131026, "title": "t", "details": "d"}, (True, "131026", "t", "d")),
        ({"code": "131026"}, (True, "131026", None, None)),
        ({"code": 0}, (True, "0", None, None)),
        ({"title": "t"}, (True, None, "t", None)),
        ({"details": "d", "code": ""}, (True, None, None, "d")),
        ({"message": "m", "code": 1, "error_data": {"details": "d", "messaging_product": "whatsapp"}}, (True, "1", "m", "d")),
        ({"message": "m", "title": "t", "details": "d", "error_data": {"details": "x"}}, (True, None, "t", "d")),
        ({"error_data": "x", "code": 1}, (True, "1", None, None)),
        ({}, (False, None, None, None)),
        ({"code": "", "title": "", "details": None}, (False, None, None, None)),
        ({"fbtrace_id": "x"}, (False, None, None, None)),
        (None, (False, None, None, None)),
    ],
)
def test_error_of_a_send_gives_code_and_detail(landing: Landing, error: Record | None, landed: tuple[Any, ...]) -> None:
    assert landing.land(SENDS, SEND | {"error": error}) == []
    assert landing.rows("sends", "has_error", "error_code", "error_title", "error_details") == [landed]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("at", "landed"),
    [
        ("0001-01-03T00:00:00Z", "0001-01-03 00:00:00"),
        ("0999-06-01T12:00:00-03:00", "0999-06-01 15:00:00"),
        ("9999-12-29T00:00:00Z", "9999-12-29 00:00:00"),
        ("0001-01-02T23:59:59Z", None),
        ("9999-12-29T00:00:01Z", None),
    ],
)
def test_time_of_a_send_lands_or_is_rejected(landing: Landing, at: str, landed: str | None) -> None:
    rejected = landing.land(SENDS, SEND | {"sent_at": at})
    assert landing.rows("sends", "sent_at::varchar") == ([(landed,)] if landed else [])
    assert bool(rejected) == (landed is None)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("name", "value", "landed"),
    [
        ("line_number", 5511400289220, "5511400289220"),
        ("line_number", 10**30, str(10**30)),
        ("customer_id", -5, "-5"),
        ("customer_id", 10**25, str(10**25)),
        ("customer_id", 1.5, None),
        ("line_number", 1e30, None),
        ("line_number", True, None),
        ("notification_name", 5, None),
        ("agent_groups", ["a", None, "b"], "a, b"),
        ("agent_groups", [None], None),
    ],
)
def test_optional_fields_of_a_send_land_as_text_or_null(landing: Landing, name: str, value: Any, landed: str | None) -> None:
    rejected = landing.land(SENDS, SEND | {name: value})
    assert landing.rows("sends", name) == ([] if rejected else [(landed,)])
    assert bool(rejected) == (landed is None and name != "agent_groups")


# Botmaker


@pytest.mark.parametrize(
    ("ids", "landed"),
    [
        ({"contactId": NUMBER}, (NUMBER, None, None)),
        ({"contactId": None, "userId": USER_ID, "parentUserId": PARENT}, (None, USER_ID, PARENT)),
        ({"contactId": "", "userId": ""}, (None, None, None)),
        ({"contactId": " "}, (None, None, None)),
        ({}, (None, None, None)),
        ({"contactId": "webchat-9f2c"}, ("webchat-9f2c", None, None)),
        ({"contactId": USER_ID}, (USER_ID, None, None)),
    ],
)
def test_session_without_a_contact_lands(landing: Landing, ids: Record, landed: tuple[Any, ...]) -> None:
    session = odd_records.session(chat={"chat": {"chatId": "C", "channelId": "c"} | ids})
    assert landing.land(BOTMAKER_SESSIONS, session) == []
    assert landing.rows("botmaker_sessions", "contact_id", "user_id", "parent_user_id") == [landed]
    assert landing.rows("botmaker_session_events", "name") == [("notification-sent",)]


@pytest.mark.parametrize("name", ["contactId", "userId", "parentUserId"])
def test_session_identifier_that_is_not_text_is_rejected(landing: Landing, name: str) -> None:
    session = odd_records.session(chat={"chat": {"chatId": "C", "channelId": "c", name: {"a": 1}}})
    assert landing.land(BOTMAKER_SESSIONS, session) == [(1, f"chat.chat.{name}: not a string")]


def test_template_sent_by_an_agent_keeps_its_sender(landing: Landing) -> None:
    sent = {"id": "m", "creationTime": "2026-10-03T01:00:00Z", "from": "agent", "content": {"whatsAppTemplateName": "promo"}}
    landing.land(BOTMAKER_SESSIONS, odd_records.session(events=[], messages=[sent]))
    assert landing.rows("botmaker_session_messages", "message_id", "sender", "template_name") == [("m", "agent", "promo")]


def test_texts_of_a_session_land_in_their_own_columns(landing: Landing) -> None:
    at = "2026-10-03T01:00:00Z"
    info = {"messageId": "m", "whatsappTemplate": "promo", "reason": "r", "error": "e"}
    session = odd_records.session(
        startingCause="",
        chat={"chat": {"chatId": "C", "channelId": "c"}, "creationTime": "2026-10-02T00:00:00Z", "isTester": "TRUE"},
        events=[{"name": "a", "creationTime": at, "info": info}, {"name": "b", "creationTime": at, "info": dict.fromkeys(info, "")}],
        messages=[{"id": "m", "creationTime": at, "from": "bot", "content": {"whatsAppTemplateName": ""}}],
    )
    assert landing.land(BOTMAKER_SESSIONS, session) == []
    assert landing.rows("botmaker_sessions", "starting_cause", "chat_created_at::varchar", "is_tester") == [
        (None, "2026-10-02 00:00:00", True)
    ]
    assert landing.rows("botmaker_session_events", "name", "message_id", "template_name", "reason", "error") == [
        ("a", "m", "promo", "r", "e"),
        ("b", None, None, None, None),
    ]
    assert landing.rows("botmaker_session_messages", "message_id", "template_name") == [("m", None)]


def test_sent_result_lands_with_its_times_and_the_most_specific_name(landing: Landing) -> None:
    times = {name: f"2026-10-03T01:00:0{n}Z" for n, name in enumerate(("sent", "delivered", "read", "answered", "error"))}
    page = {
        "notification": {"notificationName": "of the page"},
        "customers": [
            odd_records.result(sessionId="1", notification={"notificationName": "of its object"}, notificationName="of the result"),
            odd_records.result(sessionId="2", notification={"notificationName": "of its object"}),
            odd_records.result(sessionId=" 3 ", status=times),
            odd_records.result(sessionId="4", status=dict.fromkeys(times, " ")),
        ],
    }
    assert landing.land(BOTMAKER_SENT_RESULTS, page) == []
    names = [("1", "of the result"), ("2", "of its object"), ("3", "of the page"), ("4", "of the page")]
    assert landing.rows("botmaker_sent_results", "session_id", "notification_name") == names
    columns = [f"strftime({name}_at, '%S')" for name in times]
    assert landing.rows("botmaker_sent_results", "session_id", *columns)[2:] == [("3", "00", "01", "02", "03", "04"), ("4", *[None] * 5)]


@pytest.mark.parametrize("name", ["sent", "delivered", "read", "answered", "error"])
def test_time_of_a_sent_result_that_is_a_number_is_rejected(landing: Landing, name: str) -> None:
    result = odd_records.result(status={"sent": "2026-10-03T01:00:00Z", "read": "2026-10-03T01:00:01Z"} | {name: 1_793_707_200})
    assert landing.land(BOTMAKER_SENT_RESULTS, result) == [(1, f"status.{name}: not ISO 8601 with an offset")]


def test_page_without_a_list_is_rejected_and_one_with_null_is_empty(landing: Landing) -> None:
    assert landing.land(BOTMAKER_SENT_RESULTS, {"customers": {}}, {"customers": None}, {"items": None}) == [(1, "customers: not a list")]
    assert (landing.report.records, landing.report.rejected) == (1, 1)


def test_channel_lands_with_null_for_an_empty_text(landing: Landing) -> None:
    assert landing.land(BOTMAKER_CHANNELS, odd_records.channel(platform="", name="", number="")) == []
    assert landing.rows("botmaker_channels", "platform", "channel_name", "line_number") == [(None, None, None)]


def test_token_of_a_rejected_channel_is_removed_up_to_its_end(landing: Landing) -> None:
    assert landing.land(BOTMAKER_CHANNELS, {"botToken": 'se"cret\\', "number": "1"}) == [(1, "id: missing")]
    assert landing.rows("rejected_records", "record") == [('{"botToken": "…", "number": "1"}',)]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-10-03T01:00:00", "2026-02-30T00:00:00Z"])
def test_unwritable_time_is_rejected_anywhere_in_a_session(landing: Landing, at: str) -> None:
    event = odd_records.session()["events"][0] | {"creationTime": at}
    said = {"id": "m", "creationTime": at, "from": "user"}
    assert landing.land(BOTMAKER_SESSIONS, odd_records.session(events=[event], messages=[said])) == [
        (1, "; ".join(f"{kind}[].creationTime: missing or not ISO 8601 with an offset" for kind in ("events", "messages")))
    ]
    assert (landing.rows("botmaker_session_events", "1"), landing.rows("botmaker_session_messages", "1")) == ([], [])


def test_good_events_and_messages_land_beside_bad_ones(landing: Landing) -> None:
    session = odd_records.session()
    session |= {"events": [*session["events"], {"name": ""}], "messages": [{"id": "x"}, *session["messages"]]}
    assert landing.land(BOTMAKER_SESSIONS, session) == [
        (1, "events[].name: missing; messages[].creationTime: missing or not ISO 8601 with an offset")
    ]
    assert len(landing.rows("botmaker_sessions", "1")) == 1
    assert len(landing.rows("botmaker_session_events", "1")) == 1
    assert len(landing.rows("botmaker_session_messages", "1")) == 1


def test_items_of_long_pages_in_one_file_are_counted_separately(landing: Landing) -> None:
    pages = [{"items": [odd_records.result(sessionId=f"S{page}-{number}") for number in range(300)]} for page in range(2)]
    assert landing.land(BOTMAKER_SENT_RESULTS, *pages) == []
    assert (landing.report.records, len(landing.rows("botmaker_sent_results", "1"))) == (600, 600)


def test_page_with_an_unpaired_surrogate_lands(landing: Landing) -> None:
    page = {"items": [odd_records.session(), odd_records.session(id="CHAT2_2026-10-03T01:00:00Z", startingCause="\ud83d")]}
    assert landing.land(BOTMAKER_SESSIONS, json.dumps(page).encode()) == []
    assert [cause for (cause,) in landing.rows("botmaker_sessions", "starting_cause")] == ["WhatsAppTemplate", "\ufffd"]


def test_page_with_an_extra_comma_is_one_rejected_record(landing: Landing) -> None:
    page = json.dumps({"items": [odd_records.session()] * 3})[:-2] + ",]}"
    assert landing.land(BOTMAKER_SESSIONS, page.encode()) == [(1, f"not JSON: {COMMA}")]
    assert (landing.report.records, landing.rows("botmaker_sessions", "1")) == (1, [])


def test_empty_text_of_a_send_is_null(landing: Landing) -> None:
    optional = ("template_name", "template_language", "notification_name", "line_number", "customer_id", "agent_groups", "chat_link")
    of_error = {"code": "", "title": "", "details": ""}
    assert landing.land(SENDS, SEND | dict.fromkeys(optional, "") | {"error": of_error}) == []
    nulls = ("error_code", "error_title", "error_details")
    assert landing.rows("sends", *optional, *nulls, "has_error") == [(*[None] * 10, False)]


# The ledger, and people who were erased


@pytest.mark.parametrize(("feed", "record", "table"), GOOD)
def test_ledger_has_the_reader_version_of_a_file(landing: Landing, feed: Feed, record: Record, table: str) -> None:
    landing.land(feed, record)
    assert landing.rows("landed_files", "records", "landed", "rejected", "erased", "reader_version") == [(1, 1, 0, 0, READER_VERSION)]
    assert landing.rows(table, "_file_name", "_line_number") == [(f"{feed.name}/0.jsonl", 1)]


ERASED, OTHER = "5511900000001", "5511900000002"
MOBILE, MOBILE_AT_HOME = "5511987650001", "551187650001"


def erased_people(folder: Path) -> ErasedPeople:
    people = ErasedPeople.load(folder)
    people.add("2026-11-01", [ERASED])
    # As after the next run.
    people.has_new_identifiers = False
    return people


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("feed", "records", "table", "column"),
    [
        (
            WEBHOOKS,
            # The contacts are in another order than the statuses and have more identifiers.
            [
                body(
                    change(
                        statuses=[status(recipient_id=ERASED), status(id="wamid.other", recipient_id=OTHER)],
                        contacts=[{"wa_id": OTHER, "user_id": "BR.2"}, {"wa_id": ERASED, "user_id": "BR.1"}],
                    )
                )
            ],
            "webhook_statuses",
            "recipient_id",
        ),
        (
            WEBHOOKS,
            [body(change(messages=[message(**{"from": ERASED}), message(**{"from": OTHER})]))],
            "webhook_messages",
            "sender_id",
        ),
        (
            WEBHOOKS,
            [body(change("smb_message_echoes", message_echoes=[echo(to=ERASED), echo(to=OTHER)]))],
            "webhook_echoes",
            "recipient_id",
        ),
        (
            WEBHOOKS,
            [body(change("user_id_update", user_id_update=[{"wa_id": n, "user_id": f"BR.{n}"} for n in (ERASED, OTHER)]))],
            "webhook_identities",
            "wa_id",
        ),
        (SENDS, [SEND | {"contact_id": ERASED}, SEND | {"contact_id": OTHER}], "sends", "contact_id"),
    ],
)
def test_only_records_of_an_erased_person_are_withheld(
    landing: Landing, tmp_path: Path, feed: Feed, records: list[Record], table: str, column: str
) -> None:
    landing.land(feed, *records, erased=erased_people(tmp_path))
    assert landing.rows(table, column) == [(OTHER,)]
    assert (landing.report.erased, landing.report.rejected) == (1, 0)
    if feed is WEBHOOKS and table == "webhook_statuses":
        assert landing.rows("webhook_identities", "wa_id") == [(OTHER,)]


def test_rows_that_landed_before_the_person_was_identified_are_removed(landing: Landing, tmp_path: Path) -> None:
    erased = erased_people(tmp_path)
    sends = [SEND | {"contact_id": "BR.9"}, SEND | {"message_id": "wamid.2", "contact_id": OTHER, "chat_link": "x/BR.9"}]
    statuses = [status(recipient_id=None), status(id="wamid.2", recipient_id=OTHER)]
    landing.land(SENDS, *sends, erased=erased)
    landing.land(WEBHOOKS, body(change(statuses=statuses)), erased=erased)
    settings = Settings(data=tmp_path)
    assert erase_late_rows(landing.connection, settings) == 0
    landing.land(WEBHOOKS, body(change("user_id_update", user_id_update=[{"wa_id": ERASED, "user_id": "BR.9"}])), erased=erased)
    assert erase_late_rows(landing.connection, settings) == 2
    assert erase_late_rows(landing.connection, settings) == 0
    assert landing.rows("sends", "message_id", "chat_link") == [("wamid.2", "(erased)")]
    assert landing.rows("webhook_statuses", "message_id") == [("wamid.2",)]
    assert landing.rows("landed_files", "feed", "records", "landed", "erased") == [
        ("sends", 2, 1, 1),
        ("webhooks", 1, 0, 1),
        ("webhooks", 1, 0, 1),
    ]
    # A late status of a removed row is recognised by its id.
    landing.land(WEBHOOKS, body(change(statuses=[status(recipient_id=None, status="read")])), erased=ErasedPeople.load(tmp_path))
    assert landing.rows("webhook_statuses", "message_id") == [("wamid.2",)]


def test_new_identifiers_are_added_to_the_right_erased_person(landing: Landing, tmp_path: Path) -> None:
    erased = erased_people(tmp_path)
    erased.add("2026-11-02", [MOBILE])
    # This person has as many identifiers as are allowed.
    erased.add("2026-11-03", [f"US.{n}" for n in range(MAX_IDENTIFIERS)])
    sends = [SEND | {"message_id": f"wamid.{contact}", "contact_id": contact} for contact in ("BR.1", "BR.2", "BR.3", OTHER)]
    landing.land(SENDS, *sends, erased=erased)
    updates = [{"wa_id": ERASED, "user_id": "BR.1"}, {"wa_id": MOBILE, "user_id": "BR.2"}, {"wa_id": "US.0", "user_id": "BR.3"}]
    landing.land(WEBHOOKS, *(body(change("user_id_update", user_id_update=[update])) for update in updates), erased=erased)
    assert erase_late_rows(landing.connection, Settings(data=tmp_path)) == 2
    assert landing.rows("sends", "contact_id") == [(OTHER,), ("BR.3",)]
    one, other, largest = (ErasedPeople.load(tmp_path).find(identifier) for identifier in (ERASED, MOBILE, "US.0"))
    assert one is not None
    assert other is not None
    assert (ErasedPeople.load(tmp_path).find("BR.1"), ErasedPeople.load(tmp_path).find("BR.2")) == (one, other)
    assert largest is not None
    assert [len(person.identifiers) for person in (one, other, largest)] == [2, 2, MAX_IDENTIFIERS]


def test_send_with_a_status_of_an_erased_person_is_withheld_whatever_its_contact(landing: Landing, tmp_path: Path) -> None:
    erased = erased_people(tmp_path)
    landing.land(WEBHOOKS, body(change(statuses=[status(id="wamid.named", recipient_id=ERASED)])), erased=erased)
    assert not erased.has_new_identifiers
    landing.land(SENDS, SEND | {"message_id": "wamid.named", "contact_id": MOBILE}, SEND | {"contact_id": OTHER}, erased=erased)
    assert landing.rows("sends", "message_id") == [("wamid.1",)]
    assert erased.has_new_identifiers
    assert ErasedPeople.load(tmp_path).has_new_identifiers
    landing.land(SENDS, SEND | {"message_id": "wamid.3", "contact_id": MOBILE_AT_HOME}, erased=erased)
    assert landing.rows("sends", "message_id") == [("wamid.1",)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("naming", ["status", "answer"])
@pytest.mark.parametrize("is_send_first", [False, True])
def test_contact_of_a_message_that_an_erased_person_refers_to_is_erased(
    landing: Landing, tmp_path: Path, naming: str, is_send_first: bool
) -> None:
    erased = erased_people(tmp_path)
    items = {
        "status": {"statuses": [status(id="wamid.named", recipient_id=ERASED)]},
        "answer": {"messages": [message(**{"from": ERASED, "context": {"id": "wamid.named"}})]},
    }
    sends = [SEND | {"message_id": "wamid.named", "contact_id": MOBILE}, SEND | {"contact_id": OTHER}]
    landings = [(WEBHOOKS, [body(change(**items[naming]))]), (SENDS, sends)]
    for feed, records in reversed(landings) if is_send_first else landings:
        landing.land(feed, *records, erased=erased)
    assert ErasedPeople.load(tmp_path).has_new_identifiers
    assert erase_late_rows(landing.connection, Settings(data=tmp_path)) == int(is_send_first)
    assert landing.rows("sends", "contact_id") == [(OTHER,)]
    landing.land(SENDS, SEND | {"message_id": "wamid.3", "contact_id": MOBILE_AT_HOME}, erased=ErasedPeople.load(tmp_path))
    assert landing.rows("sends", "contact_id") == [(OTHER,)]


def test_quote_in_a_group_does_not_identify_the_erased_person(landing: Landing, tmp_path: Path) -> None:
    erased = erased_people(tmp_path)
    landing.land(SENDS, SEND | {"contact_id": OTHER}, erased=erased)
    in_group = message(**{"from": ERASED, "group_id": "G", "context": {"id": "wamid.1"}})
    landing.land(WEBHOOKS, body(change(messages=[in_group])), erased=erased)
    assert not erased.has_new_identifiers


def test_sent_result_of_an_erased_person_is_withheld(landing: Landing, tmp_path: Path) -> None:
    results = [odd_records.result(contactId=contact, sessionId=f"S{contact}") for contact in (ERASED, OTHER)]
    landing.land(BOTMAKER_SENT_RESULTS, *results, erased=erased_people(tmp_path))
    assert landing.rows("botmaker_sent_results", "session_id") == [(f"S{OTHER}",)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "named",
    [
        *(MOBILE, f"+{MOBILE}", MOBILE_AT_HOME, "55 (11) 98765-0001", "BR.9"),
        "wamid." + base64.b64encode(b"\x1d\x0c" + MOBILE_AT_HOME.encode() + b"\x15").decode(),
    ],
)
def test_texts_in_other_records_that_name_an_erased_person_are_removed(landing: Landing, tmp_path: Path, named: str) -> None:
    erased, text = erased_people(tmp_path), f"not to {named}"
    erased.add("2026-10-02", [MOBILE, "BR.9"])
    errors = [{"code": 1, "title": text, "message": text, "error_data": {"details": text}}]
    session = odd_records.session()
    session["events"][0]["info"] |= {"reason": text, "error": text}
    texts = {"chat_link": text, "agent_groups": text, "customer_id": text, "error": {"code": 1, "title": text, "details": text}}
    others = {"chat_link": f"https://wa.me/{OTHER}", "agent_groups": "27 55 11", "customer_id": "98765-0001", "error": {"title": "BR.91"}}
    landing.land(SENDS, SEND | {"contact_id": OTHER} | texts, SEND | {"message_id": "wamid.2", "contact_id": OTHER} | others, erased=erased)
    landing.land(WEBHOOKS, body(change(statuses=[status(recipient_id=OTHER, status="failed", errors=errors)])), erased=erased)
    landing.land(BOTMAKER_SESSIONS, session, erased=erased)
    columns = ("customer_id", "chat_link", "agent_groups", "error_title", "error_details")
    assert landing.rows("sends", *columns) == [("(erased)",) * 5, ("98765-0001", f"https://wa.me/{OTHER}", "27 55 11", "BR.91", None)]
    assert landing.rows("webhook_statuses", "error_title", "error_message", "error_details") == [("(erased)",) * 3]
    assert ("(erased)", "(erased)") in landing.rows("botmaker_session_events", "reason", "error")
    assert (landing.report.erased, landing.report.rejected) == (0, 0)


@pytest.mark.parametrize("padding", ["", LONG * 2], ids=["short", "long"])
def test_text_of_a_rejected_body_that_names_an_erased_person_is_removed(landing: Landing, tmp_path: Path, padding: str) -> None:
    good = status(recipient_id=OTHER, note=padding)
    bad = message(id=None, text={"body": f"call +{ERASED}"}, **{"from": OTHER})
    landing.land(WEBHOOKS, body(change(statuses=[good]), change(messages=[bad])), erased=erased_people(tmp_path))
    assert landing.rows("rejected_records", "record") == [("(erased)",)]


@pytest.mark.parametrize(
    "bad", [lambda given: change(statuses=[status(recipient_id=ERASED, timestamp=None)]), lambda given: change(messages=[message(id=None)])]
)
def test_text_of_a_rejected_body_of_an_erased_person_is_removed(landing: Landing, tmp_path: Path, bad: Callable[[str], Record]) -> None:
    landing.land(WEBHOOKS, body(bad(ERASED), change(statuses=[status(recipient_id=ERASED)])), erased=erased_people(tmp_path))
    assert [text for (text,) in landing.rows("rejected_records", "record")] == ["(erased)"]
    # It counts as rejected only, so that the ledger's sums hold.
    assert landing.rows("landed_files", "records", "landed", "rejected", "erased") == [(1, 0, 1, 0)]
