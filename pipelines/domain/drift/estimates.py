"""Estimates: how well predictions are likely to do before their labels are known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pipelines.errors import HeadframeError, NotEnoughData, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

CLIP = 1e-6
"""Calibrated probabilities stay this far from 0 and 1: a rate seen in a sample is never certain."""

FEWEST_ERRORS = 9
"""Errors that an interval of 90 % needs: the greatest of nine is the tenth place of ten."""

MINIMUM_WINDOWS = 14
"""Labelled windows with an estimate below which an interval would be a guess (decision)."""

NINETY = 0.9
"""Coverage of the intervals."""

UNLIKELY = 0.05
"""Probability of so many misses at the declared coverage below which estimates are not believed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What a score means: the share of positives by score, nondecreasing, from labelled rows."""

    scores: "Floats"
    shares: "Floats"

    def probability(self, score: "ArrayLike") -> "Floats":
        """Return the calibrated probability of every score, constant beyond the scores seen."""
        import numpy as np

        found = np.interp(np.asarray(score, np.float64), self.scores, self.shares)
        return np.clip(found, CLIP, 1 - CLIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassEstimates:
    """What to expect of predictions without labels; ``auc`` is None when all scores are equal."""

    auc: float | None
    brier: float
    log_loss: float
    positives: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """An estimate with its interval, and whether it may be believed, with the reason.

    ``valid`` False: intervals like it missed too often, or too few windows were there to tell.
    Estimates never page and never retrain.
    """

    estimate: float
    low: float
    high: float
    coverage: float
    valid: bool
    reason: str


def calibrated(label: "ArrayLike", score: "ArrayLike") -> Calibration:
    """Return the isotonic regression of labels on scores (Zadrozny and Elkan, 2002).

    Raises NotEnoughData without both classes.
    """
    import numpy as np
    from sklearn.isotonic import IsotonicRegression

    happened, scores = np.asarray(label, np.float64), np.asarray(score, np.float64)
    if not 0 < happened.sum() < len(happened):
        raise NotEnoughData(
            Problem(
                where="calibration of estimates",
                expected="labelled rows of both classes",
                found=f"{int(happened.sum())} positive of {len(happened)}",
                fix="Wait for more final labels.",
            )
        )
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, happened)
    return Calibration(scores=fitted.X_thresholds_, shares=fitted.y_thresholds_)


def estimate_classes(
    score: "ArrayLike", calibration: Calibration, *, threshold: float = 0.5
) -> ClassEstimates:
    """Return the expected metrics of scores in [0, 1] by confidence-based performance estimation.

    Each row is a positive with its calibrated probability p, so metrics become expectations
    (NannyML's CBPE; Białek, Kuberski, Perrakis and Bifet, 2024): of the squared error
    p (1 - s)^2 + (1 - p) s^2, of the AUC the share of expected (positive, negative) pairs ranked
    rightly, ties counted half. Right while p(label | score) stays what it was; blind to a change of
    concept. Raises HeadframeError for scores that are not probabilities, or for none.

    >>> import numpy as np
    >>> sure = Calibration(scores=np.array([0.0, 1.0]), shares=np.array([0.0, 1.0]))
    >>> estimates = estimate_classes([0.25, 0.75], sure)
    >>> round(estimates.brier, 4), round(estimates.auc, 4), estimates.accuracy
    (0.1875, 0.75, 0.75)
    """
    import numpy as np

    scores = np.asarray(score, np.float64)
    if not len(scores) or not np.all((scores >= 0) & (scores <= 1)):
        raise HeadframeError(
            Problem(
                where="estimated performance",
                expected="at least one score, all in [0, 1]",
                found=f"{len(scores)} scores, of which some are no probability",
                fix="Leave out what was refused at scoring.",
            )
        )
    shares = calibration.probability(scores)
    bounded = np.clip(scores, 2.0**-23, 1 - 2.0**-23)
    return ClassEstimates(
        auc=_expected_auc(shares, scores),
        brier=float(np.mean(shares * (1 - scores) ** 2 + (1 - shares) * scores**2)),
        log_loss=float(-np.mean(shares * np.log(bounded) + (1 - shares) * np.log1p(-bounded))),
        positives=float(shares.mean()),
        accuracy=float(np.where(scores > threshold, shares, 1 - shares).mean()),
    )


@dataclass(frozen=True, slots=True)
class DirectLoss:
    """A second model that predicts the absolute error of the first: direct loss estimation.

    NannyML's DLE; that a model's loss can be learned is shown by Yoo and Kweon (2019, "Learning loss
    for active learning"). Gradient-boosted trees are fitted on labelled rows of features and
    prediction. Right while errors come from the same places as before.
    """

    model: Any

    @classmethod
    def fit(
        cls, features: "ArrayLike", prediction: "ArrayLike", label: "ArrayLike", *, seed: int
    ) -> "DirectLoss":
        """Return the model of the error on labelled rows: numbers (rows, features), NaN allowed."""
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingRegressor

        predicted = np.asarray(prediction, np.float64)
        error = np.abs(np.asarray(label, np.float64) - predicted)
        model = HistGradientBoostingRegressor(
            max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
        return cls(model.fit(np.column_stack([features, predicted]), error))

    def estimate(self, features: "ArrayLike", prediction: "ArrayLike") -> float:
        """Return the mean absolute error to expect of these predictions, at least 0."""
        import numpy as np

        found = self.model.predict(np.column_stack([features, prediction]))
        return float(np.maximum(found, 0.0).mean())


def with_interval(
    estimate: float,
    *,
    estimated: "ArrayLike",
    realised: "ArrayLike",
    coverage: float = NINETY,
) -> Estimated:
    """Return an estimate with the interval that its earlier errors give, and its validity.

    ``estimated`` and ``realised`` are of the last windows that have final labels, oldest first.
    The interval is split conformal (Vovk, Gammerman and Shafer, 2005): symmetric, of the
    ceil((n + 1) coverage)-th smallest absolute error; for exchangeable windows it covers with at
    least that probability. It is checked where it can be: each window of the later half against the
    interval from the windows before it. When so many misses have a binomial probability below
    UNLIKELY, or the windows are fewer than MINIMUM_WINDOWS, the estimate is not valid.
    """
    import numpy as np
    from scipy.special import bdtrc

    errors = np.abs(np.asarray(realised, np.float64) - np.asarray(estimated, np.float64))
    reach = _reach(errors, coverage)
    low, high = estimate - reach, estimate + reach
    if len(errors) < MINIMUM_WINDOWS:
        return Estimated(
            estimate=estimate,
            low=low,
            high=high,
            coverage=coverage,
            valid=False,
            reason=f"{len(errors)} of {MINIMUM_WINDOWS} labelled windows are there to tell",
        )
    first = max(FEWEST_ERRORS, len(errors) // 2)
    missed = sum(errors[at] > _reach(errors[:at], coverage) for at in range(first, len(errors)))
    checked = len(errors) - first
    chance = float(bdtrc(missed - 1, checked, 1 - coverage)) if missed else 1.0
    return Estimated(
        estimate=estimate,
        low=low,
        high=high,
        coverage=coverage,
        valid=chance >= UNLIKELY,
        reason=f"of the last {checked} labelled windows {missed} were outside their interval",
    )


def worse_than(
    estimated: Estimated, *, usual: float, floor: float
) -> Literal["yes", "no", "unknown"]:
    """Tell whether an estimated loss says that things got worse by ``floor``; "unknown" if invalid."""
    if not estimated.valid:
        return "unknown"
    return "yes" if estimated.low > usual + floor else "no"


def _reach(errors: "Floats", coverage: float) -> float:
    """Return the conformal quantile of absolute errors; the largest when they are too few for it."""
    import numpy as np

    if not len(errors):
        return float("inf")
    place = int(np.ceil((len(errors) + 1) * coverage))
    return float(np.sort(errors)[min(place, len(errors)) - 1])


def _expected_auc(shares: "Floats", scores: "Floats") -> float | None:
    import numpy as np

    order = np.argsort(scores, kind="stable")
    p, s = shares[order], scores[order]
    ties = np.concatenate([[0], np.flatnonzero(np.diff(s)) + 1])
    positive, negative = np.add.reduceat(p, ties), np.add.reduceat(1 - p, ties)
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    if len(ties) < 2:
        return None
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))
