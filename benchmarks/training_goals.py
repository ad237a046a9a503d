"""Goals of training: what its costs are compared with, and what they are meant to be."""

from collections.abc import Mapping, Sequence

from benchmarks.paired import Once, Ratio, paired_ratio
from benchmarks.report import Goal

OURS = "ours, warm process"
COLD = "ours, cold process, imports and all"
FLOOR = "floor: bare fit of a ready matrix"
PIPELINE = "pipeline fitted on a ready data frame"
ONE, TWO = "search, 1 tuner", "search, 2 tuners"

MOST_TIMES_THE_FLOOR = 1.15
"""CPU seconds from the lake to a registered model, to those of the bare fit."""
LEAST_SPEED_UP = 1.7
"""Wall seconds of a search by one process to those of the same search by two."""

Runs = Mapping[str, Sequence[Once] | None]
"""Of each system asked for, its runs by round; None where it failed."""


def cpu_ratio(of_case: Runs, one: str, other: str) -> Ratio | None:
    """Return the ratio of two systems' CPU seconds over paired runs; None unless both were measured."""
    ours, others = of_case.get(one), of_case.get(other)
    if not ours or not others:
        return None
    return paired_ratio([o.spent.cpu_s for o in ours], [o.spent.cpu_s for o in others])


def wall_ratio(of_case: Runs, one: str, other: str) -> Ratio | None:
    """Return the ratio of two systems' wall seconds over paired runs; None as for ``cpu_ratio``."""
    ours, others = of_case.get(one), of_case.get(other)
    if not ours or not others:
        return None
    return paired_ratio([o.spent.wall_s for o in ours], [o.spent.wall_s for o in others])


def goals(runs: Mapping[int, Runs]) -> list[Goal]:
    """Return every goal that was asked for, met or not; ``runs`` are by number of rows."""
    found: list[Goal] = []
    for rows, of_case in runs.items():
        if OURS in of_case and FLOOR in of_case:
            found.append(
                _goal(
                    f"CPU, {rows:,} rows: {OURS} to {FLOOR}",
                    MOST_TIMES_THE_FLOOR,
                    cpu_ratio(of_case, OURS, FLOOR),
                )
            )
        if ONE in of_case and TWO in of_case:
            found.append(
                _goal(
                    f"wall, {rows:,} rows: {TWO} to {ONE}",
                    1 / LEAST_SPEED_UP,
                    wall_ratio(of_case, TWO, ONE),
                )
            )
    return found


def _goal(name: str, target: float, ratio: Ratio | None) -> Goal:
    return Goal(
        name=name,
        target=target,
        measured=ratio.median if ratio else None,
        interval=ratio.interval if ratio else None,
    )
