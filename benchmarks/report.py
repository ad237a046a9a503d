"""Report: the table a benchmark prints, and the JSON it leaves in benchmarks/results/."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("apache-airflow", "deltalake", "duckdb", "great-expectations", "mlflow", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One system in one case: seconds as (minimum, median, maximum) over its repetitions."""

    case: str
    system: str
    wall_s: tuple[float, float, float]
    repetitions: int
    ratio_to_floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio and what it was meant to be at most; a missed goal is reported, never moved."""

    name: str
    target: float
    measured: float

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.measured <= self.target


def publish(name: str, command: str, rows: list[Measured], goals: list[Goal]) -> None:
    """Print the rows and goals, and write them with machine, versions and revision."""
    console = Console()
    table = Table("case", "system", "wall s (min, median, max)", "runs", "ratio to floor")
    for row in rows:
        wall = ", ".join(f"{seconds:.2f}" for seconds in row.wall_s)
        table.add_row(row.case, row.system, wall, str(row.repetitions), f"{row.ratio_to_floor:.2f}")
    console.print(table)
    for goal in goals:
        said = "met" if goal.met else "MISSED"
        console.print(f"{goal.name}: {goal.measured:.2f}, goal {goal.target:.2f}: {said}")
    RESULTS.mkdir(exist_ok=True)
    content = {
        "command": command,
        "rows": [asdict(row) for row in rows],
        "goals": [{**asdict(goal), "met": goal.met} for goal in goals],
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


def _revision() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the developer's own git
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()
