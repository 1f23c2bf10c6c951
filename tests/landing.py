"""A warehouse in memory with its own landing zone, and records to land in it."""

import json
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import duckdb

from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, SENDS, WEBHOOKS, Feed
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.zone import LandingZone

Record = dict[str, Any]
LINE = {"phone_number_id": "108", "display_phone_number": "+55 11 4002-8922"}
NUMBER, USER_ID, PARENT = "5511987650001", "BR.1349", "BR.ENT.77"
SEND: Record = {"message_id": "wamid.1", "sent_at": 1_793_707_200, "channel_id": "108", "contact_id": NUMBER}


class Landing:
    """An in-memory warehouse with its own landing zone. `land` returns the rejected records as (line, reason)."""

    def __init__(self, folder: Path) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")
        self.folder = folder
        self._names = (f"{number}.jsonl" for number in count())
        self.report = LandingReport("")

    def land(self, feed: Feed, *records: Record | bytes, erased: ErasedPeople | None = None) -> list[tuple[int, str]]:
        path = self.folder / feed.name / next(self._names)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(record if isinstance(record, bytes) else json.dumps(record).encode() for record in records))
        self.report = land_feed(self.connection, LandingZone(str(self.folder), FEED_NAMES), feed, erased)
        return self.connection.execute(
            "select line_number, reason from raw.rejected_records where file_name = $name order by all",
            {"name": f"{feed.name}/{path.name}"},
        ).fetchall()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(f"select {', '.join(columns)} from raw.{table} order by all").fetchall()

    def kinds(self) -> list[str]:
        return [kind for (kind,) in self.rows("webhook_other_kinds", "kind")]


def change(field: Any = "messages", **value: Any) -> Record:
    return {"field": field, "value": {"metadata": LINE} | value}


def body(*changes: Any) -> Record:
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": list(changes)}]}


def status(**fields: Any) -> Record:
    return {"id": "wamid.1", "status": "delivered", "timestamp": "1793707204", "recipient_id": NUMBER} | fields


def message(**fields: Any) -> Record:
    return {"id": "wamid.in", "type": "text", "timestamp": "1793707300", "from": NUMBER} | fields


def echo(**fields: Any) -> Record:
    return {"id": "wamid.echo", "type": "text", "timestamp": "1793707100", "from": "551140028922", "to": NUMBER} | fields


class Evidence(NamedTuple):
    """A record of a feed, its row's key, and the identifiers and message ids (as `to:<id>`) that it links to one person."""

    feed: Feed
    record: Record
    key: str
    names: tuple[str, ...]


def random_evidence(random: Random) -> Evidence:
    people = [f"551190000{n:04}" for n in range(8)] + [f"BR.{n}" for n in range(8)]
    person, other = random.sample(people, 2)
    # A log has one row per message; records that refer to messages may have landed without the send.
    id_, key = f"wamid.{random.randrange(12)}", f"{random.randrange(10**9)}"
    match random.choice(["send", "status", "answer", "reaction", "echo", "notice"]):
        case "send":
            return Evidence(SENDS, SEND | {"message_id": id_, "contact_id": person}, id_, (person, f"to:{id_}"))
        case "status":
            item = status(id=id_, status=key, recipient_id=person)
            return Evidence(WEBHOOKS, body(change(statuses=[item])), key, (person, f"to:{id_}"))
        case "echo":
            return Evidence(WEBHOOKS, body(change("smb_message_echoes", message_echoes=[echo(id=key, to=person)])), key, (person,))
        case "notice":
            item = {"wa_id": person, "user_id": other, "timestamp": key}
            return Evidence(WEBHOOKS, body(change("user_id_update", user_id_update=[item])), f"{person} {other}", (person, other))
        case kind:
            quote = {"context": {"id": id_}} if kind == "answer" else {"reaction": {"message_id": id_, "emoji": "+"}}
            item = message(**{"id": key, "from": person} | quote)
            return Evidence(WEBHOOKS, body(change(messages=[item])), key, (person, f"to:{id_}"))


def everything_of(person: str, records: list[Evidence]) -> set[str]:
    """Return everything that the records link to a person, directly or through other records."""
    connected, before = {person}, set()
    while connected != before:
        before = set(connected)
        connected.update(*(names for *_, names in records if not connected.isdisjoint(names)))
    return connected
