"""Tests of the reference on the cases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.cases import CASES, CASES_FOLDER, check_case, merge_cases

# The reference reads values that span several lines only in `.json` files; the job reads them in any file.
READ_BY_THE_JOB_ALONE = {"G06_pretty_in_jsonl"}


@dataclass
class Computed:
    """The result of the reference as the tables of a run."""

    expected: reference.Expected

    def rows(self, table: str, *, published: bool = True) -> list[dict[str, Any]]:
        del published
        tables: dict[str, list[dict[str, Any]]] = {
            "fct_session_starts": self.expected.session_starts,
            "fct_notifications": self.expected.notifications,
            "raw.rejected_records": [{"file_name": name, "line_number": number} for name, number in self.expected.rejected],
            "raw.webhook_other_kinds": [{"_file_name": name} for name in self.expected.other_kinds],
        }
        return tables[table]


@pytest.mark.parametrize("name", [name for name in CASES if name not in READ_BY_THE_JOB_ALONE])
def test_reference_gives_the_expected_rows_of_a_case(name: str) -> None:
    expected = reference.compute(CASES[name].landing)
    check_case(name, Computed(expected))
    assert expected.unread == list(CASES[name].unread)


def test_every_landing_zone_has_a_case() -> None:
    assert sorted(CASES) == sorted(path.name for path in CASES_FOLDER.iterdir())
    assert len(CASES) == 73


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """Return the result for all cases in one landing zone."""
    folder = tmp_path_factory.mktemp("merged")
    merge_cases(folder)
    return Computed(reference.compute(folder))


@pytest.mark.parametrize("name", [name for name in CASES if name not in READ_BY_THE_JOB_ALONE])
def test_case_gives_the_same_rows_when_merged_with_all_others(merged: Computed, name: str) -> None:
    check_case(name, merged, is_merged=True)


def test_merged_cases_keep_their_unread_files(tmp_path: Path) -> None:
    merge_cases(tmp_path, ["G02_other_extensions", "G10_folder_names"])
    unread = reference.compute(tmp_path).unread
    assert [name.replace("G02_other_extensions/", "") for name in unread] == sorted(
        CASES["G02_other_extensions"].unread + CASES["G10_folder_names"].unread
    )
