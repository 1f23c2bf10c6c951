"""A run over a damaged warehouse says what to do, and doing it brings back what was published."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.cli.main import main
from tests.damage import DAMAGES, damage_data
from tests.pipeline import Pipeline, comparable

SEND = '{"message_id": "wamid.%d", "sent_at": 1791000000, "channel_id": "c", "contact_id": "55119%08d", "template_name": "t"}\n'


@pytest.mark.parametrize("damage", [DAMAGES["flip_bytes"], damage_data])
def test_a_run_over_a_damaged_warehouse_says_what_to_do_and_that_helps(
    pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    run = pipeline()
    (run.landing / "sends").mkdir()
    (run.landing / "sends" / "1.jsonl").write_text("".join(SEND % (number, number) for number in range(3000)))
    assert run.run().success
    marts, tsvs = comparable(run.rows("fct_session_starts")), run.tsv_bytes()
    damage(run.settings.warehouse_path)

    monkeypatch.setenv("STARTS_LANDING", str(run.landing))
    monkeypatch.setenv("STARTS_DATA", str(run.data))
    assert main([]) == 1
    said = capfd.readouterr().err
    assert f"conversation_starts failed: The warehouse {run.settings.warehouse_path} is damaged (" in said
    assert "rebuild --from-landing" in said
    assert "Traceback" not in said
    # Not once more, in the hope that it passes.
    assert said.count("is damaged") == 1
    assert (comparable(run.rows("fct_session_starts")), run.tsv_bytes()) == (marts, tsvs)

    assert main(["rebuild", "--from-landing"]) == 0
    assert (comparable(run.rows("fct_session_starts")), run.tsv_bytes()) == (marts, tsvs)
