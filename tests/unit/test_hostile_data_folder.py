"""Tests of foreign objects in place of files in the data folder: a run replaces or reports them, and the next run succeeds."""

import os
import random
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from orchestration.errors import StartsError, operator_errors
from orchestration.exports.daily import export_days
from orchestration.exports.manifest import recover_exports
from orchestration.files import remove
from orchestration.landing.erased import ErasedPeople
from orchestration.publication.publish import publish
from orchestration.publication.versions import recover_publication
from orchestration.settings import Settings
from orchestration.transform.builds import last_finished_build
from orchestration.warehouse import open_warehouse, writer_lock
from tests.marts import Warehouse, settings_of, start

DAY = date(2026, 10, 1)
_TSV = "sessionStartingCauses-2026-10-01.tsv"

PLACES = (
    *(f"exports/{name}" for name in ("foreign.tsv", _TSV, "manifest.json", ".journal.json", ".manifest.json.draft", f".{_TSV}.draft")),
    *("published", "published/conversation_starts.duckdb", "published/parquet", "published/conversation_starts.duckdb.wal"),
    *(f"published/.versions{name}" for name in ("", "/current", "/.current.draft", "/2", "/99999999999999999999")),
    *(f"published/.versions/1/{name}" for name in ("conversation_starts.duckdb", "conversation_starts.duckdb.wal", "parquet")),
    *(f".published{name}" for name in ("", "/1.json", "/2.json", "/.2.json.draft", "/foreign")),
    *("exports", "warehouse.duckdb", "warehouse.duckdb.wal", "erased_people.json", ".writer.lock"),
)
# Operators may link these to another disk; the run then sets the target's permissions.
_MAY_BE_LINKS = {"exports", "published", "warehouse.duckdb", ".writer.lock"}
VICTIM = "victim"


def full_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("x")


def link_to_a_file_of_others(path: Path) -> None:
    path.symlink_to(next(folder for folder in path.parents if (folder / VICTIM).exists()) / VICTIM)


KINDS: tuple[Callable[[Path], object], ...] = (
    Path.mkdir,
    full_folder,
    link_to_a_file_of_others,
    os.mkfifo,
    lambda path: path.symlink_to("/nowhere/at/all"),
    lambda path: path.symlink_to(path.name),
    lambda path: path.write_bytes(b"\xff\0garbage"),
    Path.touch,
)


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Fail if the block takes longer, for example by waiting for the other end of a named pipe."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(settings: Settings) -> None:
    """Run all steps except landing and the models. Raises `StartsError` if the operator must act."""
    with no_longer_than(60), operator_errors(), writer_lock(settings):
        ErasedPeople.load(settings.data)
        with open_warehouse(settings) as connection:
            build = last_finished_build(connection)
            assert build is not None
            recover_publication(settings)
            recover_exports(settings)
            publish(connection, settings, build)
            export_days(connection, settings)


def said_by(settings: Settings) -> str | None:
    """Return the message of a failed run, or None."""
    try:
        run(settings)
    except StartsError as error:
        return str(error)
    return None


def content_of(settings: Settings) -> dict[str, bytes]:
    """Return the files that readers use: the TSVs and the Parquet files."""
    folders = (settings.exports_dir, settings.published_dir / "parquet")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".tsv", ".parquet") and path.is_file()]
    return {path.relative_to(settings.data).as_posix(): path.read_bytes() for path in files if path.name != "foreign.tsv"}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    settings = settings_of(tmp_path / "published")
    Warehouse(settings).build({DAY: [start(1, DAY)], date(2026, 11, 2): [start(2, date(2026, 11, 2))]})
    run(settings)
    return tmp_path / "published"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.sampled(4)
def test_foreign_object_in_place_of_a_file_is_replaced_or_reported(published: Path, tmp_path: Path, seed: int) -> None:
    expected = content_of(settings_of(published))
    rnd = random.Random(seed)
    for number, place in enumerate(rnd.sample(PLACES, 6)):
        put = rnd.choice(KINDS[3:] if place in _MAY_BE_LINKS else KINDS)
        folder = tmp_path / str(number)
        shutil.copytree(published, folder, symlinks=True)
        victim = folder / VICTIM
        victim.write_text("mine")
        victim.chmod(0o644)
        settings, path = settings_of(folder), folder / "data" / place
        assert settings.data == folder / "data"
        kept = path.rename(folder / "kept") if os.path.lexists(path) else None
        put(path)
        what = f"{place}: {put}"
        said = said_by(settings)
        if said is not None:
            # The full path, or the folder that a link in it makes unusable.
            assert str(settings.data) in said, what
            remove(path)
            if kept is not None and place in ("warehouse.duckdb", "published/.versions/1/parquet"):
                kept.rename(path)
        assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("mine", 0o644), what
        run(settings)
        assert content_of(settings) == expected, what
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["manifest.json", _TSV])
def test_folder_in_place_of_an_export_is_reported_and_not_its_draft(published: Path, name: str) -> None:
    settings = settings_of(published)
    path = settings.exports_dir / name
    path.unlink()
    full_folder(path)
    with pytest.raises(StartsError, match=f"Something else is in the place of {path}, "):
        run(settings)


def test_warehouse_on_an_unmounted_disk_is_not_recreated(published: Path, tmp_path: Path) -> None:
    settings = settings_of(published)
    elsewhere = tmp_path / "disk" / "warehouse.duckdb"
    elsewhere.parent.mkdir()
    settings.warehouse_path.rename(elsewhere)
    settings.warehouse_path.symlink_to(elsewhere)
    run(settings)
    elsewhere.parent.rename(tmp_path / "away")
    with pytest.raises(StartsError, match=f"is a link to {elsewhere}, which does not exist"):
        run(settings)
    assert settings.warehouse_path.is_symlink()
    (tmp_path / "away").rename(tmp_path / "disk")
    run(settings)


@pytest.mark.parametrize("damage", ["key", "hash", "text"])
def test_damaged_list_of_erased_people_stops_the_run(tmp_path: Path, damage: str) -> None:
    people = ErasedPeople.load(tmp_path)
    people.add_messages(people.add("2026-10-01", ["5511900000001"]), ["wamid.1"], [])
    assert ErasedPeople.load(tmp_path) == people
    cut = {
        "key": (people.key.hex(), people.key.hex()[:-2]),
        "hash": (hash_ := next(iter(people.people[0].identifiers)), hash_[:-1]),
        "text": (people.as_json()["people"][0]["erased_at"], "\n" * 3 + "}"),
    }[damage]
    people.path.write_text(people.path.read_text().replace(*cut))
    with pytest.raises(StartsError, match="it is unknown who was erased"):
        ErasedPeople.load(tmp_path)
