"""Performance: how predictions did on final labels, block by block, with the coverage shown."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

VOLUME_BLOCKS = 7
"""Blocks whose median volume the newest is held against: one week of days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPerformance:
    """One block: predictions by label state, and the metrics of those with a final label.

    ``outcome`` is "measured" or "too_few"; then the metrics are None. ``auc`` is None also when
    the block has one class only.
    """

    block: str
    outcome: Literal["measured", "too_few"]
    predictions: int
    final: int
    unlabelled: int
    pending: int
    positives: int
    log_loss: float | None
    auc: float | None
    model_versions: str

    def as_row(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def measure(
    predictions: "pa.Table | None",
    states: "pa.Table",
    *,
    key: tuple[str, ...],
    blocks: Sequence[str],
    minimum_labels: int,
) -> list[BlockPerformance]:
    """Return one BlockPerformance per block, sorted; ``blocks`` names each prediction's block.

    A prediction whose entity has no label state is pending. Blocks with fewer final labels than
    ``minimum_labels`` are "too_few".
    """
    import numpy as np
    import pyarrow as pa

    if predictions is None:
        return []
    chosen = predictions.select([*key, "prediction", "model_version"])
    chosen = chosen.append_column("block", pa.array(blocks, pa.string()))
    joined = chosen.join(states.select([*key, "state", "value"]), list(key), join_type="left outer")
    # A join has no order of its own, and a sum's last bits depend on it.
    joined = joined.sort_by([(name, "ascending") for name in ("block", *key)])
    block = np.asarray(joined["block"].to_pylist())
    state = np.asarray([s or "pending" for s in joined["state"].to_pylist()])
    label = np.asarray([bool(value) for value in joined["value"].to_pylist()])
    probability = joined["prediction"].to_numpy()
    version = np.asarray(joined["model_version"].to_pylist())
    return [
        _block(
            str(name),
            state=state[block == name],
            label=label[block == name],
            probability=probability[block == name],
            version=version[block == name],
            minimum_labels=minimum_labels,
        )
        for name in sorted(set(blocks))
    ]


def _block(
    name: str,
    *,
    state: Any,  # noqa: ANN401 - arrays of one block
    label: Any,  # noqa: ANN401
    probability: Any,  # noqa: ANN401
    version: Any,  # noqa: ANN401
    minimum_labels: int,
) -> BlockPerformance:
    from pipelines.domain.metrics import auc, row_losses

    final = state == "final"
    count = int(final.sum())
    measured = count >= minimum_labels
    both = measured and 0 < label[final].sum() < count
    return BlockPerformance(
        block=name,
        outcome="measured" if measured else "too_few",
        predictions=len(state),
        final=count,
        unlabelled=int((state == "unlabelled").sum()),
        pending=int((state == "pending").sum()),
        positives=int(label[final].sum()),
        log_loss=(
            float(row_losses("log_loss", label[final], probability[final]).mean())
            if measured
            else None
        ),
        auc=float(auc(label[final], probability[final])) if both else None,
        model_versions=",".join(sorted(set(version.tolist()))),
    )


def volume_drop(volumes: Sequence[int], share: float) -> str | None:
    """Say how far the newest volume fell, when by more than ``share`` of the week's median.

    None when it did not, and when fewer than VOLUME_BLOCKS earlier blocks say what is usual.

    >>> volume_drop([900] * 7 + [300], 0.5)
    '300 rows, against a median of 900 in the 7 blocks before'
    >>> volume_drop([900, 300], 0.5) is None
    True
    """
    if len(volumes) <= VOLUME_BLOCKS:
        return None
    usual = statistics.median(volumes[-VOLUME_BLOCKS - 1 : -1])
    if volumes[-1] >= (1 - share) * usual:
        return None
    return f"{volumes[-1]} rows, against a median of {usual:g} in the {VOLUME_BLOCKS} blocks before"
