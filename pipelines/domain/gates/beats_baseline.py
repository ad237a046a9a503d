"""The gate that asks whether a challenger is worth more than a trivial model."""

import math
from dataclasses import KW_ONLY, dataclass

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.evidence import Evidence
from pipelines.domain.metrics import MINIMUM_BLOCKS, loss_problem, one_sided_problem
from pipelines.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class BeatsBaseline:
    """Pass when the challenger's loss is below the baseline's by more than ``margin``.

    The one-sided lower bound at ``confidence`` of the mean improvement, paired on blocks (Diebold
    and Mariano, 1995), must exceed ``margin``, in the metric's unit: a skill score against a
    reference forecast (Murphy, 1988), with its uncertainty. Bound, error rates and what counts as
    20 effective blocks are those of ``BeatsChampion``; fewer are too few.

    >>> BeatsBaseline("log_loss", margin=0.01).problems()
    ()
    """

    metric: str
    _: KW_ONLY
    margin: float
    confidence: float = 0.95

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        sensible = math.isfinite(self.margin) and self.margin >= 0.0
        found = (
            loss_problem(self.metric),
            None if sensible else f"margin {self.margin!r} is not a finite number of at least 0",
            one_sided_problem(self.confidence),
        )
        return tuple(problem for problem in found if problem)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the blocks alone."""
        paired = evidence.paired(self.metric, over="baseline")
        found = mean_estimate(paired.improvements, paired.rows)
        if paired.unpaired or found is None or not found.enough:
            effective = 0.0 if found is None else found.effective
            return Verdict(
                gate="BeatsBaseline",
                outcome="too_few",
                reason=(
                    f"Not tested: {len(paired.blocks)} of {len(evidence.blocks)} held-out blocks"
                    f" have the {self.metric} of challenger and baseline, worth {effective:.0f}"
                    f" independent ones; all must, and be worth at least {MINIMUM_BLOCKS}."
                ),
                figures={
                    "blocks": float(len(paired.blocks)),
                    "effective": effective,
                    "unpaired": float(paired.unpaired),
                    "needed": float(MINIMUM_BLOCKS),
                },
            )
        at_least = found.at_least(self.confidence)
        passed = at_least > self.margin
        return Verdict(
            gate="BeatsBaseline",
            outcome="passed" if passed else "failed",
            reason=(
                f"Against the baseline the challenger improves {self.metric} by"
                f" {found.estimate:.3g} {evidence.metric(self.metric).unit} over {found.blocks} blocks; at"
                f" {self.confidence:.4g} confidence by at least {at_least:.3g}, which is"
                f" {'above' if passed else 'not above'} the margin {self.margin:.4g}."
            ),
            figures={
                "improvement": found.estimate,
                "at_least": at_least,
                "margin": self.margin,
                "confidence": self.confidence,
                "blocks": float(found.blocks),
                "effective": found.effective,
                "autocorrelation": found.autocorrelation,
            },
        )
