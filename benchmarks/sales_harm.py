"""Sales harm: how often, and after how many weeks, harm of a rival is told, in worlds of many seeds."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import Goal, leave, load_at_start
from benchmarks.sales_harm_losses import SERVED_FROM, Losses, losses_of
from examples.sales_world import PRODUCT_WEIGHTS, RIVAL_ENTERS, RIVAL_WEIGHT, week_of
from pipelines.domain.drift.harm import Harm
from pipelines.domain.drift.severity import LARGEST_DELTA
from pipelines.domain.watch_losses import HARM_BLOCKS

NAME = "sales_harm"
RUNS = 100
"""Worlds, of the seeds 1 to RUNS, that the kept results are of."""

NONE, HALF, PLANTED, TWICE = "none", "half of it", "as planted", "twice that"
BEFORE = PRODUCT_WEIGHTS[0]
RIVALS = {
    NONE: BEFORE,
    HALF: (BEFORE + RIVAL_WEIGHT) / 2,
    PLANTED: RIVAL_WEIGHT,
    TWICE: 2 * RIVAL_WEIGHT - BEFORE,
}
"""Weight of sensors once the rival is there: how hard it hits."""

TOLERANCES = (0.01, 0.02, 0.05)
"""Nats."""

HORIZON = HARM_BLOCKS["week"]
SERVED_BEFORE = week_of(RIVAL_ENTERS) - week_of(SERVED_FROM)
"""Blocks that the model serves before the rival comes."""

SETTLED = slice(SERVED_BEFORE + 9, SERVED_BEFORE + 31)
"""Blocks, from two months after the rival on, over which the rise of the loss is measured."""


BANDS = (0.06, 0.08, 0.1, 0.12)
"""Rises in nats, SETTLED, between which worlds with a rival are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A world: the rise of its loss in nats, and by how many blocks harm is told at each of TOLERANCES."""

    rival: str
    rise: float
    told: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How harm was told in a group of worlds, at one tolerance (nats).

    ``rise`` is the mean over worlds of the rise of the loss above the held-out weeks, in nats, with
    the tenth and the ninetieth percentile. ``weeks`` are blocks from the rival to the one it is
    told by: the quartiles over the worlds in which it is told within the HORIZON; empty for none.
    """

    group: str
    tolerance: float
    rise: tuple[float, float, float]
    runs: int
    told: int
    weeks: tuple[float, ...]


def main() -> int:
    """Draw worlds, hold their losses to the bound, print how often and when harm is told."""
    asked = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__)
    asked.add_argument("--runs", type=int, default=RUNS)
    runs: int = asked.parse_args().runs
    console, notes = Console(soft_wrap=True, width=160), [load_at_start()]
    began = time.time()
    worlds = list(watched(runs))
    by_rival, by_rise = cells(worlds, lambda one: one.rival), cells(rivalled(worlds), band)
    console.print(table("rival", by_rival))
    console.print(table("rise, any rival", by_rise))
    goals = goals_of(by_rival)
    notes.append(
        f"{HORIZON} weekly blocks, {SERVED_BEFORE} of them before the rival; a block is judged once its"
        f" labels are final; {time.time() - began:.0f} s"
    )
    for line in (*map(str, goals), *notes):
        console.print(line, highlight=False)
    if runs >= RUNS:
        rows = [asdict(cell) for cell in (*by_rival, *by_rise)]
        leave(NAME, f"make bench NAME={NAME}", rows, goals, notes=notes)
    return 0


def watched(runs: int) -> Iterator[Watched]:
    """Yield the worlds of the seeds 1 to ``runs`` with each of RIVALS."""
    for rival, weight in RIVALS.items():
        for seed in range(1, runs + 1):
            losses = losses_of(seed, rival=weight)
            yield Watched(
                rival=rival,
                rise=float(losses.served[SETTLED].mean() - losses.held_out.mean()),
                told=tuple(told_after(losses, tolerance) for tolerance in TOLERANCES),
            )


def rivalled(worlds: Iterable[Watched]) -> list[Watched]:
    """Return the worlds with a rival, those of the least rise first."""
    return sorted((one for one in worlds if one.rival != NONE), key=lambda one: one.rise)


def band(world: Watched) -> str:
    """Return in words between which of BANDS the rise of a world lies.

    >>> band(Watched(rival=PLANTED, rise=0.09, told=()))
    '0.08 to 0.1'
    """
    if world.rise < BANDS[0]:
        return f"below {BANDS[0]:g}"
    if world.rise >= BANDS[-1]:
        return f"{BANDS[-1]:g} and more"
    low, high = next(pair for pair in pairwise(BANDS) if world.rise < pair[1])
    return f"{low:g} to {high:g}"


def cells(worlds: Sequence[Watched], group: Callable[[Watched], str]) -> list[Cell]:
    """Return a cell for each group, as they come, and each tolerance."""
    found = []
    for name in dict.fromkeys(map(group, worlds)):
        alike = [world for world in worlds if group(world) == name]
        rises = [world.rise for world in alike]
        low, high = np.quantile(rises, [0.1, 0.9])
        for place, tolerance in enumerate(TOLERANCES):
            told = [world.told[place] for world in alike]
            weeks = [many - SERVED_BEFORE for many in told if many is not None]
            found.append(
                Cell(
                    group=name,
                    tolerance=tolerance,
                    rise=(statistics.mean(rises), float(low), float(high)),
                    runs=len(alike),
                    told=len(weeks),
                    weeks=tuple(np.quantile(weeks, [0.25, 0.5, 0.75]).tolist()) if weeks else (),
                )
            )
    return found


def told_after(losses: Losses, tolerance: float) -> int | None:
    """Return by how many served blocks harm is told, 1 to HORIZON; None where it is not."""
    harm = Harm("log_loss", tolerance=tolerance, delta=LARGEST_DELTA, horizon=HORIZON)
    told = harm.stands_after(losses.held_out, losses.served[:HORIZON])
    return int(told.argmax()) + 1 if told.any() else None


def goals_of(found: Sequence[Cell]) -> list[Goal]:
    """Return the goals: where no rival comes, harm is told no more often than it may be."""
    return [
        Goal(
            name=f"told where no rival comes, tolerance {cell.tolerance:g}",
            target=LARGEST_DELTA,
            measured=cell.told / cell.runs,
        )
        for cell in found
        if cell.group == NONE
    ]


def table(title: str, found: Sequence[Cell]) -> Table:
    """Return the cells as a table, a line for each group."""
    shown = Table(title, "rise of the loss, nats", *(f"told at {one:g}" for one in TOLERANCES))
    for line in lines(found):
        shown.add_row(*line)
    return shown


def lines(found: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return a line for each group: its name, the rise, and what came of each tolerance."""
    shown = []
    for group in dict.fromkeys(cell.group for cell in found):
        of_group = [cell for cell in found if cell.group == group]
        rise, low, high = of_group[0].rise
        shown.append((group, f"{rise:.2f} ({low:.2f} to {high:.2f})", *map(_cell, of_group)))
    return shown


def _cell(cell: Cell) -> str:
    told = f"{cell.told} of {cell.runs}"
    if not cell.weeks:
        return told
    low, middle, high = cell.weeks
    return f"{told}, {middle:.0f} weeks ({low:.0f} to {high:.0f})"


if __name__ == "__main__":
    sys.exit(main())
