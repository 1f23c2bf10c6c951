"""Compute figures from the measurements: medians, their ratios, a table with the aims, and one JSON object."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Measured:
    """The measurements of one contender.

    Of its steps, without start-up and imports: the seconds of each and the CPU seconds of all. Of the whole process: seconds, CPU seconds,
    the peak memory of the process or one of its children, and the volume written to files.
    """

    steps: dict[str, float]
    steps_cpu_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_gb: float
    written_gb: float

    @property
    def seconds(self) -> float:
        """Seconds of all steps."""
        return sum(self.steps.values())

    @property
    def publication_seconds(self) -> float:
        return sum(seconds for step, seconds in self.steps.items() if step.startswith("publish"))


@dataclass
class Round:
    """One pass over all contenders at one size.

    `runs` has the contenders that ran, and the runs of the job: `full`, `next_day`, `nothing_new`, `fixed_day`, and `command`, which is
    `python -m orchestration` with nothing new.
    """

    sends: int
    runs: dict[str, Measured] = field(default_factory=dict)
    # Seconds for a synced copy of the published file, after the runs with these names.
    copies: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    usual_stack_rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Aim:
    """A figure and its aim, for all sizes or for one."""

    name: str
    bound: float
    at_least: bool = False
    sends: int | None = None

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


AIMS = (
    Aim("job_over_floor", 2.5),
    Aim("pandas_over_job", 2.7, at_least=True),
    Aim("usual_stack_over_job", 5, at_least=True),
    Aim("next_day_share", 0.15, sends=1_000_000),
    Aim("next_day_share", 0.08, sends=5_000_000),
    Aim("publication_beside_copy_seconds", 2),
    Aim("peak_gb", 2.5, sends=1_000_000),
    Aim("peak_gb", 6, sends=5_000_000),
    Aim("peak_gb", 12, sends=10_000_000),
    Aim("warehouse_bytes_per_send", 450),
    Aim("nothing_new_seconds", 1),
    Aim("nothing_new_cpu_seconds", 4),
)
DAY_AIM = 1.3


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the figures of one size: medians over its rounds, and ratios of those medians. Runs that did not take place are left out."""

    def of(value: str, run: str) -> float | None:
        return median(getattr(each.runs[run], value) for each in rounds) if run in rounds[0].runs else None

    def copied(run: str) -> float | None:
        return median(each.copies[run] for each in rounds) if run in rounds[0].copies else None

    sends, first = rounds[0].sends, rounds[0]
    job, floor, next_day = of("seconds", "full"), of("seconds", "floor"), of("seconds", "next_day")
    publication, copy = of("publication_seconds", "next_day"), copied("next_day")
    found = {
        "job_over_floor": _ratio(job, floor),
        "pandas_over_job": _ratio(of("seconds", "pandas"), job),
        "usual_stack_over_job": _ratio(of("seconds", "usual_stack"), job),
        "next_day_share": _ratio(next_day, job),
        # CPU seconds depend little on what else the machine does.
        "job_over_floor_cpu": _ratio(of("steps_cpu_seconds", "full"), of("steps_cpu_seconds", "floor")),
        "pandas_over_job_cpu": _ratio(of("steps_cpu_seconds", "pandas"), of("steps_cpu_seconds", "full")),
        "usual_stack_over_job_cpu": _ratio(of("steps_cpu_seconds", "usual_stack"), of("steps_cpu_seconds", "full")),
        "next_day_share_cpu": _ratio(of("steps_cpu_seconds", "next_day"), of("steps_cpu_seconds", "full")),
        "publication_over_copy": _ratio(publication, copy),
        "publication_beside_copy_seconds": None if publication is None or copy is None else publication - copy,
        "peak_gb": max((gb for run in ("full", "next_day", "fixed_day") if (gb := of("peak_gb", run)) is not None), default=None),
        **{f"{name}_bytes_per_send": median(each.bytes[name] for each in rounds) / sends for name in first.bytes},
        "nothing_new_seconds": of("seconds", "nothing_new"),
        "nothing_new_cpu_seconds": of("cpu_seconds", "command"),
        "nothing_new_wall_seconds": of("wall_seconds", "command"),
        "job_seconds": job,
        "job_cpu_seconds": of("cpu_seconds", "full"),
        "floor_seconds": floor,
        "next_day_seconds": next_day,
        "next_day_written_gb": of("written_gb", "next_day"),
        "publication_seconds": publication,
        "copy_seconds": copy,
        "fixed_day_seconds": of("seconds", "fixed_day"),
        "fixed_day_publication_seconds": of("publication_seconds", "fixed_day"),
        **{f"{name}_seconds": of("seconds", name) for name in ("pandas", "usual_stack")},
        **{f"{name}_peak_gb": of("peak_gb", name) for name in ("floor", "pandas", "usual_stack")},
        "usual_stack_equal_share": _ratio(first.usual_stack_rows.get("equal_rows"), first.usual_stack_rows.get("job_rows")),
    }
    return {name: value for name, value in found.items() if value is not None}


def all_figures(rounds: Mapping[int, Sequence[Round]]) -> dict[str, object]:
    """Return the contents of the last line.

    These are the figures of the smallest size by name, those of each size under `sizes`, and the ratio of the times for the same new day on
    the largest and on the smallest history (`day_on_5m_over_1m`, named by the two sizes).
    """
    sizes = {sends: figures(rounds[sends]) for sends in sorted(rounds)}
    smallest, largest = min(sizes), max(sizes)
    everything: dict[str, object] = {"sends": smallest, **sizes[smallest]}
    if largest > smallest:
        everything[day_key(smallest, largest)] = sizes[largest]["fixed_day_seconds"] / sizes[smallest]["fixed_day_seconds"]
    return {**everything, "sizes": {str(sends): of_size for sends, of_size in sizes.items()}}


def day_key(smallest: int, largest: int) -> str:
    return f"day_on_{short(largest)}_over_{short(smallest)}"


def short(sends: int) -> str:
    """Write 5000000 as 5m and 2000 as 2k."""
    for unit, letter in ((1_000_000, "m"), (1_000, "k")):
        if sends % unit == 0:
            return f"{sends // unit}{letter}"
    return str(sends)


def as_json(everything: Mapping[str, object]) -> str:
    """Return one line of JSON with numbers rounded to four digits."""

    def rounded(value: object) -> object:
        if isinstance(value, Mapping):
            return {name: rounded(each) for name, each in value.items()}
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return json.dumps(rounded(everything))


def steps_table(rounds: Sequence[Round]) -> Iterator[str]:
    """Yield the lines of a table: the median seconds of each step of each run of the job."""
    runs = [run for run in ("full", "next_day", "nothing_new", "fixed_day") if run in rounds[0].runs]
    yield f"{'step of the job':<44}" + "".join(f"{run.replace('_', ' '):>14}" for run in runs)
    for step in rounds[0].runs[runs[0]].steps:
        yield f"{step:<44}" + "".join(f"{median(each.runs[run].steps[step] for each in rounds):>12.2f} s" for run in runs)
    yield f"{'all':<44}" + "".join(f"{median(each.runs[run].seconds for each in rounds):>12.2f} s" for run in runs)


def processes_table(rounds: Sequence[Round]) -> Iterator[str]:
    """Yield the lines of a table: the medians of each whole process."""
    columns = {
        "steps": ("seconds", "s"),
        "CPU": ("steps_cpu_seconds", "s"),
        "process": ("wall_seconds", "s"),
        "its CPU": ("cpu_seconds", "s"),
        "peak": ("peak_gb", "GB"),
        "written": ("written_gb", "GB"),
    }
    yield f"{'process':<44}" + "".join(f"{title:>13}" for title in columns)
    for run in rounds[0].runs:
        cells = (f"{median(getattr(each.runs[run], value) for each in rounds):.2f} {unit}" for value, unit in columns.values())
        yield f"{run.replace('_', ' '):<44}" + "".join(f"{cell:>13}" for cell in cells)


def figures_table(everything: Mapping[str, object]) -> Iterator[str]:
    """Yield the lines of a table: each figure of each size, with its aim if it has one."""
    sizes: dict[str, dict[str, float]] = everything["sizes"]  # pyright: ignore[reportAssignmentType]
    yield f"{'figure':<36}" + "".join(f"{short(int(sends)):>26}" for sends in sizes)
    for name in dict.fromkeys(name for of_size in sizes.values() for name in of_size):
        cells = (_with_aim(name, of_size.get(name), _aim(name, int(sends))) for sends, of_size in sizes.items())
        yield f"{name:<36}" + "".join(f"{cell:>26}" for cell in cells)
    if len(sizes) > 1:
        key = day_key(*(int(sends) for sends in (min(sizes, key=int), max(sizes, key=int))))
        value = everything[key]
        assert isinstance(value, float)
        yield f"{key:<36}{_with_aim(key, value, Aim(key, DAY_AIM)):>26}"


def _aim(name: str, sends: int) -> Aim | None:
    return next((aim for aim in AIMS if aim.name == name and aim.sends in (None, sends)), None)


def _with_aim(name: str, value: float | None, aim: Aim | None) -> str:
    if value is None:
        return ""
    written = f"{value:.1%}" if "_share" in name else f"{value:,.2f}"
    return written if aim is None else f"{written} ({'met' if aim.is_met(value) else 'missed'}: {aim})"


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other
