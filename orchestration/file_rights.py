"""Who may read what is written: this user alone, for it names people.

With STARTS_FILE_MODE=group its group may read what is published and exported.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from orchestration.settings import FileMode, Settings


def restrict_new_files() -> None:
    """Make this process, and those that it starts, create files for this user alone. For the entry points.

    What the group may read is opened to it file by file (`files.restrict_file`, `files.make_folder`).
    """
    os.umask(FileMode.PRIVATE.umask)


def restrict_existing_files(settings: Settings) -> None:
    """Close what an older version of the project left open to others, and let the group come to what it may read.

    The data folder itself may be shared, so nothing is taken from its rights.
    """
    shared = (settings.published_dir, settings.exports_dir)
    private = (settings.dbt_target_dir, settings.dagster_home, settings.warehouse_path, settings.lock_path)
    for path, mode in (*((path, settings.files_mode) for path in shared), *((path, FileMode.PRIVATE) for path in private)):
        # What belongs to another user is that user's to close.
        with suppress(FileNotFoundError, PermissionError):
            _set_rights(path, taken=mode.umask)
    if settings.files_mode is FileMode.GROUP:
        with suppress(PermissionError):
            _set_rights(settings.data, given=0o050)


def _set_rights(path: Path, *, taken: int = 0, given: int = 0) -> None:
    rights = stat.S_IMODE(path.stat().st_mode)
    wanted = rights & ~taken | given
    if rights != wanted:
        path.chmod(wanted)
