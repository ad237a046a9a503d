"""Realised loss: the mean loss of a model's newest labelled blocks, with an interval over blocks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import REALISED, Judged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 28
"""Newest labelled blocks that are looked at: the fewest whole weeks, in which each weekday counts
alike, that hold the MINIMUM_BLOCKS of an interval (decision)."""

CONFIDENCE = 0.9
"""Of the interval; as of the estimates of blocks without labels."""

ONE_SIDED = (1 + CONFIDENCE) / 2
"""Of each of its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """A mean over blocks; ``low`` and ``high`` are None below MINIMUM_BLOCKS of them."""

    blocks: int
    estimate: float | None
    low: float | None = None
    high: float | None = None


def realised_loss(current: BlockLosses, reference: ModelReference) -> Judged | None:
    """Return what the newest WINDOW blocks with enough final labels cost, beside the held-out ones.

    Blocks ascend in ``current``; None when none has enough labels. Every row counts alike, and the
    bounds are those of ``block_estimate``, as of the gates: blocks are the unit, and where they
    resemble their neighbours the bounds are farther apart. Simulated for 28 blocks that have up to 0.6
    of the one before, they miss the mean in 7 to 10 %, at 0.8 in 13. The answer is about the newest
    labelled block and is no test: "measured", or "not_tested" while there are fewer than
    MINIMUM_BLOCKS. Its ``figures``, in the unit of the loss: mean, low, high; held_out, held_out_low,
    held_out_high; each where it is known.
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
            outcome="not_tested" if now.low is None else "measured",
            reason=f"The mean {reference.loss_words} of the last {_told(now, 'labelled')}; that of "
            f"{_told(before, 'held-out')}.",
            window_blocks=now.blocks,
            reference_blocks=before.blocks,
            figures=_figures(now, "mean", "low", "high")
            | _figures(before, "held_out", "held_out_low", "held_out_high"),
        ),
        alarm=None,
    )


def _mean(losses: BlockLosses, chosen: "NDArray[np.intp]") -> _Mean:
    number, loss = len(chosen), losses.loss[chosen]
    found = mean_estimate(loss, losses.rows[chosen])
    if found is None:
        return _Mean(blocks=number, estimate=float(loss[0]) if number else None)
    if number < MINIMUM_BLOCKS:
        return _Mean(blocks=number, estimate=found.estimate)
    low, high = found.at_least(ONE_SIDED), found.at_most(ONE_SIDED)
    return _Mean(blocks=number, estimate=found.estimate, low=low, high=high)


def _figures(mean: _Mean, *names: str) -> dict[str, float]:
    values = zip(names, (mean.estimate, mean.low, mean.high), strict=True)
    return {name: value for name, value in values if value is not None}


def _told(mean: _Mean, kind: str) -> str:
    blocks = f"{kind} block" if mean.blocks == 1 else f"{mean.blocks} {kind} blocks"
    if mean.estimate is None:
        return f"{blocks} is not known"
    told = f"{blocks} is {mean.estimate:.4g}"
    if mean.low is None:
        return f"{told}, too few for an interval ({MINIMUM_BLOCKS} are needed)"
    return f"{told} ({mean.low:.4g} to {mean.high:.4g} at {100 * CONFIDENCE:g} %)"
