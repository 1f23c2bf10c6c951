"""How much memory DuckDB may take, and what it does with less than it needs."""

from pathlib import Path

import pytest

from orchestration.memory import available_bytes, bytes_of, default_bytes
from orchestration.settings import Settings, SettingsError
from orchestration.warehouse import open_warehouse


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("4GB", 4 * 10**9), ("1.5 gib", 3 * 2**29), ("60%", 600), ("100 %", 1000), ("0%", None), ("101%", None), ("4", None), ("much", None)],
)
def test_an_amount_is_a_size_or_a_share(amount: str, expected: int | None) -> None:
    assert bytes_of(amount, available=1000) == expected


@pytest.mark.parametrize(("available", "expected"), [(2, 1.2), (5, 3), (8, 3.5), (25, 3.5), (64, 8.96)])
def test_by_default_most_of_a_small_machine_is_taken_and_little_of_a_large_one(available: int, expected: float) -> None:
    assert default_bytes(available * 10**9) == expected * 10**9


@pytest.mark.parametrize(("limit", "is_less"), [("1000000\n", True), ("max\n", False), (f"{2**62}\n", False)])
def test_a_control_group_allows_less_than_the_machine_has(tmp_path: Path, limit: str, is_less: bool) -> None:
    machine = available_bytes(cgroup_limits=())
    (tmp_path / "memory.max").write_text(limit)
    assert available_bytes((tmp_path / "none", tmp_path / "memory.max")) == (1_000_000 if is_less else machine)


@pytest.mark.parametrize("memory", ["", "10MB", "lots", "-1GB"])
def test_an_amount_that_is_none_or_too_small_is_refused(memory: str) -> None:
    with pytest.raises(SettingsError, match="STARTS_MEMORY"):
        Settings(memory=memory)


@pytest.mark.thorough
def test_what_does_not_fit_into_memory_is_written_below_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", memory="256MB")
    settings.data.mkdir()
    with open_warehouse(settings) as connection, open_warehouse(settings) as second:
        # 400 MB of texts, which a sort has to hold all at once.
        connection.execute("create table texts as select md5(n::varchar) || repeat('x', 170) as text from range(2_000_000) as numbers (n)")
        row = connection.execute("select count(*), max(n) from (select row_number() over (order by text) as n from texts)").fetchone()
        assert row == (2_000_000, 2_000_000)
        assert list(settings.spill_dir.iterdir())
        assert second.execute("select current_setting('temp_directory')").fetchone() == (str(settings.spill_dir),)
        with open_warehouse(settings):
            pass
