"""Tests of the settings for operating the job, and of time zones that both Python and DuckDB support."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pyarrow as pa
import pytest

from orchestration.cli.main import main
from orchestration.settings import FileMode, Settings, SettingsError


@pytest.mark.parametrize(
    "name",
    [
        *("posix/America/Sao_Paulo", "right/UTC", "localtime", "Factory", "posixrules", "leapseconds", "tzdata.zi", "+VERSION"),
        # Known only to DuckDB.
        *("PST", "US/Pacific-New", "SystemV/EST5", "america/sao_paulo"),
    ],
)
def test_zone_unknown_to_python_or_duckdb_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"STARTS_REPORT_TIMEZONE is .* which is not a time zone"):
        Settings(report_timezone=name)


@pytest.mark.thorough
def test_accepted_zones_are_the_same_in_python_and_in_duckdb() -> None:
    # Up to 2024: DuckDB ships its own zones, and after a government's change one of the two is outdated for some months.
    times = [datetime(2015, 1, 1) + timedelta(hours=233 * number) for number in range(330)]
    accepted = []
    with duckdb.connect() as connection:
        connection.register("times", pa.table({"utc": times}))
        for name in sorted(available_timezones()):
            try:
                Settings(report_timezone=name)
            except SettingsError:
                continue
            accepted.append(name)
            by_duckdb = connection.execute("select timezone($name, timezone('UTC', utc)) from times", {"name": name}).fetchall()
            by_python = [utc.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(name)).replace(tzinfo=None) for utc in times]
            assert [local for (local,) in by_duckdb] == by_python, name
    assert {"America/Sao_Paulo", "UTC", "Etc/GMT+3", "Europe/Kyiv", "Asia/Kathmandu"} <= set(accepted)
    assert len(accepted) > 400


@pytest.mark.parametrize("value", ["0", "1023", "-1", "99999999999", "16 MiB", "1e6", ""])
def test_invalid_record_size_is_refused(value: str) -> None:
    if not value:
        assert Settings.from_environment({"STARTS_MAX_RECORD_BYTES": value}).max_record_bytes == 16 << 20
        return
    with pytest.raises(SettingsError, match=r"STARTS_MAX_RECORD_BYTES is .*such as 16777216"):
        Settings.from_environment({"STARTS_MAX_RECORD_BYTES": value})


def test_sizes_days_and_modes_are_read() -> None:
    read = Settings.from_environment(
        {"STARTS_MAX_RECORD_BYTES": "1048576", "STARTS_KEEP_RUNS_DAYS": "7", "STARTS_FILE_MODE": "group", "STARTS_REREAD": "yes"}
    )
    assert (read.max_record_bytes, read.keep_runs_days, read.files_mode, read.reread) == (1048576, 7, FileMode.GROUP, True)
    default = Settings.from_environment({})
    assert (default.max_record_bytes, default.keep_runs_days, default.files_mode, default.reread) == (16777216, 30, FileMode.PRIVATE, False)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STARTS_OWNER", "reporting", "write team:NAME, or an e-mail address"),
        ("STARTS_KEEP_RUNS_DAYS", "0", "write for how many days Dagster keeps its runs, from 1 to 36500"),
        ("STARTS_KEEP_RUNS_DAYS", "a week", "write a whole number of days, such as 30"),
        ("STARTS_FILE_MODE", "0644", "write one of private, group"),
        ("STARTS_REREAD", "please", "write yes or no"),
    ],
)
def test_invalid_operating_setting_is_reported(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '?{value}'?: {words}"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(("arguments", "rereads"), [(["run", "--reread"], True), (["run"], False), ([], False)])
def test_reread_flag_applies_only_to_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], rereads: bool) -> None:
    seen = []

    def job(*_: object) -> SimpleNamespace:
        seen.append(Settings.from_environment().reread)
        return SimpleNamespace(success=False, all_events=[], run_id="1")

    monkeypatch.setattr("orchestration.cli.run._run_job", job)
    monkeypatch.setenv("STARTS_DATA", str(tmp_path))
    assert main(arguments) == 1
    assert seen == [rereads]
    assert not Settings.from_environment().reread
