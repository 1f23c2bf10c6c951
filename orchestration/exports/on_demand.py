"""The report as TSV for any selection: written when somebody asks for it, from what is published, beside runs that work."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from zoneinfo import ZoneInfo

from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection
from orchestration.exports.tsv import Layout, prepare_cells, write_tsv
from orchestration.files import make_folder, put_in_place, restrict_file
from orchestration.publication.masking import masking_fingerprint
from orchestration.publication.published import check_contacts, open_published
from orchestration.publication.versions import current_version
from orchestration.settings import Language, Settings


def export_selection(settings: Settings, selection: ExportSelection) -> tuple[Path, int]:
    """Write the selected rows of the published report to one TSV; return its path and number of rows."""
    folder = _folder(settings)
    path = folder / (selection.file_name or _name_of_selection(settings, selection, datetime.now(UTC)))
    # Its own, because two may write a file of one name at a time; the later one stays.
    draft = path.with_name(f".{path.name}.{token_hex(8)}.draft")
    layout = Layout(selection.layout)
    usual_language = Language.ES if layout is Layout.BOTMAKER else settings.language
    language = Language(selection.language) if selection.language else usual_language
    condition, values = selection.condition()
    with open_published(settings) as published:
        check_contacts(published, settings)
        selection.check_known(published)
        make_folder(settings.exports_dir, settings)
        make_folder(folder, settings)
        prepare_cells(published)
        rows = write_tsv(published, draft, settings, condition, values, language, layout)
        _place(settings, draft, path)
    return path, rows


def _place(settings: Settings, draft: Path, path: Path) -> None:
    """Put the file in place, unless a run has published with another mask meanwhile: it has removed the exports of before."""
    version = current_version(settings)
    if version is None or version.record is None or version.record.source.masking_fingerprint != masking_fingerprint(settings):
        draft.unlink(missing_ok=True)
        raise StartsError("A run published with another STARTS_CONTACTS or STARTS_MASK_KEY meanwhile. Nothing was exported.")
    try:
        restrict_file(draft, settings, read_only=False)
        put_in_place(draft, path)
    except FileNotFoundError:
        raise StartsError("A run removed all exports on demand meanwhile. Export again.") from None


def remove_all_on_demand(settings: Settings) -> list[str]:
    """Remove every export on demand, and those being written; return the names of the exports.

    For an erasure, and for a change from plain to masked contacts or of the key: a masked export names nobody whom an
    erasure could look for, and an export may hold a person under any name that a run has never seen.
    """
    files = list(_folder(settings).glob("*.tsv"))
    for path in [*files, *_folder(settings).glob(".*.draft")]:
        path.unlink(missing_ok=True)
    return [path.name for path in files]


def remove_old_on_demand(settings: Settings, first_day: date) -> list[str]:
    """Remove the exports made before a report day, and drafts that a kill left; return the names of the exports."""
    # A draft may be in the making until it is some days old.
    yesterday = datetime.now(ZoneInfo(settings.report_timezone)).date() - timedelta(days=1)
    for draft in _folder(settings).glob(".*.draft"):
        if _made_on(draft, settings) < yesterday:
            draft.unlink()
    old = [path for path in _folder(settings).glob("*.tsv") if _made_on(path, settings) < first_day]
    for path in old:
        path.unlink()
    return [path.name for path in old]


def _folder(settings: Settings) -> Path:
    return settings.exports_dir / "on_demand"


def _made_on(path: Path, settings: Settings) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, ZoneInfo(settings.report_timezone)).date()


def _name_of_selection(settings: Settings, selection: ExportSelection, now: datetime) -> str:
    if selection.layout == Layout.BOTMAKER:
        return f"sessionStartingCauses-{now.astimezone(ZoneInfo(settings.report_timezone)):%Y.%m.%d-%H.%M}.tsv"
    period = "--".join(day for day in (selection.period_from, selection.period_to) if day) or "all"
    return f"sessionStartingCauses-{period}-{now:%Y%m%dT%H%M%S}.tsv"
