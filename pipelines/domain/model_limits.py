"""Model limits: what an evidence leaves untested or shows to be weak, each as a fact with its figure."""

from collections.abc import Iterator

from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_report import GATE_OF, Bounded, absent, improvements_of
from pipelines.domain.examination import Reliability, SegmentDifference
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.prediction_kinds import KINDS

MOST_LEVELS = 8
"""Levels of a segment that are named; the others are counted."""


def limits(evidence: Evidence) -> tuple[str, ...]:
    """Return every limit that follows from the evidence, as a sentence; empty when none does."""
    return tuple(_limits(evidence))


def _limits(evidence: Evidence) -> Iterator[str]:
    first, last = evidence.held_out_window
    yield (
        f"Judged on {len(evidence.blocks):,} blocks from {first} to {last}: nothing here is about "
        "other days."
    )
    for one in evidence.verdicts:
        if one.outcome in {"failed", "too_few"}:
            said = "failed" if one.outcome == "failed" else "could not be tested"
            yield f"Gate {one.gate} {said}: {one.reason}"
    if evidence.champion is None:
        yield "There was no champion to compare it with."
    for improvement in improvements_of(evidence):
        figure, name = improvement.figure, improvement.metric.name
        if figure.low is None or figure.high is None:
            yield (
                f"Too few blocks to bound its {name} against the {improvement.rival}: worth "
                f"{figure.blocks}, {MINIMUM_BLOCKS} are needed."
            )
        elif figure.side <= 0:
            word = "is worse than" if figure.side else "is not told apart from"
            yield (
                f"Its {name} {word} the {improvement.rival}'s: the improvement is "
                f"{figure.low:.3g} to {figure.high:.3g}."
            )
    seen = evidence.examination
    if seen is None:
        yield absent(evidence, "examination")
        return
    for column, levels in seen.segments.items():
        yield from _segment(column, levels, seen.rival, evidence)
    if KINDS[evidence.kind].answer == "probability":
        yield from _reliability(evidence, seen.reliability)
    for part in ("segments", *GATE_OF):
        if said := absent(evidence, part):
            yield f"{part.capitalize()}: {said[0].lower()}{said[1:]}"


def _segment(
    column: str, levels: tuple[SegmentDifference, ...], rival: str, evidence: Evidence
) -> Iterator[str]:
    small = [one for one in levels if one.worsening is None or not one.worsening.enough]
    if small:
        named = ", ".join(one.level for one in small[:MOST_LEVELS])
        more = f" and {len(small) - MOST_LEVELS:,} more" if len(small) > MOST_LEVELS else ""
        share = sum(one.rows for one in small) / evidence.rows if evidence.rows else 0.0
        yield (
            f"Too few blocks to judge {len(small):,} of {len(levels):,} levels of {column}, with "
            f"{share:.1%} of the rows: {named}{more}."
        )
    for one in levels:
        found = Bounded.of(one.worsening)
        if found.side > 0:
            yield (
                f"Where {column} is {one.level} its {evidence.loss.words} is {found.low:.3g} to "
                f"{found.high:.3g} {evidence.loss.unit} above the {rival}'s."
            )


def _reliability(evidence: Evidence, found: Reliability | None) -> Iterator[str]:
    if found is None:
        yield f"Calibration was not measured. {absent(evidence, 'reliability')}"
    else:
        yield from _calibration(found)


def _calibration(found: Reliability) -> Iterator[str]:
    large, slope = Bounded.of(found.in_the_large), Bounded.of(found.slope)
    if large.low is None or slope.low is None or slope.high is None:
        yield f"Calibration has no bounds: {found.error.blocks} blocks are too few."
        return
    if large.side:
        word = "above" if large.side > 0 else "below"
        yield (
            f"On average its probabilities lie {word} what happens, by {large.low:.3g} to "
            f"{large.high:.3g}."
        )
    if slope.high < 1 or slope.low > 1:
        word = "too far from" if slope.high < 1 else "too near to"
        yield (
            f"Its odds are {word} even: the calibration slope is {slope.low:.3g} to "
            f"{slope.high:.3g}, 1 where they come true."
        )
