"""Ingest: a landed file into silver, beside plain copies without a check and beside the floors."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.ingest_files import FORMATS
from benchmarks.ingest_goals import (
    COPIES,
    FLOORS,
    OURS,
    OURS_BAD,
    Case,
    Cost,
    fastest_copy,
    floor_cpu_s,
    goals,
)
from benchmarks.ingest_runs import Folder, RunError, needed_bytes
from benchmarks.paired import Once, rounds, spread
from benchmarks.peer_environments import PINS, PeerError, pins_of, python_of
from benchmarks.report import load_at_start, own_peak, publish, row_of

SMALL, LARGE, QUICK = 2_000_000, 20_000_000, 200_000
SYSTEMS = (OURS, OURS_BAD, *COPIES, *FLOORS)
TEXT_ONLY = {"pandas": ("csv", "csv.gz"), OURS_BAD: ("csv",)}
"""Systems for some formats: pandas' C engine reads CSV, and only CSV is broken."""
AT_LARGE = (OURS, "pyarrow", *FLOORS)
"""Systems at the larger size, except of CSV, which all of them get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which systems take a case how many times."""

    case: Case
    systems: tuple[str, ...]
    repetitions: int


def main() -> int:
    """Measure what the arguments ask for; return 1 when a system failed or wrote other rows."""
    asked = _arguments(sys.argv[1:])
    console = Console()
    systems, notes = _available(asked.systems)
    plans = plan(asked.rows, asked.formats, systems, quick=asked.quick)
    needed = max(needed_bytes(each.case) for each in plans)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    console.print(f"Needs {needed / 2**30:.1f} GiB of {free / 2**30:.1f} GiB free for its files.")
    if needed > free:
        console.print("Set TMPDIR to a folder with more room, or measure fewer --rows.")
        return 1
    notes.append(load_at_start())
    if asked.quick:
        notes.append("measured once: these figures are for development, the goals are not for them")
    measured: dict[Case, dict[str, list[Once] | None]] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        folder = Folder(Path(name), {peer: python_of(peer) for peer in PINS if peer in systems})
        folder.warm_up(systems)
        for each in plans:
            measured[each.case] = _measure(folder, each, failures, console)
    publish_all(measured, [*notes, own_peak(), *failures], keep=asked == _arguments([]))
    return 1 if failures else 0


def plan(
    rows: Sequence[int], formats: Sequence[str], systems: Sequence[str], *, quick: bool
) -> list[Plan]:
    """Return the cases in order, small ones first: each with those systems that can take it."""
    plans = []
    for count in sorted(rows):
        for kind in formats:
            able = [name for name in systems if kind in TEXT_ONLY.get(name, formats)]
            if count > SMALL:
                able = [n for n in able if n != OURS_BAD and (kind == "csv" or n in AT_LARGE)]
                repetitions = 2 if kind == "csv" else 1
            else:
                repetitions = 5 if kind == "csv" else 3
            case = Case(format=kind, rows=count)
            plans.append(
                Plan(case=case, systems=tuple(able), repetitions=1 if quick else repetitions)
            )
    return [each for each in plans if each.systems]


def publish_all(
    measured: dict[Case, dict[str, list[Once] | None]], notes: list[str], *, keep: bool
) -> None:
    """Publish rows, goals and notes of everything measured."""
    costs = {
        case: {name: cost_of(runs) if runs else None for name, runs in of_case.items()}
        for case, of_case in measured.items()
    }
    rows = []
    for case, of_case in measured.items():
        floor = floor_cpu_s(costs[case])
        fastest = fastest_copy(costs[case])
        cost = costs[case][fastest] if fastest else None
        if fastest and cost and floor:
            ratio = cost.cpu_s / floor
            notes.append(
                f"CPU, {case}: the fastest plain copy ({fastest}) to parsing plus writing alone:"
                f" {ratio:.2f}"
            )
        rows += [row_of(case, name, runs, floor) for name, runs in of_case.items() if runs]
    publish("ingest", "make bench NAME=ingest", rows, goals(costs), notes=notes, keep=keep)


def cost_of(runs: Sequence[Once]) -> Cost:
    """Return the median CPU seconds and the highest peak of at least one run."""
    return Cost(
        cpu_s=spread([once.spent.cpu_s for once in runs])[1],
        peak_mib=max(once.spent.peak_mib for once in runs),
    )


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--formats", type=lambda text: text.split(","), default=list(FORMATS))
    parser.add_argument("--systems", type=lambda text: text.split(","), default=list(SYSTEMS))
    parser.add_argument("--quick", action="store_true", help="once, and 200,000 rows unless told")
    asked = parser.parse_args(given)
    for name, known in (("formats", FORMATS), ("systems", SYSTEMS)):
        if unknown := set(getattr(asked, name)) - set(known):
            parser.error(f"--{name}: expected any of {', '.join(known)}; found {sorted(unknown)}")
    asked.rows = asked.rows or ([QUICK] if asked.quick else [SMALL, LARGE])
    if OURS in asked.systems and OURS_BAD not in asked.systems:
        asked.systems.append(OURS_BAD)
    return asked


def _available(systems: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the systems that can be measured here, and notes on what the peers are."""
    missing, notes = [], []
    for peer in PINS:
        if peer in systems:
            try:
                python_of(peer)
                notes.append(f"{peer}: {', '.join(pins_of(peer))}, in an environment of its own")
            except PeerError as error:
                missing.append(peer)
                notes.append(f"not measured: {error}")
    return [name for name in systems if name not in missing], notes


def _measure(
    folder: Folder, each: Plan, failures: list[str], console: Console
) -> dict[str, list[Once] | None]:
    """Measure the systems in turn."""
    runs: dict[str, list[Once] | None] = {name: [] for name in each.systems}
    folder.make(each.case, bad=OURS_BAD in each.systems)
    try:
        for number, name in rounds(each.systems, each.repetitions):
            if (so_far := runs[name]) is None:
                continue
            console.print(f"{each.case}, {name}, {number} of {each.repetitions} ...")
            try:
                so_far.append(folder.once(each.case, name))
            except RunError as error:
                runs[name] = None
                failures.append(f"FAILED: {each.case}, {name}: {error}")
                console.print(failures[-1], markup=False)
    finally:
        folder.remove_files()
    return runs


if __name__ == "__main__":
    sys.exit(main())
