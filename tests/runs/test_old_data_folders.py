"""Tests that a data folder of an older version of the project continues to work."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.pipeline import Pipeline, comparable
from tests.tiers import thorough
from tests.unit.test_migrations import OLD_WAREHOUSES


@pytest.fixture(scope="module")
def new(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Pipeline:
    """Return the result of a new data folder."""

    def build(folder: Path) -> None:
        shutil.copytree(OLD_WAREHOUSES / "landing", folder / "landing")
        assert Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"}).run().success

    folder = made_once("new_data_folder", build)
    return Pipeline(folder / "landing", folder / "data", {})


@pytest.mark.parametrize("name", thorough("first_commit.sql", "contract_version_1.sql"))
def test_old_data_folder_gives_the_same_result_as_a_new_one(pipeline: Callable[..., Pipeline], new: Pipeline, name: str) -> None:
    old = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    shutil.copytree(OLD_WAREHOUSES / "landing", old.landing, dirs_exist_ok=True)
    old.data.mkdir()
    with duckdb.connect(str(old.settings.warehouse_path)) as connection:
        connection.execute((OLD_WAREHOUSES / name).read_text(encoding="utf-8"))
    assert old.run().success
    for mart in ("fct_session_starts", "fct_notifications", "funnel_session_starts"):
        assert comparable(old.rows(mart)) == comparable(new.rows(mart))
    assert len(new.rows("fct_notifications")) == 4
    assert old.tsv_bytes() == new.tsv_bytes()
