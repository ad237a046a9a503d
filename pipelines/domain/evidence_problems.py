"""What contradicts itself in an evidence, field by field."""

import math
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.domain.prediction_kinds import KINDS
from pipelines.errors import Problem

if TYPE_CHECKING:
    from pipelines.domain.evidence import Evidence


def problems_of(evidence: "Evidence") -> list[Problem]:
    """Return every field that contradicts another; empty when it is sound."""
    names = [block.block for block in evidence.blocks]
    roles = {role for block in evidence.blocks for role in block.losses}
    losses = [
        loss
        for block in evidence.blocks
        for by_metric in block.losses.values()
        for loss in by_metric.values()
    ]
    checks: Iterable[tuple[bool, str, str, str]] = (
        (
            _is_utc(evidence.as_of),
            "as_of",
            "a time in UTC such as 2013-06-01T05:00:00+00:00",
            repr(evidence.as_of),
        ),
        (
            _in_order(evidence.training_window),
            "training_window",
            "first and last ISO date, in order",
            repr(evidence.training_window),
        ),
        (
            _in_order(evidence.held_out_window),
            "held_out_window",
            "first and last ISO date, in order",
            repr(evidence.held_out_window),
        ),
        (
            len(set(names)) == len(names),
            "blocks",
            "every block once",
            f"{len(names) - len(set(names))} repeated",
        ),
        (
            all(block.rows > 0 for block in evidence.blocks)
            and evidence.rows == sum(block.rows for block in evidence.blocks),
            "rows",
            "the sum of the blocks' rows, each above 0",
            f"{evidence.rows} against {sum(block.rows for block in evidence.blocks)}",
        ),
        (
            all(math.isfinite(loss) for loss in losses),
            "blocks",
            "finite losses",
            f"{sum(not math.isfinite(loss) for loss in losses)} that are not",
        ),
        (
            0 <= evidence.positives <= evidence.rows,
            "positives",
            f"a count from 0 to {evidence.rows}",
            str(evidence.positives),
        ),
        (
            evidence.kind in KINDS,
            "kind",
            f"one of {', '.join(KINDS)}",
            repr(evidence.kind),
        ),
        (
            # Otherwise a forgotten name would make BeatsChampion not applicable.
            evidence.champion is not None or "champion" not in roles,
            "champion",
            "the version of the champion whose losses are in the blocks",
            "None",
        ),
    )
    return [
        Problem(
            where=f"evidence of {evidence.use_case}, {field}",
            expected=expected,
            found=found,
            fix="Evaluate the challenger again.",
        )
        for holds, field, expected, found in checks
        if not holds
    ]


def _is_utc(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


def _in_order(window: tuple[str, str]) -> bool:
    try:
        first, last = (date.fromisoformat(day) for day in window)
    except ValueError:
        return False
    return first <= last
