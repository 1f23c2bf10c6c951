"""A plugin of dbt-duckdb that opens the warehouse, so that dbt by hand gets a sentence where it cannot (contract, section 7).

dbt-duckdb waits at every missing folder as it does for a locked file, opens the file nine times before it gives up, and ends with a
traceback. What a plugin raises as `RuntimeError` dbt reports as the reason why it could not connect.
"""

import time
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin

from orchestration.errors import is_lock_of_another

# A reader closes the file in seconds; a run of the job holds it for longer.
_SECONDS_TO_WAIT = 60.0
_SECONDS_BETWEEN_TRIES = 2.0
# dbt asks again for each of its threads: what has been waited for in vain is not waited for again.
_SECONDS_TO_REMEMBER = 10.0


class Plugin(BasePlugin):
    """Named in `dbt_project/profiles.yml`."""

    _opened: duckdb.DuckDBPyConnection | None = None
    _given_up: tuple[float, str] | None = None

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Open the file before dbt does, which then shares what is open. Raises `RuntimeError` with a sentence."""
        path = Path(creds.path)
        if creds.path != ":memory:" and not path.parent.is_dir():
            raise RuntimeError(
                f"Nothing has landed yet, there is no folder {path.parent.resolve()}: run the job conversation_starts first (make run), "
                "or set STARTS_DATA to the data folder that is meant."
            )
        self._opened = self._open(creds.path, config)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Let go of the file, which dbt has opened, too."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _open(self, path: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        if self._given_up is not None and time.monotonic() - self._given_up[0] < _SECONDS_TO_REMEMBER:
            raise RuntimeError(self._given_up[1])
        until = time.monotonic() + _SECONDS_TO_WAIT
        while True:
            try:
                return duckdb.connect(path, read_only=False, config=config)
            except duckdb.IOException as error:
                if not is_lock_of_another(error):
                    raise RuntimeError(f"The warehouse cannot be opened: {error}") from error
                if time.monotonic() >= until:
                    said = str(error).partition(" See also")[0].rstrip(".")
                    sentence = f"Another program holds the warehouse, such as a run of the job: try again when it is over ({said})."
                    self._given_up = time.monotonic(), sentence
                    raise RuntimeError(sentence) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
