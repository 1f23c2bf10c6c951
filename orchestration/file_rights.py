"""Who may read the files that the project writes: only this user, because the files contain personal data.

With STARTS_FILE_MODE=group, the user's group may also read published and exported files.
"""

import os
from contextlib import suppress
from pathlib import Path

from orchestration.files import change_permissions
from orchestration.settings import FileMode, Settings


def restrict_new_files() -> None:
    """Make this process and its children create files that only this user can access. For the entry points.

    Files that the group may read are opened to it one by one (`files.restrict_file`, `files.make_folder`).
    """
    os.umask(FileMode.PRIVATE.umask)


def restrict_existing_files(settings: Settings) -> None:
    """Close files that an older version of the project left open to others, and give the group access to the files it may read.

    The data folder itself may be shared, so none of its rights are removed.
    """
    shared = (settings.published_dir, settings.exports_dir)
    private = (settings.dbt_target_dir, settings.dagster_home, settings.warehouse_path, settings.lock_path)
    for path, mode in (*((path, settings.files_mode) for path in shared), *((path, FileMode.PRIVATE) for path in private)):
        with suppress(FileNotFoundError, PermissionError):
            change_permissions(path, remove=mode.umask)
    if settings.files_mode is FileMode.GROUP:
        change_permissions(settings.data, add=0o050)
        for folder in shared:
            _open_to_the_group(folder)


def _open_to_the_group(shared: Path) -> None:
    """Let the group read a folder and everything below it: files written before the setting changed are not written again."""
    for folder, _, names in os.walk(shared):
        paths = [(Path(folder), 0o050), *((Path(folder, name), 0o040) for name in names)]
        for path, rights in paths:
            # Another process may replace a file meanwhile.
            with suppress(FileNotFoundError):
                if not path.is_symlink():
                    change_permissions(path, add=rights)
