"""E-detector: whether what sums up evidence finds more than windows do, at as many false alarms."""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.e_detector_statistics import Flags, Numbers, e_detector, of_window
from benchmarks.report import Goal, leave, load_at_start
from pipelines.domain.drift.severity import AlarmBudget
from pipelines.domain.watch import REFERENCE_BLOCKS, WEEK

NAME = "e_detector"
RUNS = 2000
COLUMNS = 20
REFERENCE, QUARTER = REFERENCE_BLOCKS["day"], 90
MONTH = 28

ONSET = 30
"""Monitored blocks before the shift: what sums up has had time to."""

WITHIN = (7, 14, 28, 60)
"""Blocks from the onset on, by which power is told."""

WORLDS = {"independent": 0.0, "remembers half": 0.5}
"""Share of a block's shock that is still there with the next."""

SEASON = 1.5
"""Amplitude of a year's wave, in standard deviations of blocks, as of those of ``drift_quality``."""

SHIFTS = ((0.25, 1), (0.5, 1), (1.0, 1), (1.5, 1), (2.0, 1), (0.25, 10), (0.5, 10))
"""Standard deviations of blocks, and how many of the COLUMNS move so."""

SEEDS = {"calibration": 1, "quiet": 2, "season": 3, "power": 10}

WINDOWS = "windows of 1 and 7"
DETECTOR = "e-detector"
BOTH = "windows and e-detector"
MONTHS = "windows of 1, 7 and 28"
BOUND = "e-detector at its bound"
ELSEWHERE = "e-detector, limit of independent blocks"

Limits = Mapping[str, float]
"""What each statistic must pass to alarm; one that is not there is not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How often one way alarmed: in quiet quarters, or after a shift within each of WITHIN.

    ``size`` is in standard deviations of blocks, 0 where nothing shifts. ``found`` are shares of the
    runs that were quiet until the onset; of quiet worlds it is the share of quarters that alarm.
    """

    world: str
    way: str
    size: float
    columns: int
    found: tuple[float, ...]


def main() -> int:
    """Calibrate all ways to the same false alarms, and print how often each finds what."""
    asked = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__)
    asked.add_argument("--runs", type=int, default=RUNS)
    runs: int = asked.parse_args().runs
    console, notes, began = Console(soft_wrap=True, width=160), [load_at_start()], time.time()
    found = list(lines(runs))
    console.print(table(found))
    goals = goals_of(found)
    notes.append(f"{runs:,} runs of each world and shift; {time.time() - began:.0f} s")
    for line in (*map(str, goals), *notes):
        console.print(line, highlight=False)
    if runs >= RUNS:
        leave(NAME, f"make bench NAME={NAME}", [asdict(one) for one in found], goals, notes=notes)
    return 0


def lines(runs: int) -> Iterator[Line]:
    """Yield the lines of each world: quiet quarters, some with a season, and every shift."""
    elsewhere: dict[str, Limits] = {}
    for world in WORLDS:
        limits = calibrated(statistics(blocks(world, "calibration", runs)))
        quiet = statistics(blocks(world, "quiet", runs))
        bound = {BOUND: {"detector": QUARTER / AlarmBudget().alarms_per_quarter}}
        yield from _quiet(world, {**limits, **bound, **elsewhere}, quiet)
        wavy = statistics(blocks(world, "season", runs, wave=SEASON))
        yield from _quiet(f"{world}, with a season", limits, wavy)
        for number, (size, columns) in enumerate(SHIFTS):
            values = blocks(world, "power", runs, number=number)
            values[:, ONSET - QUARTER :, :columns] += size
            found = statistics(values)
            for way, limit in limits.items():
                share = power(alarms(found, limit))
                yield Line(world=world, way=way, size=size, columns=columns, found=share)
        elsewhere = {ELSEWHERE: limits[DETECTOR]}


def blocks(world: str, part: str, runs: int, *, number: int = 0, wave: float = 0.0) -> Numbers:
    """Return statistics of blocks, variance 1, (runs, blocks, COLUMNS); the last QUARTER is monitored.

    With a ``wave`` each column has a yearly one of that amplitude, and a phase of its own.
    """
    carried = WORLDS[world]
    chosen = np.random.default_rng((SEEDS[part] + number, round(100 * carried)))
    values = chosen.standard_normal((runs, REFERENCE + MONTH + QUARTER, COLUMNS))
    for at in range(1, values.shape[1]):
        values[:, at] = carried * values[:, at - 1] + np.sqrt(1 - carried**2) * values[:, at]
    if wave:
        day, phase = np.arange(values.shape[1]), chosen.uniform(0, 2 * np.pi, (runs, 1, COLUMNS))
        values += wave * np.sin(2 * np.pi * day[:, None] / 365 + phase)
    return values


def statistics(values: Numbers) -> dict[str, Numbers]:
    """Return what ways look at, each (runs, QUARTER): the greatest distance over the columns.

    Of the monitor's windows this is what their permutations are compared by, where each column has
    one statistic and all count alike.
    """
    found = {
        str(window): np.abs(
            of_window(values, window=window, reference=REFERENCE, monitored=QUARTER)
        ).max(axis=2)
        for window in (1, WEEK, MONTH)
    }
    return {**found, "detector": e_detector(values, reference=REFERENCE, monitored=QUARTER)}


def calibrated(quiet: Mapping[str, Numbers]) -> dict[str, Limits]:
    """Return limits of each way, with which as many quiet quarters alarm as with the monitor's levels.

    What is put beside the windows has half of their levels, and what is then missing to that share.
    """
    alphas = AlarmBudget().alphas(reference_blocks=REFERENCE)
    whole, half = (
        {
            name: float(np.quantile(quiet[name], 1 - part * level))
            for name, level in (("1", alphas.day), (str(WEEK), alphas.week))
        }
        for part in (1.0, 0.5)
    )
    share = float(alarms(quiet, whole).any(axis=1).mean())
    spared: Flags = np.asarray(~alarms(quiet, half).any(axis=1))
    missing = max(0.0, share - (1 - spared.mean())) / spared.mean()

    def limit(name: str, runs: Flags, of_runs: float) -> dict[str, float]:
        return {name: float(np.quantile(quiet[name][runs].max(axis=1), 1 - of_runs))}

    return {
        WINDOWS: whole,
        MONTHS: half | limit(str(MONTH), spared, missing),
        BOTH: half | limit("detector", spared, missing),
        DETECTOR: limit("detector", np.ones_like(spared), share),
    }


def alarms(found: Mapping[str, Numbers], limits: Limits) -> Flags:
    """Tell of each run and monitored block whether a way alarms, (runs, QUARTER)."""
    passed: Flags = np.any([found[name] > limit for name, limit in limits.items()], axis=0)
    return passed


def power(fired: Flags) -> tuple[float, ...]:
    """Return the share of runs that alarm within each of WITHIN, of those quiet until the ONSET."""
    after = fired[~fired[:, :ONSET].any(axis=1), ONSET:]
    return tuple(float(after[:, :within].any(axis=1).mean()) for within in WITHIN)


def _quiet(
    world: str, limits: Mapping[str, Limits], found: Mapping[str, Numbers]
) -> Iterator[Line]:
    for way, limit in limits.items():
        share = float(alarms(found, limit).any(axis=1).mean())
        yield Line(world=world, way=way, size=0.0, columns=0, found=(share,))


def goals_of(found: Sequence[Line]) -> list[Goal]:
    """Return the goals: on fresh quiet quarters all ways alarm alike, or they are not compared fairly."""
    return [
        Goal(
            name=f"{world}: quiet quarters that alarm, the most by which two ways differ",
            target=0.05,
            measured=max(shares) - min(shares),
        )
        for world in WORLDS
        for shares in [
            [
                line.found[0]
                for line in found
                if line.world == world and not line.size and line.way not in {BOUND, ELSEWHERE}
            ]
        ]
    ]


def table(found: Sequence[Line]) -> Table:
    """Return the lines as a table: what is asked, and a way's shares."""
    shown = Table("world", "way", "shift", *(f"within {within}" for within in WITHIN))
    for line in found:
        shown.add_row(line.world, line.way, shift(line), *cells(line))
    return shown


def shift(line: Line) -> str:
    """Return what moved, in words.

    >>> shift(Line(world="independent", way=WINDOWS, size=0.5, columns=1, found=()))
    '0.5 in 1 of 20 columns'
    """
    return (
        f"{line.size:g} in {line.columns} of {COLUMNS} columns" if line.size else "none, a quarter"
    )


def cells(line: Line) -> list[str]:
    """Return the shares as two decimals.

    >>> cells(Line(world="independent", way=WINDOWS, size=0.5, columns=1, found=(0.124, 1.0)))
    ['0.12', '1.00']
    """
    return [f"{share:.2f}" for share in line.found]


if __name__ == "__main__":
    sys.exit(main())
