"""Tests of what a run with nothing new stores in Dagster's home, which is in the data folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import AssetKey

from orchestration.cli.main import main
from orchestration.defs.home import open_instance
from orchestration.defs.retention import NOTHING_NEW
from tests.pipeline import Pipeline

SEND = '{"message_id": "wamid.%d", "sent_at": 1791000000, "channel_id": "c", "contact_id": "55119%08d", "template_name": "t"}\n'


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.thorough
def test_run_with_nothing_new_stores_almost_nothing(pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    made = pipeline()
    (made.landing / "sends").mkdir()
    (made.landing / "sends" / "1.jsonl").write_text(SEND % (1, 1))
    monkeypatch.setenv("STARTS_LANDING", str(made.landing))
    monkeypatch.setenv("STARTS_DATA", str(made.data))
    monkeypatch.delenv("DAGSTER_HOME")
    sizes = []
    for _ in range(5):
        assert main([]) == 0
        sizes.append(size(made.settings.dagster_home))
    # It was 1.8 MB before.
    assert sizes[4] - sizes[3] < 100_000, sizes

    with open_instance(made.settings) as instance:
        newest, *_, first = instance.get_runs()
        assert NOTHING_NEW.items() <= newest.tags.items()
        assert not NOTHING_NEW.keys() & first.tags.keys()
        made_when = {
            key: instance.get_latest_materialization_event(AssetKey(key))
            for key in (("marts", "fct_session_starts"), ("staging", "channels"))
        }
        # The marts have an event in every run, because publication waits for them; other models have one only after a change.
        assert {key: event and event.run_id for key, event in made_when.items()} == {
            ("marts", "fct_session_starts"): newest.run_id,
            ("staging", "channels"): first.run_id,
        }
