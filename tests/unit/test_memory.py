"""Tests of DuckDB's memory limit, and of work that needs more."""

from pathlib import Path

import pytest

from orchestration.landing.migrations import prepare_raw_schema
from orchestration.memory import available_bytes, bytes_of, default_bytes
from orchestration.settings import Settings, SettingsError
from orchestration.warehouse import open_warehouse


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("4GB", 4 * 10**9), ("1.5 gib", 3 * 2**29), ("60%", 600), ("100 %", 1000), ("0%", None), ("101%", None), ("4", None), ("much", None)],
)
def test_amount_of_memory_is_a_size_or_a_share(amount: str, expected: int | None) -> None:
    assert bytes_of(amount, available=1000) == expected


@pytest.mark.parametrize(
    ("available", "million_rows", "expected"),
    [(2, 0, 1.2), (2, 100, 1.2), (8, 0, 1.5), (25, 4, 1.5), (25, 18, 3.6), (25, 36, 7.2), (25, 200, 15)],
)
def test_default_memory_grows_with_the_rows_up_to_a_share_of_the_machine(available: int, million_rows: int, expected: float) -> None:
    assert default_bytes(available * 10**9, million_rows * 10**6) == expected * 10**9


def test_landed_rows_raise_the_limit_unless_an_amount_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.memory._MIN_BYTES", 10**9)
    monkeypatch.setattr("orchestration.memory._BYTES_PER_ROW", 2 * 10**6)
    monkeypatch.setattr("orchestration.memory.available_bytes", lambda: 100 * 10**9)
    limits = []
    for memory in (None, None, "1.5GB"):
        with open_warehouse(Settings(data=tmp_path, memory=memory)) as connection:
            limits.append(connection.execute("select current_setting('memory_limit')").fetchone())
            prepare_raw_schema(connection)
            connection.execute("insert into raw.webhook_other_kinds select 'kind', 'file', 1, now()::timestamp, 1 from range(1000)")
    assert limits == [("953.6 MiB",), ("1.8 GiB",), ("1.3 GiB",)]


@pytest.mark.parametrize(("limit", "is_less"), [("1000000\n", True), ("max\n", False), (f"{2**62}\n", False)])
def test_control_group_can_lower_the_limit(tmp_path: Path, limit: str, is_less: bool) -> None:
    machine = available_bytes(cgroup_limits=())
    (tmp_path / "memory.max").write_text(limit)
    assert available_bytes((tmp_path / "none", tmp_path / "memory.max")) == (1_000_000 if is_less else machine)


@pytest.mark.parametrize("memory", ["", "10MB", "lots", "-1GB"])
def test_invalid_or_too_small_amount_is_refused(memory: str) -> None:
    with pytest.raises(SettingsError, match="STARTS_MEMORY"):
        Settings(memory=memory)


@pytest.mark.thorough
def test_data_beyond_the_memory_limit_is_spilled_to_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", memory="256MB")
    settings.data.mkdir()
    with open_warehouse(settings) as connection, open_warehouse(settings) as second:
        # 400 MB of texts, all of which a sort must hold at once.
        connection.execute("create table texts as select md5(n::varchar) || repeat('x', 170) as text from range(2_000_000) as numbers (n)")
        row = connection.execute("select count(*), max(n) from (select row_number() over (order by text) as n from texts)").fetchone()
        assert row == (2_000_000, 2_000_000)
        assert list(settings.spill_dir.iterdir())
        assert second.execute("select current_setting('temp_directory')").fetchone() == (str(settings.spill_dir),)
        with open_warehouse(settings):
            pass
