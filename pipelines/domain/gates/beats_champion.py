"""The gate that asks whether a challenger is better than the champion in service."""

from dataclasses import KW_ONLY, dataclass

from pipelines.domain.evidence import Evidence
from pipelines.domain.metrics import (
    METRICS,
    MINIMUM_BLOCKS,
    TooFewBlocks,
    loss_problem,
    one_sided_problem,
    paired_interval,
    two_sided,
)
from pipelines.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class BeatsChampion:
    """Pass when the challenger's loss is below the champion's on the same held-out rows.

    The one-sided lower bound at ``confidence`` of the mean improvement, paired on blocks (Diebold
    and Mariano, 1995), must exceed 0. Of challengers no better than the champion about
    1 - confidence pass when blocks are independent; at 0.95 up to 11 % do when rare blocks are far
    worse than the rest. Without a champion it is not applicable; below 20 blocks it is too few.

    >>> BeatsChampion("log_loss").problems()
    ()
    """

    metric: str
    _: KW_ONLY
    confidence: float = 0.95

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        found = (loss_problem(self.metric), one_sided_problem(self.confidence))
        return tuple(problem for problem in found if problem)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the blocks alone; raises only for a confidence out of range."""
        if evidence.champion is None:
            return Verdict(
                gate="BeatsChampion",
                outcome="not_applicable",
                reason="There is no champion to beat yet.",
                figures={},
            )
        paired = evidence.paired(self.metric, over="champion")
        bound = paired_interval(
            paired.improvements,
            paired.blocks,
            rows=paired.rows,
            confidence=two_sided(self.confidence),
        )
        if paired.unpaired or isinstance(bound, TooFewBlocks):
            return Verdict(
                gate="BeatsChampion",
                outcome="too_few",
                reason=(
                    f"Not tested: {len(paired.blocks)} of {len(evidence.blocks)} held-out blocks"
                    f" have the {self.metric} of challenger and champion; all must, and at least"
                    f" {MINIMUM_BLOCKS}."
                ),
                figures={
                    "blocks": float(len(paired.blocks)),
                    "unpaired": float(paired.unpaired),
                    "needed": float(MINIMUM_BLOCKS),
                },
            )
        passed = bound.low > 0.0
        return Verdict(
            gate="BeatsChampion",
            outcome="passed" if passed else "failed",
            reason=(
                f"Against champion {evidence.champion} the challenger improves {self.metric} by"
                f" {bound.estimate:.3g} {METRICS[self.metric].unit} over {bound.blocks} blocks; at"
                f" {self.confidence:.4g} confidence by at least {bound.low:.3g}, which is"
                f" {'above' if passed else 'not above'} 0."
            ),
            figures={
                "improvement": bound.estimate,
                "at_least": bound.low,
                "confidence": self.confidence,
                "blocks": float(bound.blocks),
            },
        )
