"""The order, batching and repetition of files change nothing (contract, section 4, last sentence)."""

import random
from collections.abc import Callable

import pytest

from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline, comparable

MARTS = ("fct_session_starts", "fct_notifications", "funnel_session_starts", "status_session_starts", "session_starts_daily")


@pytest.mark.parametrize(("seed", "more_contacts"), [(4, 0), (5, 60), (6, 300)])
def test_batches_in_any_order_end_like_one_load(pipeline: Callable[..., Pipeline], seed: int, more_contacts: int) -> None:
    rnd = random.Random(seed)
    sends, webhooks = hostile_records(seed, more_contacts=more_contacts)
    at_once, in_batches = pipeline("at_once", STARTS_MAX_REJECTED_SHARE="1"), pipeline("in_batches", STARTS_MAX_REJECTED_SHARE="1")
    write_files(at_once.landing, "sends", "all.jsonl", sends)
    write_files(at_once.landing, "webhooks", "all.jsonl", webhooks)
    assert at_once.run().success

    rnd.shuffle(sends)
    rnd.shuffle(webhooks)
    for batch in range(4):
        # Each batch brings new lines and some that came before; one brings webhooks alone.
        if batch != 1:
            write_files(in_batches.landing, "sends", f"{batch}.jsonl", sends[batch::4] + rnd.sample(sends, 10))
        write_files(in_batches.landing, "webhooks", f"{batch}.jsonl", webhooks[batch::4] + rnd.sample(webhooks, 10))
        assert in_batches.run().success
    write_files(in_batches.landing, "sends", "late.jsonl", sends[1::4])
    assert in_batches.run().success

    for mart in MARTS:
        assert comparable(in_batches.rows(mart)) == comparable(at_once.rows(mart)), mart
        assert comparable(in_batches.rows(f"marts.{mart}", published=False)) == comparable(at_once.rows(mart)), mart
    assert in_batches.tsv_bytes() == at_once.tsv_bytes()


def test_hundreds_of_equal_copies_lose_nothing(pipeline: Callable[..., Pipeline]) -> None:
    """As many as this, because an engine that sorts a few rows twice happens to put equal ones in the same order twice."""
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
    one_by_one, at_once = pipeline("one_by_one"), pipeline("at_once")
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


def test_a_send_that_comes_after_the_answer_that_quotes_it_takes_the_answer_back(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
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
