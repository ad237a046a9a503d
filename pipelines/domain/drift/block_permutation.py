"""The drift test that asks whether the newest blocks are like those of the reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.domain.drift.block_arrangements import arrangements, season_residuals
from pipelines.domain.drift.block_scores import (
    ROUNDING,
    allowed_for,
    components_of,
    dependence_of,
    log_tails,
    normal_scores,
)
from pipelines.domain.drift.drift_result import (
    MINIMUM_BLOCKS,
    ColumnShift,
    DriftEvidence,
    DriftResult,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.domain.drift.block_statistics import Family

    Floats: TypeAlias = NDArray[np.float64]

FAMILY_WEIGHTS: Mapping[str, float] = {
    "bins": 0.5,
    "mix": 0.7,
    "moments": 0.25,
    "missing": 0.1,
    "ranks": 0.15,
}
"""How the level of a column is split over what is asked of it (decision; tuned on flights of EWR)."""

EVEN = 0.5
"""Share of the level that all columns get alike; the rest goes by importance."""

PREDICTION_SHARE = 0.15
"""Least share of the level that the prediction gets: it sums up what matters to the model."""

UNITS: Mapping[str, str] = {
    "bins": "Hellinger distance",
    "mix": "Hellinger distance",
    "moments": "reference standard deviations",
    "missing": "more missing, as a share",
    "ranks": "of a rank correlation",
}
"""Unit of a shift's effect, by family."""


@dataclass(frozen=True, slots=True)
class BlockPermutation:
    """Find that the last ``window`` blocks differ from the reference, at level ``alpha`` over all.

    Exact: when the blocks of both sides are exchangeable (each season among its own kind, where
    seasons are given), a false alarm has probability at most ``alpha`` however many columns there
    are and however they depend on each other, since reference and current blocks are permuted
    together and the greatest statistic over all columns and families is compared with itself
    (Westfall and Young, 1993, "Resampling-based multiple testing"; Phipson and Smyth, 2010, for the
    observed arrangement counting as one). Rows of one block may depend on each other at will.

    Every statistic is ranked over the blocks and becomes a normal score (van der Waerden, 1952).
    Per column and family the scores' components are made alike with a ridge, as in Hotelling's
    T-squared (1931), their mean over the window is squared and summed, and its tail probability
    under normal theory (Satterthwaite, 1946; Wilson and Hilferty, 1931) is divided by the weight of
    its family and column: half of the level is shared evenly, half by importance. This choice sets
    the power only; the level is exact with any.

    Neighbouring blocks that depend on each other make window means vary more than permuted ones:
    where the reference clearly shows it, the observed statistic is divided by the inflation of its
    variance (Bartlett, 1946) and judged as one whose variance is estimated, which can only take
    power away. A reference that is worth fewer than ``minimum_blocks`` independent blocks is still
    learning.

    >>> BlockPermutation(window=7, alpha=0.005).problems()
    ()
    """

    _: KW_ONLY
    window: int = 7
    alpha: float = 0.005
    permutations: int = 999
    seed: int = 7
    minimum_blocks: int = MINIMUM_BLOCKS
    weights: Mapping[str, float] = field(default_factory=lambda: FAMILY_WEIGHTS, hash=False)

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the test can judge."""
        found = (
            (self.window >= 1, f"window {self.window!r} is not at least one block"),
            (0 < self.alpha < 1, f"alpha {self.alpha!r} is not strictly between 0 and 1"),
            (
                self.window == 1 or (self.permutations + 1) * self.alpha >= 1,
                f"{self.permutations} permutations cannot reach a p-value of {self.alpha!r}",
            ),
        )
        return tuple(problem for sound, problem in found if not sound)

    def judge(self, evidence: DriftEvidence) -> DriftResult:
        """Judge the newest ``window`` current blocks; "learning" where the reference is too short.

        It also is where no arrangement could be rare enough: one block among m reference blocks
        never has a p-value below 1 / (m + 1).
        """
        import numpy as np

        reference, window = evidence.reference, evidence.current[-self.window :]
        if evidence.statistics is None or len(window) < self.window:
            return self._without(
                evidence, "not_tested", f"{len(window)} of {self.window} blocks of the window exist"
            )
        if len(reference) < self.minimum_blocks:
            return self._without(
                evidence, "learning", f"{len(reference)} of {self.minimum_blocks} reference blocks"
            )
        least = 1 / (len(reference) + 1) if self.window == 1 else 0.0
        if least > self.alpha:
            needed = math.ceil(1 / self.alpha) - 1
            return self._without(
                evidence,
                "learning",
                f"a window of one block needs {needed} reference blocks at level {self.alpha:.4g},"
                f" and there are {len(reference)}",
            )
        rows = [*reference, *window]
        seasons = None if evidence.seasons is None else tuple(evidence.seasons[row] for row in rows)
        weights = arrangements(
            len(reference), self.window, seasons, draws=self.permutations, seed=self.seed
        )
        families = evidence.statistics.take(rows).families
        sums, of_window, freedom, effective = _sums(
            families, seasons, weights, len(reference), self.window
        )
        if effective < self.minimum_blocks:
            return self._without(
                evidence,
                "learning",
                f"{len(reference)} reference blocks depend on each other and are worth"
                f" {effective:.0f}; {self.minimum_blocks} are needed",
            )
        weight = _log_weights(families, evidence, self.weights)
        greatest = (weight - log_tails(sums, freedom)).max(axis=1)
        observed = weight - log_tails(of_window, freedom)
        greatest[0] = observed.max()
        p_value = float(np.mean(greatest >= greatest[0] - ROUNDING))
        order = np.argsort(-observed, kind="stable")
        alone = (sums >= of_window - ROUNDING).mean(axis=0)
        shifts = tuple(
            _shift(families[place], len(reference), float(alone[place])) for place in order
        )
        return self._told(evidence, p_value, shifts)

    def _told(
        self, evidence: DriftEvidence, p_value: float, shifts: tuple[ColumnShift, ...]
    ) -> DriftResult:
        drifted = p_value <= self.alpha * (1 + ROUNDING)
        first = shifts[0]
        return DriftResult(
            test="BlockPermutation",
            outcome="drifted" if drifted else "quiet",
            reason=(
                f"The last {self.window} blocks against {len(evidence.reference)}: p = {p_value:.4g},"
                f" {'at or below' if drifted else 'above'} {self.alpha:.4g}; most in"
                f" {first.column} ({first.family}, {first.effect:.3g} {UNITS[first.family]})."
            ),
            window_blocks=self.window,
            reference_blocks=len(evidence.reference),
            p_value=p_value,
            alpha=self.alpha,
            per_column=shifts,
        )

    def _without(
        self, evidence: DriftEvidence, outcome: Literal["learning", "not_tested"], why: str
    ) -> DriftResult:
        return DriftResult(
            test="BlockPermutation",
            outcome=outcome,
            reason=f"Not tested: {why}.",
            window_blocks=min(self.window, len(evidence.current)),
            reference_blocks=len(evidence.reference),
            alpha=self.alpha,
        )


def _sums(
    families: "Sequence[Family]",
    seasons: tuple[int, ...] | None,
    weights: "Floats",
    reference: int,
    window: int,
) -> "tuple[Floats, Floats, Floats, float]":
    """Return (arrangements, families) sums of squares with mean 1, the observed one and freedom.

    The observed one is what is left of it when dependent blocks are allowed for; the last number is
    what the reference is worth then, in blocks.
    """
    import numpy as np

    values = np.hstack([family.values for family in families])
    scores = normal_scores(season_residuals(values, seasons))
    widths = [family.values.shape[1] for family in families]
    parts = components_of(scores, window=window, widths=widths)
    # What the mean difference of one component of variance 1 varies by over all arrangements.
    scale = 1 / (1 / window + 1 / reference)
    sums = np.add.reduceat((weights @ parts.scores) ** 2, parts.starts, axis=1) * scale
    sums = np.divide(sums, parts.trace, out=np.zeros_like(sums), where=parts.trace > 0)
    # What never varied shows no dependence; the window's part in a season's mean must not either.
    varied = np.logical_or.reduceat(_varies(values[:reference]), parts.starts)
    dependence = dependence_of(parts, reference=reference, window=window, varied=varied)
    return (
        sums,
        allowed_for(sums[0], parts.freedom, dependence, blocks=len(scores)),
        parts.freedom,
        dependence.effective,
    )


def _log_weights(
    families: "Sequence[Family]", evidence: DriftEvidence, of_family: Mapping[str, float]
) -> "Floats":
    """Return the logarithm of each family's share of the level."""
    import numpy as np

    columns = list(dict.fromkeys(family.column for family in families))
    total = sum(max(evidence.importance.get(name, 0.0), 0.0) for name in columns)
    of_column = {
        name: EVEN / len(columns)
        + (1 - EVEN) * (max(evidence.importance.get(name, 0.0), 0.0) / total if total else 0.0)
        for name in columns
    }
    if evidence.prediction in of_column:
        of_column[evidence.prediction] = max(of_column[evidence.prediction], PREDICTION_SHARE)
    shares = [of_column[each.column] * of_family[each.family] for each in families]
    logarithms: Floats = np.log(shares)
    return logarithms


def _shift(family: "Family", reference: int, p_value: float) -> ColumnShift:
    """Describe the window against the reference by an effect that does not depend on rows."""
    import numpy as np

    before, now = family.values[:reference], family.values[reference:]
    if family.family in {"bins", "mix"}:
        shares = [_mean(side**2) for side in (before, now)]
        effect = math.sqrt(float(((np.sqrt(shares[1]) - np.sqrt(shares[0])) ** 2).sum()) / 2)
        signed = float((np.arange(len(shares[0])) * (shares[1] - shares[0])).sum())
    elif family.family == "missing":
        effect = signed = float((_mean(now**2) - _mean(before**2))[0])
    elif family.family == "moments":
        effect = signed = float((_mean(now) - _mean(before))[0])
    else:
        moved = _mean(now) - _mean(before)
        effect = signed = float(moved[np.argmax(np.abs(moved))])
    ordered = family.family in {"bins", "missing", "moments"}
    direction: Literal["up", "down", "changed"] = "up" if signed > 0 else "down"
    return ColumnShift(
        column=family.column,
        family=family.family,
        effect=abs(effect),
        p_value=p_value,
        direction=direction if ordered and signed else "changed",
    )


def _varies(values: "Floats") -> "NDArray[np.bool]":
    """Tell of every statistic whether it is not the same in all blocks that know it."""
    import numpy as np

    away = np.nan_to_num(values - _mean(values))
    differs: NDArray[np.bool] = np.abs(away).max(axis=0, initial=0.0) > ROUNDING
    return differs


def _mean(values: "Floats") -> "Floats":
    """Return the mean over the blocks that know it; 0 where none does."""
    import numpy as np

    known = np.isfinite(values)
    number = np.maximum(known.sum(axis=0), 1)
    means: Floats = np.where(known, values, 0.0).sum(axis=0) / number
    return means
