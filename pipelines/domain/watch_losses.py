"""Watch of losses: the tests of a model's labelled blocks beside the held-out ones, with their alarms."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipelines.domain.block_length import BlockLength
from pipelines.domain.change_point import changed_since
from pipelines.domain.drift.drift_result import DriftEvidence, DriftResult
from pipelines.domain.drift.harm import Harm
from pipelines.domain.drift.losses import BlockLosses, joined
from pipelines.domain.drift.segment_contrast import SegmentContrast
from pipelines.domain.drift.severity import LARGEST_DELTA, AlarmBudget
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Judged
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.watch import WEEK, alarm_of, permutations_for

if TYPE_CHECKING:
    import numpy as np

HARM_BLOCKS: Mapping[BlockLength, int] = MappingProxyType({"day": 90, "week": 52})
"""Blocks after which the bound of harm begins anew: a quarter of days, a year of weeks. A quarter's 13
weeks could tell no harm at all: a rise by 0.3 nats above 20 held-out blocks takes 13 to 19 of them."""

LEAD = 90
"""Blocks before those that harm is about whose losses are looked at, too: by segments' reference, and by
the mean of the newest labelled ones."""


def losses_from(served: int, monitoring: Monitoring) -> int:
    """Return the first of the ``served`` blocks that ``judge_losses`` is to be given.

    >>> [losses_from(served, Monitoring()) for served in (90, 181, 271)]
    [0, 90, 180]
    >>> [losses_from(served, Monitoring(block="week")) for served in (104, 157)]
    [0, 52]
    """
    horizon = HARM_BLOCKS[monitoring.block]
    # Whole horizons, so that the bound begins where it began in earlier runs.
    return max(0, (served - 1) // horizon * horizon - math.ceil(LEAD / horizon) * horizon)


def judge_losses(
    current: BlockLosses,
    scored_for: Sequence[datetime],
    reference: ModelReference,
    monitoring: Monitoring,
) -> list[Judged]:
    """Judge the losses of the blocks that the champion scored, oldest first, beside the held-out ones.

    They begin at ``losses_from``; ``scored_for`` is each block's scoring time. Blocks without enough
    final labels are NaN and are waited for; the answer is that of the newest block that has them. No
    answer without one.
    """
    import numpy as np

    measured = np.flatnonzero(np.isfinite(current.loss))
    if not len(measured):
        return []
    newest = int(measured[-1])
    losses = joined(reference.losses, current)
    held_out = len(reference.losses.blocks)
    known = [held_out + int(row) for row in measured]
    every = [
        *(row for row in range(held_out) if np.isfinite(reference.losses.loss[row])),
        *known,
    ]
    alphas = AlarmBudget(
        alarms_per_quarter=monitoring.alarms_per_quarter,
        blocks_per_quarter=monitoring.blocks_per_quarter,
    ).alphas(reference_blocks=len(every))
    seasons = tuple(date.fromisoformat(block).weekday() for block in losses.blocks)
    contrast = SegmentContrast(
        window=WEEK,
        alpha=alphas.performance,
        permutations=max(1999, permutations_for(alphas.performance)),
        minimum_blocks=monitoring.minimum_reference_blocks,
    ).judge(
        DriftEvidence(
            reference=tuple(row for row in every if row not in known[-WEEK:]),
            current=tuple(known[-WEEK:]),
            losses=losses,
            seasons=seasons,
        )
    )
    horizon = HARM_BLOCKS[monitoring.block]
    quarters = horizon / monitoring.blocks_per_quarter
    first_of_horizon = (newest // horizon) * horizon
    of_horizon = tuple(row for row in known if row >= held_out + first_of_horizon)
    harm = Harm(
        reference.loss,
        most=reference.most_loss,
        tolerance=monitoring.tolerance,
        delta=min(alphas.delta * quarters, LARGEST_DELTA),
        horizon=horizon,
        minimum_blocks=monitoring.minimum_reference_blocks,
    ).judge(
        DriftEvidence(
            reference=tuple(row for row in every if row < held_out),
            current=of_horizon,
            losses=losses,
        )
    )
    found = []
    for name, result, series in (
        ("SegmentContrast", contrast, _series(contrast, losses)),
        ("Harm", harm, losses.loss),
    ):
        usual = [row for row in every if row < held_out]
        # Harm that is over says nothing of when the next began.
        window = known[-WEEK:] if name == "SegmentContrast" else known[-result.window_blocks :]
        since = None
        if result.outcome == "drifted":
            place = changed_since(series[usual][:, None], series[window][:, None])
            since = scored_for[window[place] - held_out]
        found.append(
            Judged(
                name=name,
                block=current.blocks[newest],
                result=result,
                alarm=alarm_of(result, reference),
                since=since,
            )
        )
    return found


def _series(result: DriftResult, losses: BlockLosses) -> "np.ndarray":
    """Return the series that the test names first."""
    first = result.per_column[0] if result.per_column else None
    if first is None or first.family == "loss":
        return losses.loss
    if first.family == "calibration":
        return losses.residual
    names = ["=".join(segment) for segment in losses.segments]
    found: np.ndarray = losses.contrast[:, names.index(first.column)]
    return found
