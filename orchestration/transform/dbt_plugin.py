"""Open the warehouse in a dbt-duckdb plugin, so that dbt by hand reports in one sentence why it cannot (contract, section 7).

If the folder is missing, dbt-duckdb waits as it does for a locked file. It tries to open the file nine times before it gives up, and
ends with a traceback. If a plugin raises `RuntimeError`, dbt reports its message as the reason why it could not connect.
"""

import time
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin

from orchestration.errors import is_locked_by_another_process

# A reader closes the file within seconds; a run of the job holds it open for longer.
_SECONDS_TO_WAIT = 60.0
_SECONDS_BETWEEN_TRIES = 2.0
# dbt connects once per thread: after one wait in vain, the other threads do not wait again.
_SECONDS_TO_REUSE_FAILURE = 10.0


class Plugin(BasePlugin):
    """The plugin that `dbt_project/profiles.yml` lists."""

    _opened: duckdb.DuckDBPyConnection | None = None
    _given_up: tuple[float, str] | None = None

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Open the file before dbt does; dbt then shares the open database. Raises `RuntimeError` with a one-sentence reason."""
        path = Path(creds.path)
        if creds.path != ":memory:" and not path.parent.is_dir():
            raise RuntimeError(
                f"Nothing has landed yet: the folder {path.parent.resolve()} does not exist. Run the job conversation_starts first "
                "(make run), or set STARTS_DATA to the right data folder."
            )
        self._opened = self._open(creds.path, config)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Close this plugin's connection: by now dbt has opened the file itself."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _open(self, path: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        if self._given_up is not None and time.monotonic() - self._given_up[0] < _SECONDS_TO_REUSE_FAILURE:
            raise RuntimeError(self._given_up[1])
        until = time.monotonic() + _SECONDS_TO_WAIT
        while True:
            try:
                return duckdb.connect(path, read_only=False, config=config)
            except duckdb.IOException as error:
                if not is_locked_by_another_process(error):
                    raise RuntimeError(f"The warehouse cannot be opened: {error}") from error
                if time.monotonic() >= until:
                    reason = str(error).partition(" See also")[0].rstrip(".")
                    sentence = f"Another program, such as a run of the job, holds the warehouse. Try again when it has finished ({reason})."
                    self._given_up = time.monotonic(), sentence
                    raise RuntimeError(sentence) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
