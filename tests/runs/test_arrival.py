"""Tests that the order, batching and repetition of files change nothing (contract, section 4, last sentence)."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestration.transform.builds import MARTS
from tests.comparison import assert_equals_the_reference
from tests.data.botmaker_items import tied_items
from tests.data.hostile_botmaker import hostile_items, write_items
from tests.data.hostile_logs import TIDY_HEADER, hostile_rates, hostile_records, write_files
from tests.pipeline import Pipeline, comparable

FEEDS = ("sends", "webhooks", "sessions", "sent_results", "channels", "rates")
Records = dict[str, list[Any]]


def all_records(seed: int, more_contacts: int) -> Records:
    """Return hostile logs and pages, and further pages with few chats and few times."""
    sends, webhooks = hostile_records(seed, more_contacts=more_contacts)
    hostile = hostile_items(seed, more_contacts=more_contacts // 2)
    sessions, results, channels = tied_items(random.Random(seed))
    botmaker = (hostile.sessions + sessions, hostile.results + results, hostile.channels + channels)
    rates, _ = hostile_rates(seed)
    return dict(zip(FEEDS, (sends, webhooks, *botmaker, rates), strict=True))


def write(run: Pipeline, name: str, records: Records, rnd: random.Random) -> None:
    for feed, items in records.items():
        if feed == "rates":
            write_files(run.landing, feed, f"{name}.csv", [TIDY_HEADER, *items])
        elif feed in ("sends", "webhooks"):
            write_files(run.landing, feed, f"{name}.jsonl", items)
        else:
            write_items(run.landing, feed, name, items, rnd)


def load_in_batches(run: Pipeline, records: Records, batches: Sequence[Sequence[str]], rnd: random.Random) -> None:
    """Run one batch after another and check each run: batches have new and repeated records; the last one has all the rest."""
    for items in records.values():
        rnd.shuffle(items)
    left = {feed: list(items) for feed, items in records.items()}
    for number, feeds in enumerate(batches):
        share = {feed: len(left[feed]) // (1 + sum(feed in later for later in batches[number:])) for feed in feeds}
        new = {feed: [left[feed].pop() for _ in range(share[feed])] for feed in feeds}
        write(run, str(number), {feed: new[feed] + rnd.sample(records[feed], min(10, len(records[feed]))) for feed in feeds}, rnd)
        assert run.run().success
        assert_equals_the_reference(run)
    write(run, "late", left, rnd)
    assert run.run().success
    assert_equals_the_reference(run)


def test_full_batch_and_late_records_equal_the_reference(pipeline: Callable[..., Pipeline]) -> None:
    # Includes people whom a batch leaves unchanged.
    load_in_batches(pipeline(STARTS_MAX_REJECTED_SHARE="1"), all_records(6, more_contacts=40), [FEEDS], random.Random(6))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seed", "more_contacts", "batches"),
    [
        # Most people appear once or twice, so that a batch leaves most of them unchanged.
        (6, 300, [FEEDS, ("webhooks",), ("sent_results",), ("rates",), FEEDS]),
        # Sent results and channels arrive before their sessions, and answers before the sends.
        (5, 60, [("sent_results", "channels"), ("webhooks", "sessions", "channels"), FEEDS, ("sends", "sessions", "rates")]),
    ],
)
def test_batches_in_any_order_equal_one_load(
    pipeline: Callable[..., Pipeline], seed: int, more_contacts: int, batches: Sequence[Sequence[str]]
) -> None:
    rnd = random.Random(seed)
    records = all_records(seed, more_contacts)
    at_once, in_batches = pipeline("at_once", STARTS_MAX_REJECTED_SHARE="1"), pipeline("in_batches", STARTS_MAX_REJECTED_SHARE="1")
    write(at_once, "all", records, rnd)
    assert at_once.run().success

    load_in_batches(in_batches, records, batches, rnd)
    for mart in MARTS:
        assert comparable(in_batches.rows(mart)) == comparable(at_once.rows(mart)), mart
        assert comparable(in_batches.rows(f"marts.{mart}", published=False)) == comparable(at_once.rows(mart)), mart
    assert in_batches.tsv_bytes() == at_once.tsv_bytes()


_TIME = re.compile(rb"17[89]\d{7}")


@pytest.mark.thorough
@pytest.mark.parametrize(("seed", "more_contacts"), [(14, 120)])
def test_timely_and_late_records_equal_the_reference(pipeline: Callable[..., Pipeline], seed: int, more_contacts: int) -> None:
    """Let three months of records arrive in the order of their times, every fourth up to five weeks late, in eight batches.

    For each person, a run rebuilds only what the new records can change. This is little if most of them are of the last days.
    """
    rnd = random.Random(seed)
    sends, webhooks = hostile_records(seed, 150, more_contacts, moments=360)
    run = pipeline("in_time", STARTS_MAX_REJECTED_SHARE="1")

    def arrival(line: bytes) -> float:
        times = [int(time) for time in _TIME.findall(line)]
        return max(times, default=1_791_000_000) + (rnd.uniform(0, 35 * 86_400) if rnd.random() < 0.25 else 0)

    arrivals = sorted([(arrival(line), "sends", line) for line in sends] + [(arrival(line), "webhooks", line) for line in webhooks])
    size = -(-len(arrivals) // 8)
    for number, start in enumerate(range(0, len(arrivals), size)):
        batch = arrivals[start : start + size]
        write(run, str(number), {feed: [line for _, of_feed, line in batch if of_feed == feed] for feed in ("sends", "webhooks")}, rnd)
        assert run.run().success
        assert_equals_the_reference(run)


@pytest.mark.thorough
def test_hundreds_of_equal_copies_lose_no_row(pipeline: Callable[..., Pipeline], warm: Callable[..., Pipeline]) -> None:
    """Use many copies, because an engine that sorts a few rows twice usually puts equal ones in the same order."""
    rnd = random.Random(7)
    sends = [
        b'{"message_id": "wamid.%d", "sent_at": %d, "channel_id": "c", "contact_id": "5511%08d", "template_name": "t"}'
        % (n, 1791000000 + n, n)
        for n in range(600)
    ]
    webhooks = [
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": {"metadata": '
        b'{"phone_number_id": "c"}, "messages": [{"id": "in.%d", "from": "5521%08d", "timestamp": "%d", "type": "text"}]}}]}]}'
        % (n, n, 1791000000 + n)
        for n in range(600)
    ]
    one_by_one, at_once = warm("one_by_one"), pipeline("at_once")
    for name in ("first.jsonl", "again.jsonl", "and_again.jsonl"):
        for run in (one_by_one, at_once):
            write_files(run.landing, "sends", name, sends)
            write_files(run.landing, "webhooks", name, webhooks)
        rnd.shuffle(sends)
        rnd.shuffle(webhooks)
        assert one_by_one.run().success
        assert len(one_by_one.rows("fct_session_starts")) == 1200
        assert len(one_by_one.rows("fct_notifications")) == 600
    assert at_once.run().success
    for mart in MARTS:
        assert comparable(at_once.rows(mart)) == comparable(one_by_one.rows(mart)), mart


@pytest.mark.thorough
def test_late_send_reattributes_the_answer_that_quotes_it(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    send = b'{"message_id": "%s", "sent_at": 1791000000, "channel_id": "c", "contact_id": "%s", "template_name": "t"}'
    answer = (
        b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", '
        b'"value": {"metadata": {"phone_number_id": "c"}, "messages": [{"id": "in.1", "from": "5511900000001", '
        b'"timestamp": "1791000060", "type": "text", "context": {"id": "wamid.late"}}]}}]}]}'
    )
    write_files(run.landing, "sends", "1.jsonl", [send % (b"wamid.early", b"5511900000001")])
    write_files(run.landing, "webhooks", "1.jsonl", [answer])
    assert run.run().success
    assert {row["message_id"]: row["is_replied"] for row in run.rows("fct_notifications")} == {"wamid.early": True}

    write_files(run.landing, "sends", "2.jsonl", [send % (b"wamid.late", b"5511900000002")])
    assert run.run().success
    assert {row["message_id"]: row["is_replied"] for row in run.rows("fct_notifications")} == {"wamid.early": False, "wamid.late": True}
