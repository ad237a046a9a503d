"""The drift test that asks whether predictions got worse: everywhere, or in one segment."""

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.domain.drift.block_arrangements import arrangements, season_residuals
from pipelines.domain.drift.block_scores import (
    ROUNDING,
    allowed_for,
    components_of,
    dependence_of,
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

    Floats: TypeAlias = NDArray[np.float64]

OVERALL = 0.5
"""Share of the level spent on all rows (loss, and calibration); the rest is split over segments."""


@dataclass(frozen=True, slots=True)
class SegmentContrast:
    """Find that the loss rose over the last ``window`` blocks with final labels, at level ``alpha``.

    Three questions share the level: did the mean loss rise; did label less probability move, up or
    down; and did the loss inside a segment rise against the loss of the same block's other rows? The
    contrast cancels what a bad day does to everybody, so that trouble of one segment is seen through
    the weather. Exact under exchangeable blocks like any permutation of whole blocks, with the
    greatest of all statistics compared with itself (Westfall and Young, 1993, "Resampling-based
    multiple testing"). Each is the window's mean normal score (van der Waerden, 1952), its tail
    probability divided by its share of the level. Where the reference's blocks clearly depend on
    each other the observed means are allowed for it, as BlockPermutation does; a reference that is
    worth fewer than ``minimum_blocks`` independent blocks is still learning.

    >>> SegmentContrast(window=7, alpha=0.002).problems()
    ()
    """

    _: KW_ONLY
    window: int = 7
    alpha: float = 0.002
    permutations: int = 1999
    seed: int = 11
    minimum_blocks: int = MINIMUM_BLOCKS

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the test can judge."""
        found = (
            (self.window >= 2, f"window {self.window!r} is not at least two blocks"),
            (0 < self.alpha < 1, f"alpha {self.alpha!r} is not strictly between 0 and 1"),
            (
                (self.permutations + 1) * self.alpha >= 1,
                f"{self.permutations} permutations cannot reach a p-value of {self.alpha!r}",
            ),
        )
        return tuple(problem for sound, problem in found if not sound)

    def judge(self, evidence: DriftEvidence) -> DriftResult:
        """Judge the newest ``window`` current blocks that have enough final labels."""
        import numpy as np

        losses = evidence.losses
        if losses is None:
            return self._without(0, 0, "not_tested", "no block has final labels")
        measured = np.isfinite(losses.loss)
        reference = [row for row in evidence.reference if measured[row]]
        window = [row for row in evidence.current if measured[row]][-self.window :]
        if len(window) < self.window:
            told = f"{len(window)} of {self.window} blocks of the window have final labels"
            return self._without(len(window), len(reference), "not_tested", told)
        if len(reference) < self.minimum_blocks:
            told = f"{len(reference)} of {self.minimum_blocks} reference blocks have final labels"
            return self._without(len(window), len(reference), "learning", told)
        rows = [*reference, *window]
        seasons = None if evidence.seasons is None else tuple(evidence.seasons[row] for row in rows)
        series = np.column_stack([losses.loss, losses.residual, losses.contrast])[rows]
        names = [
            ("", "loss"),
            ("", "calibration"),
            *(("=".join(of), "contrast") for of in losses.segments),
        ]
        weights = arrangements(
            len(reference), self.window, seasons, draws=self.permutations, seed=self.seed
        )
        scores = normal_scores(season_residuals(series, seasons))
        parts = components_of(scores, window=self.window, widths=[1] * len(names))
        shifts = weights @ parts.scores
        shifts /= np.sqrt(1 / self.window + 1 / len(reference))
        dependence = dependence_of(parts, reference=len(reference), window=self.window)
        if dependence.effective < self.minimum_blocks:
            told = (
                f"{len(reference)} labelled reference blocks depend on each other and are worth"
                f" {dependence.effective:.0f}; {self.minimum_blocks} are needed"
            )
            return self._without(len(window), len(reference), "learning", told)
        surprise = self._surprise(shifts, segments=len(losses.segments))
        of_window = np.sign(shifts[0]) * np.sqrt(
            allowed_for(shifts[0] ** 2, parts.freedom, dependence, blocks=len(rows))
        )
        observed = self._surprise(of_window[None], segments=len(losses.segments))[0]
        greatest = surprise.max(axis=1)
        greatest[0] = observed.max()
        p_value = float(np.mean(greatest >= greatest[0] - ROUNDING))
        order = np.argsort(-observed, kind="stable").tolist()
        alone = (surprise >= observed - ROUNDING).mean(axis=0)
        shifts_of = [
            _shift(names[place], series[:, place], len(reference), float(alone[place]))
            for place in order
        ]
        return self._told(tuple(shifts_of), p_value, len(reference))

    def _surprise(self, shifts: "Floats", *, segments: int) -> "Floats":
        """Return minus the logarithm of each tail probability over its share of the level."""
        import numpy as np
        from scipy.special import log_ndtr

        tails = log_ndtr(-shifts)
        # Calibration may fail both ways.
        tails[:, 1] = np.log(2.0) + log_ndtr(-np.abs(shifts[:, 1]))
        overall = OVERALL if segments else 1.0
        share = [overall / 2, overall / 2, *[(1 - overall) / max(segments, 1)] * segments]
        surprise: Floats = np.log(share) - tails
        return surprise

    def _told(self, shifts: tuple[ColumnShift, ...], p_value: float, reference: int) -> DriftResult:
        drifted = p_value <= self.alpha * (1 + ROUNDING)
        first = shifts[0]
        where = f"in segment {first.column}" if first.column else "over all rows"
        return DriftResult(
            test="SegmentContrast",
            outcome="drifted" if drifted else "quiet",
            reason=(
                f"The last {self.window} labelled blocks against {reference}: p = {p_value:.4g},"
                f" {'at or below' if drifted else 'above'} {self.alpha:.4g}; most in the"
                f" {first.family} {where}, {first.direction} by {first.effect:.3g}."
            ),
            window_blocks=self.window,
            reference_blocks=reference,
            p_value=p_value,
            alpha=self.alpha,
            per_column=shifts,
        )

    def _without(
        self, window: int, reference: int, outcome: Literal["learning", "not_tested"], why: str
    ) -> DriftResult:
        return DriftResult(
            test="SegmentContrast",
            outcome=outcome,
            reason=f"Not tested: {why}.",
            window_blocks=window,
            reference_blocks=reference,
            alpha=self.alpha,
        )


def _shift(name: tuple[str, str], series: "Floats", reference: int, p_value: float) -> ColumnShift:
    """Describe one series by how far its mean moved, in the unit of the loss."""
    import numpy as np

    sides = [side[np.isfinite(side)] for side in (series[:reference], series[reference:])]
    before, now = (float(side.mean()) if len(side) else 0.0 for side in sides)
    return ColumnShift(
        column=name[0],
        family=name[1],
        effect=abs(now - before),
        p_value=p_value,
        direction="up" if now >= before else "down",
    )
