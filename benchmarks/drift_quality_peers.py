"""Peers: rules of thumb, and Evidently's and NannyML's defaults, read from counts of every value."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from benchmarks.drift_quality_counts import Counts, DayCounts
from benchmarks.drift_quality_data import LEAD, WINDOW, Order
from benchmarks.drift_quality_distances import (
    evidently,
    nannyml,
    nannyml_bins,
    psi,
    surprise,
)
from benchmarks.drift_quality_readings import Readings
from benchmarks.drift_quality_rows import Numbers

PSI_LIMIT = 0.2
LEVEL = 0.05
EVIDENTLY_LIMIT = 0.1
DRIFT_SHARE = 0.5
"""Share of drifted columns at which Evidently calls a data set drifted."""
DEVIATIONS = 3.0
"""Standard deviations over reference chunks at which NannyML alarms."""

Base = Literal["psi", "surprise", "evidently", "nannyml"]
DISTANCES = {"psi": psi, "surprise": surprise, "evidently": evidently}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A monitor: what it measures, over windows of so many blocks, and how it becomes an alarm."""

    name: str
    base: Base
    window: int
    limit: float
    of_dataset: bool = False
    """Alarms when DRIFT_SHARE of the columns are above the limit, not when one is."""


def _windows(base: Base, name: str, limit: float, *, of_dataset: bool = False) -> tuple[Peer, ...]:
    one = partial(Peer, base=base, limit=limit, of_dataset=of_dataset)
    return one(name=f"{name}, day", window=1), one(name=f"{name}, 7 days", window=WINDOW)


def peers(columns: int) -> tuple[Peer, ...]:
    """Return the monitors of features and score that look at so many columns."""
    return (
        *_windows("psi", "PSI > 0.2", PSI_LIMIT),
        *_windows("surprise", "KS/chi2 p < 0.05", -np.log(LEVEL)),
        *_windows("surprise", "KS/chi2 Bonferroni", -np.log(LEVEL / columns)),
        *_windows("evidently", "Evidently, any column", EVIDENTLY_LIMIT),
        *_windows("evidently", "Evidently, half the columns", EVIDENTLY_LIMIT, of_dataset=True),
        *_windows("nannyml", "NannyML univariate", DEVIATIONS),
    )


class Measured:
    """All peers' readings on one order of days; what several of them need is measured once."""

    def __init__(self, counts: DayCounts, order: Order, *, onset: int | None = None) -> None:
        """``onset`` is the place among monitored days from which injected rows are read."""
        self._counts = counts
        self._order = order
        self._onset = onset
        self._found: dict[tuple[str | None, str, Base, int], Numbers] = {}

    def readings(self, peer: Peer, injection: str | None = None) -> Readings:
        """Return what a peer reads on every check after the lead, one row a check.

        With an injection, the days from the onset on are those injected.
        """
        columns = tuple(self._counts.quiet)
        values = np.column_stack(
            [self._column(injection, column, peer.base, peer.window) for column in columns]
        )
        if peer.of_dataset:
            needed = int(np.ceil(DRIFT_SHARE * len(columns)))
            values = -np.sort(-values, axis=1)[:, needed - 1 : needed]
            columns = ("the data set",)
        return Readings(columns=columns, values=values, limit=peer.limit)

    def _column(self, injection: str | None, column: str, base: Base, window: int) -> Numbers:
        if column not in self._counts.injected.get(injection or "", {}):
            injection = None
        key = (injection, column, base, window)
        if key not in self._found:
            self._found[key] = self._measure(injection, column, base, window)
        return self._found[key]

    def _measure(self, injection: str | None, column: str, base: Base, window: int) -> Numbers:
        quiet, cells = self._counts.quiet[column], self._counts.cells[column]
        monitored = quiet[self._order.monitored]
        if injection is not None and self._onset is not None:
            injected = self._counts.of(injection, column)[self._order.monitored]
            monitored = np.concatenate([monitored[: self._onset], injected[self._onset :]])
        days = quiet[self._order.reference]
        reference, windows = days.sum(axis=0), trailing(monitored, window)[LEAD:]
        if base != "nannyml":
            return DISTANCES[base](reference, windows, cells)
        bins = nannyml_bins(reference, cells)
        return deviations(
            nannyml(reference, chunks(days, window), bins), nannyml(reference, windows, bins)
        )


def trailing(counts: Counts, window: int) -> Counts:
    """Return for each day the counts of so many days up to it, of fewer at the beginning."""
    sums = np.cumsum(counts, axis=0)
    sums[window:] = sums[window:] - sums[:-window]
    return np.asarray(sums)


def chunks(counts: Counts, window: int) -> Counts:
    """Return the counts of whole chunks of so many days, from the first day on."""
    whole = len(counts) // window * window
    return np.asarray(counts[:whole].reshape(-1, window, counts.shape[1]).sum(axis=1))


def deviations(of_reference: Numbers, of_windows: Numbers) -> Numbers:
    """Return how many standard deviations of the reference's chunks each window is off, unsigned.

    NannyML also alarms on a distance that is too small. What does not vary or is not known is 0
    off.
    """
    spread = np.nanstd(of_reference)
    if spread == 0:
        return np.zeros(len(of_windows))
    return np.asarray(np.nan_to_num(np.abs(of_windows - np.nanmean(of_reference)) / spread))


def performance(
    quiet: Mapping[str, Numbers],
    order: Order,
    injected: Mapping[str, Numbers] | None = None,
    *,
    onset: int | None = None,
) -> Readings:
    """Return each daily metric after the lead against its reference days, as NannyML has it."""
    after = order.monitored if injected is None else order.monitored[:onset]
    values = []
    for name, metric in quiet.items():
        found = metric[after]
        if injected is not None:
            found = np.r_[found, injected[name][order.monitored[onset:]]]
        values.append(deviations(metric[order.reference], found)[LEAD:])
    return Readings(columns=tuple(quiet), values=np.column_stack(values), limit=DEVIATIONS)
