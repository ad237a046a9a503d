"""Training: from the lake to a registered model, beside a bare fit of the same matrix."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.paired import ChildError, Once, Spent, rounds, run, spread
from benchmarks.report import Goal, load_at_start, own_peak, publish, row_of
from benchmarks.training_goals import (
    COLD,
    FLOOR,
    ONE,
    OURS,
    PIPELINE,
    TWO,
    Runs,
    cpu_ratio,
    goals,
    wall_ratio,
)
from benchmarks.training_tuning import search

FEW, MANY, QUICK, WARM_UP = 300_000, 5_000_000, 60_000, 6_000
PAIRS = 7

REPETITIONS: Mapping[int, Mapping[str, int]] = {
    FEW: {OURS: PAIRS, FLOOR: PAIRS, COLD: 3, PIPELINE: 3, ONE: 3, TWO: 3},
    MANY: {OURS: 3, FLOOR: 3, COLD: 1, PIPELINE: 1},
}
"""Runs of each system by training rows: fewer where one takes minutes."""

SCRIPTS: Mapping[str, str] = {
    OURS: "with_headframe",
    COLD: "with_headframe",
    FLOOR: "floor",
    PIPELINE: "pipeline",
}
"""System to a module of benchmarks.training_peers."""

TUNERS = {ONE: 1, TWO: 2}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What every system gets: one thread that fits."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What has been measured so far, by number of rows; None for a system that gave nothing."""

    measured: dict[int, dict[str, list[Once] | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other_models: int = 0


def main() -> int:
    """Measure what the arguments ask for; return 1 when a system failed or made another model."""
    asked = _arguments(sys.argv[1:])
    console, outcome = Console(), Outcome(notes=[load_at_start()])
    with ExitStack() as stack:
        name = asked.folder or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="headframe-bench-")
        )
        folder = Folder(Path(name))
        folder.home(WARM_UP)
        for rows in asked.rows:
            console.print(f"Ingesting and describing {rows:,} rows and a third more ...")
            folder.home(rows)
            _measure(folder, rows, _plan(rows, asked), outcome, console)
    outcome.notes.append(own_peak())
    publish_all(outcome, keep=asked.rows == [FEW, MANY] and asked.systems is None)
    return 1 if outcome.failures else 0


class Folder:
    """Homes by their number of training rows, and what each run of a system leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: dict[int, str] = {}

    def home(self, rows: int) -> Path:
        """Return the home with so many rows, made where it is missing."""
        home = self._path / f"rows_{rows}"
        self._python("benchmarks.training_home", str(home), str(rows))
        return home

    def once(self, rows: int, system: str) -> Once:
        """Let a system train once. Raises ChildError, and OtherModelError for another model."""
        home, answer = self._path / f"rows_{rows}", self._path / "answer.json"
        if system in TUNERS:
            return search(home, TUNERS[system], environment=ONE_THREAD)
        warm = [str(self._path / f"rows_{WARM_UP}")] if system == OURS else []
        module = f"benchmarks.training_peers.{SCRIPTS[system]}"
        whole = self._python(module, str(home), str(answer), *warm)
        told = json.loads(answer.read_text())
        cpu_s, wall_s = told["cpu_s"], told["wall_s"]
        if system == COLD:
            cpu_s, wall_s = told["process_cpu_s"], whole.wall_s
        if self._said.setdefault(rows, told["predictions"]) != told["predictions"]:
            raise OtherModelError("its predictions differ from the first system's")
        spent = Spent(cpu_s=cpu_s, wall_s=wall_s, peak_mib=whole.peak_mib)
        return Once(spent=spent, imports_cpu_s=0.0)

    def _python(self, module: str, *arguments: str) -> Spent:
        environment = {**ONE_THREAD, "HEADFRAME_HOME": str(self._path / "unused")}
        command = [sys.executable, "-m", module, *arguments]
        return run(command, log=self._path / "log.txt", environment=environment)


class OtherModelError(ChildError):
    """A system's model does not say, bit by bit, what the others' do."""


def publish_all(outcome: Outcome, *, keep: bool) -> None:
    """Publish rows, goals and notes of everything measured."""
    rows, notes = [], list(outcome.notes)
    for count, of_case in outcome.measured.items():
        measured = {name: runs for name, runs in of_case.items() if runs}
        floor = (
            spread([once.spent.cpu_s for once in measured[FLOOR]])[1] if FLOOR in measured else None
        )
        case = f"{count:,} rows"
        rows += [
            row_of(case, name, runs, None if name in TUNERS else floor)
            for name, runs in measured.items()
        ]
        notes += _compared(case, of_case)
        notes += [
            f"fewer than {PAIRS} runs: {case}, {name}: {len(runs)}"
            for name, runs in measured.items()
            if len(runs) < PAIRS
        ]
    asked = goals(outcome.measured)
    name = "runs whose model does not say, bit by bit, what the others' say"
    asked.append(Goal(name=name, target=0.0, measured=float(outcome.other_models)))
    notes += outcome.failures
    publish("training", "make bench NAME=training", rows, asked, notes=notes, keep=keep)


def _compared(case: str, of_case: Runs) -> list[str]:
    told = [
        f"{case}: CPU of {one} to that of {other}: {found}"
        for one, other in ((OURS, PIPELINE), (COLD, FLOOR))
        if (found := cpu_ratio(of_case, one, other))
    ]
    if faster := wall_ratio(of_case, ONE, TWO):
        told.append(f"{case}: speed-up of two tuners: {faster}")
    return told


def _plan(rows: int, asked: argparse.Namespace) -> dict[str, int]:
    """Return the systems to measure, each how many times; other numbers of rows as the fewest."""
    known = REPETITIONS.get(rows, REPETITIONS[FEW])
    return {
        name: min(asked.repetitions, times)
        for name, times in known.items()
        if asked.systems is None or name in asked.systems
    }


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--systems", type=lambda text: text.split(";"))
    parser.add_argument("--repetitions", type=int, help="at most so many of each")
    parser.add_argument("--quick", action="store_true", help="once, and 60,000 rows unless told")
    parser.add_argument("--folder", help="keep the homes there, and use them again")
    asked = parser.parse_args(given)
    if unknown := set(asked.systems or ()) - {*SCRIPTS, *TUNERS}:
        parser.error(f"--systems: expected any of {[*SCRIPTS, *TUNERS]}; found {sorted(unknown)}")
    asked.rows = asked.rows or ([QUICK] if asked.quick else [FEW, MANY])
    asked.repetitions = asked.repetitions or (1 if asked.quick else PAIRS)
    return asked


def _measure(
    folder: Folder, rows: int, systems: Mapping[str, int], outcome: Outcome, console: Console
) -> None:
    """Measure the systems in turn."""
    runs: dict[str, list[Once] | None] = {name: [] for name in systems}
    outcome.measured[rows] = runs
    for number, name in rounds(list(runs), max(systems.values())):
        so_far, times = runs[name], systems[name]
        if so_far is None or number > times:
            continue
        console.print(f"{rows:,} rows, {name}, {number} of {times} ...")
        try:
            so_far.append(folder.once(rows, name))
        except ChildError as error:
            runs[name] = None
            outcome.other_models += isinstance(error, OtherModelError)
            outcome.failures.append(f"FAILED: {rows:,} rows, {name}: {error}")
            console.print(outcome.failures[-1], markup=False)


if __name__ == "__main__":
    sys.exit(main())
