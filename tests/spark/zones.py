"""A landing zone in batches: the bundled logs and records in which everything goes wrong, side by side."""

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
    """Add a batch: 0 or 1. The second has late and repeated records, and a known content under another name."""
    rnd = random.Random(_SEED + number)
    for feed in ("sends", "webhooks"):
        files = sorted(path for path in (SAMPLE_LOGS / feed).iterdir() if path.is_file())
        # Of the first batch, days of the middle are missing: what comes later lies between and before what is known.
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


def write_late_link(landing: Path, number: str, user_id: str) -> None:
    """Add a send to a user id, and a notice that it is of the person with a number."""
    send = {"message_id": "wamid.late", "sent_at": 1_793_707_200, "channel_id": "1", "contact_id": user_id, "template_name": "t"}
    value = {"user_id_update": [{"wa_id": number, "user_id": user_id}]}
    webhook = {"entry": [{"changes": [{"field": "user_id_update", "value": value}]}]}
    for feed, record in (("sends", send), ("webhooks", webhook)):
        write_files(landing, feed, "late-link.jsonl", [json.dumps(record).encode()])


def _hostile_name(number: int) -> str:
    return f"hostile-{number} it's \\' or \"1\" = '1 --.jsonl"


def _copy(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, folder / path.name)
