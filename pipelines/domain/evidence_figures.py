"""Evidence figures: what predictions cost on held-out rows, by block and with intervals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.domain.evidence import BlockLoss
from pipelines.domain.expected_value import Ranked, captured
from pipelines.domain.metrics import (
    Interval,
    TooFewBlocks,
    auc_interval,
    block_means,
    mean_interval,
    row_losses,
)
from pipelines.domain.prediction_kinds import BINARY, Kind

if TYPE_CHECKING:
    import numpy.typing as npt


def build_blocks(
    label: "npt.ArrayLike",
    predictions: "Mapping[str, npt.ArrayLike]",
    blocks: "npt.ArrayLike",
    *,
    kind: Kind = BINARY,
    ranked: Ranked | None = None,
) -> tuple[BlockLoss, ...]:
    """Every loss of the kind on every block for every role, by block.

    Losses of rows are means; with ``ranked`` there is ``missed_value``, the share of the value of
    the best list that a role's list missed. The same rows in another order give the same values to
    the last bit, hence the same digest, but where rows of a list have equal expected values.

    >>> block, = build_blocks([1, 0], {"challenger": [0.5, 0.5]}, ["2013-03-01", "2013-03-01"])
    >>> block.rows, block.losses["challenger"]["brier"]
    (2, 0.25)
    """
    names: list[str] = []
    sizes: list[int] = []
    losses: list[dict[str, dict[str, float]]] = []
    for role, predicted in predictions.items():
        for metric in kind.losses:
            names, sizes, means = block_means(row_losses(metric, label, predicted), blocks)
            losses = losses or [{} for _ in names]
            for block, mean in zip(losses, means, strict=True):
                block.setdefault(role, {})[metric] = mean
        if ranked is not None:
            found = captured(label, predicted, _names(blocks), ranked)
            for name, block in zip(names, losses, strict=True):
                block[role]["missed_value"] = found[name].missed
    return tuple(
        BlockLoss(block=name, rows=rows, losses=loss)
        for name, rows, loss in zip(names, sizes, losses, strict=True)
    )


def build_metrics(
    label: "npt.ArrayLike",
    predictions: "Mapping[str, npt.ArrayLike]",
    blocks: "npt.ArrayLike",
    *,
    kind: Kind = BINARY,
    ranked: Ranked | None = None,
    confidence: float = 0.95,
) -> dict[str, dict[str, Interval | TooFewBlocks]]:
    """Every metric of every role with its two-sided interval over blocks."""
    found: dict[str, dict[str, Interval | TooFewBlocks]] = {}
    for role, predicted in predictions.items():
        mine = found.setdefault(role, {})
        for metric in kind.losses:
            losses = row_losses(metric, label, predicted)
            mine[metric] = mean_interval(losses, blocks, confidence=confidence)
        if kind.answer == "probability":
            mine["auc"] = auc_interval(label, predicted, blocks, confidence=confidence)
        if ranked is not None:
            mine |= _of_lists(label, predicted, blocks, ranked, confidence)
    return found


def _of_lists(
    label: "npt.ArrayLike",
    predicted: "npt.ArrayLike",
    blocks: "npt.ArrayLike",
    ranked: Ranked,
    confidence: float,
) -> dict[str, Interval | TooFewBlocks]:
    """Return the share that lists missed, blocks by their rows, and the share of all value captured.

    The second is a ratio over all blocks, in which one counts by what could be had in it.
    """
    found = captured(label, predicted, _names(blocks), ranked)
    worth = {name: block for name, block in found.items() if block.best > 0.0}
    return {
        "missed_value": mean_interval(
            [block.missed for block in found.values()],
            list(found),
            confidence=confidence,
            rows=[block.rows for block in found.values()],
        ),
        "captured_value": mean_interval(
            [block.captured / block.best for block in worth.values()],
            list(worth),
            confidence=confidence,
            rows=[block.best for block in worth.values()],
        ),
    }


def _names(blocks: "npt.ArrayLike") -> list[str]:
    import numpy as np

    return [str(block) for block in np.asarray(blocks)]
