"""Realised loss: the mean loss of a model's newest labelled blocks, with an interval over blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.metrics import MINIMUM_BLOCKS, Interval, TooFewBlocks, mean_interval
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import REALISED, Judged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mean: TypeAlias = Interval | TooFewBlocks

WINDOW = 28
"""Newest labelled blocks that are looked at: the fewest whole weeks, in which each weekday counts
alike, that hold the MINIMUM_BLOCKS of an interval (decision)."""

CONFIDENCE = 0.9
"""Of the interval; as of the estimates of blocks without labels."""


def realised_loss(current: BlockLosses, reference: ModelReference) -> Judged | None:
    """Return what the newest WINDOW blocks with enough final labels cost, beside the held-out ones.

    Blocks ascend in ``current``; None when none has enough labels. Every row counts alike, and the
    interval is that of ``metrics.mean_interval``: blocks are the unit. The answer is about the newest
    labelled block and is no test: "measured", or "not_tested" while there are fewer than
    MINIMUM_BLOCKS. Its ``figures``, in the unit of the loss: mean, low, high; held_out,
    held_out_low, held_out_high; each where it is known.
    """
    import numpy as np

    measured = np.flatnonzero(np.isfinite(current.loss))[-WINDOW:]
    if not len(measured):
        return None
    held_out = np.flatnonzero(np.isfinite(reference.losses.loss))
    now, before = _mean(current, measured), _mean(reference.losses, held_out)
    return Judged(
        name=REALISED,
        block=current.blocks[measured[-1]],
        result=DriftResult(
            test=REALISED,
            outcome="measured" if isinstance(now, Interval) else "not_tested",
            reason=f"The mean {reference.loss_words} of the last {_told(now, 'labelled')}; that of "
            f"{_told(before, 'held-out')}.",
            window_blocks=now.blocks,
            reference_blocks=before.blocks,
            figures=_figures(now, "mean", "low", "high")
            | _figures(before, "held_out", "held_out_low", "held_out_high"),
        ),
        alarm=None,
    )


def _mean(losses: BlockLosses, chosen: "NDArray[np.intp]") -> Mean:
    return mean_interval(
        losses.loss[chosen],
        [losses.blocks[row] for row in chosen],
        confidence=CONFIDENCE,
        rows=losses.rows[chosen],
    )


def _figures(mean: Mean, *names: str) -> dict[str, float]:
    values: Sequence[float | None] = (
        (mean.estimate, mean.low, mean.high) if isinstance(mean, Interval) else (mean.estimate,)
    )
    return {name: value for name, value in zip(names, values, strict=False) if value is not None}


def _told(mean: Mean, kind: str) -> str:
    blocks = f"{kind} block" if mean.blocks == 1 else f"{mean.blocks} {kind} blocks"
    if isinstance(mean, Interval):
        bounds = f"{mean.low:.4g} to {mean.high:.4g} at {100 * mean.confidence:g} %"
        return f"{blocks} is {mean.estimate:.4g} ({bounds})"
    if mean.estimate is None:
        return f"{blocks} is not known"
    return f"{blocks} is {mean.estimate:.4g}, too few for an interval ({MINIMUM_BLOCKS} are needed)"
