"""Joint: how well a day's rows are told by the main components of the reference, as NannyML does."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_quality_data import LEAD, Order
from benchmarks.drift_quality_peers import DEVIATIONS, deviations
from benchmarks.drift_quality_readings import Readings
from benchmarks.drift_quality_rows import SCORE, Numbers, Rows

KEPT_VARIANCE = 0.65
"""Share of the variance that the kept components tell: NannyML's default."""

LEAST_CHANCE = 1e-4
"""A probability below this counts as this much in the log loss."""


class Reconstruction:
    """NannyML's data reconstruction on one order of days, without the package's own overhead.

    Missing numbers become the reference's mean and codes its most frequent level; a code becomes
    its share of the reference; columns are standardised, and a row's error is the length of what
    the main components leave of it. A day is its mean error.
    """

    def __init__(self, quiet: Rows, order: Order) -> None:
        """Fit on the rows of the reference days."""
        self._quiet, self._order = quiet, order
        reference = _places(quiet, order.reference)
        self._means = {
            name: float(np.nanmean(values[reference])) for name, values in quiet.numbers.items()
        }
        self._shares = {name: _shares(codes[reference]) for name, codes in quiet.codes.items()}
        rows = self._encoded(quiet, reference)
        self._middle, spread = rows.mean(axis=0), rows.std(axis=0)
        self._spread = np.where(spread == 0, 1.0, spread)
        standard = (rows - self._middle) / self._spread
        told, directions = np.linalg.eigh(standard.T @ standard)
        told, directions = told[::-1], directions[:, ::-1]
        kept = int(np.searchsorted(np.cumsum(told) / told.sum(), KEPT_VARIANCE, side="right")) + 1
        self._left = np.eye(len(told)) - directions[:, :kept] @ directions[:, :kept].T
        self._reference = self.errors(quiet, order.reference)

    def readings(self, injected: Rows | None, *, onset: int | None = None) -> Readings:
        """Return the deviation of every monitored day after the lead; injected from the onset."""
        days = self._order.monitored
        onset = len(days) if injected is None or onset is None else onset
        found = self.errors(self._quiet, days[:onset])
        if injected is not None:
            found = np.r_[found, self.errors(injected, days[onset:])]
        values = deviations(self._reference, found)[LEAD:, None]
        return Readings(columns=("reconstruction error",), values=values, limit=DEVIATIONS)

    def errors(self, rows: Rows, days: NDArray[np.int64]) -> Numbers:
        """Return the mean length of what is not told, for each day."""
        if not len(days):
            return np.empty(0)
        standard = (self._encoded(rows, _places(rows, days)) - self._middle) / self._spread
        lengths = np.linalg.norm(standard @ self._left, axis=1)
        sizes = np.diff(rows.starts)[days]
        ends = np.cumsum(sizes)
        return np.asarray(np.add.reduceat(lengths, ends - sizes) / sizes)

    def _encoded(self, rows: Rows, places: NDArray[np.int64]) -> Numbers:
        columns = []
        for name, values in rows.numbers.items():
            chosen = values[places]
            columns.append(np.where(np.isnan(chosen), self._means[name], chosen))
        for name, codes in rows.codes.items():
            shares = self._shares[name]
            levels = np.where(codes[places] < 0, shares.argmax(), codes[places])
            # The encoder gives a level it has not seen no share at all.
            shares = np.r_[shares, np.zeros(max(0, int(levels.max()) + 1 - len(shares)))]
            columns.append(shares[levels])
        return np.column_stack(columns)


def _places(rows: Rows, days: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(rows.starts[day], rows.starts[day + 1]) for day in days])


def _shares(codes: NDArray[np.int32]) -> Numbers:
    """Return each level's share of the rows, missing ones counted as the most frequent."""
    found = np.bincount(codes[codes >= 0]).astype(float)
    found[found.argmax()] += np.count_nonzero(codes < 0)
    return np.asarray(found / found.sum())


def daily_metrics(rows: Rows) -> Mapping[str, Numbers]:
    """Return the area under the ROC curve, accuracy (at 0.5) and log loss (nats) of every day."""
    auc, accuracy, loss = np.empty(rows.days), np.empty(rows.days), np.empty(rows.days)
    for day in range(rows.days):
        late, score = rows.late[rows.of_day(day)], rows.numbers[SCORE][rows.of_day(day)]
        auc[day] = area(late, score)
        accuracy[day] = np.mean((score >= 0.5) == (late == 1))
        loss[day] = log_loss(late, score)
    return {"roc_auc": auc, "accuracy": accuracy, "log loss": loss}


def log_loss(late: NDArray[np.int8], score: Numbers) -> float:
    """Return the mean log loss in nats."""
    sure = np.clip(np.where(late == 1, score, 1 - score), LEAST_CHANCE, 1.0)
    return float(-np.log(sure).mean())


def area(late: NDArray[np.int8], score: Numbers) -> float:
    """Return the area under the ROC curve, ties counted half (Mann and Whitney, 1947)."""
    _, place, rows = np.unique(score, return_inverse=True, return_counts=True)
    middle_rank = (np.cumsum(rows) - (rows - 1) / 2)[place]
    many = int(late.sum())
    few = len(late) - many
    if not many or not few:
        return float("nan")
    return float((middle_rank[late == 1].sum() - many * (many + 1) / 2) / (many * few))
