"""What a build may go on from."""

import duckdb
import pytest

from orchestration.delivery import builds
from orchestration.delivery.builds import BuildKind, finish_build, start_build
from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings


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
