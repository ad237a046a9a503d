"""Performance: how predictions did on final labels, block by block, with the coverage shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.domain.expected_value import VALUE, Ranked, RankedList, captured
from pipelines.domain.metrics import auc, row_losses
from pipelines.domain.prediction_kinds import BINARY, Kind

if TYPE_CHECKING:
    import pyarrow as pa

VOLUME_BLOCKS = 7
"""Blocks that the newest one's volume is held against: a week of days, with its quiet ones."""

MEASURE = 1
"""Raised when ``measure`` says something else of the same rows: blocks that were measured for good are
measured again then."""

OF_KIND: Mapping[str, tuple[str, ...]] = {
    "binary": (),
    "ranking": ("missed_value",),
    "regression": ("absolute_error", "squared_error"),
}
"""Metrics that blocks of one kind of prediction have beside those of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPerformance:
    """One block: predictions by label state, and the metrics of those with a final label.

    ``outcome`` is "measured" or "too_few"; then the metrics are None. ``auc`` is None also when
    the block has one class only. Metrics of another kind of prediction are None: errors, in the
    label's unit and its square, are those of numbers, for which ``positives`` is 0. ``missed_value``
    is the share in [0, 1] of the best list's value that a ranking's list missed.
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
    absolute_error: float | None = None
    squared_error: float | None = None
    missed_value: float | None = None

    @property
    def loss(self) -> float | None:
        """The loss that this kind of prediction is watched by."""
        return self.absolute_error if self.log_loss is None else self.log_loss

    def as_row(self, kind: Kind = BINARY) -> dict[str, Any]:
        """Return the fields that blocks of a kind have, by name."""
        others = {*OF_KIND["ranking"], *OF_KIND["regression"]} - {*OF_KIND[kind.name]}
        return {name: value for name, value in asdict(self).items() if name not in others}


def measure(
    predictions: "pa.Table",
    states: "pa.Table",
    *,
    key: tuple[str, ...],
    blocks: Sequence[str],
    minimum_labels: int,
    kind: Kind = BINARY,
    listed: RankedList | None = None,
) -> list[BlockPerformance]:
    """Return one BlockPerformance per block, sorted; ``blocks`` names each prediction's block.

    A prediction whose entity has no label state is pending. Blocks with fewer final labels than
    ``minimum_labels`` are "too_few". Of a ranking the list by final prediction times value is judged
    among the rows with a final label, where its groups are columns of the key.
    """
    import numpy as np
    import pyarrow as pa

    valued = kind.name == "ranking" and listed is not None and {*listed.per} <= {*key}
    more = [VALUE] if valued else []
    chosen = predictions.select([*key, "prediction", "model_version", *more])
    chosen = chosen.append_column("block", pa.array(blocks, pa.string()))
    labels = states.select([*key, "state", "value"]).rename_columns([*key, "state", "known"])
    joined = labels.join(chosen, list(key), join_type="right outer")  # the right side is laid out
    # A join has no order of its own, and a sum's last bits depend on it.
    joined = joined.sort_by([(name, "ascending") for name in ("block", *key)])
    block = np.asarray(joined["block"].to_pylist())
    state = np.asarray([s or "pending" for s in joined["state"].to_pylist()])
    known = joined["known"].to_pylist()
    is_number = kind.answer == "number"
    label = np.asarray([value or 0.0 if is_number else bool(value) for value in known])
    predicted = joined["prediction"].to_numpy()
    version = np.asarray(joined["model_version"].to_pylist())
    missed = {}
    if valued and listed is not None:
        final = joined.filter(pa.array(state == "final"))
        missed = _missed(final, listed, label[state == "final"], minimum_labels)
    names = sorted(set(blocks))
    # Sorted by block: each is a slice, which no other row has to be looked at for.
    begins, ends = (np.searchsorted(block, names, side=side) for side in ("left", "right"))
    return [
        _block(
            str(name),
            state=state[begin:end],
            label=label[begin:end],
            predicted=predicted[begin:end],
            version=version[begin:end],
            minimum_labels=minimum_labels,
            kind=kind,
            missed=missed.get(str(name)),
        )
        for name, begin, end in zip(names, begins, ends, strict=True)
    ]


def _block(
    name: str,
    *,
    state: Any,  # noqa: ANN401 - arrays of one block
    label: Any,  # noqa: ANN401
    predicted: Any,  # noqa: ANN401
    version: Any,  # noqa: ANN401
    minimum_labels: int,
    kind: Kind,
    missed: float | None,
) -> BlockPerformance:
    final = state == "final"
    count = int(final.sum())
    measured = count >= minimum_labels
    tells = kind.answer == "probability"
    both = measured and tells and 0 < label[final].sum() < count
    losses = {
        metric: float(row_losses(metric, label[final], predicted[final]).mean())
        for metric in (("log_loss",) if tells else kind.losses)
        if measured
    }
    return BlockPerformance(
        block=name,
        outcome="measured" if measured else "too_few",
        predictions=len(state),
        final=count,
        unlabelled=int((state == "unlabelled").sum()),
        pending=int((state == "pending").sum()),
        positives=int(label[final].sum()) if tells else 0,
        log_loss=losses.get("log_loss"),
        auc=float(auc(label[final], predicted[final])) if both else None,
        model_versions=",".join(sorted(set(version.tolist()))),
        absolute_error=losses.get("absolute_error"),
        squared_error=losses.get("squared_error"),
        missed_value=missed,
    )


def _missed(
    rows: "pa.Table",
    listed: RankedList,
    label: Any,  # noqa: ANN401 - an array
    minimum_labels: int,
) -> dict[str, float]:
    """Return what share of the best list's value each block's list missed, where labels are enough."""
    groups = [tuple(row.values()) for row in rows.select(list(listed.per)).to_pylist()]
    found = captured(
        label,
        rows["prediction"].to_numpy(),
        rows["block"].to_pylist(),
        Ranked(
            listed=listed,
            value=rows[VALUE].to_numpy(),
            group=groups if listed.per else [()] * rows.num_rows,
        ),
    )
    return {name: one.missed for name, one in found.items() if one.rows >= minimum_labels}


def volume_drop(volumes: Sequence[int], share: float) -> str | None:
    """Say how far the newest volume fell, when by more than ``share`` below the week's smallest.

    The smallest and not the median, or every quiet Sunday would be a drop. None when it did not, and
    when fewer than VOLUME_BLOCKS earlier blocks say what is usual.

    >>> volume_drop([900] * 7 + [300], 0.5)
    '300 rows, against 900 or more in the 7 blocks before'
    >>> volume_drop([900, 300], 0.5) is None
    True
    """
    if len(volumes) <= VOLUME_BLOCKS:
        return None
    least = min(volumes[-VOLUME_BLOCKS - 1 : -1])
    if volumes[-1] >= (1 - share) * least:
        return None
    return f"{volumes[-1]} rows, against {least} or more in the {VOLUME_BLOCKS} blocks before"
