"""The warehouse as a Dagster resource, with settings from the environment and the writer's lock."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import duckdb
from dagster import ConfigurableResource, InitResourceContext, get_dagster_logger
from pydantic import PrivateAttr

from orchestration.defs.failures import failure
from orchestration.defs.retention import delete_old_runs
from orchestration.engines.engine import Engine, engine_of
from orchestration.errors import StartsError, operator_errors
from orchestration.exports.manifest import recover_exports
from orchestration.publication.versions import recover_publication
from orchestration.settings import Settings
from orchestration.transform.runner import stop_dbt
from orchestration.warehouse import writer_lock


class WarehouseResource(ConfigurableResource):
    """Open the warehouse for the assets; take the writer's lock at the first opening and hold it until the run ends.

    The lock is not taken at the start, because a run that first fetches from Botmaker may take hours before it writes.
    """

    _settings: Settings = PrivateAttr()
    _engine: Engine = PrivateAttr()
    _until_run_ends: ExitStack = PrivateAttr()
    _is_locked: bool = PrivateAttr(default=False)

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["WarehouseResource", None, None]:
        with operator_failures():
            self._settings = Settings.from_environment()
            self._engine = engine_of(self._settings)
        self._is_locked = False
        with ExitStack() as self._until_run_ends:
            try:
                yield self
            finally:
                # Before the lock is released, because dbt writes to the warehouse.
                stop_dbt()
        self._delete_old_runs(context)

    def _delete_old_runs(self, context: InitResourceContext) -> None:
        if context.run is None or context.instance is None or not context.instance.is_persistent:
            return
        try:
            delete_old_runs(context.instance, context.run.job_name, self._settings.keep_runs_days, datetime.now(UTC))
        except Exception as error:  # each of Dagster's storages has its own
            # The run has done its work; the next one deletes the rest.
            get_dagster_logger().warning(f"Dagster's old runs could not be deleted: {error}")

    @contextmanager
    def open(self) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        """Open the warehouse; errors that the operator can fix become failures that say how, also inside the `with` block."""
        with operator_failures():
            if not self._is_locked:
                self._until_run_ends.enter_context(writer_lock(self._settings))
                self._is_locked = True
                # First finish or undo the replacements that a killed run left incomplete.
                recover_publication(self._settings)
                recover_exports(self._settings)
                # DuckDB keeps one instance of a file per process while a connection to it is open. Without this connection, every
                # step would read the file's catalog and write a checkpoint (50 ms each, a dozen times in a run).
                self._until_run_ends.enter_context(self._engine.open())
            with self._engine.open() as connection:
                yield connection


@contextmanager
def operator_failures() -> Generator[None, None, None]:
    """Turn errors that the operator can fix into failures whose description says how; they are not retried."""
    try:
        with operator_errors():
            yield
    except StartsError as error:
        raise failure(str(error), error.exit_code) from error
