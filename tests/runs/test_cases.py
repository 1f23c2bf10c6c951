"""Tests of the job on all cases at once: each has its own people and ids, so one run is enough."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases import CASES, check_case, merge_cases
from tests.pipeline import Pipeline

# The tests share one run, and only one process at a time may open its warehouse.
pytestmark = pytest.mark.xdist_group("cases")


@pytest.fixture(scope="module")
def run(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Pipeline:
    def pipeline(folder: Path) -> Pipeline:
        return Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})

    def build(folder: Path) -> None:
        merge_cases(folder / "landing")
        assert pipeline(folder).run().success

    return pipeline(made_once("cases", build))


@pytest.mark.parametrize("name", CASES)
def test_run_gives_the_expected_rows_of_a_case(run: Pipeline, name: str) -> None:
    check_case(name, run, is_merged=True)
