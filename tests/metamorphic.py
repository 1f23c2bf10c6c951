"""Changes to a landing zone that must not change its results, except `contact_id` (contract, sections 2.1 and 4).

A zone here is a dictionary from feed to lines. The functions change contacts only in records that are JSON.
"""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.data.hostile_botmaker import hostile_items
from tests.data.hostile_logs import hostile_records, write_files
from tests.reference.botmaker import session_key
from tests.reference.contract import RejectedError, as_object, identifier
from tests.reference.json_values import parse_value, split_values
from tests.reference.people import compared

Lines = dict[str, list[bytes]]
Place = tuple[dict[str, Any], str]


def hostile_zone(seed: int, *, copies_differ: bool = True) -> Lines:
    """Return hostile logs and Botmaker records; without `copies_differ`, no identifier settles a tie between copies."""
    sends, webhooks = hostile_records(seed, copies_differ=copies_differ)
    records = hostile_items(seed)
    sessions = [item for item in records.sessions if isinstance(item, dict)]
    if not copies_differ:
        sessions = list({session_key(str(item.get("id"))): item for item in sessions}.values())
    items = {"botmaker/sessions": sessions, "botmaker/sent_results": records.results, "botmaker/channels": records.channels}
    of_botmaker = {
        feed: [item if isinstance(item, bytes) else json.dumps(item).encode() for item in of_feed] for feed, of_feed in items.items()
    }
    return {"sends": sends, "webhooks": webhooks, **of_botmaker}


def respelled(zone: Lines, rnd: random.Random, share: float) -> Lines:
    """Rewrite a share of the contacts' numbers in another spelling of the same number."""

    def change(place: Place, feed: str) -> None:
        container, name = place
        if rnd.random() < share:
            container[name] = _another_spelling(container[name], rnd, has_addresses=feed == "sends")

    return _changed(zone, change)


def with_user_ids(zone: Lines, rnd: random.Random, share: float) -> Lines:
    """Replace a share of the contacts' numbers with user ids, and add webhooks that link these ids to the numbers."""
    numbers: set[str] = set()

    def change(place: Place, feed: str) -> None:
        container, name = place
        number = identifier(container[name])
        user_id_name = _USER_ID_OF.get(name, name)
        # A second user id would take precedence over `user_id`, which counts only if it is the only one.
        has_user_id = user_id_name != name and (container.get(user_id_name) or container.get("user_id"))
        if rnd.random() < share and re.fullmatch("[0-9]+", number) and not has_user_id:
            numbers.add(compared(number))
            del container[name]
            container[user_id_name] = _user_id(number)

    changed = _changed(zone, change)
    evidence = [{"contacts": [{"wa_id": number, "user_id": _user_id(number)}]} for number in sorted(numbers)]
    bodies = [{"entry": [{"changes": [{"field": "messages", "value": value}]}]} for value in evidence]
    changed["webhooks"] = changed.get("webhooks", []) + [json.dumps(body).encode() for body in bodies]
    return changed


def permuted(zone: Lines, rnd: random.Random) -> Lines:
    """Shuffle the lines of every feed, and repeat a fifth of them."""
    return {feed: _shuffled(rnd, lines + rnd.sample(lines, len(lines) // 5)) for feed, lines in zone.items()}


def write_zone(folder: Path, zone: Lines, rnd: random.Random | None = None) -> None:
    """Write each feed as one file; with `rnd`, as several files of different forms, some of them twice."""
    for feed, lines in zone.items():
        parts = 1 if rnd is None else rnd.choice([1, 2, 3, 5])
        for number in range(parts):
            path = write_files(folder, feed, f"{number}.jsonl", lines[number::parts])
            if rnd and rnd.random() < 0.3:
                path.with_name(f"again-{number}.ndjson").write_bytes(path.read_bytes())
            if rnd and rnd.random() < 0.3:
                content = path.read_bytes()
                path.unlink()
                path.with_name(f"{number}.jsonl.gz").write_bytes(gzip.compress(content[:0], mtime=0) + gzip.compress(content, mtime=0))


_USER_ID_OF = {"from": "from_user_id", "recipient_id": "recipient_user_id", "wa_id": "user_id", "to": "to_user_id", "contactId": "userId"}


def _user_id(number: str) -> str:
    return f"ZZ.{compared(number)}"


def _another_spelling(text: str, rnd: random.Random, *, has_addresses: bool) -> str:
    number = identifier(text)
    if not re.fullmatch("[0-9]+", number):
        return text
    whole = compared(number)
    spellings = [whole]
    if re.fullmatch("55[0-9]{2}9[6-9][0-9]{7}", whole):
        spellings.append(whole[:4] + whole[5:])
    if re.fullmatch("549[0-9]{10}", whole):
        spellings.append("54" + whole[3:])
    if re.fullmatch("52[0-9]{10}", whole):
        spellings.append("521" + whole[2:])
    spelling = rnd.choice(spellings)
    return rnd.choice([spelling, f"+{spelling}", f"{spelling}@s.whatsapp.net", f"whatsapp:+{spelling}"]) if has_addresses else spelling


def _changed(zone: Lines, change: Callable[[Place, str], None]) -> Lines:
    """Apply a change to every place of a contact in a copy of the zone."""
    changed: Lines = {}
    for feed, lines in zone.items():
        changed[feed] = []
        for line in lines:
            pieces = []
            for piece in split_values(line):
                try:
                    record = parse_value(piece)
                except RejectedError:
                    pieces.append(piece)
                    continue
                for place in list(_contacts(record, feed)):
                    change(place, feed)
                pieces.append(json.dumps(record).encode())
            changed[feed].append(b"".join(pieces))
    return changed


def _contacts(record: Any, feed: str) -> Iterator[Place]:
    """Yield the places in a record that identify a contact by number."""
    if feed == "sends":
        yield from _texts(record, "contact_id")
    elif feed == "botmaker/sessions":
        yield from _texts(as_object(as_object(record).get("chat")).get("chat"), "contactId")
    elif feed == "webhooks":
        for entry in _list(record, "entry"):
            for posted in _list(entry, "changes"):
                value = as_object(posted.get("value"))
                yield from _in_webhook({**value, **as_object(value.get("standby"))})


def _in_webhook(value: dict[str, Any]) -> Iterator[Place]:
    for status in _list(value, "statuses"):
        yield from _texts(status, "recipient_id")
    for contact in _list(value, "contacts"):
        yield from _texts(contact, "wa_id")
    for message in _list(value, "messages"):
        yield from _texts(message, "from")
    for echo in _list(value, "message_echoes"):
        yield from _texts(echo, "to")
        yield from _texts(echo.get("message"), "to")


def _texts(container: Any, *names: str) -> Iterator[Place]:
    for name in names:
        if isinstance(as_object(container).get(name), str):
            yield container, name


def _list(container: Any, name: str) -> list[dict[str, Any]]:
    elements = as_object(container).get(name)
    return [element for element in elements if isinstance(element, dict)] if isinstance(elements, list) else []


def _shuffled(rnd: random.Random, lines: list[bytes]) -> list[bytes]:
    return rnd.sample(lines, len(lines))
