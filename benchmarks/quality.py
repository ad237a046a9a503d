"""Quality: twenty checks of staged rows, beside Great Expectations, pandera, and hand-written SQL."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.paired import Once, rounds, spread
from benchmarks.peer_environments import PeerError, pins_of, python_of
from benchmarks.quality_files import SHARES
from benchmarks.quality_goals import (
    GX_DUCKDB_LISTED,
    GX_PANDAS_LISTED,
    OURS,
    OURS_LISTED,
    PANDERA,
    Case,
    floor_cpu_s,
    goals,
)
from benchmarks.quality_runs import (
    SCRIPTS,
    DoesNotFitError,
    Folder,
    OtherVerdictError,
    RunError,
    needed_bytes,
)
from benchmarks.report import Goal, load_at_start, own_peak, publish, row_of

SMALL, LARGE, QUICK = 1_000_000, 10_000_000, 100_000
RARE = next(iter(SHARES))
WHERE_OFTEN = (OURS, OURS_LISTED, GX_DUCKDB_LISTED, GX_PANDAS_LISTED, PANDERA)
"""Systems that also take rows of which many fail."""
REPETITIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which systems take a case how many times."""

    case: Case
    systems: tuple[str, ...]
    repetitions: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What has been measured so far; None for a system that gave nothing."""

    measured: dict[Case, dict[str, list[Once] | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other_verdicts: int = 0


def main() -> int:
    """Measure what the arguments ask for; return 1 when a system failed or judged otherwise."""
    asked = _arguments(sys.argv[1:])
    console = Console()
    outcome = Outcome()
    pythons = {}
    if PANDERA in asked.systems:
        try:
            pythons[PANDERA] = python_of(PANDERA)
            outcome.notes.append(f"{PANDERA}: {', '.join(pins_of(PANDERA))}, on its own")
        except PeerError as error:
            asked.systems.remove(PANDERA)
            outcome.notes.append(f"not measured: {error}")
    plans = plan(asked.rows, asked.systems, quick=asked.quick)
    needed = max(needed_bytes(each.case) for each in plans)
    if needed > shutil.disk_usage(tempfile.gettempdir()).free:
        console.print(f"Set TMPDIR to a folder with {needed / 2**30:.1f} GiB, or use fewer --rows.")
        return 1
    outcome.notes.append(load_at_start())
    if asked.quick:
        outcome.notes.append("measured once: these figures are for development, not for the goals")
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        folder = Folder(Path(name), pythons)
        for each in plans:
            _measure(folder, each, outcome, console)
    outcome.notes.append(own_peak())
    publish_all(outcome, keep=asked == _arguments([]))
    return 1 if outcome.failures else 0


def plan(rows: Sequence[int], systems: Sequence[str], *, quick: bool) -> list[Plan]:
    """Return the cases in order, small ones first, each with the systems that take it."""
    plans = [
        Plan(
            case=Case(rows=count, share=share),
            systems=tuple(name for name in systems if share == RARE or name in WHERE_OFTEN),
            repetitions=1 if quick else REPETITIONS,
        )
        for count in sorted(rows)
        for share in SHARES
    ]
    return [each for each in plans if each.systems]


def publish_all(outcome: Outcome, *, keep: bool) -> None:
    """Publish rows, goals and notes of everything measured."""
    costs = {
        case: {
            system: spread([once.spent.cpu_s for once in runs])[1] if runs else None
            for system, runs in of_case.items()
        }
        for case, of_case in outcome.measured.items()
    }
    rows, notes = [], list(outcome.notes)
    for case, of_case in outcome.measured.items():
        told = []
        for system, runs in of_case.items():
            if runs:
                row = row_of(case, system, runs, floor_cpu_s(costs[case], system))
                rows.append(row)
                told.append(f"{system} {with_imports(runs):.2f}")
        notes.append(f"CPU s with imports, {case}: {'; '.join(told)}")
    asked = goals(costs)
    name = "answers that are not true of the rows, or that differ between systems"
    asked.append(Goal(name=name, target=0.0, measured=float(outcome.other_verdicts)))
    notes += outcome.failures
    publish("quality", "make bench NAME=quality", rows, asked, notes=notes, keep=keep)


def with_imports(runs: Sequence[Once]) -> float:
    """Return the median CPU seconds of whole processes, what they import included."""
    return spread([once.spent.cpu_s + once.imports_cpu_s for once in runs])[1]


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--systems", type=lambda text: text.split(";"), default=list(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="once, and 100,000 rows unless told")
    asked = parser.parse_args(given)
    if unknown := set(asked.systems) - set(SCRIPTS):
        parser.error(f"--systems: expected any of {'; '.join(SCRIPTS)}; found {sorted(unknown)}")
    asked.rows = asked.rows or ([QUICK] if asked.quick else [SMALL, LARGE])
    return asked


def _measure(folder: Folder, each: Plan, outcome: Outcome, console: Console) -> None:
    """Measure the systems in turn."""
    case = each.case
    runs: dict[str, list[Once] | None] = {name: [] for name in each.systems}
    outcome.measured[case] = runs
    folder.make(case)
    for number, name in rounds(each.systems, each.repetitions):
        if (so_far := runs[name]) is None:
            continue
        console.print(f"{case}, {name}, {number} of {each.repetitions} ...")
        try:
            so_far.append(folder.once(case, name))
        except DoesNotFitError:
            runs[name] = None
            outcome.notes.append(f"not measured: {case}, {name}: does not fit in memory")
        except RunError as error:
            runs[name] = None
            outcome.other_verdicts += isinstance(error, OtherVerdictError)
            outcome.failures.append(f"FAILED: {case}, {name}: {error}")
            console.print(outcome.failures[-1], markup=False)


if __name__ == "__main__":
    sys.exit(main())
