"""The gate that asks whether a challenger knows what it cannot know."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pipelines.domain.evidence import Evidence
from pipelines.domain.metrics import one_sided_problem
from pipelines.domain.verdict import Verdict

MOST_NAMED = 3
"""Features named in one reason."""

FEWEST_SHUFFLES = 3
"""Shuffles below which their luck cannot be told (decision)."""


@dataclass(frozen=True, slots=True)
class NoLeakage:
    """Pass when three signs of leakage are absent (Kaufman, Rosset and Perlich, 2012).

    Held-out blocks described again from tables that hold nothing of later days come out the same
    but for how sums are rounded: no feature looks ahead (a metamorphic relation: Chen et al.,
    2018). No feature by itself has a held-out AUC of ``alone`` or more: it would be the label under
    another name. And the same model taught shuffled labels (Ojala and Garriga, 2010) is not better
    than the baseline at ``confidence``, over days and over shuffles: an honest one is in at most 1
    - confidence. A column that is known in time but means more in training than later is not found.
    Below 20 effective blocks, and where all held-out labels are of one kind, it is too few.

    >>> NoLeakage().problems()
    ()
    """

    _: KW_ONLY
    alone: float = 0.95
    confidence: float = 0.99
    needs: ClassVar[frozenset[str]] = frozenset({"leakage"})

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        found = (
            None
            if 0.5 < self.alone <= 1.0
            else f"alone {self.alone!r} is no AUC above 0.5 and at most 1",
            one_sided_problem(self.confidence),
        )
        return tuple(problem for problem in found if problem)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's signs of leakage."""
        found = evidence.examination.leakage if evidence.examination else None
        unsure = found is None or not found.shuffled.enough or len(found.shuffles) < FEWEST_SHUFFLES
        if found is None or unsure or not found.described or not found.alone:
            effective = 0.0 if found is None else found.shuffled.effective
            alike = (
                "" if found is None or found.alone else ", and all held-out labels are of one kind"
            )
            return Verdict(
                gate="NoLeakage",
                outcome="too_few",
                reason=(
                    "Not tested: it needs rows described again and 20 effective held-out blocks;"
                    f" there are {found.described if found else 0} and {effective:.0f}{alike}."
                ),
                figures={"effective": effective},
            )
        at_least = min(
            found.shuffled.at_least(self.confidence), _beyond_luck(found.shuffles, self.confidence)
        )
        strong = sorted(
            (name for name, value in found.alone.items() if value >= self.alone),
            key=lambda name: -found.alone[name],
        )
        signs = [
            f"{found.differing} of {found.described} rows come out otherwise without the tables'"
            " later rows"
            if found.differing
            else "",
            "by itself "
            + ", ".join(f"{n} ({found.alone[n]:.3g})" for n in strong[:MOST_NAMED])
            + f" ranks at least as well as {self.alone:g}"
            if strong
            else "",
            f"taught shuffled labels it still beats the baseline by at least {at_least:.3g}"
            f" {evidence.loss.unit}"
            if at_least > 0.0
            else "",
        ]
        told = "; ".join(sign for sign in signs if sign)
        highest = max(found.alone.values(), default=0.5)
        return Verdict(
            gate="NoLeakage",
            outcome="failed" if told else "passed",
            reason=f"It knows what it cannot know: {told}."
            if told
            else (
                f"{found.described} rows come out the same without later rows; no feature ranks"
                f" better than {highest:.3g} by itself; taught shuffled labels it has no skill."
            ),
            figures={
                "described": float(found.described),
                "differing": float(found.differing),
                "highest_alone": highest,
                "shuffled_at_least": at_least,
                "alone": self.alone,
                "confidence": self.confidence,
            },
        )


def _beyond_luck(shuffles: Sequence[float], confidence: float) -> float:
    """Return the one-sided lower bound of the mean over shuffles (Student, 1908)."""
    from scipy.special import stdtrit

    reach = float(stdtrit(len(shuffles) - 1, confidence))
    return statistics.mean(shuffles) - reach * statistics.stdev(shuffles) / math.sqrt(len(shuffles))
