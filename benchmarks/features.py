"""Features: 180 scoring times of real flights, beside a bare DuckDB loop and one as-of join."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.features_home import SCORING_TIMES
from benchmarks.paired import ChildError, Once, Spent, paired_ratio, rounds, run, spread
from benchmarks.peer_environments import PeerError, pins_of, python_of
from benchmarks.report import Goal, load_at_start, publish, row_of

OURS, FROM_MEMORY = "ours, from the lake to written rows", "ours, from tables in memory"
FLOOR = "floor: bare DuckDB loop, tables in memory"
DUCKDB, PANDAS, POLARS = (
    f"{name}, one as-of join of one table" for name in ("DuckDB", "pandas", "polars")
)

SCRIPTS: Mapping[str, tuple[str, ...]] = {
    OURS: ("with_headframe",),
    FROM_MEMORY: ("with_headframe", "memory"),
    FLOOR: ("bare_duckdb",),
    DUCKDB: ("joins", "duckdb"),
    PANDAS: ("joins", "pandas"),
    POLARS: ("joins", "polars"),
}
"""System to a module of benchmarks.features_peers and its argument."""

SAME_ROWS = (OURS, FROM_MEMORY, FLOOR)
"""Systems that make the same features: to the bit, or the run fails."""

REPETITIONS = 7
MOST_TIMES_THE_FLOOR = 2.5


def main() -> int:
    """Measure every system in turn; return 1 when one failed or made other features."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, and nothing is published")
    quick = parser.parse_args().quick
    console = Console()
    notes, failures = [load_at_start()], []
    systems = list(SCRIPTS)
    pythons = {}
    try:
        pythons[POLARS] = python_of("polars")
        notes.append(f"polars: {', '.join(pins_of('polars'))}, on its own")
    except PeerError as error:
        systems.remove(POLARS)
        notes.append(f"not measured: {error}")
    runs: dict[str, list[Once]] = {system: [] for system in systems}
    said: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        home = Path(name)
        console.print("Ingesting half a year of flights ...")
        run([sys.executable, "-m", "benchmarks.features_home", name], log=home / "log.txt")
        for number, system in rounds(systems, 1 if quick else REPETITIONS):
            console.print(f"{system}, {number} ...")
            try:
                once, told = _once(home, system, str(pythons.get(system, sys.executable)))
            except ChildError as error:
                failures.append(f"FAILED: {system}: {error}".replace(name, ""))
                console.print(failures[-1], markup=False)
                continue
            runs[system].append(once)
            if system in SAME_ROWS:
                said.setdefault("rows", told)
                if told != said["rows"]:
                    failures.append(f"FAILED: {system} made other features than {OURS}")
    _publish(runs, [*notes, *failures], other=len(failures), keep=not quick)
    return 1 if failures else 0


def _once(home: Path, system: str, python: str) -> tuple[Once, tuple[int, str]]:
    script, *asked = SCRIPTS[system]
    answer = home / "answer.json"
    command = [python, "-m", f"benchmarks.features_peers.{script}", str(home), str(answer)]
    whole = run([*command, *asked], log=home / "log.txt")
    told = json.loads(answer.read_text())
    spent = Spent(cpu_s=told["cpu_s"], wall_s=told["wall_s"], peak_mib=whole.peak_mib)
    once = Once(spent=spent, imports_cpu_s=whole.cpu_s - told["cpu_s"])
    return once, (told["rows"], told.get("digest", ""))


def _publish(
    runs: Mapping[str, Sequence[Once]], notes: Sequence[str], *, other: int, keep: bool
) -> None:
    costs = {system: [once.spent.cpu_s for once in found] for system, found in runs.items()}
    floor = spread(costs[FLOOR])[1] if costs.get(FLOOR) else None
    case = f"{SCORING_TIMES} scoring times"
    goals = [_goal(system, costs, target=MOST_TIMES_THE_FLOOR) for system in (OURS, FROM_MEMORY)]
    goals.append(
        Goal(name="systems that failed or made other features", target=0.0, measured=other)
    )
    publish(
        "features",
        "make bench NAME=features",
        [row_of(case, system, found, floor) for system, found in runs.items() if found],
        goals,
        notes=notes,
        keep=keep,
    )


def _goal(system: str, costs: Mapping[str, Sequence[float]], *, target: float) -> Goal:
    ratio = paired_ratio(costs[system], costs[FLOOR])
    return Goal(
        name=f"CPU: {system} to {FLOOR}",
        target=target,
        measured=ratio.median if ratio else None,
        interval=ratio.interval if ratio else None,
    )


if __name__ == "__main__":
    sys.exit(main())
