"""The warehouse as a Dagster resource: settings from the environment, and the one writer's lock."""

from collections.abc import Generator
from contextlib import contextmanager

import duckdb
from dagster import ConfigurableResource, Failure, InitResourceContext
from pydantic import PrivateAttr

from orchestration.errors import StartsError
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse, writer_lock


class WarehouseResource(ConfigurableResource):
    """Holds the writer's lock for as long as a run lives; opens the file only while an asset works."""

    _settings: Settings = PrivateAttr()

    @property
    def settings(self) -> Settings:
        return self._settings

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["WarehouseResource", None, None]:
        with operator_errors():
            self._settings = Settings.from_environment()
            lock = writer_lock(self._settings)
            lock.__enter__()
        try:
            yield self
        finally:
            lock.__exit__(None, None, None)

    @contextmanager
    def open(self) -> Generator[duckdb.DuckDBPyConnection, None, None]:
        with operator_errors(), open_warehouse(self._settings) as connection:
            yield connection


@contextmanager
def operator_errors() -> Generator[None, None, None]:
    """Turn an error that the operator can mend into a failure whose description says how."""
    try:
        yield
    except StartsError as error:
        raise Failure(description=str(error), allow_retries=False) from error
