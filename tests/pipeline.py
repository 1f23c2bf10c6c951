"""Run the real job in this process, below folders of a test's own."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

from orchestration.settings import Settings


@dataclass
class Pipeline:
    """A landing zone and a data folder; `run` is the job `conversation_starts`."""

    landing: Path
    data: Path
    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self._environment())

    def _environment(self) -> dict[str, str]:
        return {"STARTS_LANDING": str(self.landing), "STARTS_DATA": str(self.data), **self.environment}

    def run(self) -> Any:
        """Run the job once and return Dagster's result, failed or not."""
        from orchestration.definitions import defs

        with patch.dict(os.environ, self._environment()):
            return defs.resolve_job_def("conversation_starts").execute_in_process(
                raise_on_error=False, run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            )

    def materialize(self, *assets: str) -> Any:
        """Materialise some assets alone, as from the UI, and return Dagster's result, failed or not."""
        from dagster import AssetSelection, Definitions, define_asset_job

        from orchestration.definitions import defs

        chosen = Definitions.merge(defs, Definitions(jobs=[define_asset_job("chosen", selection=AssetSelection.assets(*assets))]))
        with patch.dict(os.environ, self._environment()):
            return chosen.resolve_job_def("chosen").execute_in_process(
                raise_on_error=False, run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            )

    def rows(self, table: str, *, published: bool = True) -> list[dict[str, Any]]:
        """Return a table's rows as dictionaries, in no particular order."""
        path = self.settings.published_database if published else self.settings.warehouse_path
        return query(path, f"select * from {table}", read_only=published)

    def tsv_bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.settings.exports_dir.glob("*.tsv"))}


def query(path: Path, sql: str, *, read_only: bool = True) -> list[dict[str, Any]]:
    with duckdb.connect(str(path), read_only=read_only) as connection:
        connection.execute("set timezone = 'UTC'")
        result = connection.execute(sql)
        names = [description[0] for description in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def comparable(rows: list[dict[str, Any]]) -> list[tuple[tuple[str, str], ...]]:
    """Order rows and columns, so that two lists are equal when they hold the same rows."""
    return sorted(tuple(sorted((name, repr(value)) for name, value in row.items())) for row in rows)
