"""How the job compares with the floor and with pandas: `make bench`.

Makes 1M sends with their webhooks in the real formats, gives each contender a process of its own, one
after the other, and prints seconds, ratios and peak memory side by side. Process start-up and imports
are not counted for any of them. The following day is 1/60 of the data, landed on top.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAYS = 60


def make_logs(folder: Path, sends: int) -> None:
    """Write `DAYS` days of logs below `full/` and the day after them below `next_day/`."""
    from tests.data.generate_logs import build, write_day

    connection = build(sends * (DAYS + 1) // DAYS, DAYS + 1)
    for feed in ("sends", "webhooks"):
        for day in range(DAYS):
            write_day(connection, feed, day, folder / "full", "zstd")
        write_day(connection, feed, DAYS, folder / "next_day", "zstd")


def run_job(_folder: Path) -> dict[str, float]:
    """Run the job in this process, on the environment's folders; return the seconds of each step."""
    # dbt is imported when it is first run; imports are start-up here, as for the others.
    import dbt.adapters.duckdb
    import dbt.cli.main  # noqa: F401
    from dagster import DagsterEventType

    from orchestration.definitions import defs

    result = defs.resolve_job_def("conversation_starts").execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    )
    return {
        event.step_key or "": event.step_success_data.duration_ms / 1000
        for event in result.all_events
        if event.event_type is DagsterEventType.STEP_SUCCESS
    }


def run_floor(folder: Path) -> dict[str, float]:
    import duckdb

    script = (Path(__file__).parent / "floor.sql").read_text(encoding="utf-8")
    connection = duckdb.connect()
    started = time.perf_counter()
    connection.execute(script.format(sends=folder / "full/sends/*.zst", webhooks=folder / "full/webhooks/*.zst", tsv=folder / "floor.tsv"))
    return {"script": time.perf_counter() - started}


def run_pandas(folder: Path) -> dict[str, float]:
    from tests.benchmarks.pandas_report import main as report

    started = time.perf_counter()
    report(folder / "full", folder / "pandas.tsv")
    return {"script": time.perf_counter() - started}


CONTENDERS = {"job": run_job, "floor": run_floor, "pandas": run_pandas}


def contend(name: str, folder: Path, landing: Path) -> tuple[dict[str, float], float]:
    """Run a contender in a process of its own; return its steps' seconds and its peak memory in GB."""
    folders = {"STARTS_LANDING": landing, "STARTS_DATA": folder / "data", "DAGSTER_HOME": folder}
    environment = {**os.environ, **{name: str(path) for name, path in folders.items()}}
    command = [sys.executable, "-m", "tests.benchmarks.compare", "--contender", name, "--folder", str(folder)]
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    answer = json.loads(output.splitlines()[-1])
    return answer["steps"], answer["peak_gb"]


def compare(folder: Path, sends: int) -> None:
    print(f"making {sends:,} sends in {folder} …", flush=True)
    # In a process of its own, because a child's peak memory is never less than its parent's.
    subprocess.run([sys.executable, "-m", "tests.benchmarks.compare", "--make", str(sends), "--folder", str(folder)], cwd=ROOT, check=True)
    floor, floor_gb = contend("floor", folder, folder / "full")
    landing = folder / "landing"
    shutil.copytree(folder / "full", landing)
    job, job_gb = contend("job", folder, landing)
    shutil.copytree(folder / "next_day", landing, dirs_exist_ok=True)
    day, day_gb = contend("job", folder, landing)
    nothing, _ = contend("job", folder, landing)
    in_pandas, pandas_gb = contend("pandas", folder, folder / "full")

    print(f"\n{'step of the job':32}{'full load':>12}{'next day':>12}{'nothing new':>14}")
    for step in job:
        print(f"{step:32}{job[step]:>10.2f} s{day[step]:>10.2f} s{nothing[step]:>12.2f} s")
    total, day_total = sum(job.values()), sum(day.values())
    print(f"{'all':32}{total:>10.2f} s{day_total:>10.2f} s{sum(nothing.values()):>12.2f} s")
    print(f"{'peak memory':32}{job_gb:>9.2f} GB{day_gb:>9.2f} GB")
    print(f"\nfloor    {floor['script']:8.2f} s {floor_gb:6.2f} GB   job / floor     {total / floor['script']:5.2f}  (aim: <= 2)")
    print(f"pandas   {in_pandas['script']:8.2f} s {pandas_gb:6.2f} GB   pandas / job     {in_pandas['script'] / total:5.2f}  (aim: >= 3)")
    print(f"{'':31}next day / full  {day_total / total:5.1%}   (aim: under 15 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--contender", choices=CONTENDERS, help="run one of them in this process")
    parser.add_argument("--make", type=int, metavar="SENDS", help="make the logs and nothing else")
    args = parser.parse_args()
    if args.make:
        make_logs(args.folder, args.make)
        return
    if args.contender:
        steps = CONTENDERS[args.contender](args.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"steps": steps, "peak_gb": peak}))
        return
    with tempfile.TemporaryDirectory(prefix="bench-", dir=args.folder) as folder:
        compare(Path(folder), args.sends)


if __name__ == "__main__":
    main()
