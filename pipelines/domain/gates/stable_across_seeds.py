"""The gate that asks whether a challenger is as good by luck of its seed."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pipelines.domain.evidence import Evidence
from pipelines.domain.metrics import one_sided_problem
from pipelines.domain.verdict import Verdict

FEWEST_SEEDS = 3
"""Models below which a spread says nothing (decision)."""


@dataclass(frozen=True, slots=True)
class StableAcrossSeeds:
    """Pass when the same training with other seeds has the same held-out log loss, within ``limit``.

    The upper bound at ``confidence`` of the standard deviation over seeds, in the loss's unit, must
    stay below ``limit``: s times the root of (n - 1) over the chi-square quantile, for normal
    losses (Cochran, 1934). Seeds alone change results more than many published improvements do
    (Bouthillier et al., 2021). A candidate whose spread is ``limit`` passes in 1 - confidence; with
    four models one of a fifth of it passes in 97 %. Models taught fewer rows than the challenger
    are compared with each other. Fewer than three are too few.

    >>> StableAcrossSeeds(0.01).problems()
    ()
    """

    limit: float
    _: KW_ONLY
    confidence: float = 0.95
    needs: ClassVar[frozenset[str]] = frozenset({"seeds"})

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        sensible = math.isfinite(self.limit) and self.limit > 0.0
        found = (
            None if sensible else f"limit {self.limit!r} is not a finite number above 0",
            one_sided_problem(self.confidence),
        )
        return tuple(problem for problem in found if problem)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's seeds."""
        from scipy.special import chdtri

        losses = [seed.loss for seed in evidence.examination.seeds] if evidence.examination else []
        if len(losses) < FEWEST_SEEDS:
            return Verdict(
                gate="StableAcrossSeeds",
                outcome="too_few",
                reason=f"Not tested: {len(losses)} seeds were tried, {FEWEST_SEEDS} are needed.",
                figures={"seeds": float(len(losses)), "needed": float(FEWEST_SEEDS)},
            )
        mean, degrees = math.fsum(losses) / len(losses), len(losses) - 1
        squares = math.fsum((loss - mean) ** 2 for loss in losses)
        # chdtri inverts the upper tail: confidence above leaves 1 - confidence below.
        at_most = math.sqrt(squares / float(chdtri(degrees, self.confidence)))
        passed = at_most < self.limit
        return Verdict(
            gate="StableAcrossSeeds",
            outcome="passed" if passed else "failed",
            reason=(
                f"Over {len(losses)} seeds the held-out {evidence.loss.words} varies by"
                f" {math.sqrt(squares / degrees):.3g} {evidence.loss.unit}, at {self.confidence:.4g} confidence by at"
                f" most {at_most:.3g}, which is {'below' if passed else 'not below'}"
                f" {self.limit:.4g}."
            ),
            figures={
                "spread": math.sqrt(squares / degrees),
                "at_most": at_most,
                "limit": self.limit,
                "seeds": float(len(losses)),
            },
        )
