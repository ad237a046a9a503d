"""Gates: how often each lets a worthless challenger pass, and stops a harmful one, by simulation."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.gates_bands import TAIL, Cell
from benchmarks.gates_judged import beats, calibrations, seeds, segments, shuffled
from benchmarks.gates_rules import RULES
from benchmarks.gates_worlds import WORLDS, World
from benchmarks.report import Goal, leave, load_at_start
from pipelines.domain.verdict import Verdict

COMMAND = "make bench NAME=gates"
BLOCKS = (20, 28, 42, 60, 120)
"""Held-out days that are tried."""

POWER_BLOCKS = 42
GAIN = 0.6
"""Standard deviations of a day by which a challenger of known worth is better, or worse."""

NOMINAL = 0.05
"""Most that may pass of challengers that are no better, in every world."""

WORTHLESS, HARMFUL, WORTHY, WRONG = (
    "no better, passes",
    "worse, is stopped",
    "better, passes",
    "sound, is refused",
)
"""What a cell is about."""


def main() -> int:
    """Run what the arguments ask for; a goal that is missed says so."""
    asked = _arguments(sys.argv[1:])
    console, notes = Console(soft_wrap=True, width=160), [load_at_start()]
    began = time.time()
    cells = [*ours(asked.runs, asked.seed), *rivals(asked.runs, asked.seed)]
    for question in dict.fromkeys(cell.question for cell in cells):
        console.print(table(question, [found for found in cells if found.question == question]))
    goals = goals_of(cells)
    notes.append(
        f"a band is what luck alone reaches from the declared rate in one of {1 / TAIL:.0f} cells;"
        f" {time.time() - began:.0f} s"
    )
    for goal in goals:
        console.print(str(goal), highlight=False)
    for note in notes:
        console.print(note, highlight=False)
    if asked.runs >= 500:
        leave("gates", COMMAND, [found.row() for found in cells], goals, notes=notes)
    return 0


def ours(runs: int, seed: int) -> Iterator[Cell]:
    """Yield the cells of our own gates."""
    for number, world in enumerate(WORLDS):
        for blocks in BLOCKS:
            verdicts = beats(world, blocks=blocks, gain=0.0, runs=runs, seed=seed + number)
            yield _ours(
                verdicts, "BeatsChampion", WORTHLESS, world.name, blocks=blocks, rate=NOMINAL
            )
    independent, dependent = WORLDS[0], WORLDS[3]
    for world in (independent, dependent):
        for gain, question, share in ((-0.3, HARMFUL, 0.99), (GAIN, WORTHY, 0.9)):
            verdicts = beats(world, blocks=POWER_BLOCKS, gain=gain, runs=runs, seed=seed + 100)
            yield _ours(
                verdicts, "BeatsChampion", question, world.name, blocks=POWER_BLOCKS, rate=share
            )
    yield from _others(runs, seed + 200)


def rivals(runs: int, seed: int) -> Iterator[Cell]:
    """Yield the cells of the other rules, on the same worlds."""
    for number, world in enumerate(WORLDS):
        for blocks in (28, 60):
            yield from _rules(
                world, blocks=blocks, gain=0.0, question=WORTHLESS, runs=runs, seed=seed + number
            )
    for world in (WORLDS[0], WORLDS[3]):
        yield from _rules(
            world, blocks=POWER_BLOCKS, gain=GAIN, question=WORTHY, runs=runs, seed=seed + 100
        )


def goals_of(cells: Sequence[Cell]) -> list[Goal]:
    """Return what the gates promise: no cell of theirs leaves its band, and a naive rule does."""
    mine = [found for found in cells if found.rule.startswith("Headframe")]
    naive = [found for found in cells if found.rule == next(iter(RULES))]
    worthless = [found for found in naive if found.question == WORTHLESS]
    return [
        Goal(
            name=f"cells of {len(mine)} in which a gate of ours is outside its band",
            target=0.0,
            measured=float(sum(not found.kept for found in mine)),
        ),
        Goal(
            name=f"cells of {len(worthless)} in which comparing two numbers would keep to it",
            target=0.0,
            measured=float(sum(found.kept for found in worthless)),
        ),
    ]


def table(question: str, cells: Sequence[Cell]) -> Table:
    """Return one question's cells: a line a world and rule, a column a number of days."""
    blocks = sorted({found.blocks for found in cells})
    made = Table(
        "world", "rule", *(f"{many} days" for many in blocks), "declared", title=f"{question}, %"
    )
    for world, rule in dict.fromkeys((found.world, found.rule) for found in cells):
        line = {
            found.blocks: found for found in cells if (found.world, found.rule) == (world, rule)
        }
        first = next(iter(line.values()))
        made.add_row(
            world,
            rule,
            *(_shown(line[many]) if many in line else "" for many in blocks),
            f"{'most' if first.at_most else 'least'} {100 * first.declared:.3g}",
        )
    return made


def _shown(found: Cell) -> str:
    few = f" ({100 * found.too_few / found.runs:.0f} too few)" if found.too_few else ""
    return f"{100 * found.share:.1f}{few}{'' if found.kept else ' OUT'}"


def _others(runs: int, seed: int) -> Iterator[Cell]:
    for worse, question, rate in ((0.0, WRONG, 0.05), (0.03, HARMFUL, 0.95), (0.06, HARMFUL, 0.99)):
        verdicts = segments(blocks=42, worse=worse, runs=runs, seed=seed + round(1000 * worse))
        about = f"one of six levels worse by {worse:g}, tolerance 0.03"
        yield _ours(verdicts, "NoWorseOnSegment", question, about, blocks=42, rate=rate)
    for shift, stretch, question, rate in (
        (0.35, 1.0, HARMFUL, 0.95),
        (0.8, 1.0, HARMFUL, 0.99),
        (0.0, 2.2, HARMFUL, 0.99),
        (0.0, 1.0, WORTHY, 0.9),
    ):
        verdicts = calibrations(blocks=42, shift=shift, stretch=stretch, runs=runs, seed=seed)
        about = f"log odds {shift:+g}, times {stretch:g}, limit 0.05"
        yield _ours(verdicts, "Calibrated", question, about, blocks=42, rate=rate)
    for spread, question, rate in ((0.01, HARMFUL, 0.95), (0.002, WORTHY, 0.9)):
        verdicts = seeds(spread=spread, runs=runs, seed=seed)
        about = f"four models, spread {spread:g}, limit 0.01"
        yield _ours(verdicts, "StableAcrossSeeds", question, about, blocks=42, rate=rate)
    for world in (WORLDS[0], WORLDS[3]):
        for skill, question, rate in ((0.0, WRONG, 0.01), (3.0, HARMFUL, 0.95)):
            verdicts = shuffled(world, blocks=42, skill=skill, runs=runs, seed=seed)
            about = f"{world.name}, skill {skill:g} without being taught"
            yield _ours(verdicts, "NoLeakage", question, about, blocks=42, rate=rate)


def _ours(
    verdicts: Sequence[Verdict], gate: str, question: str, world: str, *, blocks: int, rate: float
) -> Cell:
    """Count the verdicts that the question is about; too few is not passed, and not refused."""
    passed = sum(verdict.outcome == "passed" for verdict in verdicts)
    failed = sum(verdict.outcome == "failed" for verdict in verdicts)
    counted = {WRONG: failed, HARMFUL: len(verdicts) - passed}.get(question, passed)
    return Cell(
        question=question,
        world=world,
        rule=f"Headframe, {gate}",
        blocks=blocks,
        runs=len(verdicts),
        counted=counted,
        too_few=len(verdicts) - passed - failed,
        declared=rate,
        at_most=question in (WORTHLESS, WRONG),
    )


def _rules(
    world: World, *, blocks: int, gain: float, question: str, runs: int, seed: int
) -> Iterator[Cell]:
    days, rows = world.sample(np.random.default_rng(seed), runs, blocks)
    for name, rule in RULES.items():
        yield Cell(
            question=question,
            world=world.name,
            rule=name,
            blocks=blocks,
            runs=runs,
            counted=int(rule(days + gain, rows).sum()),
            too_few=0,
            declared=NOMINAL if question == WORTHLESS else 0.9,
            at_most=question == WORTHLESS,
        )


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="of each cell; kept from 500")
    parser.add_argument("--seed", type=int, default=20130501)
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
