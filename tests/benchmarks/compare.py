"""Compare the job with the floor, with pandas and with a usual stack: `make bench`.

python -m tests.benchmarks.compare --sends 1000000 5000000 --repeat 3

Generates the sends with their webhooks in the real formats, runs each contender in a separate process, one after another, and prints the
seconds of each step, the totals of each process, and ratios of medians with the aims. The last line is one JSON object. The next day is
1/60 of the data, landed on top. With several sizes, one more day follows, the same for all sizes. The last run has nothing new.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.contenders import CONTENDERS, ROOT, TSV, compare_tsvs, job_environment, make_logs
from tests.benchmarks.figures import Measured, Round, all_figures, as_json, figures_table, processes_table, short, steps_table

# This process must stay small: a child's peak memory is never less than its parent's.
HERE = (sys.executable, "-m", "tests.benchmarks.compare")
DAYS = 60
FIXED_DAY_SENDS = 16_000
# For more sends, pandas and the usual stack run only with --all: they take minutes and 30 GB.
MAX_SENDS_OF_SLOW_ONES = 1_000_000
SLOW_ONES = ("pandas", "usual_stack")
NEEDED = {"usual_stack": ("dlt", "The usual stack is left out: install dlt with `.venv/bin/uv sync --inexact --group bench`.")}

# Runs a contender, or the command (`python -m orchestration`), on a landing zone and a folder of its own.
Runner = Callable[[str, Path, Path], Measured]


class ContenderError(Exception):
    """Raised if a contender failed; the message is the end of its output."""


def in_own_process(name: str, landing: Path, folder: Path) -> Measured:
    """Run a contender, or `command`, in a separate process. Raises `ContenderError`.

    Memory is the maximum over the process and its children; CPU seconds are the sum over all of them.
    """
    if name == "command":
        _, measured = _process([sys.executable, "-m", "orchestration", "--quiet"], job_environment(landing, folder))
        return measured
    arguments = ["--contender", name, "--landing", str(landing), "--folder", str(folder)]
    output, measured = _process([*HERE, *arguments], {"DAGSTER_HOME": str(folder)})
    answer = json.loads(output.splitlines()[-1])
    return replace(measured, steps=answer["seconds"], steps_cpu_seconds=answer["cpu_seconds"])


def _process(command: list[str], environment: dict[str, str]) -> tuple[str, Measured]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        started = time.perf_counter()
        # Dagster then stores the runs of the command in its default place, the data folder.
        outside = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
        process = subprocess.Popen(command, cwd=ROOT, env={**outside, **environment}, stdout=out, stderr=error)
        # `wait4` returns the usage of this process alone, with the children that it waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        error.seek(0)
        if process.returncode:
            raise ContenderError(f"{' '.join(command)} failed ({process.returncode}):\n{error.read()[-3000:]}")
        # Linux reports memory in KiB and macOS in bytes; a block has 512 bytes.
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return out.read(), Measured({}, 0.0, wall, usage.ru_utime + usage.ru_stime, peak / 1e9, usage.ru_oublock * 512 / 1e9)


def make(folder: Path, sends: int, fixed_day: tuple[int, int]) -> Measured:
    """Generate the logs of one size in a separate process."""
    numbers = [str(number) for number in (sends, *fixed_day)]
    _, made = _process([*HERE, "--make", *numbers, "--folder", str(folder)], {})
    return made


def rows_in_common(of_job: Path, other: Path) -> dict[str, int]:
    """Compare the job's TSVs with another TSV in a separate process."""
    output, _ = _process([*HERE, "--compare", str(of_job), str(other)], {})
    return json.loads(output)


def measure(logs: Path, folder: Path, sends: int, contenders: Sequence[str], *, fixed_day: bool, run: Runner = in_own_process) -> Round:
    """Run the other contenders and then the job on `logs`, in `folder`; return the measurements."""
    found = Round(sends)
    for name in contenders:
        (folder / name).mkdir(parents=True)
        found.runs[name] = run(name, logs / "full", folder / name)
    job, landing = folder / "job", folder / "landing"
    job.mkdir(parents=True)
    _land(logs / "full", landing)
    found.runs["full"] = run("job", landing, job)
    published = job / "data" / "published"
    found.bytes = {
        "warehouse": _size(job / "data" / "warehouse.duckdb"),
        "published": _size(published / "conversation_starts.duckdb"),
        "parquet": _size(published / "parquet"),
    }
    if "usual_stack" in contenders:
        found.usual_stack_rows = rows_in_common(job / "data" / "exports", folder / "usual_stack" / TSV)
    for day in ("next_day", *(["fixed_day"] if fixed_day else [])):
        _land(logs / day, landing)
        found.runs[day] = run("job", landing, job)
        found.copies[day] = _seconds_of_copy(published / "conversation_starts.duckdb", folder / "copy")
    found.runs["nothing_new"] = run("job", landing, job)
    # The first command creates the files in which Dagster stores its runs.
    run("command", landing, job)
    found.runs["command"] = run("command", landing, job)
    return found


def reporting(run: Runner) -> Runner:
    """Return a runner that also prints the time of each run to stderr: a round of 5M sends takes many minutes."""

    def reported(name: str, landing: Path, folder: Path) -> Measured:
        measured = run(name, landing, folder)
        took = (
            f"{measured.seconds:.1f} s, {measured.steps_cpu_seconds:.1f} CPU s" if measured.steps else f"{measured.cpu_seconds:.1f} CPU s"
        )
        print(f"  {name}: {took}", file=sys.stderr, flush=True)
        return measured

    return reported


def _land(logs: Path, landing: Path) -> None:
    shutil.copytree(logs, landing, copy_function=os.link, dirs_exist_ok=True)


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())


def _seconds_of_copy(path: Path, copy: Path) -> float:
    """Return the seconds for copying a file and syncing it to disk, as publication must do."""
    started = time.perf_counter()
    with path.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 16 * 1024 * 1024)
        os.fsync(target.fileno())
    seconds = time.perf_counter() - started
    copy.unlink()
    return seconds


def contenders_at(sends: int, skipped: Sequence[str], *, all_sizes: bool) -> tuple[list[str], list[str]]:
    """Return the contenders beside the job that run at a size, and messages about those that cannot run."""
    chosen, sentences = [], []
    for name in ("floor", *SLOW_ONES):
        needed, sentence = NEEDED.get(name, (None, ""))
        if name in skipped or (name in SLOW_ONES and sends > MAX_SENDS_OF_SLOW_ONES and not all_sizes):
            continue
        if needed is not None and find_spec(needed) is None:
            sentences.append(sentence)
        else:
            chosen.append(name)
    return chosen, sentences


def bench(sizes: Sequence[int], folder: Path, *, repeat: int = 1, skip: Sequence[str] = (), all_sizes: bool = False,
          logs: Path | None = None, run: Runner = in_own_process) -> Iterator[str]:  # fmt: skip
    """Measure each size, smallest first; yield lines to print, the last of which is one JSON object.

    Logs are generated in `logs`, where they stay and are reused the next time, or else in `folder`.
    """
    rounds: dict[int, list[Round]] = {}
    sizes = sorted(set(sizes))
    # The same day for all sizes: its sends go to people in the smallest history.
    fixed_day = min(FIXED_DAY_SENDS, max(sizes[0] // DAYS, 1)), max(sizes[0] // 4, 1)
    for sends in sizes:
        contenders, sentences = contenders_at(sends, skip, all_sizes=all_sizes)
        yield from sentences
        made = (logs or folder / "logs") / f"{sends}-{fixed_day[0]}-{fixed_day[1]}"
        if not (made / "finished").exists():
            yield f"making {sends:,} sends in {made} …"
            shutil.rmtree(made, ignore_errors=True)
            generator = make(made, sends, fixed_day)
            (made / "finished").touch()
            yield f"made in {generator.wall_seconds:.0f} s ({generator.cpu_seconds:.0f} CPU s, {generator.peak_gb:.1f} GB)"
        rounds[sends] = []
        for number in range(repeat):
            yield f"{sends:,} sends, round {number + 1} of {repeat} …"
            with _folder(folder) as own:
                rounds[sends].append(measure(made, own, sends, contenders, fixed_day=len(sizes) > 1, run=reporting(run)))
        yield from _report(rounds[sends])
    everything = all_figures(rounds)
    yield ""
    yield from figures_table(everything)
    yield ""
    yield as_json(everything)


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    # The folder is deleted after each round: a round of 5M sends takes 10 GB.
    with tempfile.TemporaryDirectory(prefix="round-", dir=parent) as folder:
        yield Path(folder)


def _report(rounds: Sequence[Round]) -> Iterator[str]:
    yield f"\n{short(rounds[0].sends)} sends, median of {len(rounds)}\n"
    yield from steps_table(rounds)
    yield ""
    yield from processes_table(rounds)
    if rows := rounds[0].usual_stack_rows:
        yield (
            f"\nTSV of the usual stack: {rows['rows']:,} session starts, the job's: {rows['job_rows']:,}; "
            f"{rows['equal_rows']:,} are equal in all 27 cells."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sends", type=int, nargs="+", default=[1_000_000], metavar="N", help="one or several sizes")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="number of rounds; the figures are medians over them")
    parser.add_argument("--skip", nargs="+", default=[], choices=["floor", *SLOW_ONES], help="contenders to leave out")
    parser.add_argument("--all", action="store_true", help=f"run pandas and the usual stack beyond {MAX_SENDS_OF_SLOW_ONES:,} sends, too")
    parser.add_argument("--folder", type=Path, help="working folder (default: the system's temporary folder)")
    parser.add_argument("--logs", type=Path, help="folder in which the logs are kept for reuse, on the same disk as --folder")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--landing", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--compare", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_logs(args.folder, args.make[0], DAYS, (args.make[1], args.make[2]))
    elif args.compare:
        print(json.dumps(compare_tsvs(*args.compare)))
    elif args.contender:
        print(json.dumps(asdict(CONTENDERS[args.contender](args.landing, args.folder))))
    else:
        # On the same disk as the logs, whose files are linked and not copied.
        parent = args.folder or args.logs
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
            for line in bench(args.sends, Path(folder), repeat=args.repeat, skip=args.skip, all_sizes=args.all, logs=args.logs):
                print(line, flush=True)


if __name__ == "__main__":
    main()
