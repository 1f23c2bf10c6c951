"""The job on all cases at once: each has people and ids of its own, so that one run is enough."""

import pytest

from tests.cases import CASES, check_case, merge_cases
from tests.pipeline import Pipeline


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tmp_path_factory.mktemp("cases")
    run = Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
    merge_cases(run.landing)
    assert run.run().success
    return run


@pytest.mark.parametrize("name", CASES)
def test_a_run_gives_what_a_case_expects(run: Pipeline, name: str) -> None:
    check_case(name, run, is_merged=True)
