"""What a build may go on from, and what it tells."""

import json
from collections.abc import Callable

import duckdb
import pytest

from orchestration.delivery import builds
from orchestration.delivery.builds import BuildKind, build_that_still_holds, finish_build, start_build
from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings
from tests.pipeline import Pipeline


@pytest.mark.parametrize(
    ("attempts", "kind"),
    [
        ([], BuildKind.FIRST),
        ([("a", False)], BuildKind.FIRST),
        ([("a", True)], BuildKind.INCREMENT),
        ([("a", True), ("a", False)], BuildKind.INCREMENT),
        ([("b", True)], BuildKind.REBUILD),
        # Tables of another definition lie there half built, whether or not something was finished before them.
        ([("a", True), ("b", False)], BuildKind.REBUILD),
        ([("b", False)], BuildKind.REBUILD),
        ([("b", True), ("a", True)], BuildKind.INCREMENT),
    ],
)
def test_a_build_goes_on_only_from_tables_of_its_own_definition(
    monkeypatch: pytest.MonkeyPatch, attempts: list[tuple[str, bool]], kind: BuildKind
) -> None:
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA_SQL)
        for definition, finishes in attempts:
            monkeypatch.setattr(builds, "definition_sha256", lambda _settings, definition=definition: definition)
            attempt = start_build(connection, Settings())
            if finishes:
                finish_build(connection, attempt)
        monkeypatch.setattr(builds, "definition_sha256", lambda _settings: "a")
        assert start_build(connection, Settings()).kind is kind


@pytest.mark.parametrize(
    ("attempts", "landed_since", "holds"),
    [
        ([], False, False),
        ([("a", True)], False, True),
        ([("a", True)], True, False),
        ([("b", True)], False, False),
        ([("a", True), ("a", False)], False, False),
        ([("a", False), ("a", True)], False, True),
    ],
)
def test_a_build_holds_until_something_lands_or_its_definition_changes(
    monkeypatch: pytest.MonkeyPatch, attempts: list[tuple[str, bool]], landed_since: bool, holds: bool
) -> None:
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA_SQL)
        for definition, finishes in attempts:
            monkeypatch.setattr(builds, "definition_sha256", lambda _settings, definition=definition: definition)
            attempt = start_build(connection, Settings())
            if finishes:
                finish_build(connection, attempt)
        if landed_since:
            connection.execute("insert into raw.landed_files values ('sends', 'a', 'x', 1, 1, 1, 0, 'landed', null, now(), 1)")
        monkeypatch.setattr(builds, "definition_sha256", lambda _settings: "a")
        assert (build_that_still_holds(connection, Settings()) is not None) is holds


def test_every_run_tells_of_every_check(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    (run.landing / "sends").mkdir(parents=True)
    first = {"message_id": "a", "sent_at": 1790859600, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}
    told = []
    for number, new in enumerate(([first], [first | {"message_id": "b", "contact_id": "5511900000002"}], [])):
        if new:
            (run.landing / "sends" / f"{number}.json").write_text(json.dumps(new))
        result = run.run()
        assert result.success
        evaluations = result.get_asset_check_evaluations()
        assert all(evaluation.passed for evaluation in evaluations)
        told.append(sorted(str(evaluation.asset_check_key) for evaluation in evaluations))
    rebuild, increment, nothing_new = told
    assert rebuild == increment == nothing_new
    assert len(rebuild) == len(set(rebuild))
