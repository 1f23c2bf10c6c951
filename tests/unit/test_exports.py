"""Tests of the daily TSVs and their manifest: only our own files change, each as a whole, and none keeps data that is masked now."""

import csv
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from orchestration.errors import StartsError
from orchestration.exports import manifest as manifests
from orchestration.exports.daily import DailyExports, export_days
from orchestration.exports.filters import ExportSelection
from orchestration.exports.manifest import read_manifest, recover_exports
from orchestration.exports.on_demand import export_selection, remove_all_on_demand, remove_old_on_demand
from orchestration.exports.tsv import FAILURE_REASONS, ORIGINAL_COLUMNS, TSV_COLUMNS, Layout, header_of
from orchestration.publication.publish import publish
from orchestration.publication.published import open_published
from orchestration.settings import Contacts, FileMode, Language, Settings
from orchestration.warehouse import open_warehouse
from tests.marts import Warehouse, settings_of, start
from tests.tiers import thorough

FIRST, SECOND, THIRD = (date(2026, 10, day) for day in (1, 2, 3))
NAMES = {day: f"sessionStartingCauses-{day.isoformat()}.tsv" for day in (FIRST, SECOND, THIRD)}


class Site:
    """A data folder with published and exported marts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.exports_dir
        self.warehouse = Warehouse(settings)

    def run(self, days: dict[date, list[dict[str, Any]]], **fields: Any) -> DailyExports:
        build = self.warehouse.build(days)
        with open_warehouse(self.settings) as connection:
            publish(connection, self.settings, build)
            return export_days(connection, self.settings, **fields)

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())

    def tsvs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.tsv"))}

    def assert_manifest_is_true(self) -> None:
        entries = {entry["file"]: entry for entry in self.manifest()["files"]}
        assert set(entries) == set(self.tsvs())
        for name, content in self.tsvs().items():
            assert entries[name]["bytes"] == len(content)
            assert entries[name]["sha256"] == hashlib.sha256(content).hexdigest()
            assert entries[name]["rows"] == content.count(b"\n") - 1
            assert entries[name]["time_zone"] == self.settings.report_timezone
            assert name == f"sessionStartingCauses-{entries[name]['report_date']}.tsv"
        assert not list(self.folder.glob(".*"))


@pytest.fixture
def site(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> Site:
    days = {FIRST: [start(1, FIRST), start(2, FIRST)], SECOND: [start(3, SECOND)]}
    folder = made_once("exported_site", lambda folder: Site(settings_of(folder)).run(days))
    shutil.copytree(folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Site(settings_of(tmp_path))


def test_tsv_has_the_27_columns_of_the_contract(site: Site) -> None:
    names = [column.name for column in TSV_COLUMNS]
    assert len(names) == 27
    assert names[:18] == [column.name for column in ORIGINAL_COLUMNS]
    assert names[18:] == [
        *("last_status", "origin", "line_number", "failure_code", "session_start_id", "chat_link"),
        *("person_id", "first_reply_at", "failure_action"),
    ]
    for language in Language:
        headers = [header for _, header in header_of(Layout.STANDARD, language)]
        assert len(headers) == 27
        # Two columns of the original have the same name, also in Spanish.
        assert len(set(headers)) == 27
        assert [header for _, header in header_of(Layout.BOTMAKER, language)] == [column.es for column in ORIGINAL_COLUMNS]
    failed = start(
        4,
        THIRD,
        person_id="5511900000009",
        first_reply_at=datetime(2026, 10, 3, 18, 30),
        failure_action="wait_24h",
        failure_code="131049",
        is_not_sent=True,
    )
    site.run({THIRD: [failed]})
    frame = pd.read_csv(site.folder / NAMES[THIRD], sep="\t", dtype=str)
    assert list(frame.columns) == names
    assert frame.iloc[0][["person_id", "first_reply_at", "failure_action"]].tolist() == ["5511900000009", "2026-10-03 15:30:00", "wait_24h"]
    path, rows = export_selection(site.settings, ExportSelection(layout="botmaker", file_name="download.tsv"))
    assert rows == 4
    assert path.read_text(encoding="utf-8").split("\n")[0].split("\t") == [column.es for column in ORIGINAL_COLUMNS]


def test_only_changed_days_are_written(site: Site) -> None:
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in site.folder.glob("*.tsv")}
    exports = site.run({SECOND: [start(4, SECOND)], THIRD: [start(5, THIRD)]})
    assert exports.written == [NAMES[SECOND], NAMES[THIRD]]
    assert (exports.files, exports.rows, exports.latest) == (3, 4, site.folder / NAMES[THIRD])
    path = site.folder / NAMES[FIRST]
    assert (path.stat().st_ino, path.read_bytes()) == before[path]
    site.assert_manifest_is_true()


def test_nothing_new_changes_no_byte_whatever_is_requested(site: Site) -> None:
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in site.folder.iterdir()}
    for fields in ({}, {"requested_days": [FIRST, THIRD]}, {"thorough": True}):
        exports = site.run({}, **fields)
        assert (exports.written, exports.removed, exports.damaged) == ([], [], [])
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in site.folder.iterdir()} == before


def test_day_without_rows_loses_its_file(site: Site) -> None:
    exports = site.run({FIRST: []})
    assert exports.removed == [NAMES[FIRST]]
    assert list(site.tsvs()) == [NAMES[SECOND]]
    site.assert_manifest_is_true()


def test_file_of_a_day_that_a_rebuild_no_longer_has_is_removed(site: Site) -> None:
    build = site.warehouse.build({FIRST: []}, "another definition")
    with open_warehouse(site.settings) as connection:
        publish(connection, site.settings, build)
        exports = export_days(connection, site.settings)
    assert (exports.written, exports.removed) == ([], [NAMES[FIRST]])
    site.assert_manifest_is_true()


def test_day_on_which_only_starts_without_a_notification_changed_is_written(site: Site) -> None:
    build = site.warehouse.build({SECOND: [start(3, SECOND), start(4, SECOND, message_id=None, sent_at=None, origin="referred_campaign")]})
    with open_warehouse(site.settings) as connection:
        connection.execute(
            "update state.changed_days set fact = 'int_starts_without_notification_unioned' "
            "where fact = 'fct_notifications' and change_number = $number",
            {"number": build.change_number},
        )
        publish(connection, site.settings, build)
        assert export_days(connection, site.settings).written == [NAMES[SECOND]]


def test_new_language_rewrites_every_file(site: Site) -> None:
    site.settings = settings_of(site.settings.data.parent, language=Language.PT)
    assert site.run({}).written == [NAMES[FIRST], NAMES[SECOND]]
    assert all(content.startswith("ID do usuário".encode()) for content in site.tsvs().values())


def test_days_before_the_retention_lose_their_files_and_are_not_written_on_request(site: Site) -> None:
    today = datetime.now(ZoneInfo(site.settings.report_timezone)).date()
    site.settings = settings_of(site.settings.data.parent, retention_days=(today - SECOND).days)
    exports = site.run({}, requested_days=[FIRST, SECOND])
    assert (exports.written, exports.removed) == ([], [NAMES[FIRST]])
    assert list(site.tsvs()) == [NAMES[SECOND]]
    site.assert_manifest_is_true()
    # Longer again.
    site.settings = settings_of(site.settings.data.parent, retention_days=(today - FIRST).days)
    assert site.run({}).written == [NAMES[FIRST]]


@pytest.mark.parametrize("day", [date(1, 1, 3), date(999, 6, 1), date(9999, 12, 29)])
@pytest.mark.sampled(3)
def test_day_of_any_year_has_a_file_name_of_one_format(site: Site, day: date) -> None:
    # Under the name that an earlier version used.
    (site.folder / "sessionStartingCauses-999-06-01.tsv").write_text("old")
    mine = site.folder / "mine.tsv"
    mine.write_text("not an export")
    (site.folder / "manifest.json").unlink()
    exports = site.run({day: [start(7, day)]})
    assert "sessionStartingCauses-999-06-01.tsv" in exports.removed
    assert f"sessionStartingCauses-{day.year:04d}-{day.month:02d}-{day.day:02d}.tsv" in site.tsvs()
    assert site.run({}).written == []
    assert mine.read_text() == "not an export"
    mine.unlink()
    site.assert_manifest_is_true()


def other_file(site: Site) -> dict[str, Any]:
    return site.manifest() | {"files": [*site.manifest()["files"], site.manifest()["files"][0] | {"file": "../../victim.tsv"}]}


BAD_MANIFESTS: dict[str, Callable[[Site], Any]] = {
    "a file outside": other_file,
    "a file outside with a day of long ago": lambda site: (
        site.manifest() | {"files": [site.manifest()["files"][0] | {"file": "../../victim.tsv", "report_date": "2001-01-01"}]}
    ),
    "an absolute path": lambda site: (
        site.manifest() | {"files": [site.manifest()["files"][0] | {"file": str(site.settings.data.parent / "victim.tsv")}]}
    ),
    "the file of another day": lambda site: site.manifest() | {"files": [site.manifest()["files"][0] | {"file": NAMES[SECOND]}]},
    "a date of three digits": lambda site: site.manifest() | {"files": [site.manifest()["files"][0] | {"report_date": "999-06-01"}]},
    "a date that is none": lambda site: site.manifest() | {"files": [site.manifest()["files"][0] | {"report_date": "2026-02-30"}]},
    "a negative count": lambda site: site.manifest() | {"files": [site.manifest()["files"][0] | {"rows": -1}]},
    "a hash that is none": lambda site: site.manifest() | {"files": [site.manifest()["files"][0] | {"sha256": "x"}]},
    "a build without its time": lambda site: site.manifest() | {"publication": {"build_id": 1}},
    "no publication": lambda site: site.manifest() | {"publication": None},
    "files that are not a list": lambda site: site.manifest() | {"files": {}},
    "names instead of entries": lambda site: site.manifest() | {"files": ["x.tsv"]},
    "a list": lambda _: [],
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("what", BAD_MANIFESTS)
@pytest.mark.sampled(4)
def test_invalid_manifest_is_rewritten_and_does_no_harm(site: Site, what: str) -> None:
    victim = site.settings.data.parent / "victim.tsv"
    victim.write_text("mine")
    before, tsvs = site.manifest(), site.tsvs()
    (site.folder / "manifest.json").write_text(json.dumps(BAD_MANIFESTS[what](site)))
    site.settings = settings_of(site.settings.data.parent, retention_days=(datetime.now(UTC).date() - FIRST + timedelta(days=400)).days)
    assert site.run({}).written == []
    assert victim.read_text() == "mine"
    assert site.tsvs() == tsvs
    assert [entry | {"made_at": None} for entry in site.manifest()["files"]] == [entry | {"made_at": None} for entry in before["files"]]
    assert site.manifest()["publication"] == before["publication"]


def test_invalid_journal_is_dropped(site: Site) -> None:
    victim = site.settings.data.parent / "victim.tsv"
    victim.write_text("mine")
    tsvs = site.tsvs()
    for content in (
        {"manifest": other_file(site), "removed": []},
        {"manifest": site.manifest(), "removed": ["../../victim.tsv"]},
        [],
        None,
    ):
        (site.folder / ".journal.json").write_text(json.dumps(content))
        assert site.run({}).written == []
        assert victim.read_text() == "mine"
        assert site.tsvs() == tsvs
        site.assert_manifest_is_true()


class Killed(BaseException):
    """Simulates a kill: nothing after it is executed."""


@pytest.mark.parametrize("step", range(8))
@pytest.mark.sampled(4)
def test_interrupted_replacement_is_finished_or_undone(site: Site, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stop before each rename or removal in turn; the next start first restores one of the two states completely."""
    before = site.tsvs()
    build = site.warehouse.build({FIRST: [], SECOND: [start(6, SECOND)], THIRD: [start(7, THIRD)]})
    with open_warehouse(site.settings) as connection:
        publish(connection, site.settings, build)
        steps = iter(range(100))

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def stopping(path: Path, *arguments: Any, **fields: Any) -> Any:
                if path.parent == site.folder and next(steps) == step:
                    raise Killed
                return function(path, *arguments, **fields)

            return stopping

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", counted(Path.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            try:
                export_days(connection, site.settings)
            except Killed:
                stopped = True
            else:
                stopped = False
        recover_exports(site.settings)
        site.assert_manifest_is_true()
        recovered = site.tsvs()
        assert site.manifest()["publication"]["build_id"] == (1 if recovered == before else 2)
        # Seven steps: two drafts placed and one dropped, one file removed, then manifest and journal.
        assert stopped == (step < 7)
        export_days(connection, site.settings)
    assert set(site.tsvs()) == {NAMES[SECOND], NAMES[THIRD]}
    assert recovered in (before, site.tsvs())
    site.assert_manifest_is_true()


def cut_short(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 3)


def test_day_missing_from_the_manifest_is_added_again(site: Site) -> None:
    lost = site.manifest()
    lost["files"] = [entry for entry in lost["files"] if entry["file"] != NAMES[SECOND]]
    (site.folder / "manifest.json").write_text(json.dumps(lost))
    assert site.run({}).written == []
    site.assert_manifest_is_true()


def test_truncated_file_is_rewritten_by_the_next_run(site: Site) -> None:
    tsvs = site.tsvs()
    for damage in (cut_short, Path.unlink):
        damage(site.folder / NAMES[FIRST])
        assert site.run({}).damaged == [NAMES[FIRST]]
        assert site.tsvs() == tsvs


@pytest.mark.parametrize("shows_in_its_time", [True, False])
def test_changed_file_of_the_same_size_is_found_by_its_time_or_hash(site: Site, *, shows_in_its_time: bool) -> None:
    tsvs = site.tsvs()
    path = site.folder / NAMES[FIRST]
    before = path.stat()
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"delivered", b"DELIVERED"))
    if not shows_in_its_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert site.run({}).damaged == []
    assert site.run({}, thorough=not shows_in_its_time).damaged == [NAMES[FIRST]]
    assert site.tsvs() == tsvs


def test_touched_file_is_not_reported_as_damaged(site: Site) -> None:
    os.utime(site.folder / NAMES[FIRST])
    assert site.run({}).damaged == []


@pytest.mark.parametrize(
    ("given", "channels"),
    [
        (["100"], ["100"]),
        (["+52 1 55 1234 0000"], ["100"]),
        (["525512340000", "100"], ["100", "100"]),
        (["551130000200"], ["200"]),
        (["shop-551130000200"], ["shop-551130000200"]),
        (["5511988887777"], ["551188887777"]),
    ],
)
def test_line_is_selected_by_channel_id_or_number_in_any_spelling(tmp_path: Path, given: list[str], channels: list[str]) -> None:
    site = Site(settings_of(tmp_path))
    lines = [("100", "5215512340000"), ("200", "551130000200"), ("shop-551130000200", None), ("551188887777", None)]
    site.run({FIRST: [start(n, FIRST, channel_id=channel, line_number=number) for n, (channel, number) in enumerate(lines)]})
    with open_published(site.settings) as published:
        assert ExportSelection(lines=given).with_channel_ids(published).lines == channels


def on_demand(site: Site) -> list[str]:
    return sorted(path.name for path in (site.folder / "on_demand").glob("*"))


def test_old_exports_on_demand_are_removed_by_their_day_in_the_zone_of_the_report(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, report_timezone="Pacific/Apia")
    folder = settings.exports_dir / "on_demand"
    folder.mkdir(parents=True)
    zone, today = ZoneInfo(settings.report_timezone), datetime.now(ZoneInfo(settings.report_timezone)).date()
    made_at = {
        "before.tsv": datetime(2026, 10, 1, 23, 59, 59, tzinfo=zone),
        "first.xlsx": datetime(2026, 10, 2, tzinfo=zone),
        # A younger draft may be of an export that is still being written.
        ".yesterday.tsv.draft": datetime.combine(today - timedelta(days=1), time(), zone),
        ".older.tsv.draft": datetime.combine(today - timedelta(days=2), time(23, 59, 59), zone),
    }
    for name, at in made_at.items():
        (folder / name).touch()
        os.utime(folder / name, (at.timestamp(), at.timestamp()))
    assert remove_old_on_demand(settings, date(2026, 10, 2)) == ["before.tsv"]
    assert sorted(path.name for path in folder.iterdir()) == [".yesterday.tsv.draft", "first.xlsx"]


def test_export_in_the_original_layout_is_spanish_unless_requested_and_named_after_the_time_in_the_report(site: Site) -> None:
    site.run({THIRD: [start(4, THIRD, is_not_sent=True, is_sent=False, is_delivered=False, last_status="not_sent", failure_code="131049")]})
    reasons = {}
    for language in ("", "en"):
        selection = ExportSelection(layout="botmaker", language=language, period_from="2026-10-03", period_to="2026-10-03")
        path, rows = export_selection(site.settings, selection)
        assert rows == 1
        reasons[language] = pd.read_csv(path, sep="\t", dtype=str)["Razón Falla Envío"][0]
        now = datetime.now(ZoneInfo(site.settings.report_timezone))
        assert path.name in {f"sessionStartingCauses-{now - timedelta(minutes=ago):%Y.%m.%d-%H.%M}.tsv" for ago in (0, 1)}
    with FAILURE_REASONS.open(encoding="utf-8", newline="") as file:
        (labels,) = (row for row in csv.DictReader(file) if row["failure_code"] == "131049")
    assert reasons == {"": labels["label_es"], "en": labels["label_en"]}


@pytest.mark.parametrize(("before", "after"), [(None, "k"), *thorough(("k", "l"), ("k", None))])
@pytest.mark.thorough
def test_new_mask_removes_the_exports_on_demand(tmp_path: Path, before: str | None, after: str | None) -> None:
    def settings(key: str | None) -> Settings:
        return settings_of(tmp_path, contacts=Contacts.MASKED if key else Contacts.PLAIN, mask_key=key)

    site = Site(settings(before))
    site.run({FIRST: [start(1, FIRST)]})
    export_selection(site.settings, ExportSelection(file_name="mine.tsv"))
    assert site.run({SECOND: [start(2, SECOND)]}).removed == []
    assert on_demand(site) == ["mine.tsv"]
    site.settings = settings(after)
    # The published data still has the other mask.
    for export in (lambda: export_selection(site.settings, ExportSelection()), lambda: export_days_of(site)):
        with pytest.raises(StartsError, match="STARTS_CONTACTS or STARTS_MASK_KEY changed since the last publication"):
            export()
    draft = site.folder / "on_demand" / ".other.tsv.0123.draft"
    draft.write_text("half an export of before")
    assert site.run({}).removed == ["mine.tsv"]
    assert on_demand(site) == []


def test_export_with_another_time_zone_than_the_published_report_is_refused(tmp_path: Path) -> None:
    site = Site(settings_of(tmp_path, report_timezone="Pacific/Apia"))
    site.run({FIRST: [start(1, FIRST)]})
    site.settings = settings_of(tmp_path)
    with pytest.raises(StartsError, match=r"the report was published in the time zone Pacific/Apia\. Set it back, or run the job first"):
        export_selection(site.settings, ExportSelection())
    site.run({})
    assert export_selection(site.settings, ExportSelection())[1] == 1


def export_days_of(site: Site) -> DailyExports:
    with open_warehouse(site.settings) as connection:
        return export_days(connection, site.settings)


@pytest.mark.thorough
def test_lost_manifest_removes_exports_on_demand_only_if_contacts_are_masked(tmp_path: Path) -> None:
    for contacts, left in ((Contacts.PLAIN, ["mine.tsv"]), (Contacts.MASKED, [])):
        site = Site(settings_of(tmp_path / contacts, contacts=contacts, mask_key="k"))
        site.run({FIRST: [start(1, FIRST)]})
        export_selection(site.settings, ExportSelection(file_name="mine.tsv"))
        (site.folder / "manifest.json").unlink()
        site.run({})
        assert on_demand(site) == left


def test_erasure_removes_the_exports_on_demand(site: Site) -> None:
    export_selection(site.settings, ExportSelection(file_name="mine.tsv"))
    # The warehouse was rewritten without a person.
    with open_warehouse(site.settings) as connection:
        connection.execute("update state.builds set started_at = started_at - interval 1 microsecond")
    assert site.run({FIRST: [start(1, FIRST)]}).removed == ["mine.tsv"]
    export_selection(site.settings, ExportSelection(file_name="mine.tsv"))
    assert remove_all_on_demand(site.settings) == ["mine.tsv"]
    assert on_demand(site) == []


def test_export_overtaken_by_a_run_is_not_placed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.exports import on_demand as module

    write_tsv = module.write_tsv

    def overtaken(*arguments: Any, **fields: Any) -> int:
        rows = write_tsv(*arguments, **fields)
        other = Site(settings_of(site.settings.data.parent, contacts=Contacts.MASKED, mask_key="k"))
        other.run({})
        return rows

    monkeypatch.setattr(module, "write_tsv", overtaken)
    with pytest.raises(StartsError, match="meanwhile"):
        export_selection(site.settings, ExportSelection(file_name="mine.tsv"))
    assert on_demand(site) == []


def test_exports_are_private(site: Site) -> None:
    path, _ = export_selection(site.settings, ExportSelection())
    for folder in (site.folder, path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(tsv.stat().st_mode) for tsv in site.folder.glob("*.tsv")} == {0o400}
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path, site.folder / "manifest.json")} == {0o600}
    # A link may lead to a file that is not an export.
    other = site.settings.data.parent / "other.tsv"
    other.touch(mode=0o640)
    (site.folder / "linked.tsv").symlink_to(other)
    site.settings = settings_of(site.settings.data.parent, files_mode=FileMode.GROUP)
    site.run({})
    assert stat.S_IMODE(other.stat().st_mode) == 0o640
    (site.folder / "linked.tsv").unlink()
    assert stat.S_IMODE(site.folder.stat().st_mode) == 0o750
    assert {stat.S_IMODE(tsv.stat().st_mode) for tsv in site.folder.glob("*.tsv")} == {0o440}


def test_failed_export_leaves_the_existing_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    tsvs = site.tsvs()
    monkeypatch.setattr(manifests, "_write", refused)
    with pytest.raises(StartsError, match="This user may not read or write"):
        site.run({FIRST: [start(9, FIRST)]})
    monkeypatch.undo()
    assert site.tsvs() == tsvs
    site.run({})
    site.assert_manifest_is_true()


def test_manifest_is_read_as_it_was_written(site: Site) -> None:
    manifest = read_manifest(site.settings)
    assert manifest is not None
    assert json.loads(manifest.model_dump_json()) == site.manifest()
