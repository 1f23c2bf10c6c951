"""Tests of erasing a person from the raw tables (contract, section 3): what is removed, what is kept, and what is counted."""

import base64
from collections.abc import Iterator
from pathlib import Path
from random import Random

import duckdb
import pytest

from orchestration.errors import StartsError
from orchestration.landing.erased import MAX_IDENTIFIERS, ErasedPeople
from orchestration.landing.feeds import BOTMAKER_SENT_RESULTS, BOTMAKER_SESSIONS, SENDS, WEBHOOKS
from orchestration.maintenance import erasure as module
from orchestration.maintenance.erasure import check_identifier, erase_person, plan_erasure, revoke_erasure
from orchestration.maintenance.late_erasure import erase_late_rows
from orchestration.maintenance.person_rows import FILES_WITH_ERASED_TEXTS_SQL, connected_identifiers
from orchestration.maintenance.replay import mark_files_with_erasures_to_reread
from orchestration.settings import Settings
from tests.data import odd_records
from tests.landing import SEND, Landing, body, change, echo, everything_of, message, random_evidence, status
from tests.tiers import thorough

PERSON, SPELLED, USER, OTHER = "5511987650001", "+55 (11) 8765-0001", "BR.9", "5511900000002"
CHAT = "CHAT9"


def wamid(number: str) -> str:
    return "wamid." + base64.b64encode(b"\x1d\x0c" + number.encode() + b"\x15").decode()


class Site(Landing):
    """A landing zone, and a warehouse file with raw rows, the table of people and a finished build."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "landing")
        self.settings = Settings(data=folder / "data")
        self.settings.data.mkdir()
        self.open()

    def open(self) -> None:
        self.connection.close()
        self.connection = duckdb.connect(self.settings.warehouse_path)
        self.connection.execute("set timezone = 'UTC'")

    def identify(self, *people: tuple[str, ...]) -> None:
        """Write the table of people, each with their identifiers, the smallest number first."""
        self.connection.execute("create schema if not exists intermediate")
        self.connection.execute("create or replace table intermediate.int_people_identified (identifier varchar, person_id varchar)")
        rows = [(identifier, identifiers[0]) for identifiers in people for identifier in identifiers]
        self.connection.executemany("insert into intermediate.int_people_identified values (?, ?)", rows)

    def add_build(self) -> None:
        self.connection.execute("insert into state.builds values (1, timestamp '2026-11-01', timestamp '2026-11-01', 9, 'the definition')")

    def erase(self, identifier: str = SPELLED) -> module.Erasure:
        self.connection.close()
        try:
            return erase_person(self.settings, identifier)
        finally:
            self.open()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.connection.close()


def test_rows_of_a_person_are_removed_whatever_in_them_names_the_person(site: Site) -> None:
    site.land(SENDS, SEND | {"contact_id": PERSON}, SEND | {"message_id": "wamid.2", "contact_id": OTHER}, {"contact_id": SPELLED})
    site.land(SENDS, {"contact_id": SPELLED})
    site.land(
        WEBHOOKS,
        body(change(statuses=[status(recipient_id=None)])),
        body(change(statuses=[status(id=wamid("551187650001"), recipient_id=None)])),
        body(change(statuses=[status(id="wamid.echo", recipient_id=None)])),
        body(change(statuses=[status(id="wamid.2", recipient_id=OTHER)])),
        body(change("smb_message_echoes", message_echoes=[echo(to=USER), echo(id="wamid.echo2", to=OTHER)])),
        body(change(messages=[message(id=wamid(PERSON), **{"from": "BR.77"}), message(id="wamid.in2", **{"from": OTHER})])),
    )
    texts = {"reason": f"not to {PERSON}", "error": f"https://wa.me/{PERSON}"}
    session = odd_records.session(chat={"chat": {"chatId": CHAT, "channelId": "c"}})
    of_other = odd_records.session(id="CHAT2_2026-10-03T01:00:00Z")
    of_other["chat"]["chat"]["contactId"] = OTHER
    of_other["events"][0]["info"] |= texts
    site.land(BOTMAKER_SESSIONS, session, of_other)
    results = [odd_records.result(sessionId=name) for name in ("CHAT1_2026-10-03T01:00:00.000Z", "CHAT2_2026-10-03T01:00:00.000Z")]
    site.land(BOTMAKER_SENT_RESULTS, *results)
    site.identify((PERSON, USER, CHAT), (OTHER,))

    # By any identifier.
    assert plan_of(site, USER).identifiers == [PERSON, USER, CHAT]
    erasure = site.erase()

    assert erasure.identifiers == [PERSON, USER, CHAT]
    counts = {"sends": 1, "webhook_statuses": 3, "webhook_messages": 1, "webhook_echoes": 1, "botmaker_sessions": 1}
    counts |= {"botmaker_session_events": 1, "botmaker_session_messages": 1, "botmaker_sent_results": 1}
    assert {table: rows for table, rows in erasure.rows.items() if rows} == counts
    assert erasure.landing_files == [
        *("botmaker/sent_results/4.jsonl", "botmaker/sessions/3.jsonl", "sends/0.jsonl", "sends/1.jsonl", "webhooks/2.jsonl")
    ]
    assert site.rows("sends", "message_id") == [("wamid.2",)]
    assert site.rows("webhook_statuses", "message_id") == [("wamid.2",)]
    assert site.rows("webhook_messages", "sender_id") == [(OTHER,)]
    assert site.rows("webhook_echoes", "recipient_id") == [(OTHER,)]
    assert site.rows("botmaker_sessions", "contact_id") == [(OTHER,)]
    assert site.rows("botmaker_session_events", "reason", "error") == [("(erased)", "(erased)")]
    assert [session_id[:5] for (session_id,) in site.rows("botmaker_sent_results", "session_id")] == ["CHAT2"]
    assert site.rows("rejected_records", "record") == [("(erased)",), ("(erased)",)]
    people = ErasedPeople.load(site.settings.data)
    assert all(people.find(identifier) is people.people[0] for identifier in (PERSON, USER, CHAT))


@pytest.mark.parametrize("is_erased_first", [True, False])
def test_results_of_a_person_whose_session_has_not_landed_are_removed(site: Site, erased: ErasedPeople, is_erased_first: bool) -> None:
    results = [
        odd_records.result(contactId=SPELLED),
        {"customerId": CHAT, "contactId": PERSON, "status": {"error": "2026-10-03T12:00:00Z"}},
        odd_records.result(sessionId="CHAT2_2026-10-03T01:00:00.000Z", contactId=OTHER),
    ]
    session = odd_records.session(chat={"chat": {"chatId": CHAT, "channelId": "c"}})
    if is_erased_first:
        site.land(BOTMAKER_SENT_RESULTS, *results, erased=erased)
    else:
        site.land(BOTMAKER_SENT_RESULTS, *results)
        site.identify((OTHER,))
        site.add_build()
        assert site.erase().rows["botmaker_sent_results"] == 2
    assert site.rows("botmaker_sent_results", "contact_id") == [(OTHER,)]
    assert counts_of_ledger(site) == [(3, 1, 0, 2)]
    # The session of the erased result, without a contact.
    site.land(BOTMAKER_SESSIONS, session, erased=ErasedPeople.load(site.settings.data))
    assert site.rows("botmaker_sessions", "1") == []


def plan_of(site: Site, identifier: str) -> module.Erasure:
    site.connection.close()
    try:
        return plan_erasure(site.settings, identifier)
    finally:
        site.open()


def test_erasure_makes_earlier_builds_unknown(site: Site) -> None:
    site.land(SENDS, SEND | {"contact_id": PERSON})
    site.identify((PERSON,))
    site.add_build()
    site.erase()
    builds = site.connection.execute("select started_at < '2026-11-01', through_load_id, definition_sha256 from state.builds").fetchall()
    # What has passed the check for too many rejected records is not checked again.
    assert builds == [(True, 9, "")]


def test_counts_move_from_landed_to_erased_only_for_records_that_had_landed(site: Site) -> None:
    of_person, of_other = status(recipient_id=PERSON), status(id="wamid.2", recipient_id=OTHER)
    # The file of a send has a rejected record; one body has a rejected status, and its other one lands.
    site.land(SENDS, SEND | {"contact_id": PERSON}, {"contact_id": OTHER})
    site.land(
        WEBHOOKS,
        body(change(statuses=[of_person, of_other])),
        body(change(statuses=[of_person, status(id=None)])),
        body(change(statuses=[of_other])),
    )
    site.identify((PERSON,), (OTHER,))
    site.erase()
    counts = ("records", "landed", "rejected", "erased")
    assert site.rows("landed_files", "feed", *counts) == [("sends", 2, 0, 1, 1), ("webhooks", 3, 1, 1, 1)]
    # The body of both people already counts as erased.
    site.identify((OTHER,))
    site.erase(OTHER)
    assert site.rows("landed_files", "feed", *counts) == [("sends", 2, 0, 1, 1), ("webhooks", 3, 0, 1, 2)]


@pytest.mark.parametrize("is_late", [False, True])
def test_only_the_load_that_had_the_person_counts_as_erased(site: Site, is_late: bool) -> None:
    site.land(SENDS, SEND | {"contact_id": USER})
    site.land(SENDS, SEND | {"message_id": "wamid.2", "contact_id": OTHER})
    # As if the file had been replaced by another one of the same name.
    for table, column in (("sends", "_file_name"), ("landed_files", "file_name")):
        site.connection.execute(f"update raw.{table} set {column} = 'sends/0.jsonl'")
    if is_late:
        people = ErasedPeople.load(site.settings.data)
        people.add("2026-11-01", [PERSON])
        site.land(WEBHOOKS, link(PERSON, USER), erased=people)
        assert erase_late_rows(site.connection, site.settings) == 1
    else:
        site.identify((PERSON, USER), (OTHER,))
        site.erase()
    counts = site.connection.execute("select load_id, landed, erased from raw.landed_files where feed = 'sends' order by all").fetchall()
    assert counts == [(1, 0, 1), (2, 1, 0)]


def test_person_who_was_erased_before_is_erased_with_all_identifiers(site: Site) -> None:
    people = ErasedPeople.load(site.settings.data)
    people.add("2026-10-01", [PERSON, USER])
    people.save()
    site.land(SENDS, SEND | {"contact_id": USER}, SEND | {"message_id": "wamid.2", "contact_id": OTHER})
    site.identify((PERSON,), (USER,), (OTHER,))
    assert site.erase(PERSON).identifiers == [PERSON, USER]
    assert site.rows("sends", "contact_id") == [(OTHER,)]


def test_people_with_a_common_identifier_become_one_erased_person(tmp_path: Path) -> None:
    people = ErasedPeople.load(tmp_path)
    one, other = people.add("2026-10-01", ["1"]), people.add("2026-10-02", ["2", "3"])
    people.add_messages(one, ["a"], [])
    people.add_messages(other, [], ["b"])
    messages = one.messages | other.messages
    merged = people.add("2026-10-03", ["1", "2"])
    assert people.people == [merged]
    assert all(people.find(identifier) is merged for identifier in ("1", "2", "3"))
    assert merged.messages == messages


def test_hashes_are_saved_before_the_warehouse_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Path) -> None:
        raise OSError("the disk is full")

    site.land(SENDS, SEND | {"contact_id": PERSON})
    site.identify((PERSON,))
    monkeypatch.setattr(module, "put_in_place", full)
    with pytest.raises(OSError, match="full"):
        site.erase()
    (person,) = ErasedPeople.load(site.settings.data).people
    assert (len(person.identifiers), len(person.messages)) == (1, 1)
    assert site.rows("sends", "contact_id") == [(PERSON,)]
    monkeypatch.undo()
    site.erase()
    assert site.rows("sends", "contact_id") == []


def test_failed_revocation_leaves_the_person_erased(tmp_path: Path) -> None:
    def fails() -> list[str]:
        raise StartsError("the warehouse is damaged")

    people = ErasedPeople.load(tmp_path)
    people.add("2026-10-01", [PERSON])
    people.save()
    settings = Settings(data=tmp_path)
    with pytest.raises(StartsError, match="damaged"):
        revoke_erasure(settings, SPELLED, fails)
    assert ErasedPeople.load(tmp_path).find(PERSON) is not None
    assert revoke_erasure(settings, OTHER, fails) is None
    assert revoke_erasure(settings, SPELLED, lambda: ["a file"]) == ["a file"]
    assert ErasedPeople.load(tmp_path).find(PERSON) is None


def test_identifier_of_less_than_five_characters_is_refused() -> None:
    check_identifier("+1 23-45")
    for identifier in ("+1 23-4", " ", ""):
        with pytest.raises(StartsError, match="too short"):
            check_identifier(identifier)


def test_more_connected_identifiers_than_a_person_may_have_are_not_connected() -> None:
    for count in (MAX_IDENTIFIERS, MAX_IDENTIFIERS + 1):
        names = [f"{number:02}" for number in range(count)]

        def neighbours(known: list[str], names: list[str] = names) -> set[str]:
            return {names[at] for name in known for at in (int(name), int(name) + 1) if at < len(names)}

        assert connected_identifiers(["00"], neighbours) == (names if count == MAX_IDENTIFIERS else ["00"])


# Rows that landed before they were known to be an erased person's


@pytest.fixture
def erased(site: Site) -> ErasedPeople:
    people = ErasedPeople.load(site.settings.data)
    people.add("2026-11-01", [PERSON])
    people.save()
    return people


def link(number: str, user_id: str) -> dict[str, object]:
    return body(change("user_id_update", user_id_update=[{"wa_id": number, "user_id": user_id}]))


def test_late_erasure_makes_earlier_builds_unknown(site: Site, erased: ErasedPeople) -> None:
    site.land(SENDS, SEND | {"contact_id": USER}, erased=erased)
    site.add_build()
    site.land(WEBHOOKS, link(PERSON, USER), erased=erased)
    assert erase_late_rows(site.connection, site.settings) == 1
    assert site.connection.execute("select started_at < '2026-11-01' from state.builds").fetchall() == [(True,)]


def test_late_erasure_clears_texts_and_counts_only_records_that_had_landed(site: Site, erased: ErasedPeople) -> None:
    quote, named = wamid(USER + "1349"), f"not to {USER}"
    session = odd_records.session()
    session["events"][0]["info"] |= {"reason": named, "error": named}
    site.land(SENDS, SEND | {"contact_id": USER}, {"contact_id": OTHER, "chat_link": named}, erased=erased)
    site.land(WEBHOOKS, body(change(messages=[message(**{"from": OTHER, "group_id": "G", "context": {"id": named}})])), erased=erased)
    site.land(WEBHOOKS, body(change(statuses=[status(id="1", recipient_id=PERSON), status(id=quote, recipient_id=USER)])), erased=erased)
    site.land(BOTMAKER_SESSIONS, session, erased=erased)
    site.land(WEBHOOKS, link(PERSON, USER), erased=erased)
    assert erase_late_rows(site.connection, site.settings) == 2
    assert site.rows("webhook_messages", "context_message_id") == [("(erased)",)]
    assert site.rows("botmaker_session_events", "reason", "error") == [("(erased)", "(erased)")]
    assert site.rows("rejected_records", "record") == [("(erased)",)]
    assert site.rows("landed_files", "file_name", "records", "landed", "rejected", "erased") == [
        ("botmaker/sessions/3.jsonl", 1, 1, 0, 0),
        ("sends/0.jsonl", 2, 0, 1, 1),
        ("webhooks/1.jsonl", 1, 1, 0, 0),
        # One part of it was withheld when it landed.
        ("webhooks/2.jsonl", 1, 0, 0, 1),
        ("webhooks/4.jsonl", 1, 0, 0, 1),
    ]


@pytest.mark.parametrize("is_echo_first", [True, False])
def test_recipient_of_an_echo_that_an_erased_person_refers_to_is_erased(site: Site, erased: ErasedPeople, is_echo_first: bool) -> None:
    echoes = body(change("smb_message_echoes", message_echoes=[echo(to=USER), echo(id="wamid.echo2", to=OTHER)]))
    referring = body(change(statuses=[status(id="wamid.echo", recipient_id=PERSON)]))
    for record in (echoes, referring) if is_echo_first else (referring, echoes):
        site.land(WEBHOOKS, record, erased=erased)
    assert erase_late_rows(site.connection, site.settings) == int(is_echo_first)
    assert site.rows("webhook_echoes", "recipient_id") == [(OTHER,)]
    assert ErasedPeople.load(site.settings.data).find(USER) is not None


@pytest.mark.parametrize("is_echo", [True, False])
def test_recipient_of_a_message_that_a_late_identifier_refers_to_is_erased(site: Site, erased: ErasedPeople, is_echo: bool) -> None:
    """USER, who later turns out to be the erased person, reacts to a message whose recipient has another identifier."""
    reaction = message(**{"from": USER, "reaction": {"message_id": "wamid.1", "emoji": "+"}})
    site.land(WEBHOOKS, body(change(messages=[reaction])), erased=erased)
    if is_echo:
        site.land(WEBHOOKS, body(change("smb_message_echoes", message_echoes=[echo(id="wamid.1", to="BR.5")])), erased=erased)
    else:
        site.land(SENDS, SEND | {"contact_id": "BR.5"}, erased=erased)
    others = [message(id="wamid.in5", **{"from": "BR.5"}), message(**reaction | {"id": "wamid.in7", "from": "BR.7"})]
    site.land(WEBHOOKS, body(change(messages=others)), erased=erased)
    site.land(WEBHOOKS, link(PERSON, USER), erased=erased)
    assert erase_late_rows(site.connection, site.settings) == 4
    assert (site.rows("webhook_messages", "1"), site.rows("webhook_echoes", "1"), site.rows("sends", "1")) == ([], [], [])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("is_quote_first", [True, False])
@pytest.mark.parametrize("quote", [{"context": {"id": "wamid.1"}}, {"reaction": {"message_id": "wamid.1", "emoji": "+"}}])
def test_what_people_quote_in_a_group_links_no_one_to_an_erased_person(
    site: Site, erased: ErasedPeople, quote: dict[str, object], is_quote_first: bool
) -> None:
    """In the group, USER quotes a message to OTHER; later USER turns out to be the erased person. Another member quotes one to PERSON."""
    in_group = [
        message(id="wamid.in1", **{"from": USER, "group_id": "G"} | quote),
        message(id="wamid.in2", **{"from": "BR.5", "group_id": "G", "context": {"id": "wamid.p"}}),
        message(id="wamid.in3", **{"from": "BR.6", "group_id": "G", "reaction": {"message_id": "wamid.p", "emoji": "+"}}),
    ]
    landings = [
        (SENDS, [SEND | {"contact_id": OTHER}, SEND | {"message_id": "wamid.p", "contact_id": PERSON}]),
        (WEBHOOKS, [body(change(messages=in_group))]),
        (WEBHOOKS, [body(change(statuses=[status(id="wamid.p", recipient_id=PERSON)]))]),
    ]
    for feed, records in landings if is_quote_first else reversed(landings):
        site.land(feed, *records, erased=erased)
    site.land(WEBHOOKS, link(PERSON, USER), erased=erased)
    assert erase_late_rows(site.connection, site.settings) == 1
    assert site.rows("sends", "contact_id") == [(OTHER,)]
    assert site.rows("webhook_messages", "sender_id") == [("BR.5",), ("BR.6",)]


def test_person_gains_identifiers_up_to_the_limit(site: Site) -> None:
    people = ErasedPeople.load(site.settings.data)
    people.add("2026-11-01", [f"US.{number}" for number in range(MAX_IDENTIFIERS - 1)])
    for user_id in ("BR.1", "BR.2"):
        site.land(WEBHOOKS, link("US.0", user_id), erased=people)
    assert len(people.people[0].identifiers) == MAX_IDENTIFIERS
    assert (people.find("BR.1") is not None, people.find("BR.2") is not None) == (True, False)


# Records that land after the erasure


@pytest.mark.parametrize(
    "update",
    [
        {"wa_id": PERSON, "user_id": "BR.1"},
        {"wa_id": "9", "user_id": {"previous": PERSON, "current": "BR.1"}},
        {"user_id": PERSON, "parent_user_id": "BR.ENT.1"},
        {"user_id": "BR.1", "parent_user_id": PERSON},
        {"parent_user_id": {"previous": PERSON, "current": "BR.ENT.1"}},
    ],
)
def test_notice_that_names_an_erased_person_anywhere_is_withheld(site: Site, erased: ErasedPeople, update: dict[str, object]) -> None:
    site.land(WEBHOOKS, body(change("user_id_update", user_id_update=[update])), erased=erased)
    assert (site.rows("webhook_identities", "1"), site.report.erased) == ([], 1)


@pytest.mark.parametrize("ids", [{"contactId": SPELLED}, {"userId": PERSON}, {"parentUserId": PERSON}, {"chatId": PERSON}])
def test_session_of_an_erased_person_is_withheld_with_its_results(site: Site, erased: ErasedPeople, ids: dict[str, str]) -> None:
    session = odd_records.session(chat={"chat": {"chatId": "C", "channelId": "c"} | ids})
    site.land(BOTMAKER_SESSIONS, session, odd_records.session(id="CHAT2_2026-10-03T01:00:00Z"), erased=erased)
    # A result names neither the contact nor the session's id in the same precision.
    results = [odd_records.result(sessionId=name) for name in ("CHAT1_2026-10-03T01:00:00.000Z", "CHAT2_2026-10-03T01:00:00.000Z")]
    site.land(BOTMAKER_SENT_RESULTS, *results, erased=erased)
    for table in ("sessions", "session_events", "session_messages", "sent_results"):
        assert [session_id[:5] for (session_id,) in site.rows(f"botmaker_{table}", "session_id")] == ["CHAT2"], table


def test_records_of_a_message_that_an_erased_row_referred_to_are_withheld(site: Site) -> None:
    site.land(WEBHOOKS, body(change(statuses=[status(id="wamid.x", recipient_id=PERSON)])))
    site.identify((PERSON,))
    site.erase()
    people = ErasedPeople.load(site.settings.data)
    site.land(SENDS, SEND | {"message_id": "wamid.x", "contact_id": "BR.5"}, erased=people)
    site.land(WEBHOOKS, body(change(statuses=[status(id="wamid.x", recipient_id=None, status="read")])), erased=people)
    assert (site.rows("webhook_statuses", "1"), site.rows("sends", "1")) == ([], [])


def test_record_whose_id_contains_the_number_of_an_erased_person_is_withheld(site: Site, erased: ErasedPeople) -> None:
    ids = [wamid(number) for number in (PERSON, "551187650001", OTHER)]
    site.land(SENDS, *(SEND | {"message_id": id_, "contact_id": f"web-{at}"} for at, id_ in enumerate(ids)), erased=erased)
    site.land(WEBHOOKS, *(body(change(statuses=[status(id=id_, recipient_id=None)])) for id_ in ids), erased=erased)
    assert site.rows("sends", "message_id") == [(ids[-1],)]
    assert site.rows("webhook_statuses", "message_id") == [(ids[-1],)]


def test_number_in_an_id_of_an_erased_person_identifies_no_one(site: Site, erased: ErasedPeople) -> None:
    """Ids of a logger contain the day, and refused sends of many people have one id."""
    for contact in (PERSON, OTHER):
        site.land(SENDS, SEND | {"message_id": "none", "contact_id": contact}, erased=erased)
        site.land(WEBHOOKS, body(change(statuses=[status(id=f"20261003-{contact[-1]}", recipient_id=contact)])), erased=erased)
    assert site.rows("sends", "contact_id") == [(OTHER,)]
    assert site.rows("webhook_statuses", "message_id") == [("20261003-2",)]
    assert len(erased.people[0].identifiers) == 1


@pytest.mark.parametrize("counted", [{"type": "payment"}, {"recipient_type": "group"}])
def test_counted_status_links_no_one_to_an_erased_person(site: Site, erased: ErasedPeople, counted: dict[str, str]) -> None:
    given = status(recipient_id=PERSON, recipient_user_id="BR.5", **counted)
    site.land(WEBHOOKS, body(change(statuses=[given])), erased=erased)
    site.land(SENDS, SEND | {"contact_id": "BR.5"}, erased=erased)
    assert site.rows("sends", "contact_id") == [("BR.5",)]


@pytest.mark.parametrize("is_erased_first", [True, False])
def test_number_in_an_id_removes_its_record_and_nothing_else_of_the_contact(
    site: Site, erased: ErasedPeople, is_erased_first: bool
) -> None:
    quoted, contact = {"context": {"id": wamid(PERSON)}, "from": "BR.77"}, {"to": "BR.77"}

    def land(erased: ErasedPeople | None = None) -> None:
        site.land(SENDS, SEND | {"message_id": wamid(PERSON), "contact_id": "BR.77"}, SEND | {"contact_id": "BR.77"}, erased=erased)
        site.land(
            WEBHOOKS,
            body(change(statuses=[status(id=wamid(PERSON), recipient_id="BR.77"), status(recipient_id="BR.77")])),
            body(change("smb_message_echoes", message_echoes=[echo(id=wamid(PERSON), **contact), echo(**contact)])),
            body(change(messages=[message(id=wamid(PERSON), **{"from": "BR.77"}), message(id="in.1", **quoted)])),
            body(change(messages=[message(id="in.2", group_id="G", **quoted)])),
            body(change(messages=[message(id="in.3", type="reaction", reaction={"message_id": wamid(PERSON)}, **{"from": "BR.77"})])),
            erased=erased,
        )

    if is_erased_first:
        land(erased)
        assert len(erased.people[0].identifiers) == 1
    else:
        land()
        site.identify((PERSON,), ("BR.77",))
        site.erase()
    assert site.rows("sends", "message_id", "contact_id") == [("wamid.1", "BR.77")]
    assert site.rows("webhook_statuses", "message_id", "recipient_id") == [("wamid.1", "BR.77")]
    assert site.rows("webhook_echoes", "message_id", "recipient_id") == [("wamid.echo", "BR.77")]
    assert site.rows("webhook_messages", "message_id", "context_message_id", "reaction_message_id") == [
        ("in.1", "(erased)", None),
        ("in.2", "(erased)", None),
        ("in.3", None, "(erased)"),
    ]


def counts_of_ledger(site: Site) -> list[tuple[int, int, int, int]]:
    return site.connection.execute("select records, landed, rejected, erased from raw.landed_files order by load_id").fetchall()


def test_records_that_share_a_source_line_are_counted_one_by_one(site: Site) -> None:
    of_person = [odd_records.session(id=f"{CHAT}_2026-10-0{day}T01:00:00Z") for day in (3, 4)]
    for session in of_person:
        session["chat"]["chat"]["contactId"] = PERSON
    of_other = odd_records.session(id="CHAT2_2026-10-03T01:00:00Z")
    of_other["chat"]["chat"]["contactId"] = OTHER
    site.land(BOTMAKER_SESSIONS, {"items": [*of_person, of_other, {"id": 1}], "nextPage": None})
    site.identify((PERSON,), (OTHER,))
    site.erase()
    assert counts_of_ledger(site) == [(4, 1, 1, 2)]


def test_rejected_record_of_an_earlier_content_of_the_file_hides_no_erased_record(site: Site) -> None:
    of_other, of_person = SEND | {"message_id": "wamid.2", "contact_id": OTHER}, SEND | {"contact_id": PERSON}
    # The second file is the first one after its writer had finished.
    site.land(SENDS, of_other, b'{"message_id": "wamid.1", "sent')
    site.land(SENDS, of_other, of_person)
    for table, column in (("sends", "_file_name"), ("landed_files", "file_name"), ("rejected_records", "file_name")):
        site.connection.execute(f"update raw.{table} set {column} = 'sends/0.jsonl'")
    site.identify((PERSON,), (OTHER,))
    site.erase()
    assert counts_of_ledger(site) == [(2, 1, 1, 0), (2, 1, 0, 1)]


def test_killed_erasure_is_finished_by_the_next_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.land(SENDS, SEND | {"contact_id": PERSON}, SEND | {"message_id": "wamid.2", "contact_id": OTHER, "chat_link": f"x/{PERSON}"})
    site.identify((PERSON,), (OTHER,))
    on_demand = site.settings.exports_dir / "on_demand" / "all.tsv"
    on_demand.parent.mkdir(parents=True)
    on_demand.touch()

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "put_in_place", kill)
    with pytest.raises(KeyboardInterrupt):
        site.erase()
    assert len(site.rows("sends", "contact_id")) == 2
    assert erase_late_rows(site.connection, site.settings) == 1
    assert site.rows("sends", "contact_id", "chat_link") == [(OTHER, "(erased)")]
    assert counts_of_ledger(site) == [(2, 1, 0, 1)]
    assert not on_demand.exists()
    assert erase_late_rows(site.connection, site.settings) == 0


def test_files_that_contain_the_person_are_listed_under_the_names_that_they_have_now(site: Site) -> None:
    site.land(SENDS, SEND | {"contact_id": PERSON})
    site.land(SENDS, SEND | {"message_id": "wamid.2", "contact_id": OTHER, "chat_link": f"https://wa.me/{PERSON}"})
    site.land(SENDS, SEND | {"message_id": "wamid.3", "contact_id": PERSON})
    site.land(SENDS, SEND | {"message_id": "wamid.4", "contact_id": OTHER})
    listing = "raw.landing_listing"
    site.connection.execute(f"update {listing} set file_name = 'sends/renamed.jsonl' where file_name = 'sends/0.jsonl'")
    site.connection.execute(f"insert into {listing} select feed, 'sends/copy.jsonl', version, content_sha256 from {listing} "
                            "where file_name = 'sends/1.jsonl'")  # fmt: skip
    site.connection.execute(f"delete from {listing} where file_name = 'sends/2.jsonl'")
    site.identify((PERSON,), (OTHER,))
    assert plan_of(site, PERSON).landing_files == ["sends/1.jsonl", "sends/copy.jsonl", "sends/renamed.jsonl"]


def test_revoked_erasure_also_rereads_files_whose_texts_named_the_person(site: Site) -> None:
    site.land(SENDS, SEND | {"message_id": "wamid.2", "contact_id": OTHER, "chat_link": f"https://wa.me/{PERSON}"})
    site.land(SENDS, {"contact_id": SPELLED})
    site.land(SENDS, SEND | {"message_id": "wamid.3", "contact_id": OTHER})
    site.identify((PERSON,), (OTHER,))
    site.erase()
    texts = site.connection.execute(FILES_WITH_ERASED_TEXTS_SQL).fetchall()
    assert sorted(texts, key=str) == [("sends/0.jsonl", 1), ("sends/1.jsonl", None)]
    assert mark_files_with_erasures_to_reread(site.connection, texts) == ["sends/0.jsonl", "sends/1.jsonl"]
    marked = site.connection.execute("select file_name from raw.landed_files where reader_version = 0 order by all").fetchall()
    assert marked == [("sends/0.jsonl",), ("sends/1.jsonl",)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", [*range(6), *thorough(*range(6, 60))])
def test_remaining_rows_of_an_erased_person_do_not_depend_on_landing_order(site: Site, seed: int) -> None:
    random = Random(seed)
    evidence = [random_evidence(random) for _ in range(14)]
    records = list({(one.feed.name, one.key): one for one in evidence}.values())
    person = random.choice([one.names[0] for one in records])
    people = ErasedPeople.load(site.settings.data)
    people.add("2026-11-01", [person])
    people.save()
    left_to_land = list(records)
    while batch := [left_to_land.pop() for _ in range(min(len(left_to_land), random.randint(1, 5)))]:
        erased = ErasedPeople.load(site.settings.data)
        for feed in (SENDS, WEBHOOKS):
            if of_feed := [one.record for one in batch if one.feed is feed]:
                site.land(feed, *of_feed, erased=erased)
        erase_late_rows(site.connection, site.settings)
    rows = [
        *site.rows("sends", "message_id"),
        *site.rows("webhook_statuses", "status"),
        *site.rows("webhook_messages", "message_id"),
        *site.rows("webhook_echoes", "message_id"),
        *site.rows("webhook_identities", "wa_id || ' ' || user_id"),
    ]
    gone = everything_of(person, records)
    assert sorted(key for (key,) in rows) == sorted(one.key for one in records if gone.isdisjoint(one.names))


@pytest.mark.parametrize("is_erased_first", [True, False])
def test_rejected_record_of_an_erased_person_stays_rejected_and_counted(site: Site, erased: ErasedPeople, is_erased_first: bool) -> None:
    session = odd_records.session(chat={"chat": {"chatId": CHAT, "channelId": "c", "contactId": PERSON}})
    session["events"].append({"name": "later"})
    result = odd_records.result(contactId=PERSON, status={"sent": "no time"})

    def land(erased: ErasedPeople | None = None) -> None:
        site.land(SENDS, SEND | {"contact_id": OTHER}, SEND | {"contact_id": PERSON, "sent_at": "no"}, erased=erased)
        site.land(BOTMAKER_SESSIONS, session, erased=erased)
        site.land(BOTMAKER_SENT_RESULTS, result, erased=erased)

    if is_erased_first:
        land(erased)
    else:
        land()
        site.identify((PERSON, CHAT), (OTHER,))
        site.erase()
    assert site.rows("rejected_records", "feed", "record") == [
        ("botmaker/sent_results", "(erased)"),
        ("botmaker/sessions", "(erased)"),
        ("sends", "(erased)"),
    ]
    assert counts_of_ledger(site) == [(2, 1, 1, 0), (1, 0, 1, 0), (1, 0, 1, 0)]
    assert [site.rows(table, "1") for table in ("botmaker_sessions", "botmaker_session_events", "botmaker_sent_results")] == [[], [], []]
