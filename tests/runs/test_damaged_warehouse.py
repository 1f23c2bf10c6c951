"""Tests that a run over a damaged warehouse reports what to do, and that this restores what was published."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damage import DAMAGES, damage_data
from tests.pipeline import Pipeline, comparable
from tests.tiers import thorough

SEND = '{"message_id": "wamid.%d", "sent_at": 1791000000, "channel_id": "c", "contact_id": "55119%08d", "template_name": "t"}\n'


@pytest.fixture
def run(made_once: Callable[[str, Callable[[Path], object]], Path], pipeline: Callable[..., Pipeline]) -> Pipeline:
    """Return a pipeline that has published three thousand sends."""

    def build(folder: Path) -> None:
        (folder / "landing" / "sends").mkdir(parents=True)
        (folder / "landing" / "sends" / "1.jsonl").write_text("".join(SEND % (number, number) for number in range(3000)))
        assert Pipeline(folder / "landing", folder / "data", {}).run().success

    made = pipeline()
    shutil.copytree(made_once("three_thousand_sends", build), made.data.parent, symlinks=True, dirs_exist_ok=True)
    return made


@pytest.mark.parametrize("damage", thorough(damage_data, DAMAGES["flip_bytes"]))
def test_run_over_a_damaged_warehouse_reports_a_remedy_that_works(run: Pipeline, damage: Callable[[Path], None]) -> None:
    marts, tsvs = comparable(run.rows("fct_session_starts")), run.tsv_bytes()
    damage(run.settings.warehouse_path)

    result = run.command()
    assert result.returncode == 1
    assert f"conversation_starts failed: The warehouse {run.settings.warehouse_path} is damaged (" in result.stderr
    assert "rebuild --from-landing" in result.stderr
    assert "Traceback" not in result.stderr
    # The failed step is not retried.
    assert result.stderr.count("is damaged") == 1
    assert (comparable(run.rows("fct_session_starts")), run.tsv_bytes()) == (marts, tsvs)

    assert run.command("rebuild", "--from-landing").returncode == 0
    assert (comparable(run.rows("fct_session_starts")), run.tsv_bytes()) == (marts, tsvs)
