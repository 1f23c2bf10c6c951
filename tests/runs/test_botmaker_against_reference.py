"""Tests that compare Botmaker's sessions and sent results, alone and with the logs, with the reference."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.settings import PROJECT_ROOT
from tests.comparison import assert_equals_the_reference
from tests.data.hostile_botmaker import HostileRecords, Item, hostile_items, write_items, zstd
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline


def write_all(run: Pipeline, records: HostileRecords, rnd: random.Random) -> None:
    write_items(run.landing, "sessions", "all", records.sessions, rnd)
    write_items(run.landing, "sent_results", "all", records.results, rnd)
    write_items(run.landing, "channels", "all", records.channels, rnd)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.thorough
def test_botmaker_alone_equals_the_reference(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    write_all(run, hostile_items(seed), random.Random(seed))
    assert run.run().success
    assert_equals_the_reference(run)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [4])
def test_both_sources_equal_the_reference(pipeline: Callable[..., Pipeline], seed: int) -> None:
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "all.jsonl", sends)
    write_files(run.landing, "webhooks", "all.jsonl", webhooks)
    write_all(run, hostile_items(seed), random.Random(seed))
    assert run.run().success
    assert_equals_the_reference(run)


@pytest.mark.thorough
def test_every_batch_equals_the_reference(pipeline: Callable[..., Pipeline]) -> None:
    # With this seed some people are in both sources, but new in only one of them.
    seed = 6
    rnd = random.Random(seed)
    run = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    records = hostile_items(seed)
    sends, webhooks = hostile_records(seed)
    feeds: dict[str, list[Item]] = {"sessions": records.sessions, "sent_results": records.results, "channels": records.channels}
    for batch in range(4):
        # Each batch has new and some repeated items; one has only sent results, another no logs.
        for feed, items in feeds.items():
            if batch != 1 or feed == "sent_results":
                write_items(run.landing, feed, f"{batch}", items[batch::4] + rnd.sample(items, len(items) // 5), rnd)
        if batch in (0, 3):
            write_files(run.landing, "sends", f"{batch}.jsonl", sends[batch::2] + rnd.sample(sends, 10))
            write_files(run.landing, "webhooks", f"{batch}.jsonl", webhooks[batch::2] + rnd.sample(webhooks, 10))
        assert run.run().success
        assert_equals_the_reference(run)
    for feed, items in feeds.items():
        write_items(run.landing, feed, "late", items[1::4], rnd)
    assert run.run().success
    assert_equals_the_reference(run)


@pytest.mark.thorough
def test_repeated_files_change_nothing(warm: Callable[..., Pipeline]) -> None:
    run = warm(STARTS_MAX_REJECTED_SHARE="1")
    records = hostile_items(8)
    write_all(run, records, random.Random(8))
    assert run.run().success
    tsvs = run.tsv_bytes()
    for path in list((run.landing / "botmaker").rglob("*-lines.jsonl")):
        path.with_name(f"z-again-{path.name}").write_bytes(path.read_bytes())
    assert run.run().success
    assert run.tsv_bytes() == tsvs
    assert_equals_the_reference(run)


@pytest.mark.thorough
def test_damaged_page_is_set_aside_until_it_is_whole(warm: Callable[..., Pipeline]) -> None:
    run = warm(STARTS_MAX_REJECTED_SHARE="1")
    records = hostile_items(9)
    write_all(run, records, random.Random(9))
    whole = (run.landing / "botmaker" / "sessions" / "all-lines.jsonl").read_bytes() + b"\n"
    (run.landing / "botmaker" / "sessions" / "all-lines.jsonl").unlink()
    (run.landing / "botmaker" / "sessions" / "cut.jsonl.zst").write_bytes(zstd(whole)[:-100])
    assert run.run().success
    assert_equals_the_reference(run)
    (run.landing / "botmaker" / "sessions" / "whole.jsonl.zst").write_bytes(zstd(whole))
    assert run.run().success
    assert_equals_the_reference(run)


@pytest.mark.thorough
def test_bundled_pages_equal_the_reference(tmp_path: Path) -> None:
    run = Pipeline(PROJECT_ROOT / "seeds" / "sample_botmaker", tmp_path, {})
    assert run.run().success
    assert_equals_the_reference(run)
