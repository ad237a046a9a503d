"""Evidence page: a frozen evidence as one HTML file without a script or anything from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.adapters import page_templates
from pipelines.adapters.reports.evidence_charts import (
    BLOCKS,
    CURVE,
    SQUARE,
    STRIP,
    Axis,
    block_chart,
    calibration_chart,
    learning_chart,
)
from pipelines.adapters.reports.monitoring_page import percent
from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_report import Bounded, EvidenceReport, absent
from pipelines.domain.examination import Examination, SegmentDifference
from pipelines.domain.profile import shown
from pipelines.domain.verdict import Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_LEVELS = 20
"""Levels of a segment that are shown, the most frequent; the rest is counted."""

MOST_SEGMENTS = 8
MOST_FEATURES = 40
"""Segments, and features by importance, that are shown."""

LONGEST_NAME = 60
LONGEST_REASON = 1_000
"""Letters of a name and of a sentence that are shown: names come from data."""

OUTCOMES: Mapping[Outcome, str] = {
    "passed": "passed",
    "failed": "failed",
    "too_few": "not tested",
    "not_applicable": "not applicable",
}

CALLED: Mapping[str, str] = {
    "log_loss": "Log loss",
    "brier": "Brier score",
    "auc": "AUC",
    "missed_value": "Missed value",
    "captured_value": "Captured value",
    "absolute_error": "Absolute error",
    "squared_error": "Squared error",
}
"""Metrics as a reader knows them."""


def render(evidence: Evidence) -> str:
    """Return the page, derived from the evidence alone; every text in it is escaped.

    The same evidence gives the same bytes, which carry its digest.
    """
    report, seen = EvidenceReport.of(evidence), evidence.examination
    segments = _segments(seen)
    return (
        _environment()
        .get_template("evidence.html.j2")
        .render(
            report=report,
            evidence=evidence,
            frozen=evidence.digest,
            seen=seen,
            outcomes=OUTCOMES,
            called=CALLED,
            chart=block_chart(report.blocks, evidence.loss.unit),
            calibration=calibration_chart(
                seen.reliability.bins if seen and seen.reliability else ()
            ),
            curve=learning_chart(seen.learning_curve if seen else (), evidence.loss.unit),
            segments=segments,
            more_segments=max(0, len(seen.segments) - len(segments)) if seen else 0,
            importance=_importance(seen),
            more_features=max(0, len(seen.importance) - MOST_FEATURES) if seen else 0,
            most_levels=MOST_LEVELS,
            strip=STRIP,
            blocks_size=BLOCKS,
            square=SQUARE,
            curve_size=CURVE,
            why=lambda part: absent(evidence, part),
            axis=_axis,
            bounded=Bounded.of,
        )
    )


def number(value: float | None, *, signed: bool = False) -> str:
    """Return a figure with four decimals.

    >>> number(0.52), number(0.01, signed=True), number(None)
    ('0.5200', '+0.0100', '')
    """
    if value is None:
        return ""
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def interval(found: Bounded, *, signed: bool = False) -> str:
    """Return the bounds of a figure, or why it has none.

    >>> interval(Bounded(estimate=0.5, blocks=12))
    'no interval: 12 blocks'
    """
    if found.low is None or found.high is None:
        return f"no interval: {found.blocks} blocks" if found.blocks else "too few blocks"
    return f"{number(found.low, signed=signed)} to {number(found.high, signed=signed)}"


def name(text: str) -> str:
    """Return at most LONGEST_NAME letters of a name that data may have chosen."""
    return _cut(text, LONGEST_NAME)


def reason(text: str) -> str:
    """Return at most LONGEST_REASON letters of a sentence."""
    return _cut(text, LONGEST_REASON)


def names(found: Sequence[str]) -> str:
    """Return at most MOST_FEATURES names, and how many more there are.

    >>> names(("age", "wind")), names(())
    ('age, wind', 'none')
    """
    more = len(found) - MOST_FEATURES
    rest = [f"and {more:,} more"] if more > 0 else []
    return ", ".join([*map(name, found[:MOST_FEATURES]), *rest]) or "none"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _axis(figures: Iterable[Bounded], *, zero: bool = False) -> Axis:
    return Axis.over(figures, zero=zero)


def _segments(
    seen: Examination | None,
) -> list[tuple[str, int, list[tuple[SegmentDifference, Bounded]]]]:
    """Return each segment with the number of its levels, and those that are shown."""
    if seen is None:
        return []
    return [
        (column, len(levels), [(one, Bounded.of(one.worsening)) for one in levels[:MOST_LEVELS]])
        for column, levels in list(seen.segments.items())[:MOST_SEGMENTS]
    ]


def _importance(seen: Examination | None) -> list[tuple[str, float]]:
    ranked = sorted((seen.importance if seen else {}).items(), key=lambda one: (-one[1], one[0]))
    return ranked[:MOST_FEATURES]


def _environment() -> "Environment":
    environment = page_templates.environment()
    environment.filters |= {"shown": shown, "percent": percent, "name": name, "reason": reason}
    environment.filters |= {"names": names}
    environment.filters |= {"number": number, "interval": interval}
    return environment
