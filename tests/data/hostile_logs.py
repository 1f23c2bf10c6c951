"""Small logs with every kind of fault, many times over, for comparison with the reference.

People and lines have several identifiers. Most records refer to one person and one line, so the links between identifiers decide the
result; a few records mix two people or lines.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

HOUR, DAY = 3600, 24 * 3600
START = 1_791_000_000  # 2026-10-03
Record = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """A person's number in the spellings of the send log and of webhooks, and user ids; any of these may be empty."""

    dialled: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    # Spellings that only evidence links to the others.
    unruly: tuple[str, ...] = ()

    def in_send_log(self, rnd: random.Random) -> str:
        return rnd.choice([*self.dialled, *self.dialled, *self.user_ids, *self.parents, *self.unruly])


@dataclass(frozen=True)
class Line:
    """A line's channel ids and the spellings of its numbers; the send log may use either."""

    channel_ids: tuple[str, ...]
    numbers: tuple[str, ...] = ()

    def metadata(self, rnd: random.Random) -> Record:
        channel, number = {"phone_number_id": rnd.choice(self.channel_ids)}, {"display_phone_number": rnd.choice([*self.numbers, ""])}
        return rnd.choice([channel | number, channel | number, channel, number if number["display_phone_number"] else channel])


LINES = [
    Line(("108234567890101", "108234567890101", "+55 11 4002-8922"), ("55 11 4002 8922", "551140028922")),
    # Argentina: the same number with and without the 9.
    Line(("108234567890202", "5491152780101"), ("541152780101",)),
    # Not in the look-up, with two numbers.
    Line(("lab-line-7",), ("5411 4998", "+54 11 4999")),
    # A number that moved to another account.
    Line(("208000000000003", "208000000000004"), ("+55 21 98888-7777", "552188887777")),
    # This id only looks like the number of a line.
    Line(("lab-webchat-551140028922",)),
    # With the last two people: thread keys that would be equal if line and person were simply concatenated.
    Line(("lab-line-7|US.1",)),
    # Its spellings never occur together with a channel id.
    Line(("+54 11 5000",), ("541150000",)),
    # Its two names occur together only in records that are counted but not used.
    Line(("lab-line-8", "541160000")),
]
PEOPLE = [
    Person(
        (
            "5511987650001",
            "551187650001",
            "+55 11 98765-0001",
            "5511987650001@s.whatsapp.net",
            "whatsapp:+551187650001",
            "5511987650001:7@C.US",
        ),
        ("551187650001", "5511987650001"),
        ("BR.90000000000000000001",),
        ("BR.ENT.90000000000000000009",),
        ("11987650001", "005511987650001"),
    ),
    # A landline, to which no spelling rule applies.
    Person(("551130000002", "+55 (11) 3000-0002"), ("551130000002",), ("BR.2",)),
    Person(("525512340003", "5215512340003"), ("5215512340003", "525512340003"), ("MX.3", "MX.33")),
    Person(("541123450004", "+54 9 11 2345-0004"), ("5491123450004", "541123450004"), (), (), ("1123450004",)),
    # A number that was changed, according to a notice.
    Person(("5511987650005", "551187650005"), ("5511987650005", "551187650005"), ("BR.5",), (), ("5511987650099", "551187650099")),
    Person((), (), ("US.13490006", "US.13490066"), ("US.ENT.6",)),
    Person(("web-9f2c",), ("web-9f2c",)),
    Person((), (), ("US.1|US.2",)),
    Person((), (), ("US.2",)),
]
TYPES = ["text", "text", "text", "text", "button", "reaction", "reaction", "edit", "revoke", "request_welcome", "system", "hologram", None]


@dataclass
class _Hostile:
    """The zone under construction: `plans` are the sends as (message id, person, line, time)."""

    rnd: random.Random
    people: list[Person]
    copies_differ: bool
    moments: int
    plans: list[tuple[str, Person, Line, int]] = field(default_factory=list)

    def moment(self) -> int:
        """Return a time; most are whole multiples of six hours, so that distances of 24 h and 7 days and ties are common."""
        return START + self.rnd.randrange(0, self.moments) * 6 * HOUR + self.rnd.choice([0, 0, 0, 0, 1, -1])

    def person(self) -> Person:
        return self.rnd.choice(self.people)

    def line_of(self, person: Person) -> Line:
        """Return one of a few lines of a person, so that threads have many records."""
        number = self.people.index(person)
        return LINES[(number + self.rnd.choice([0, 0, 0, 1])) % len(LINES)] if self.rnd.random() < 0.9 else self.rnd.choice(LINES)

    def seldom(self, usual: Any, other: Callable[[], Any], share: float) -> Any:
        return other() if self.rnd.random() < share else usual


def hostile_records(
    seed: int, sends: int = 120, more_contacts: int = 0, *, crowds: bool = False, copies_differ: bool = True, moments: int = 60
) -> tuple[list[bytes], list[bytes]]:
    """Return lines of a send log and of webhooks with few people, few times, and many ties and repetitions.

    With `more_contacts` most people appear once or twice, so that a batch leaves most threads unchanged and changes the others mostly
    indirectly: by a quote, a status, a line's number, an identifier. With `crowds` one component has exactly as many identifiers as a
    person may have, and one has more. `moments` are six hours apart: the first and the last of 60 are two weeks apart. Without
    `copies_differ` the copies of a record are equal, so no identifier settles a tie between them.
    """
    rnd = random.Random(seed)
    zone = _Hostile(rnd, [*PEOPLE, *(_one_of_many(number) for number in range(more_contacts))], copies_differ, moments)
    for number in range(sends):
        person = zone.person()
        zone.plans.append((f"wamid.{number:03d}", person, zone.line_of(person), zone.moment()))
    send_lines = [_line(rnd, record) for plan in zone.plans for record in _copies(zone, plan)]
    send_lines += [_line(rnd, record) for record in _sends_of_odd_years()]
    changes = [change for _ in range(sends * 3) for change in _status(zone)]
    changes += [_message(zone, number) for number in range(sends // 2)]
    changes += [change for plan in rnd.sample(zone.plans, sends // 8) for change in _late_answers(zone, plan)]
    changes += [change for number in range(sends // 8) for change in _conversation_without_sends(zone, number)]
    changes += [_echo(zone, number) for number in range(sends // 10)]
    changes += [_notice(zone) for _ in range(sends // 20)]
    changes += [_other_kind(zone) for _ in range(sends // 10)] + [_only_word_about_a_line(rnd)]
    for number in range(len(STORIES)):
        more_sends, more_changes = _story(zone, number)
        send_lines += [_line(rnd, record) for record in more_sends]
        changes += more_changes
    if crowds:
        changes += _crowd(20, "CR") + _crowd(21, "CX")
    rnd.shuffle(changes)
    webhook_lines = []
    while changes:
        count = rnd.choice([1, 1, 2, 4])
        webhook_lines.append(_line(rnd, _body(rnd, changes[:count])))
        changes = changes[count:]
    return _joined(rnd, send_lines) + BAD_SEND_LINES, _joined(rnd, webhook_lines) + BAD_WEBHOOK_LINES


TIDY_HEADER = b"effective_from,currency,market,category,rate"


def hostile_rates(seed: int) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of a tidy rate card, without its header, and those of a card in Meta's format.

    Rates change within the days of the logs and contradict each other; some lines are invalid.
    """
    rnd = random.Random(seed)
    markets = ["BR", "Brazil", "MX", "Argentina", "US", "Rest of Latin America", "rest of  latin-america", "North America", "Atlantis"]
    tidy = [
        b"2026-10-%02d,%s,%s,%s,0.%04d"
        % (
            rnd.randrange(1, 20),
            rnd.choice([b"USD", b"usd", b"$US"]),
            rnd.choice(markets).encode(),
            rnd.choice([b"marketing", b"Utility", b"authentication-international", b"authentication_international"]),
            rnd.randrange(10000),
        )
        for _ in range(40)
    ]
    tidy += [rnd.choice(tidy) for _ in range(5)] + [b"", b",,,,", b"2026-10-04,USD,BR,service,n/a"]
    tidy += [b"2026-10-99,USD,BR,marketing,1", b"2026-10-04,dollars,BR,marketing,1", b"2026-10-04,USD,,marketing,1"]
    tidy += [b"2026-10-04,USD,BR,,1", b"2026-10-04,USD,BR,marketing,six", b"2026-10-04,USD,BR,\xff,1", b"2026-10-04,USD"]
    rnd.shuffle(tidy)
    of_meta = [
        b'"Cost per message in USD, effective October 5, 2026",,,,,,',
        b"Note: other rates hold in India as of November 1, 2026.,,,,,,",
        b",,,,,,",
        b"Market,Currency,Marketing,Utility,Authentication,Authentication-International,Service",
        *(
            b"%s,$US,0.%04d,0.%04d,0.0260,n/a,n/a" % (market, rnd.randrange(10000), rnd.randrange(10000))
            for market in (b"Brazil", b"Mexico", b"Rest of Latin America", b"Other")
        ),
        b"North America,$US,0.0250,unknown,n/a,0.5,n/a",
        b'"Note: taxes are not included, nor is tax of India",,,,,,',
        b"Rates of other currencies: see the other cards",
    ]
    return tidy, of_meta


def _one_of_many(number: int) -> Person:
    """Return a person with a Brazilian number, which is written with and without a 9."""
    long, short = f"552198{number:07d}", f"55218{number:07d}"
    return Person((long, short), (long, short), (f"BR.7{number:04d}",) if number % 3 == 0 else ())


def _line(rnd: random.Random, record: Record) -> bytes:
    """Write a record as JSON; an unpaired surrogate can only be written as an escape."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        return (text if rnd.random() < 0.5 else json.dumps(record)).encode()
    except UnicodeEncodeError:
        return json.dumps(record).encode()


def _joined(rnd: random.Random, lines: list[bytes]) -> list[bytes]:
    """Join some records on one line, as log shippers do."""
    joined: list[bytes] = []
    for line in lines:
        if joined and rnd.random() < 0.15:
            joined[-1] += rnd.choice([b"", b"", b" ", b"\t"]) + line
        else:
            joined.append(line)
    return joined


# The send log


def _copies(zone: _Hostile, plan: tuple[str, Person, Line, int]) -> list[Record]:
    copies = zone.rnd.choice([1, 1, 1, 1, 2])
    return [_send(zone, plan) for _ in range(copies)] if zone.copies_differ else [_send(zone, plan)] * copies


def _send(zone: _Hostile, plan: tuple[str, Person, Line, int]) -> Record:
    rnd, (message_id, person, line, at) = zone.rnd, plan
    at = zone.seldom(at, zone.moment, 0.1)
    person, line = zone.seldom(person, zone.person, 0.005), zone.seldom(line, lambda: rnd.choice(LINES), 0.01)
    record: Record = {
        "message_id": message_id,
        "sent_at": rnd.choice(
            [at, at * 1000, at * 1000 + rnd.choice([0, 1, 700, 999]), at + 0.25, str(at), _iso(at), _iso(at, 3), _iso(at, -3)]
        ),
        "channel_id": rnd.choice([*line.channel_ids, *line.channel_ids, *line.numbers]),
        "contact_id": person.in_send_log(rnd),
        "template_name": rnd.choice(["welcome", "=SUM(A1)", 'say "hi"', '"quoted"', "tab\there", "half \ud83d", "{a}{b}", None, None]),
        "template_language": rnd.choice(["pt_BR", None]),
        "notification_name": rnd.choice(["Black\nFriday", "Black Friday", None, None, ""]),
        "line_number": rnd.choice([*zone.seldom(line, lambda: rnd.choice(LINES), 0.008).numbers, None]),
        "customer_id": rnd.choice(["C-1", "-2+3", 77, None]),
        "agent_groups": rnd.choice(["Sales", "@ops", "\u2028both\u0085lines", "\ude00", ["Sales", "Support"], [], "", None]),
        "chat_link": rnd.choice(["https://example.com/c/1", None]),
    }
    if rnd.random() < 0.5:
        record["customer_created_at"] = _iso(at - rnd.choice([0, 60, 61, 9 * HOUR]))
    if rnd.random() < 0.15:
        record["error"] = rnd.choice(ERRORS)
    return record


ERRORS: list[Record] = [
    {"code": 131026, "title": "Undeliverable", "details": "no\tWhatsApp"},
    {"code": " 777.0"},
    {"code": "", "title": "No code"},
    {"details": "Only details"},
    {
        "message": "(#131049) Held back",
        "type": "OAuthException",
        "code": 131049.0,
        "error_data": {"details": "healthy \ud83d"},
        "fbtrace_id": "X",
    },
    {"message": "Meta's words", "error_data": "in a text"},
    {},
    {"code": "", "title": None, "message": ""},
    {"type": "OAuthException"},
]


def _sends_of_odd_years() -> list[Record]:
    base = {"channel_id": "lab-line-7", "contact_id": "5599988887777", "template_name": "odd"}
    years = ("0001-01-05T00:30:00Z", "0999-06-01T02:00:00Z", "0999-06-02T02:00:00Z", "9998-06-01T02:00:00+03:00")
    return [{**base, "message_id": f"wamid.odd{number}", "sent_at": at} for number, at in enumerate(years)]


def _iso(at: float, offset_hours: int = 0) -> str:
    zone = timezone(timedelta(hours=offset_hours)) if offset_hours else UTC
    return datetime.fromtimestamp(at, zone).isoformat()


# Changes of webhooks: (field, value)

Change = tuple[str | None, Record]


def _change(zone: _Hostile, line: Line, kind: str, item: Record, contacts: list[Record]) -> Change:
    """Wrap a status, message or echo in the structure of one of the fields that are read."""
    rnd = zone.rnd
    lists: Record = {kind: [item]}
    if contacts:
        lists["contacts"] = contacts
    if kind == "message_echoes":
        field_ = rnd.choice(["smb_message_echoes", "standby"])
    else:
        field_ = rnd.choice(["messages", "messages", "messages", "messages", None, "standby"])
    metadata = zone.seldom(line, lambda: rnd.choice(LINES), 0.005).metadata(rnd)
    return field_, {"metadata": metadata, **({"standby": lists} if field_ == "standby" else lists)}


def _contact(rnd: random.Random, person: Person) -> Record:
    """Return an element of `contacts[]` with some of a person's identifiers."""
    contact: Record = {"profile": {"name": rnd.choice(["Ana", "Ana \ud83d", "Zé 🌵"])}}
    for name, choices in (("wa_id", person.numbers), ("user_id", person.user_ids), ("parent_user_id", person.parents)):
        if choices and rnd.random() < 0.7:
            contact[name] = rnd.choice(choices)
    return contact


def _contacts(zone: _Hostile, person: Person) -> list[Record]:
    """Return usually no contacts or only the person's, and sometimes others too, in any order."""
    contacts = [_contact(zone.rnd, person)] if zone.rnd.random() < 0.4 else []
    if contacts and zone.rnd.random() < 0.1:
        contacts.insert(zone.rnd.randrange(2), _contact(zone.rnd, zone.person()))
    return contacts


def _status(zone: _Hostile) -> list[Change]:
    """Return a status of a send; some are repeated with the same time and possibly other values."""
    rnd = zone.rnd
    message_id, person, line, _ = zone.rnd.choice([*zone.plans, ("wamid.elsewhere", zone.person(), rnd.choice(LINES), 0)])
    person = zone.seldom(person, zone.person, 0.004)
    at = zone.moment()
    status: Record = {
        "id": message_id,
        "status": rnd.choice(["sent", "delivered", "read", "played", "failed", "failed", "deleted", "never_seen"]),
        "timestamp": rnd.choice([str(at), at]),
    }
    recipients = (
        ("recipient_id", (*person.numbers, *person.unruly[-1:]), 0.8),
        ("recipient_user_id", person.user_ids, 0.4),
        ("recipient_parent_user_id", person.parents, 0.3),
    )
    status |= {name: rnd.choice(choices) for name, choices, share in recipients if choices and rnd.random() < share}
    if status["status"] == "failed":
        status["errors"] = rnd.choice(STATUS_ERRORS) if zone.copies_differ else STATUS_ERRORS[sum(message_id.encode()) % len(STATUS_ERRORS)]
    if rnd.random() < 0.6:
        status["pricing"] = rnd.choice(PRICINGS) if zone.copies_differ else PRICINGS[at // HOUR % len(PRICINGS)]
    kind = rnd.random()
    if kind < 0.05:
        status |= {"type": "payment", "payment": {"reference_id": "order-1"}}
    elif kind < 0.1:
        # A group has its own id and many participants.
        others = zone.person()
        status |= {"recipient_type": "group", "recipient_id": "HBgGROUP0001"}
        status |= {"recipient_participant_id": others.numbers[0]} if others.numbers else {}
    changes = [_change(zone, line, "statuses", status, _contacts(zone, person))]
    if "errors" in status and rnd.random() < 0.3:
        errors = rnd.choice(STATUS_ERRORS) if zone.copies_differ else status["errors"]
        changes.append(_change(zone, line, "statuses", {**status, "errors": errors}, []))
    return changes


PRICINGS: list[Record] = [
    {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"},
    {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"},
    {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "authentication_international"},
    {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "authentication-international"},
    {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "UTILITY"},
    {"billable": True, "pricing_model": "PMP", "type": "regular"},
    {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"},
    {"billable": False, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"},
    # Before July 2025 there were no pricing types.
    {"billable": True, "pricing_model": "CBP", "category": "utility"},
    {"type": "freely"},
    {},
]
STATUS_ERRORS: list[list[Record]] = [
    [{"code": 131049, "title": "Held back", "message": "held", "error_data": {"details": "healthy ecosystem"}}],
    [{"code": 999999.0, "title": "New"}],
    [{"code": "", "title": "No code"}],
    [{"code": 130472, "title": "Experiment", "message": "+experiment", "error_data": "in a text"}],
    [],
]


def _message(zone: _Hostile, number: int) -> Change:
    """Return an inbound message; copies of one may differ in everything except the kind of chat."""
    rnd, person = zone.rnd, zone.person()
    line, at = zone.line_of(person), zone.moment()
    copy_of = rnd.choice([number, number, number // 2]) if zone.copies_differ else number
    quoted = rnd.random() < 0.5
    own = [plan for plan in zone.plans if plan[1] is person]
    named, at_of_named = None, None
    if quoted and own and rnd.random() < 0.9:
        named, _, line_of_named, at_of_named = rnd.choice(own)
        line = zone.seldom(line_of_named, lambda: rnd.choice(LINES), 0.1)
    elif quoted:
        named = zone.seldom("wamid.elsewhere", lambda: rnd.choice(zone.plans)[0], 0.1)
    if at_of_named is not None and rnd.random() < 0.6:
        # Clocks differ: a quote may come seconds before its send, or in the same second.
        at = at_of_named + rnd.choice([-3, -2, -1, 0, 0, 1, 60, HOUR, DAY, DAY + 1, 7 * DAY, 7 * DAY + 1, 30 * DAY])
    message: Record = {
        "id": zone.seldom(f"in.{copy_of:03d}", lambda: rnd.choice(zone.plans)[0], 0.03),
        "timestamp": rnd.choice([str(at), at]),
    }
    message["type"] = rnd.choice(TYPES)
    if message["type"] == "reaction":
        message["reaction"] = {"message_id": named or f"in.{number // 3:03d}"} | rnd.choice(
            [{"emoji": "👍"}, {"emoji": "👍"}, {"emoji": ""}, {}]
        )
        if rnd.random() < 0.1:
            message["context"] = {"id": rnd.choice(own or zone.plans)[0]}
    elif named:
        message["context"] = {"id": named}
    if message["type"] == "system" and person.unruly and person.numbers:
        message["system"] = {"type": "user_changed_number", "wa_id": person.unruly[0]}
    if rnd.random() < (0.7 if message["type"] == "request_welcome" else 0.4):
        message["referral"] = rnd.choice([{"source_type": source, "source_id": "1"} for source in ("ad", "post", "unknown")] + [{}])
    if copy_of % 9 == 4:
        message["group_id"] = "HBgGROUP0001"
    contacts = _contacts(zone, person)
    message |= _sender(rnd, person, has_one_contact=len(contacts) == 1 and len(contacts[0]) > 1)
    return _change(zone, line, "messages", message, contacts)


NOT_SHOWN: Record = {"type": "unsupported", "errors": [{"code": 131060, "title": "This message is unavailable"}]}


def _conversation_without_sends(zone: _Hostile, number: int) -> list[Change]:
    """Return one person's messages to one line; WhatsApp does not show some of them, and some have a referral from an advertisement."""
    rnd, line, at = zone.rnd, zone.rnd.choice(LINES), zone.moment()
    changes = []
    for place in range(rnd.choice([2, 2, 3, 4])):
        message: Record = {"id": f"alone.{number:02d}.{place}", "from": f"553196{number:07d}", "timestamp": str(at), "type": "text"}
        message |= rnd.choice([NOT_SHOWN, NOT_SHOWN, {"type": "unsupported", "errors": [{"code": 131051}]}, {}])
        if rnd.random() < (0.1 if message["type"] == "unsupported" else 0.7):
            message["referral"] = {"source_type": rnd.choice(["ad", "post"])}
        changes.append(_change(zone, line, "messages", message, []))
        at += rnd.choice([0, 1, 3, DAY, DAY + 1])
    return changes


def _sender(rnd: random.Random, person: Person, *, has_one_contact: bool = False) -> Record:
    """Identify the sender by its number, its user ids, or all of them, or leave that to the only contact."""
    if has_one_contact and rnd.random() < 0.2:
        return {}
    sender: Record = {}
    names = (("from", person.numbers), (rnd.choice(["from_user_id", "user_id"]), person.user_ids), ("from_parent_user_id", person.parents))
    while not sender:
        sender = {name: rnd.choice(choices) for name, choices in names if choices and rnd.random() < 0.6}
    return sender


def _late_answers(zone: _Hostile, plan: tuple[str, Person, Line, int]) -> list[Change]:
    """Return answers without a quote at the edges of the windows, some in the same second as the send."""
    message_id, person, line, at = plan
    distances = zone.rnd.sample([0, 0, 1, DAY, DAY + 1, 25 * HOUR, 7 * DAY, 7 * DAY + 1], 2)
    return [
        _change(
            zone,
            line,
            "messages",
            {"id": f"late.{message_id}.{number}", "timestamp": str(at + distance), "type": "text", **_sender(zone.rnd, person)},
            [],
        )
        for number, distance in enumerate(distances)
    ]


def _echo(zone: _Hostile, number: int) -> Change:
    """Return a message that the business wrote on its phone; some echo a send of the log, some are in a group."""
    rnd, person = zone.rnd, zone.person()
    line, at = zone.line_of(person), zone.moment()
    copy_of = rnd.choice([number, number, number // 2]) if zone.copies_differ else number
    id_, to = f"echo.{copy_of:03d}", {"to": rnd.choice([*person.numbers, *person.user_ids])}
    if rnd.random() < 0.3:
        id_, person, line, at = rnd.choice(zone.plans)
        to = {"to": rnd.choice([*person.numbers, *person.user_ids])}
    if person.user_ids and rnd.random() < 0.2:
        to = {"to_user_id": rnd.choice(person.user_ids)}
    if rnd.random() < 0.1:
        to["group_id"] = "HBgGROUP0001"
    echo: Record = {"id": id_, "timestamp": (str(at), at, float(at))[number % 3]}
    content = {**to, "type": "text"}
    echo |= {"message": content} if rnd.random() < 0.4 else content
    echo |= {"from": rnd.choice(line.numbers)} if line.numbers else {}
    field_, value = _change(zone, line, "message_echoes", echo, [])
    if line.numbers and rnd.random() < 0.2:
        del value["metadata"]
    return field_, value


def _notice(zone: _Hostile) -> Change:
    """Return a WhatsApp notice about a changed number or user id."""
    rnd = zone.rnd
    person = rnd.choice([person for person in PEOPLE if person.unruly or len(person.user_ids) > 1])
    numbers, user_ids = (*person.numbers, *person.unruly), person.user_ids
    if len(user_ids) > 1 and rnd.random() < 0.5:
        update: Record = {"user_id": {"previous": user_ids[0], "current": user_ids[-1]}}
        update |= {"wa_id": numbers[0]} if numbers and rnd.random() < 0.5 else {}
        return "user_id_update", {"user_id_update": [update]}
    if len(user_ids) > 1:
        system: Record = {"type": "user_changed_user_id", "user_id": user_ids[-1]} | ({"wa_id": numbers[0]} if numbers else {})
        message = {"from_user_id": user_ids[0], "system": system}
    else:
        system = {"type": "user_changed_number", rnd.choice(["wa_id", "new_wa_id"]): rnd.choice(person.unruly)}
        message = {"from": rnd.choice(person.numbers), "system": system}
    message |= {"id": f"notice.{rnd.randrange(1000)}", "timestamp": str(zone.moment()), "type": "system"}
    return _change(zone, zone.line_of(person), "messages", message, [])


def _other_kind(zone: _Hostile) -> Change:
    """Return a change with a field that the report does not use, sometimes with messages in it, or an empty change."""
    rnd, person = zone.rnd, zone.person()
    message = {"id": "wamid.000", "timestamp": str(zone.moment()), "type": "text", **_sender(rnd, person)}
    return rnd.choice(
        [
            ("account_update", {"event": "VERIFIED_ACCOUNT"}),
            ("history", {"metadata": LINES[0].metadata(rnd), "messages": [message], "contacts": [_contact(rnd, person)]}),
            ("history", {"history": [{"threads": [{"id": "5511987650001", "messages": [message]}]}]}),
            ("group_participants_update", {"groups": [{"group_id": "HBgGROUP0001"}]}),
            ("user_preferences", {"user_preferences": [{"wa_id": "5511987650001", "value": "stop"}]}),
            ("calls", {"metadata": LINES[1].metadata(rnd), "statuses": [{"id": "wacid.1", "status": "RINGING"}]}),
            ("messages", {"metadata": LINES[0].metadata(rnd), "errors": [{"code": 130429}]}),
            ("standby", {"metadata": LINES[0].metadata(rnd), "standby": {}}),
            ("smb_message_echoes", {"metadata": LINES[0].metadata(rnd), "message_echoes": []}),
        ]
    )


def _only_word_about_a_line(rnd: random.Random) -> Change:
    metadata = {"phone_number_id": "lab-line-8", "display_phone_number": "+54 11 6000-0"}
    of_payment = {"id": "wamid.elsewhere", "status": "captured", "type": "payment", "timestamp": str(START)}
    return rnd.choice([("history", {"metadata": metadata}), ("messages", {"metadata": metadata, "statuses": [of_payment]})])


# Stories about one person each, in which a single record decides the result


@dataclass(frozen=True)
class _Story:
    """A send to `one` and an answer from `other` an hour later; a webhook between them may link the two as one person.

    `status`, `message`, `contacts` and `update` are the contents of that webhook; `other_field` is the field of its change.
    """

    other: str
    status: Record | None = None
    message: Record | None = None
    contacts: tuple[Record, ...] = ()
    update: Record | None = None
    is_echo: bool = False
    other_field: str | None = None
    # Further fields of the send and of the answer.
    send: Record = field(default_factory=dict)
    answer: Record = field(default_factory=dict)
    after: int = HOUR


# Placeholders: ONE, BRIEF, TWO, USER and PARENT are the person's number, its short spelling, another number and user ids.
STORIES = [
    _Story("ONE"),
    _Story("BRIEF"),
    _Story("TWO"),
    _Story("TWO", status={"recipient_id": "TWO"}),
    _Story("USER", status={"recipient_user_id": "USER"}),
    _Story("PARENT", status={"recipient_parent_user_id": "PARENT"}),
    _Story("USER", status={"recipient_id": "BRIEF", "recipient_user_id": "USER", "id": "wamid.elsewhere", "status": "never_seen"}),
    _Story("USER", message={"from": "ONE", "from_user_id": "USER"}),
    _Story("USER", message={"from": "BRIEF", "user_id": "USER"}),
    _Story("PARENT", message={"from": "ONE", "from_parent_user_id": "PARENT"}),
    _Story("USER", contacts=({"wa_id": "TWO"}, {"wa_id": "BRIEF", "user_id": "USER"})),
    _Story("PARENT", contacts=({"wa_id": "ONE", "user_id": "USER"}, {"parent_user_id": "PARENT", "user_id": "USER"})),
    _Story("TWO", message={"from": "TWO", "context": {"id": "SEND"}}),
    _Story("TWO", message={"from": "TWO", "context": {"id": "SEND"}, "type": "edit"}),
    _Story("TWO", message={"from": "TWO", "type": "reaction", "reaction": {"message_id": "SEND", "emoji": "👍"}}),
    _Story("TWO", message={"from": "TWO", "type": "reaction", "reaction": {"message_id": "SEND"}}),
    _Story("TWO", message={"from": "ONE", "type": "system", "system": {"type": "user_changed_number", "wa_id": "TWO"}}),
    _Story("TWO", message={"from": "BRIEF", "type": "system", "system": {"type": "user_changed_number", "new_wa_id": "TWO"}}),
    _Story("USER", message={"from": "ONE", "type": "system", "system": {"type": "user_changed_user_id", "user_id": "USER"}}),
    _Story("USER", update={"wa_id": "ONE", "user_id": {"previous": "PARENT", "current": "USER"}}),
    _Story("TWO", is_echo=True, status={"recipient_id": "TWO"}),
    _Story("TWO", is_echo=True, message={"from": "TWO", "context": {"id": "SEND"}}),
    # These are no evidence.
    _Story("USER", status={"recipient_user_id": "USER", "type": "payment"}),
    _Story("USER", status={"recipient_user_id": "USER", "recipient_type": "group"}),
    _Story("TWO", status={"recipient_id": "TWO", "recipient_participant_id": "ONE"}),
    _Story("USER", message={"from": "ONE", "from_user_id": "USER", "group_id": "HBgGROUP0001"}),
    _Story("TWO", message={"from": "TWO", "context": {"id": "SEND"}, "group_id": "HBgGROUP0001"}),
    _Story("TWO", message={"from": "TWO", "context": {"id": "SEND"}, "type": "reaction"}),
    _Story("TWO", message={"from": "TWO", "context": {"id": "SEND"}, "id": "SEND"}),
    _Story("TWO", message={"from": "ONE", "type": "system", "system": {"type": "another_notice", "wa_id": "TWO"}}),
    _Story("USER", contacts=({"wa_id": "ONE"}, {"user_id": "USER"})),
    _Story("USER", contacts=({"wa_id": "ONE", "user_id": "USER"},), other_field="history"),
    # A landline; the number with an added 9 is a different one.
    _Story("5531952345678", send={"contact_id": "553152345678"}),
    # Addresses without a number: two people, not one with an empty identifier.
    _Story("ONE", send={"contact_id": "@c.us"}),
    _Story("ONE", send={"contact_id": "whatsapp:"}),
    # The order within a second, with nothing else in the thread.
    _Story("ONE", after=0),
    _Story("ONE", after=0, send={"template_name": None}),
    _Story("ONE", after=0, send={"template_name": None}, answer={"context": {"id": "SEND"}}),
    _Story("BRIEF", after=-2, answer={"context": {"id": "SEND"}}),
    _Story("BRIEF", after=-2),
    _Story("ONE", after=0, is_echo=True),
    _Story("BRIEF", after=0, is_echo=True, answer={"context": {"id": "SEND"}}),
    _Story("ONE", after=DAY, answer={"type": "request_welcome"}),
    _Story("ONE", after=7 * DAY),
    _Story("ONE", after=7 * DAY + 1),
]


def _story(zone: _Hostile, number: int) -> tuple[list[Record], list[Change]]:
    story, rnd, line, at = STORIES[number], zone.rnd, zone.rnd.choice(LINES), zone.moment()
    between = at + rnd.choice([-40 * DAY, -40 * DAY, HOUR // 2])
    id_ = f"story.{number:02d}"

    def named(record: Record) -> Record:
        """Replace the placeholders with this person's identifiers and its send."""
        names = {"ONE": f"553198{number:07d}", "BRIEF": f"55318{number:07d}", "TWO": f"44770{number:07d}"}
        names |= {"USER": f"GB.{number:05d}", "PARENT": f"GB.ENT.{number:05d}", "SEND": id_}
        text = json.dumps(record)
        for name, value in names.items():
            text = text.replace(f'"{name}"', f'"{value}"')
        return json.loads(text)

    sends, changes = [], []
    if story.is_echo:
        echo = named({"id": id_, "timestamp": str(at), "to": "ONE", "type": "text"})
        changes.append(_change(zone, line, "message_echoes", echo, []))
    else:
        send: Record = {"message_id": id_, "sent_at": at + rnd.choice([0, 0, 0.5]), "template_name": "story"}
        sends.append(named(send | {"channel_id": rnd.choice(line.channel_ids), "contact_id": "ONE"} | story.send))
    if story.status:
        status = {"id": id_, "status": "delivered", "timestamp": str(between)} | story.status
        changes.append(_change(zone, line, "statuses", named(status), []))
    if story.message:
        message = {"id": f"{id_}.between", "timestamp": str(between), "type": "text"} | story.message
        changes.append(_change(zone, line, "messages", named(message), []))
    if story.contacts:
        contacts = [named(contact) for contact in story.contacts]
        field_, value = _change(zone, line, "messages", {}, contacts)
        (value.get("standby") or value)["messages"] = []
        changes.append((story.other_field or field_, value))
    if story.update:
        changes.append(("user_id_update", {"user_id_update": [named(story.update)]}))
    name = "from_user_id" if story.other == "USER" else "from_parent_user_id" if story.other == "PARENT" else "from"
    answer = {"id": f"{id_}.answer", "timestamp": str(at + story.after), "type": "text", name: story.other} | story.answer
    changes.append(_change(zone, line, "messages", named(answer), []))
    return sends, changes


def _crowd(size: int, prefix: str) -> list[Change]:
    """Return changes that link a number to many user ids in a chain, `size` identifiers in total; each of them writes a message."""
    number = f"4470000000{size}"
    user_ids = [f"{prefix}.{index:02d}" for index in range(1, size)]
    changes: list[Change] = []
    for index, user_id in enumerate(user_ids):
        contact = {"wa_id": number, "user_id": user_id} if index == 0 else {"user_id": user_id, "parent_user_id": user_ids[index - 1]}
        message = {"id": f"in.{user_id}", "timestamp": str(START + index * HOUR), "type": "text", "from_user_id": user_id}
        value = {"metadata": {"phone_number_id": "108234567890101"}, "contacts": [contact], "messages": [message]}
        changes.append(("messages", value))
    return changes


def _body(rnd: random.Random, changes: list[Change]) -> Record:
    posted = [{"value": value} if field_ is None else {"field": field_, "value": value} for field_, value in changes]
    half = rnd.randrange(len(posted) + 1)
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": posted[:half]}, {"id": "2", "changes": posted[half:]}],
    }


_GOOD: Record = {"message_id": "wamid.bad", "sent_at": START, "channel_id": "c", "contact_id": "5511"}
BAD_SEND_LINES = [
    b'{"message_id": "wamid.cut',
    b"\xff\xfe not text",
    b"[1, 2]",
    b"null",
    json.dumps({**_GOOD, "message_id": 5}).encode(),
    json.dumps({**_GOOD, "contact_id": ["5511"]}).encode(),
    json.dumps({**_GOOD, "contact_id": " "}).encode(),
    json.dumps({**_GOOD, "sent_at": "2026-10-03 10:00:00"}).encode(),
    json.dumps({**_GOOD, "sent_at": "2026-10-03"}).encode(),
    json.dumps({**_GOOD, "sent_at": True}).encode(),
    json.dumps({**_GOOD, "template_name": {"name": "x"}}).encode(),
    json.dumps({**_GOOD, "error": "refused"}).encode(),
    json.dumps({**_GOOD, "customer_created_at": "long ago"}).encode(),
    json.dumps({name: value for name, value in _GOOD.items() if name != "channel_id"}).encode(),
    json.dumps(_GOOD).encode()[:-1] + b",}",
    json.dumps({**_GOOD, "note": float("nan")}).encode(),
    json.dumps(_GOOD).encode()[:-1] + b', "note": 1e400}',
    # A whole record followed by a truncated one on the same line.
    json.dumps({**_GOOD, "message_id": "wamid.before_the_cut"}).encode() + b'{"message_id": "wamid.cut',
]
_READ_AT_LAST = {"metadata": {"phone_number_id": "lab-line-7"}, "statuses": [{"id": "wamid.001", "status": "read", "timestamp": 1e15}]}
_ECHO_TO_NOWHERE = {"metadata": {"phone_number_id": "lab-line-7"}, "message_echoes": [{"id": "echo.bad", "timestamp": "1791000000"}]}
BAD_WEBHOOK_LINES = [
    b"oops",
    b'{"object": "whatsapp_business_account"}',
    b'{"object": "whatsapp_business_account", "entry": {"changes": []}}',
    b'{"object": "x", "entry": [{"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "lab-line-7"}, '
    b'"statuses": [{"id": "wamid.001", "status": "read"}, {"id": "wamid.002", "status": "read", "timestamp": "1791100000"}]}}]}]}',
    json.dumps({"entry": [{"changes": [{"field": "messages", "value": _READ_AT_LAST}]}]}).encode(),
    b'{"entry": [], "note": -Infinity}',
    b'{"entry": [], "note": [-1e400]}',
    json.dumps({"entry": [{"changes": [{"field": "smb_message_echoes", "value": _ECHO_TO_NOWHERE}]}]}).encode(),
    b'{"entry": []}{"entry": [{"changes": [',
]


def write_files(folder: Path, feed: str, name: str, lines: list[bytes], ending: bytes = b"\n") -> Path:
    path = folder / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ending.join(lines) + ending)
    return path
