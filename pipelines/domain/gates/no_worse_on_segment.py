"""The gate that asks whether a challenger hurts one part of the rows."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from pipelines.domain.evidence import Evidence
from pipelines.domain.examination import SegmentDifference
from pipelines.domain.metrics import MINIMUM_BLOCKS, one_sided_problem
from pipelines.domain.verdict import Verdict

COVERED = 0.8
"""Share of rows that judged levels must hold; rare levels beyond it may stay untested (decision)."""

MOST_NAMED = 3
"""Levels named in one reason."""


@dataclass(frozen=True, slots=True)
class NoWorseOnSegment:
    """Pass when no level of ``segment`` is worse by ``tolerance`` than its rival.

    The tolerance is in nats of log loss, or, where the label is a number, in its unit of absolute
    error. The rival is the champion, or the baseline while there is none. A level fails the gate
    when it is worse by more than ``tolerance``, at ``confidence`` over all levels together (Holm,
    1979): of challengers that are worse on none, at most 1 - confidence fail. The gate passes when
    every level is shown to be worse by less, each at ``confidence``; since all must be, a
    challenger that is worse on one passes in at most 1 - confidence (Berger, 1982). In between it
    is too few, and so it is when levels of fewer than 20 blocks leave more than a fifth of the rows
    untested. In simulation (six levels, 42 days) none of 1,000 equal challengers failed, one worse
    by the tolerance on one level passed in 4 %, one by twice as much in none.

    >>> NoWorseOnSegment("origin", 0.03).problems()
    ()
    """

    segment: str
    tolerance: float
    _: KW_ONLY
    confidence: float = 0.95

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        sensible = math.isfinite(self.tolerance) and self.tolerance > 0.0
        found = (
            None if sensible else f"tolerance {self.tolerance!r} is not a finite number above 0",
            one_sided_problem(self.confidence),
        )
        return tuple(problem for problem in found if problem)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's segments."""
        seen = evidence.examination
        levels = seen.segments.get(self.segment, ()) if seen else ()
        judged = [level for level in levels if level.worsening and level.worsening.enough]
        covered = sum(level.rows for level in judged) / evidence.rows if evidence.rows else 0.0
        rare = [
            level
            for level in levels
            if not level.worsening or level.worsening.blocks < MINIMUM_BLOCKS
        ]
        untested = [level.level for level in rare]
        worse = _holm(judged, self.tolerance, 1.0 - self.confidence)
        bounds = {
            level.level: level.worsening.at_most(self.confidence)
            for level in judged
            if level.worsening
        }
        # A frequent level whose days depend on each other too much is not small: it stays open.
        undecided = [
            level.level
            for level in levels
            if level not in rare and bounds.get(level.level, self.tolerance) >= self.tolerance
        ]
        rival, unit = seen.rival if seen else "baseline", evidence.loss.unit
        figures = {
            "levels": float(len(levels)),
            "judged": float(len(judged)),
            "covered": covered,
            "tolerance": self.tolerance,
            "confidence": self.confidence,
            **({"worst_at_most": max(bounds.values())} if bounds else {}),
        }
        left = f" Too few blocks to tell: {_named(untested)}." if untested else ""
        if worse:
            estimates = {
                level.level: level.worsening.estimate for level in judged if level.worsening
            }
            return Verdict(
                gate="NoWorseOnSegment",
                outcome="failed",
                reason=(
                    f"Worse than the {rival} by more than {self.tolerance:.3g} {unit} where"
                    f" {self.segment} is {_named([f'{n} ({estimates[n]:.3g})' for n in worse])}, at"
                    f" {self.confidence:.4g} confidence over {len(judged)} levels.{left}"
                ),
                figures=figures,
            )
        if covered < COVERED or undecided:
            why = (
                f"it is neither shown nor excluded that the challenger is worse by"
                f" {self.tolerance:.3g} {unit} where {self.segment} is {_named(undecided)}."
                if undecided
                else f"levels of {self.segment} with {covered:.0%} of the rows have {MINIMUM_BLOCKS}"
                f" effective blocks, {COVERED:.0%} are needed."
            )
            return Verdict(
                gate="NoWorseOnSegment",
                outcome="too_few",
                reason=f"Not tested enough: {why}{left}",
                figures=figures,
            )
        return Verdict(
            gate="NoWorseOnSegment",
            outcome="passed",
            reason=(
                f"On each of {len(judged)} levels of {self.segment} the challenger is at most"
                f" {max(bounds.values()):.3g} {unit} worse than the {rival} at {self.confidence:.4g}"
                f" confidence, which is below {self.tolerance:.3g}.{left}"
            ),
            figures=figures,
        )


def _holm(judged: Sequence[SegmentDifference], tolerance: float, level: float) -> list[str]:
    """Return the levels that are worse by more than ``tolerance``, by Holm's step-down method."""
    ranked = sorted(
        (found.worsening.probability_above(tolerance), found.level)
        for found in judged
        if found.worsening
    )
    rejected = []
    for place, (probability, name) in enumerate(ranked):
        if probability > level / (len(ranked) - place):
            break
        rejected.append(name)
    return rejected


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
