"""Counts: how often each value occurs on each day, quiet and injected, for the rules of peers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_quality_rows import Numbers, Rows

MOST_CELLS = 4096
"""A number with more values than this is counted in as many cells of about one mass."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCounts:
    """Counts of every column: (days, cells + 1), the last for missing values.

    ``cells`` is the value of each cell of a number (the mean of its rows), None for a code.
    ``injected`` holds, by injection, the columns that it changes.
    """

    cells: dict[str, Numbers | None]
    quiet: dict[str, Counts]
    injected: dict[str, dict[str, Counts]]

    def of(self, injection: str | None, column: str) -> Counts:
        """Return the counts of a column on all days, quiet where the injection leaves it alone."""
        return self.injected.get(injection or "", {}).get(column, self.quiet[column])


def count(quiet: Rows, injected: Mapping[str, Rows]) -> DayCounts:
    """Count the values of quiet rows, and those of the columns that each injection changes."""
    cells: dict[str, Numbers | None] = {}
    found: dict[str, Counts] = {}
    changed: dict[str, dict[str, Counts]] = {name: {} for name in injected}
    for column, values in quiet.numbers.items():
        variants = {
            name: rows.numbers[column]
            for name, rows in injected.items()
            if rows.numbers[column] is not values
        }
        cuts = _cuts([values, *variants.values()])
        cells[column] = _means(cuts, [values, *variants.values()])
        found[column] = _number_counts(quiet, values, cuts)
        for name, variant in variants.items():
            changed[name][column] = _number_counts(quiet, variant, cuts)
    for column, codes in quiet.codes.items():
        cells[column] = None
        width = max(len(rows.levels[column]) for rows in (quiet, *injected.values()))
        found[column] = _table(quiet, np.where(codes < 0, width, codes), width)
        for name, rows in injected.items():
            if (other := rows.codes[column]) is not codes:
                changed[name][column] = _table(quiet, np.where(other < 0, width, other), width)
    return DayCounts(cells=cells, quiet=found, injected=changed)


def _cuts(variants: list[Numbers]) -> Numbers:
    """Return the least value of every cell."""
    seen = [values[~np.isnan(values)] for values in variants]
    found = np.unique(np.concatenate(seen))
    if len(found) <= MOST_CELLS:
        return found
    ordered = np.sort(seen[0])
    steps = np.linspace(0, len(ordered) - 1, MOST_CELLS).astype(int)
    return np.unique(np.r_[found[0], ordered[steps]])


def _means(cuts: Numbers, variants: list[Numbers]) -> Numbers:
    if len(cuts) < MOST_CELLS - 1:
        return cuts  # each is a value: a mean of equal numbers may be off by its last bit
    sums, rows = np.zeros(len(cuts)), np.zeros(len(cuts))
    for values in variants:
        seen = values[~np.isnan(values)]
        at = np.searchsorted(cuts, seen, side="right") - 1
        sums += np.bincount(at, seen, minlength=len(cuts))
        rows += np.bincount(at, minlength=len(cuts))
    return np.where(rows > 0, sums / np.maximum(rows, 1), cuts)


def _number_counts(rows: Rows, values: Numbers, cuts: Numbers) -> Counts:
    at = np.searchsorted(cuts, values, side="right") - 1
    return _table(rows, np.where(np.isnan(values), len(cuts), at), len(cuts))


def _table(rows: Rows, cell: NDArray[np.int64], width: int) -> Counts:
    flat = np.bincount(rows.day * (width + 1) + cell, minlength=rows.days * (width + 1))
    return flat.reshape(rows.days, width + 1).astype(np.float64)
