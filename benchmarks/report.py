"""Report: the table a benchmark prints, and the JSON it leaves in benchmarks/results/."""

import json
import os
import platform
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.paired import Once, Spread, spread

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("apache-airflow", "deltalake", "duckdb", "great-expectations", "mlflow", "pandas", "pyarrow"),
    "scikit-learn",
)

LEAST_WIDTH = 160
"""Characters of a printed line: the table fits, and a log does not wrap it at 80."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One system in one case: minimum, median and maximum over its repetitions.

    Seconds and MiB; None where a benchmark does not measure it, or has no floor to compare with.
    ``imports_cpu_s`` is beside ``cpu_s`` and ``wall_s``, never in them.
    """

    case: str
    system: str
    wall_s: Spread
    repetitions: int
    ratio_to_floor: float | None
    cpu_s: Spread | None = None
    imports_cpu_s: float | None = None
    peak_mib: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A number and what it was meant to be at most; a missed goal is reported, never moved.

    ``measured`` is None where there is nothing to measure because a system failed: it is missed.
    ``interval`` holds the true value of a ratio, where there were runs enough to tell.
    """

    name: str
    target: float
    measured: float | None
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.measured is not None and bool(self.measured <= self.target)

    def __str__(self) -> str:
        found = "not measured" if self.measured is None else f"{self.measured:.2f}"
        if self.interval is not None:
            found += " ({:.2f} to {:.2f})".format(*self.interval)
        return f"{self.name}: {found}, goal {self.target:.2f}: {'met' if self.met else 'MISSED'}"


def publish(
    name: str,
    command: str,
    rows: Sequence[Measured],
    goals: Sequence[Goal],
    *,
    notes: Sequence[str] = (),
    keep: bool = True,
) -> None:
    """Print the rows, goals and notes; ``keep`` them with machine, versions and revision."""
    console = Console(soft_wrap=True)
    console.width = max(console.width, LEAST_WIDTH)
    console.print(table_of(rows))
    for goal in goals:
        console.print(str(goal), highlight=False)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    if keep:
        leave(name, command, [asdict(row) for row in rows], goals, notes=notes)


def leave(
    name: str,
    command: str,
    rows: Sequence[Mapping[str, object]],
    goals: Sequence[Goal],
    *,
    notes: Sequence[str] = (),
) -> None:
    """Write the rows, goals and notes to the results, with machine, versions and revision."""
    RESULTS.mkdir(exist_ok=True)
    content = {
        "command": command,
        "rows": rows,
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals],
        "notes": list(notes),
        "versions": {package: version(package) for package in PACKAGES},
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        "revision": _revision(),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def row_of(case: object, system: str, runs: Sequence[Once], floor: float | None) -> Measured:
    """Return the row of one system, which took ``case`` in at least one run."""
    cpu_s = spread([once.spent.cpu_s for once in runs])
    return Measured(
        case=str(case),
        system=system,
        cpu_s=cpu_s,
        wall_s=spread([once.spent.wall_s for once in runs]),
        imports_cpu_s=spread([once.imports_cpu_s for once in runs])[1],
        peak_mib=spread([once.spent.peak_mib for once in runs]),
        repetitions=len(runs),
        ratio_to_floor=cpu_s[1] / floor if floor else None,
    )


def load_at_start() -> str:
    """Return a note on what else the machine does."""
    return f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"


def own_peak() -> str:
    """Return a note on the memory that every child is told to have had, the benchmark's own."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"a child's peak is never told below {own:.0f} MiB, that of the benchmark itself"


def table_of(rows: Sequence[Measured]) -> Table:
    """Return the rows as a table; columns that no row fills are left out."""
    columns = {
        "case": [row.case for row in rows],
        "system": [row.system for row in rows],
        "CPU s, median (min to max)": [_numbers(row.cpu_s) for row in rows],
        "wall s, median (min to max)": [_numbers(row.wall_s) for row in rows],
        "imports CPU s": [_number(row.imports_cpu_s) for row in rows],
        "peak MiB": ["" if row.peak_mib is None else f"{row.peak_mib[2]:.0f}" for row in rows],
        "runs": [str(row.repetitions) for row in rows],
        "ratio to floor": [_number(row.ratio_to_floor) for row in rows],
    }
    filled = {title: cells for title, cells in columns.items() if any(cells)}
    table = Table(*filled)
    for cells in zip(*filled.values(), strict=True):
        table.add_row(*cells)
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _numbers(values: Spread | None) -> str:
    if values is None:
        return ""
    least, median, most = values
    return f"{median:.2f} ({least:.2f} to {most:.2f})"


def _revision() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the developer's own git
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()
