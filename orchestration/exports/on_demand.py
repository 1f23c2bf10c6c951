"""Export any selection of the report as TSV or XLSX on demand, from the published file, even during a run."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from zoneinfo import ZoneInfo

from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection, FileFormat
from orchestration.exports.tsv import Layout, prepare_cells, write_tsv
from orchestration.exports.xlsx import check_xlsx_can_be_written, write_xlsx
from orchestration.files import make_folder, put_in_place, restrict_file
from orchestration.publication.masking import masking_fingerprint
from orchestration.publication.published import check_settings, open_published
from orchestration.publication.versions import current_version
from orchestration.settings import Language, Settings


def export_selection(settings: Settings, selection: ExportSelection) -> tuple[Path, int]:
    """Write the selected rows of the published report to one file; return its path and number of rows.

    Raises `StartsError` if nothing is published, if the report does not contain a line or template, and for an XLSX file if its
    library is not installed or a sheet cannot hold all rows.
    """
    if selection.format == FileFormat.XLSX:
        check_xlsx_can_be_written()
    folder = _folder(settings)
    path = folder / (selection.file_name or _name_of_selection(settings, selection, datetime.now(UTC)))
    # A unique draft, because two exports may write a file of the same name at once; the later one wins.
    draft = path.with_name(f".{path.name}.{token_hex(8)}.draft")
    layout = Layout(selection.layout)
    usual_language = Language.ES if layout is Layout.BOTMAKER else settings.language
    language = Language(selection.language) if selection.language else usual_language
    with open_published(settings) as published:
        check_settings(published, settings)
        condition, values = selection.with_channel_ids(published).condition()
        make_folder(settings.exports_dir, settings)
        make_folder(folder, settings)
        prepare_cells(published)
        if selection.format == FileFormat.XLSX:
            rows = write_xlsx(published, draft, settings, condition, values, language, layout)
        else:
            rows = write_tsv(published, draft, settings, condition, values, language, layout, bom=selection.bom)
        _move_into_place(settings, draft, path)
    return path, rows


def _move_into_place(settings: Settings, draft: Path, path: Path) -> None:
    """Put the file in place, unless a run has meanwhile published with another mask and so removed all earlier exports."""
    version = current_version(settings)
    if version is None or version.record is None or version.record.source.masking_fingerprint != masking_fingerprint(settings):
        draft.unlink(missing_ok=True)
        raise StartsError("A run has meanwhile published with another STARTS_CONTACTS or STARTS_MASK_KEY. Nothing was exported.")
    try:
        restrict_file(draft, settings, read_only=False)
        put_in_place(draft, path)
    except FileNotFoundError:
        raise StartsError("A run or an erasure has meanwhile removed all exports on demand. Export again.") from None


def remove_all_on_demand(settings: Settings) -> list[str]:
    """Remove every export on demand, including those being written; return the names of the finished ones.

    Used for an erasure, and for a change from plain to masked contacts or of the key. An erasure cannot find a person in a masked
    export, and an export may contain a person under a name that no run has ever seen.
    """
    files = _exports(settings)
    for path in files:
        path.unlink(missing_ok=True)
    for draft in _drafts(settings):
        _remove_draft(draft)
    return [path.name for path in files]


def remove_old_on_demand(settings: Settings, first_day: date) -> list[str]:
    """Remove the exports made before a report day, and drafts left by a kill; return the names of the exports."""
    # A younger draft may belong to an export that is still being written.
    yesterday = datetime.now(ZoneInfo(settings.report_timezone)).date() - timedelta(days=1)
    for draft in _drafts(settings):
        if _made_on(draft, settings) < yesterday:
            _remove_draft(draft)
    old = [path for path in _exports(settings) if _made_on(path, settings) < first_day]
    for path in old:
        path.unlink()
    return [path.name for path in old]


def _folder(settings: Settings) -> Path:
    return settings.exports_dir / "on_demand"


def _exports(settings: Settings) -> list[Path]:
    return [path for kind in FileFormat for path in _folder(settings).glob(f"*.{kind}")]


def _drafts(settings: Settings) -> list[Path]:
    return list(_folder(settings).glob(".*.draft"))


def _remove_draft(draft: Path) -> None:
    # The pieces of an XLSX file are written to a folder.
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def _made_on(path: Path, settings: Settings) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, ZoneInfo(settings.report_timezone)).date()


def _name_of_selection(settings: Settings, selection: ExportSelection, now: datetime) -> str:
    if selection.layout == Layout.BOTMAKER:
        return f"sessionStartingCauses-{now.astimezone(ZoneInfo(settings.report_timezone)):%Y.%m.%d-%H.%M}.{selection.format}"
    period = "--".join(day for day in (selection.period_from, selection.period_to) if day) or "all"
    return f"sessionStartingCauses-{period}-{now:%Y%m%dT%H%M%S}.{selection.format}"
