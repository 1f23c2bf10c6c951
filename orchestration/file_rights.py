"""Who may read what is written: this user alone, for it names people.

With STARTS_FILE_MODE=group its group may read what is published and exported.
"""

import os
from contextlib import suppress

from orchestration.files import change_rights
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
        with suppress(FileNotFoundError, PermissionError):
            change_rights(path, taken=mode.umask)
    if settings.files_mode is FileMode.GROUP:
        change_rights(settings.data, given=0o050)
