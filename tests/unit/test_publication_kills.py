"""Tests of kills at any moment with concurrent readers: each reader sees one whole state, and the next start leaves one."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestration.exports.manifest import recover_exports
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.publication.versions import recover_publication
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.builds import MARTS
from tests.marts import Warehouse, settings_of
from tests.publishing import expected, rows_of, run, states
from tests.readers import NotYetError, read_listed, readers
from tests.tiers import thorough

KILLS = int(os.environ.get("STARTS_TEST_KILLS", "5"))


def read_database(path: Path) -> int:
    """Return the state of a published DuckDB file, which must be the same in every mart."""
    with duckdb.connect(str(path), read_only=True) as connection:
        row = connection.execute("select build_id from publish_info").fetchone()
        assert row is not None
        for mart in PUBLISHED_MARTS:
            days = connection.execute(f"select distinct {mart.date_column}, template_name from {mart.name}").fetchall()
            assert sorted(days) == sorted(expected(row[0]).items()), f"{mart.name} is not of state {row[0]}"
    return row[0]


def read_parquet(folder: Path) -> int:
    """Return the state of a version's Parquet files, which must be the same in all of them."""
    names: dict[str, dict[object, object]] = {}
    for mart in PUBLISHED_MARTS:
        for path in (folder / mart.name).iterdir():
            rows = pq.read_table(path, columns=[mart.date_column, "template_name"]).to_pylist()
            names.setdefault(mart.name, {}).update({row[mart.date_column]: row["template_name"] for row in rows})
    state = max(int(str(name).removeprefix("state-")) for name in names["session_starts_daily"].values())
    assert names == dict.fromkeys(MARTS, expected(state))
    return state


def read_version(settings: Settings) -> int:
    """Read both forms of one version, like a reader that resolves the link once."""
    folder = (settings.published_dir / ".versions" / "current").resolve()
    try:
        state = read_parquet(folder / "parquet")
        assert read_database(folder / "conversation_starts.duckdb") == state
    except (FileNotFoundError, duckdb.IOException):
        if folder.exists() and (folder / "conversation_starts.duckdb").exists():
            raise
        raise NotYetError from None
    return state


def read_tsvs(settings: Settings) -> int:
    """Read the daily files that belong together according to the manifest."""
    manifest, contents = read_listed(settings)
    names = {
        entry["report_date"]: set(
            pd.read_csv(BytesIO(contents[entry["file"]]), sep="\t", usecols=["template_or_notification_name"]).iloc[:, 0]
        )
        for entry in manifest["files"]
    }
    state = manifest["publication"]["build_id"]
    assert names == {day.isoformat(): {name} for day, name in expected(state).items()}
    return state


def reads_of(settings: Settings) -> dict[str, Callable[[], int]]:
    return {
        "database": lambda: read_database(settings.published_database),
        "version": lambda: read_version(settings),
        "tsvs": lambda: read_tsvs(settings),
    }


def publishing(settings: Settings) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.publishing", str(settings.data.parent)]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [2, *thorough(KILLS)])
def test_kills_never_leave_or_show_a_mixed_state(tmp_path: Path, kills: int) -> None:
    settings = settings_of(tmp_path)
    warehouse = Warehouse(settings)
    next(states(warehouse))
    run(settings)
    rnd = random.Random(20261101)
    with readers(reads_of(settings)) as threads:
        for _ in range(kills):
            process = publishing(settings)
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, process.communicate()[1]
            time.sleep(rnd.uniform(0, 2.5))
            process.kill()
            process.wait()
            # A reader before the next start also sees a whole state; after it, no reader has to start again.
            read_database(settings.published_database)
            recover_publication(settings)
            recover_exports(settings)
            assert read_version(settings) == read_database(settings.published_database)
            read_tsvs(settings)
    for thread in threads.values():
        assert thread.errors == []
        assert thread.seen == sorted(thread.seen), "a reader went back to an earlier state"
        assert len(set(thread.seen)) > 1
    run(settings)
    last = read_version(settings)
    assert read_tsvs(settings) == last
    at_once = settings_of(tmp_path / "at_once")
    fresh = Warehouse(at_once)
    for state in range(1, last + 1):
        fresh.build(rows_of(state))
    run(at_once)
    for of in (lambda s: s.published_dir / "parquet", lambda s: s.exports_dir):
        contents = [
            {path.relative_to(of(each)): path.read_bytes() for path in of(each).glob("**/*") if path.suffix in {".tsv", ".parquet"}}
            for each in (settings, at_once)
        ]
        assert contents[0] == contents[1]
    assert not [path for path in settings.data.rglob("*") if "draft" in path.name or "journal" in path.name]


@pytest.mark.parametrize("state", [1, 2, 9])
def test_consecutive_states_differ(state: int) -> None:
    assert expected(state) != expected(state + 1)
