"""Write what the linters of the dbt project read: its manifest, and a warehouse with empty raw tables to compile against."""

import shutil
import sys
from pathlib import Path

import duckdb

from orchestration.landing.migrations import prepare_raw_schema
from orchestration.settings import Settings
from orchestration.transform.parsed import parsed_project

if __name__ == "__main__":
    settings = Settings(data=Path(sys.argv[1]).resolve())
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    print(shutil.copy(parsed_project(settings).json_path, settings.dbt_target_dir))
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        prepare_raw_schema(connection)
