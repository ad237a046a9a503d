"""Drift quality: false alarms and power of the monitor, beside Evidently, NannyML and plain rules."""

import argparse
import dataclasses
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.drift_quality_data import FROZEN, KINDS, REPORTED, SIMULATED, Kind
from benchmarks.drift_quality_figures import Collected, Figures, figures_of, goals_of
from benchmarks.drift_quality_kept import Kept
from benchmarks.drift_quality_real import Agreement, evidently_agreement, nannyml_agreement
from benchmarks.drift_quality_runs import Task, Told, run_all
from benchmarks.drift_quality_tables import show, told, worst
from benchmarks.paired import ChildError
from benchmarks.peer_environments import PeerError, pins_of
from benchmarks.report import Goal, leave, load_at_start

COMMAND = "make bench NAME=drift_quality"
COMMAND_OF_A_SHARE = "python -m benchmarks.drift_quality --share {:g}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many orders are run of a kind: for figures, to calibrate peers on, with injections."""

    quiet: int
    calibration: int
    power: int

    def times(self, share: float) -> "Size":
        """Return a share of all orders, rounded up."""
        return Size(
            quiet=math.ceil(self.quiet * share),
            calibration=math.ceil(self.calibration * share),
            power=math.ceil(self.power * share),
        )


FULL: dict[Kind, Size] = {
    "shuffled days": Size(quiet=80, calibration=80, power=40),
    "14-day blocks": Size(quiet=40, calibration=60, power=20),
    SIMULATED: Size(quiet=40, calibration=40, power=20),
    FROZEN: Size(quiet=12, calibration=12, power=0),
}
QUICK: dict[Kind, Size] = {
    "shuffled days": Size(quiet=4, calibration=8, power=2),
    SIMULATED: Size(quiet=2, calibration=4, power=1),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Orders that a package judges itself; Evidently so many quiet blocks of each and injected."""

    seeds: dict[str, range]
    blocks: int = 0


PACKAGES = Orders(seeds={"evidently": REPORTED.seeds[:3], "nannyml": REPORTED.seeds[:5]}, blocks=4)
PACKAGES_QUICK = Orders(
    seeds={"evidently": REPORTED.seeds[:1], "nannyml": REPORTED.seeds[:1]}, blocks=1
)
POWER_SEEDS = 5_000
"""Injected orders have seeds of their own, from here on in the split."""
NOT_FRESH = (
    "flights are one data set: the days behind these figures were looked at before, when the"
    " methods were chosen; orders and seeds are new. Columns and sizes of the injections are not"
    " those that methods were chosen with, but for mends that earlier misses led to: hard rules by"
    " column and in an order (new dest, units distance; quiet days on which weather is missing),"
    " values missing where hardly any ever were (missing sched_elapsed, missing x7), rank"
    " correlations of all features (joint break, distance), and of text (joint break, carrier). What"
    " tells another unit from a quiet day was chosen on all days of the year and on sales, with every"
    " unit put into every number of both. What"
    " allows for dependent days was tuned on simulations of other seeds, and last (each column as"
    " its most dependent component needs) on these and on other orders of the same days in 14-day"
    " blocks"
)


def main() -> int:
    """Run what the arguments ask for; return 1 when a peer's environment failed."""
    asked = _arguments(sys.argv[1:])
    console, notes = Console(), [load_at_start(), NOT_FRESH]
    sizes = QUICK if asked.quick else FULL
    chosen = {kind: size.times(asked.share) for kind, size in sizes.items() if kind in asked.kinds}
    began = time.time()
    collected = Collected()
    kept = None if asked.folder is None else Kept(folder=asked.folder)
    for at, said in enumerate(answers(tasks(chosen), kept, workers=asked.workers)):
        collected.add(said)
        if at % 10 == 0:
            console.print(f"{said.task.kind}, {said.task.part}, order {at + 1} ...")
    figures = figures_of(collected)
    failures: list[str] = []
    agreements = (
        []
        if asked.without_peers
        else _agreements(PACKAGES_QUICK if asked.quick else PACKAGES, kept, failures)
    )
    if asked.share != 1:
        notes.append(f"{asked.share:.0%} of the orders of a full run")
    notes += [str(agreement) for agreement in agreements] + failures
    notes.append(
        "peers' figures over all orders are read from counts of every value; the packages"
        " themselves judged the blocks told above"
    )
    notes.append(f"{time.time() - began:.0f} s on {asked.workers} processes")
    publish(
        figures,
        agreements,
        notes,
        command=command_of(asked.share),
        keep=not (asked.quick or asked.without_peers or asked.kinds != list(KINDS)),
    )
    return 1 if failures else 0


def command_of(share: float) -> str:
    """Return the command that runs a share of all orders, and so makes the same figures.

    >>> command_of(0.3)
    'python -m benchmarks.drift_quality --share 0.3'
    """
    return COMMAND if share == 1 else COMMAND_OF_A_SHARE.format(share)


def answers(asked: Sequence[Task], kept: Kept | None, *, workers: int) -> Iterator[Told]:
    """Yield what is said on every order: what was kept, then what is run, and kept at once."""
    there = {} if kept is None else {task: kept.get(task) for task in asked}
    yield from (said for said in there.values() if said is not None)
    for said in run_all([task for task in asked if there.get(task) is None], workers=workers):
        if kept is not None:
            kept.put(said)
        yield said


def tasks(sizes: dict[Kind, Size]) -> list[Task]:
    """Return the orders to run; seeds for calibration, quiet figures and injections differ.

    All kinds and parts advance alike, so that what an interrupted run kept is a share of each.
    """
    asked: list[tuple[float, Task]] = []
    for kind, size in sizes.items():
        seeds = REPORTED.seeds
        for part, chosen in (
            ("calibration", REPORTED.calibration[: size.calibration]),
            ("quiet", seeds[: size.quiet]),
            ("power", seeds[POWER_SEEDS : POWER_SEEDS + size.power]),
        ):
            asked += [
                (place / len(chosen), Task(kind=kind, split=REPORTED, seed=seed, part=part))  # type: ignore[arg-type] # a part
                for place, seed in enumerate(chosen)
            ]
    return [task for _, task in sorted(asked, key=itemgetter(0))]


def publish(
    figures: Figures,
    agreements: Sequence[Agreement],
    notes: Sequence[str],
    *,
    command: str,
    keep: bool,
) -> None:
    """Print tables, goals and notes; keep them with every line, and the ``command`` that was run."""
    console = Console(soft_wrap=True)
    show(figures)
    asked = goals_of(figures)
    asked += [
        Goal(
            name=f"{agreement.package}: verdicts that differ from our reading, per cent",
            target=1.0,
            measured=100 * agreement.differing / agreement.compared,
        )
        for agreement in agreements
    ]
    for goal in asked:
        console.print(str(goal), highlight=False)
    for note in notes:
        console.print(note, highlight=False, markup=False)
    if keep:
        rows = [finite(dataclasses.asdict(line)) for line in figures.lines]
        leave(
            "drift_quality", command, rows, asked, notes=[*notes, *map(told, worst(figures.losses))]
        )


def finite(value: Any) -> Any:  # noqa: ANN401 - plain values of any shape
    """Return plain values with infinite numbers as None, which JSON knows."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _agreements(orders: Orders, kept: Kept | None, failures: list[str]) -> list[Agreement]:
    """Return how the packages themselves agree; what has no environment is a failure."""
    found = []
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        judged: dict[str, Callable[[], Agreement]] = {
            "evidently": lambda: evidently_agreement(
                Path(name), orders.seeds["evidently"], blocks=orders.blocks
            ),
            "nannyml": lambda: nannyml_agreement(Path(name), orders.seeds["nannyml"]),
        }
        for peer, judge in judged.items():
            try:
                found.append(judge() if kept is None else kept.agreement(peer, judge))
            except (PeerError, ChildError) as error:
                failures.append(f"FAILED: {peer} ({', '.join(pins_of(peer))}): {error}")
    return found


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift_quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few orders: for development")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", type=lambda text: text.split(";"), default=list(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the orders of a full run")
    parser.add_argument("--folder", type=Path, help="keeps what was run for the next time")
    parser.add_argument("--without-peers", action="store_true", help="leave the packages out")
    asked = parser.parse_args(given)
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"--kinds: expected any of {'; '.join(KINDS)}; found {sorted(unknown)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
