"""A landing zone in batches: the bundled logs and hostile records side by side."""

import json
import random
import shutil
from pathlib import Path

from orchestration.settings import SAMPLE_LOGS
from tests.data.hostile_botmaker import hostile_items, write_items
from tests.data.hostile_logs import hostile_records, write_files

_SEED = 7
_BATCHES = 2


def write_batch(landing: Path, number: int) -> None:
    """Add batch 0 or 1. The second has late and repeated records, and a known content under another name."""
    rnd = random.Random(_SEED + number)
    for feed in ("sends", "webhooks"):
        files = sorted(path for path in (SAMPLE_LOGS / feed).iterdir() if path.is_file())
        # The first batch lacks some days in between, so later data falls between and before known data.
        for path in files:
            of_second = files.index(path) % 5 == 3
            if of_second == bool(number):
                _copy(path, landing / feed)
    for path in (SAMPLE_LOGS / "rates").iterdir():
        _copy(path, landing / "rates")
    sends, webhooks = hostile_records(_SEED, more_contacts=40, crowds=True)
    for feed, lines in (("sends", sends), ("webhooks", webhooks)):
        again = rnd.sample(lines, len(lines) // 10) if number else []
        write_files(landing, feed, _hostile_name(number), lines[number::_BATCHES] + again)
    items = hostile_items(_SEED)
    for feed, records in (("sessions", items.sessions), ("sent_results", items.results), ("channels", items.channels)):
        write_items(landing, feed, f"{number}", records[number::_BATCHES], rnd)
    if number:
        shutil.copy(landing / "sends" / _hostile_name(0), landing / "sends" / "hostile-0-again.jsonl")


def write_late_links(landing: Path, number: str, noticed: str, named: str, answering: str) -> None:
    """Add sends to two user ids, and later records that link these ids to the person with a number.

    A notice links the first id; a status with the number links the contact of its send, the second id. A third user id quotes that send.
    """
    send = {"sent_at": 1_793_707_200, "channel_id": "1", "template_name": "t"}
    sends = [send | {"message_id": "wamid.late", "contact_id": noticed}, send | {"message_id": "wamid.named", "contact_id": named}]
    answer = {"id": "wamid.answer", "from": answering, "type": "text", "timestamp": "1793707300", "context": {"id": "wamid.named"}}
    status = {"id": "wamid.named", "status": "sent", "timestamp": "1793707201", "recipient_id": number}
    changes = [
        {"field": "messages", "value": {"metadata": {"phone_number_id": "1"}, "messages": [answer], "statuses": [status]}},
        {"field": "user_id_update", "value": {"user_id_update": [{"wa_id": number, "user_id": noticed}]}},
    ]
    write_files(landing, "sends", "late-links.jsonl", [json.dumps(send).encode() for send in sends])
    write_files(landing, "webhooks", "late-links.jsonl", [json.dumps({"entry": [{"changes": [change]}]}).encode() for change in changes])


def _hostile_name(number: int) -> str:
    return f"hostile-{number} it's \\' or \"1\" = '1 --.jsonl"


def _copy(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, folder / path.name)
