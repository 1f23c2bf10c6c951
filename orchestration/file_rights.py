"""Who may read what is written: this user alone, or with STARTS_FILE_MODE=group its group as well; no one else, for it names people."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from orchestration.settings import FileMode, Settings, SettingsError, files_mode


def restrict_new_files() -> None:
    """Make this process, and those that it starts, create files for no one else. For the entry points; a wrong setting is private."""
    mode = FileMode.PRIVATE
    with suppress(SettingsError):
        mode = files_mode()
    os.umask(mode.umask)


def restrict_existing_files(settings: Settings) -> None:
    """Close what an older version of the project left open to everybody. The data folder itself may be shared, so it stays as it is."""
    folders = (settings.published_dir, settings.exports_dir, settings.dbt_target_dir, settings.dagster_home)
    for path in (*folders, settings.warehouse_path, settings.lock_path):
        # What belongs to another user of the group is that user's to close.
        with suppress(FileNotFoundError, PermissionError):
            _restrict(path, settings.files_mode)


def _restrict(path: Path, mode: FileMode) -> None:
    rights = stat.S_IMODE(path.stat().st_mode)
    if rights & mode.umask:
        path.chmod(rights & ~mode.umask)
