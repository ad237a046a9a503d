"""Scoring: the score stage beside pandas and pyfunc, sklearn batch by batch, and the floor."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.paired import Once, rounds, spread
from benchmarks.report import Goal, load_at_start, own_peak, publish, row_of
from benchmarks.scoring_goals import (
    FLOOR,
    NAIVE,
    NAIVE_ALL,
    OURS,
    STREAMING,
    Case,
    goals,
    ratio,
)
from benchmarks.scoring_home import LARGE, SMALL, TREES
from benchmarks.scoring_runs import (
    SCRIPTS,
    Folder,
    OtherPredictionsError,
    RunError,
    fits,
    needed_bytes,
)

FEW, MANY, QUICK = 5_000_000, 20_000_000, 200_000
PAIRS = 7

REPETITIONS: Mapping[Case, Mapping[str, int]] = {
    Case(rows=FEW, trees=SMALL): {
        **{OURS: PAIRS, FLOOR: PAIRS, STREAMING: PAIRS, NAIVE: PAIRS},
        NAIVE_ALL: 2,
    },
    Case(rows=FEW, trees=LARGE): {OURS: PAIRS, FLOOR: PAIRS, STREAMING: 2, NAIVE: 2},
    Case(rows=MANY, trees=SMALL): {OURS: 3, FLOOR: 3, STREAMING: 2, NAIVE: 1},
    Case(rows=MANY, trees=LARGE): {OURS: 2, FLOOR: 2},
}
"""Runs of each system: fewer where one takes minutes, so that the whole ends within 50 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which systems take a case, each how many times."""

    case: Case
    repetitions: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What has been measured so far; None for a system that gave nothing."""

    measured: dict[Case, dict[str, list[Once] | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other_predictions: int = 0


def main() -> int:
    """Measure what the arguments ask for; return 1 when a system failed or predicted otherwise."""
    asked = _arguments(sys.argv[1:])
    console = Console()
    plans = plan(asked.rows, asked.trees, asked.systems, most=asked.repetitions)
    if needed_bytes(asked.rows) > shutil.disk_usage(asked.folder or tempfile.gettempdir()).free:
        needed = needed_bytes(asked.rows) / 2**30
        console.print(f"Set TMPDIR to a folder with {needed:.1f} GiB, or use fewer --rows.")
        return 1
    outcome = Outcome(notes=[load_at_start()])
    with ExitStack() as stack:
        name = asked.folder or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="headframe-bench-")
        )
        folder = Folder(Path(name))
        console.print("Training two models and making the feature rows ...")
        folder.make(asked.rows, asked.systems)
        for each in plans:
            _measure(folder, each, outcome, console)
    outcome.notes.append(own_peak())
    publish_all(outcome, keep=asked == _arguments([]))
    return 1 if outcome.failures else 0


def plan(
    rows: Sequence[int], trees: Sequence[int], systems: Sequence[str], *, most: int
) -> list[Plan]:
    """Return the cases in order, those that take least first, with at most so many repetitions.

    A number of rows that is none of the benchmark's own is measured as the fewest are.
    """
    found = []
    for count in sorted(rows):
        for number in sorted(trees):
            known = Case(rows=count if count == MANY else FEW, trees=number)
            wanted = {
                name: min(most, times)
                for name, times in REPETITIONS[known].items()
                if name in systems
            }
            if wanted:
                found.append(Plan(case=Case(rows=count, trees=number), repetitions=wanted))
    return found


def publish_all(outcome: Outcome, *, keep: bool) -> None:
    """Publish rows, goals and notes of everything measured."""
    rows, notes = [], list(outcome.notes)
    for case, of_case in outcome.measured.items():
        measured = {name: runs for name, runs in of_case.items() if runs}
        floor = (
            spread([once.spent.cpu_s for once in measured[FLOOR]])[1] if FLOOR in measured else None
        )
        rows += [row_of(case, name, runs, floor) for name, runs in measured.items()]
        notes += [
            f"CPU s, {case}: ours to {other}: {found}"
            for other in measured
            if other != OURS and (found := ratio(of_case, other))
        ]
        notes += [
            f"fewer than {PAIRS} runs: {case}, {name}: {len(runs)}"
            for name, runs in measured.items()
            if len(runs) < PAIRS
        ]
    asked = goals(outcome.measured)
    name = "runs whose predictions are not, key by key and bit by bit, the others'"
    asked.append(Goal(name=name, target=0.0, measured=float(outcome.other_predictions)))
    notes += outcome.failures
    publish("scoring", "make bench NAME=scoring", rows, asked, notes=notes, keep=keep)


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument(
        "--trees", type=lambda text: [int(n) for n in text.split(",")], default=list(TREES)
    )
    parser.add_argument("--systems", type=lambda text: text.split(";"), default=list(SCRIPTS))
    parser.add_argument("--repetitions", type=int, help="at most so many of each")
    parser.add_argument("--quick", action="store_true", help="once, and 200,000 rows unless told")
    parser.add_argument("--folder", help="keep models and rows there, and use them again")
    asked = parser.parse_args(given)
    for name, known in (("systems", SCRIPTS), ("trees", TREES)):
        if unknown := set(getattr(asked, name)) - set(known):
            parser.error(f"--{name}: expected any of {[*known]}; found {sorted(unknown)}")
    asked.rows = asked.rows or ([QUICK] if asked.quick else [FEW, MANY])
    asked.repetitions = asked.repetitions or (1 if asked.quick else PAIRS)
    return asked


def _measure(folder: Folder, each: Plan, outcome: Outcome, console: Console) -> None:
    """Measure the systems in turn."""
    case = each.case
    runs: dict[str, list[Once] | None] = {name: [] for name in each.repetitions}
    outcome.measured[case] = runs
    for number, name in rounds(list(runs), max(each.repetitions.values())):
        so_far, times = runs[name], each.repetitions[name]
        if so_far is None or number > times:
            continue
        if not fits(name, case):
            runs[name] = None
            outcome.notes.append(f"not measured: {case}, {name}: would not fit in memory")
            continue
        console.print(f"{case}, {name}, {number} of {times} ...")
        try:
            so_far.append(folder.once(case, name))
        except RunError as error:
            runs[name] = None
            outcome.other_predictions += isinstance(error, OtherPredictionsError)
            outcome.failures.append(f"FAILED: {case}, {name}: {error}")
            console.print(outcome.failures[-1], markup=False)
    folder.forget(case)


if __name__ == "__main__":
    sys.exit(main())
