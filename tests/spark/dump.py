"""Write the ledger and the quarantine of the warehouse of the environment as Parquet: `python -m tests.spark.dump FOLDER`."""

import sys
from pathlib import Path

from orchestration.engines.engine import engine_of
from orchestration.files import quoted
from orchestration.settings import Settings

folder = Path(sys.argv[1])
folder.mkdir()
with engine_of(Settings.from_environment()).open_to_read() as warehouse:
    for table in ("landed_files", "rejected_records"):
        warehouse.execute(f"copy raw.{table} to {quoted(folder / f'{table}.parquet')} (format parquet)")
