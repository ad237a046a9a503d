"""Worlds: quiet rows, the same rows injected, and what every monitor needs to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from benchmarks.drift_quality_counts import DayCounts, count
from benchmarks.drift_quality_data import FLIGHT_KINDS, SIMULATED, TUNING, Kind, Order, Split, order
from benchmarks.drift_quality_flights import CODES, NUMBERS, flights
from benchmarks.drift_quality_injections import OF_FLIGHTS, OF_SIMULATION, Injection, Scorer
from benchmarks.drift_quality_joint import daily_metrics, log_loss
from benchmarks.drift_quality_rows import SCORE, Numbers, Rows
from benchmarks.drift_quality_simulated import YEAR, predict, simulate

INJECTED_SEED = 77
IMPORTANCE_DAYS, IMPORTANCE_SEED = 40, 5
"""Days that importance is measured on; of the flights, days that are not reported."""


@dataclass(frozen=True)  # no slots: cached properties live in the instance
class World:
    """Quiet rows and the same rows under each injection; what is derived is derived once.

    ``importance`` is each column's share in [0, 1] of how much the log loss rises when the column
    is shuffled (Breiman, 2001); ``segments`` are the code columns that losses are told for.
    Days of a ``season_matched`` world are in their own order, and ours compares each window with
    the same time of the year before; else with all reference days.
    """

    quiet: Rows
    injected: Mapping[str, Rows]
    importance: Mapping[str, float]
    segments: tuple[str, ...]
    season_matched: bool = False

    @cached_property
    def counts(self) -> DayCounts:
        """Counts of every value."""
        return count(self.quiet, self.injected)

    @cached_property
    def daily(self) -> dict[str | None, Mapping[str, Numbers]]:
        """Daily metrics of each injection, and of None for quiet rows."""
        return {
            None: daily_metrics(self.quiet),
            **{name: daily_metrics(rows) for name, rows in self.injected.items()},
        }


def world_of(
    kind: Kind, split: Split, seed: int, *, days: int, inject: bool
) -> tuple[World, Order]:
    """Return the world of a kind and a quiet order of so many monitored days in it.

    Flights are one world whatever the seed, injected or not.
    """
    if kind in FLIGHT_KINDS:
        return _flights(inject=inject), order(kind, split, seed, monitored=days)
    simulation = simulate(seed)
    rows = simulation.rows
    reference = simulation.order.reference
    chosen = replace(
        simulation.order,
        reference=reference if kind == SIMULATED else reference[-YEAR:],
        monitored=simulation.order.monitored[:days],
    )
    world = World(
        quiet=rows,
        injected=_injected(rows, OF_SIMULATION, predict) if inject else {},
        importance=_of_simulation(),
        segments=("c1", "c4"),
        season_matched=kind == SIMULATED,
    )
    return world, chosen


def injections_of(kind: Kind) -> tuple[Injection, ...]:
    """Return what is injected into data of a kind."""
    return OF_FLIGHTS if kind in FLIGHT_KINDS else OF_SIMULATION


@cache
def _flights(*, inject: bool) -> World:
    rows, models = flights()
    days = np.array(TUNING.days)[:: len(TUNING.days) // IMPORTANCE_DAYS]
    some = rows.of_days(days)
    of_some = models.of_days(days)
    return World(
        quiet=rows,
        injected=_injected(rows, OF_FLIGHTS, models.score) if inject else {},
        importance=importance(some, of_some.score, (*NUMBERS, *CODES)),
        segments=("origin", "carrier"),
    )


@cache
def _of_simulation() -> Mapping[str, float]:
    rows = simulate(IMPORTANCE_SEED).rows
    columns = [name for name in rows.columns if name != SCORE]
    return importance(rows.of_days(np.arange(IMPORTANCE_DAYS)), predict, columns)


def _injected(rows: Rows, injections: tuple[Injection, ...], scorer: Scorer) -> dict[str, Rows]:
    return {each.name: each.into(rows, scorer, seed=INJECTED_SEED) for each in injections}


def importance(
    rows: Rows, scorer: Scorer, columns: "tuple[str, ...] | list[str]"
) -> Mapping[str, float]:
    """Return each column's share of how much the log loss rises when it is shuffled."""
    chosen = np.random.default_rng(IMPORTANCE_SEED)
    before = log_loss(rows.late, rows.numbers[SCORE])
    rises = {}
    for column in columns:
        at = chosen.permutation(len(rows.late))
        if column in rows.numbers:
            shuffled = rows.with_columns(numbers={column: rows.numbers[column][at]})
        else:
            shuffled = rows.with_columns(codes={column: rows.codes[column][at]})
        rises[column] = max(log_loss(rows.late, scorer(shuffled)) - before, 0.0)
    total = sum(rises.values())
    return {column: rise / total if total else 0.0 for column, rise in rises.items()}
