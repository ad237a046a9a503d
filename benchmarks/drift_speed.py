"""Drift speed: thirty mixed columns judged by ours, Evidently, NannyML, whylogs, SciPy; and the floor."""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.drift_speed_goals import FLOOR, PEERS, SCRIPTS, SLOW, goals
from benchmarks.ingest_peers.task import Task
from benchmarks.paired import ChildError, Spent, run, spread
from benchmarks.peer_environments import PeerError, pins_of, python_of
from benchmarks.report import Goal, Measured, publish

SMALL, LARGE, QUICK = 100_000, 1_000_000, 20_000
REPETITIONS = 5
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
"""As the platform runs its tasks; waiting threads of linear algebra would count as work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One run: what it cost without its imports, and the CPU seconds of these."""

    spent: Spent
    imports_cpu_s: float


Runs = dict[str, list[Once] | None]
"""System to its runs; None for one that gave no answer."""


def main() -> int:
    """Measure what the arguments ask for; return 1 when a system failed."""
    asked = _arguments(sys.argv[1:])
    console, pythons = Console(), {}
    notes = [f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"]
    failures: list[str] = []
    for peer in [name for name in asked.systems if name in PEERS]:
        try:
            pythons[peer] = python_of(peer)
            notes.append(f"{peer}: {', '.join(pins_of(peer))}, on its own")
        except PeerError as error:
            asked.systems.remove(peer)
            notes.append(f"not measured: {error}")
    rows: list[Measured] = []
    found: list[Goal] = []
    for count in asked.rows:
        case = f"{count:,} rows"
        with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
            folder = Folder(Path(name), pythons, console)
            notes.append(f"reference of {case}, stored once: {folder.make(count)} CPU s")
            runs = folder.measure(case, asked.systems, count, failures, quick=asked.quick)
        rows += rows_of(case, runs)
        if count == max(asked.rows):
            found = goals(case, medians(runs), peaks(runs))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    notes.append(f"a child's peak is never told below {own:.0f} MiB, the benchmark's own")
    notes += failures
    keep = asked == _arguments([])
    publish("drift_speed", "make bench NAME=drift_speed", rows, found, notes=notes, keep=keep)
    return 1 if failures else 0


class Folder:
    """A temporary folder with the files of one case."""

    def __init__(self, path: Path, pythons: Mapping[str, Path], console: Console) -> None:
        self._path, self._pythons, self._console = path, pythons, console

    def make(self, rows: int) -> str:
        """Make the files; return the CPU seconds that our stored reference cost."""
        self._python("benchmarks.drift_speed_files", str(self._path), str(rows))
        os.sync()  # or writing them out would slow what is measured next
        return (self._path / "reference_cpu_s.txt").read_text()

    def measure(
        self, case: str, systems: Sequence[str], rows: int, failures: list[str], *, quick: bool
    ) -> Runs:
        """Run the systems in turn, the next round beginning with another one."""
        runs: Runs = {name: [] for name in systems}
        for number in range(1 if quick else REPETITIONS):
            first = number % len(systems)
            for name in [*systems[first:], *systems[:first]]:
                so_far = runs[name]
                if so_far is None or (so_far and name in SLOW):
                    continue
                self._console.print(f"{case}, {name}, {number + 1} ...")
                try:
                    so_far.append(self._once(name, rows))
                except ChildError as error:
                    runs[name] = None
                    text = str(error).replace(str(self._path), "")
                    failures.append(f"FAILED: {case}, {name}: {text}")
                    self._console.print(failures[-1], markup=False)
        return runs

    def _once(self, system: str, rows: int) -> Once:
        answer = self._path / "answer.json"
        answer.unlink(missing_ok=True)
        task = Task(
            format="parquet",
            source=str(self._path),
            target=str(self._path),
            rows=rows,
            answer=str(answer),
            began=time.time(),
        )
        module = f"benchmarks.drift_speed_peers.{SCRIPTS[system]}"
        whole = self._python(module, task.as_argument(), system=system)
        said = json.loads(answer.read_text())
        if said["rows"] != rows or "not_tested" in said["outcomes"]:
            raise ChildError(f"judged {said['rows']} of {rows} rows: {said['outcomes']}")
        imports = self._python("benchmarks.ingest_peers.imports", str(answer), system=system)
        spent = whole.without(imports.cpu_s, imports.wall_s)
        return Once(spent=spent, imports_cpu_s=imports.cpu_s)

    def _python(self, module: str, *arguments: str, system: str = "") -> Spent:
        command = [str(self._pythons.get(system, sys.executable)), "-m", module, *arguments]
        return run(command, log=self._path / "log.txt", environment=ONE_THREAD)


def medians(runs: Runs) -> dict[str, float | None]:
    """Return the median CPU seconds of every system; None for one that gave no answer."""
    return {
        name: spread([once.spent.cpu_s for once in of_system])[1] if of_system else None
        for name, of_system in runs.items()
    }


def peaks(runs: Runs) -> dict[str, float | None]:
    """Return the highest memory of every system, in MiB; None for one that gave no answer."""
    return {
        name: max(once.spent.peak_mib for once in of_system) if of_system else None
        for name, of_system in runs.items()
    }


def rows_of(case: str, runs: Runs) -> list[Measured]:
    """Return the report's rows of the systems that gave an answer."""
    floor = medians(runs).get(FLOOR)
    return [
        Measured(
            case=case,
            system=name,
            cpu_s=spread([once.spent.cpu_s for once in of_system]),
            wall_s=spread([once.spent.wall_s for once in of_system]),
            imports_cpu_s=spread([once.imports_cpu_s for once in of_system])[1],
            peak_mib=spread([once.spent.peak_mib for once in of_system]),
            repetitions=len(of_system),
            ratio_to_floor=spread([once.spent.cpu_s for once in of_system])[1] / floor
            if floor
            else None,
        )
        for name, of_system in runs.items()
        if of_system
    ]


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift_speed", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--systems", type=lambda text: text.split(";"), default=list(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="once, and 20,000 rows unless told")
    asked = parser.parse_args(given)
    if unknown := set(asked.systems) - set(SCRIPTS):
        parser.error(f"--systems: expected any of {'; '.join(SCRIPTS)}; found {sorted(unknown)}")
    asked.rows = asked.rows or ([QUICK] if asked.quick else [SMALL, LARGE])
    return asked


if __name__ == "__main__":
    sys.exit(main())
