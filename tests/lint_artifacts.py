"""What the linters of the dbt project read: its manifest, and a warehouse with empty raw tables to compile against."""

import sys
from pathlib import Path

import duckdb

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings
from orchestration.transform.runner import manifest_path

if __name__ == "__main__":
    settings = Settings(data=Path(sys.argv[1]).resolve())
    print(manifest_path(settings))
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(RAW_SCHEMA_SQL)
