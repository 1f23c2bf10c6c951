"""Write the raw tables, the ledger and the quarantine of the configured warehouse as Parquet: `python -m tests.spark.dump FOLDER`.

`--replay` first reads the files with rejected records again. `--run` and its arguments first run a command, by default the job, in the same
process, because starting a command on Spark takes longer than the dump.
"""

import sys
from pathlib import Path

from orchestration.cli.main import main as run_command_line
from orchestration.engines.engine import engine_of
from orchestration.files import quoted
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, FEEDS
from orchestration.landing.zone import LandingZone
from orchestration.maintenance.replay import mark_files_with_rejections_to_reread
from orchestration.settings import Settings

KEPT = ("landed_files", "rejected_records")
RAW = tuple(table for feed in FEEDS for table in feed.tables)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    if "--run" in sys.argv and (exit_code := run_command_line(sys.argv[sys.argv.index("--run") + 1 :])):
        sys.exit(exit_code)
    settings = Settings.from_environment()
    engine = engine_of(settings)
    if "--replay" in sys.argv:
        zone = LandingZone(settings.landing, FEED_NAMES)
        with engine.open_to_maintain() as warehouse:
            print(len(mark_files_with_rejections_to_reread(warehouse, zone)), "files to read again")
        with engine.open() as warehouse:
            for feed in FEEDS:
                print(engine.land(warehouse, zone, feed, ErasedPeople.load(settings.data)))
    with engine.open_to_read() as warehouse:
        for table in KEPT:
            warehouse.execute(f"copy raw.{table} to {quoted(folder / f'{table}.parquet')} (format parquet)")
        for table in RAW:
            rows = f"from raw.{table}"
            if settings.spark is not None:
                from orchestration.engines.spark.session import spark_session
                from orchestration.engines.spark.tables import data_files, literal

                files = data_files(spark_session(settings.spark), f"raw.{table}")
                # The driver's copy has the table's columns but no rows.
                rows = f"from read_parquet({literal(files)})" if files else rows
            warehouse.execute(f"copy ({rows}) to {quoted(folder / f'{table}.parquet')} (format parquet)")


if __name__ == "__main__":
    main()
