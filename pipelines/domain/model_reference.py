"""Model reference: what a model's later blocks are held against, made once from its own past."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.domain.drift.column_edges import CategoryEdges, NumericEdges, ReferenceEdges
from pipelines.domain.drift.estimates import Calibration
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.drift.severity import LOSS_FLOOR
from pipelines.domain.metrics import METRICS, row_losses

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LOSS = "log_loss"
"""Metric by which harm, segments and estimates of probabilities are judged; see ``Kind.loss``."""

IMPORTANCE_ROWS = 5_000
"""Held-out rows, taken evenly, that importances are measured on."""

RANKED = 24
"""Most important features whose rank correlations are kept: enough to see a broken join of any that
matters and of many that do not, in 25 x 25 sums per block."""


SHARE_FLOOR = 0.02
"""The floor of a number's loss, as a share of its held-out mean: LOSS_FLOOR beside half a nat."""

COUNTED_UP_TO = 4.0
"""Held-out means that the loss of one block counts for at most, where no coin says what is bad: a
number's error has no greatest value, and the bets of ``Harm`` need one (decision)."""

SMALLEST = 1e-9
"""Where a model was never wrong on held-out rows."""

RANGE_MARGIN = 0.5
"""How far beyond the training rows a number may be, as a share of their range, before it is told as
outside: a new record is no break. In two months of flights a day of a few more departures than any
before was one (decision)."""


class Predicts(Protocol):
    """What a model says of rows."""

    def answers(self, rows: "pa.Table") -> "np.ndarray":
        """Return the probability of the positive class, or the number, one per row."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the digest is kept in the instance
class ModelReference:
    """What is fixed about a model when it is promoted.

    ``edges`` are those of its training rows, its predictions (column ``prediction``) among them.
    ``importance`` is each feature's share in [0, 1]. ``training_window`` are the first and the last
    block that it learned from. ``losses`` are those of the held-out blocks, and ``calibration`` what
    its scores meant there (None when their labels are all the same, or numbers). ``loss`` is the
    metric of these losses and ``unit`` theirs.
    """

    model_version: str
    prediction: str
    edges: ReferenceEdges
    importance: Mapping[str, float]
    training_window: tuple[str, str]
    losses: BlockLosses
    calibration: Calibration | None
    loss: str = LOSS
    unit: str = "nats"

    @property
    def loss_words(self) -> str:
        """How the loss is called in a sentence; a number's with its unit."""
        words = METRICS[self.loss].words
        return words if self.loss == LOSS else f"{words} in {self.unit}"

    @property
    def loss_floor(self) -> float:
        """The rise of the mean loss below which it has no consequence, in the loss's unit."""
        return LOSS_FLOOR if self.loss == LOSS else SHARE_FLOOR * self._usual

    @property
    def most_loss(self) -> float | None:
        """Up to which the mean loss of a block counts for harm; None: as the metric itself says."""
        return None if self.loss == LOSS else max(COUNTED_UP_TO * self._usual, SMALLEST)

    @property
    def _usual(self) -> float:
        import numpy as np

        known = self.losses.loss[np.isfinite(self.losses.loss)]
        return float(known.mean()) if len(known) else 0.0

    @cached_property
    def digest(self) -> str:
        """Identity of the edges: profiles of one digest may be compared and added."""
        return hashlib.sha256(json.dumps(_edges(self.edges)).encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """Canonical JSON; ``from_json`` gives an equal reference back."""
        plain = {
            "model_version": self.model_version,
            "prediction": self.prediction,
            "edges": _edges(self.edges),
            "importance": dict(self.importance),
            "training_window": list(self.training_window),
            "losses": {
                "blocks": list(self.losses.blocks),
                "segments": [list(pair) for pair in self.losses.segments],
                **{name: getattr(self.losses, name).tolist() for name in LOSS_ARRAYS},
            },
            "calibration": None
            if self.calibration is None
            else [self.calibration.scores.tolist(), self.calibration.shares.tolist()],
            **({} if self.loss == LOSS else {"loss": self.loss, "unit": self.unit}),
        }
        return json.dumps(plain, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelReference":
        """Read what ``to_json`` wrote; KeyError or TypeError when it is something else."""
        import numpy as np

        plain = json.loads(text)
        losses, calibration = plain["losses"], plain["calibration"]
        segments = tuple((column, level) for column, level in losses["segments"])
        arrays: dict[str, Any] = {
            name: np.asarray(losses[name], np.int64 if name == "rows" else np.float64)
            for name in LOSS_ARRAYS
        }
        arrays["contrast"] = arrays["contrast"].reshape(len(losses["blocks"]), len(segments))
        first, last = plain["training_window"]
        return cls(
            model_version=plain["model_version"],
            prediction=plain["prediction"],
            edges=_read_edges(plain["edges"]),
            importance=plain["importance"],
            training_window=(first, last),
            losses=BlockLosses(blocks=tuple(losses["blocks"]), segments=segments, **arrays),
            calibration=None
            if calibration is None
            else Calibration(scores=np.asarray(calibration[0]), shares=np.asarray(calibration[1])),
            loss=plain.get("loss", LOSS),
            unit=plain.get("unit", "nats"),
        )


LOSS_ARRAYS = ("rows", "loss", "residual", "contrast")


def importances(
    model: Predicts,
    rows: "pa.Table",
    label: "np.ndarray",
    *,
    columns: list[str],
    seed: int,
    loss: str = LOSS,
) -> dict[str, float]:
    """Return each feature's share of the ``loss`` that the model gains when features are shuffled.

    Permutation importance (Breiman, 2001; Fisher, Rudin and Dominici, 2019), on at most
    IMPORTANCE_ROWS rows; one that loses nothing when it is shuffled has 0. All are 0 where
    no feature matters.
    """
    import numpy as np
    import pyarrow as pa

    step = max(1, -(-rows.num_rows // IMPORTANCE_ROWS))
    taken = rows.take(pa.array(range(0, rows.num_rows, step), pa.int64())).combine_chunks()
    known = label[::step]
    usual = float(row_losses(loss, known, model.answers(taken)).mean())
    generator = np.random.default_rng(seed)
    gained = {}
    for name in columns:
        shuffled = taken[name].take(pa.array(generator.permutation(taken.num_rows)))
        place = taken.column_names.index(name)
        other = taken.set_column(place, taken.schema.field(name), shuffled)
        worse = float(row_losses(loss, known, model.answers(other)).mean())
        gained[name] = max(0.0, worse - usual)
    whole = sum(gained.values())
    return {name: value / whole if whole else 0.0 for name, value in gained.items()}


def with_margin(edges: ReferenceEdges) -> ReferenceEdges:
    """Return edges whose numbers are outside only when they are RANGE_MARGIN beyond the range.

    >>> from pipelines.domain.drift.column_edges import edges_of
    >>> import pyarrow as pa
    >>> edges = with_margin(edges_of(pa.table({"miles": [10.0, 30.0]}), columns=["miles"]))
    >>> edges.of("miles").minimum, edges.of("miles").maximum
    (0.0, 40.0)
    """
    return dataclasses.replace(
        edges,
        columns=tuple(
            dataclasses.replace(
                column,
                minimum=column.minimum - RANGE_MARGIN * (column.maximum - column.minimum),
                maximum=column.maximum + RANGE_MARGIN * (column.maximum - column.minimum),
            )
            if isinstance(column, NumericEdges)
            else column
            for column in edges.columns
        ),
    )


def _edges(edges: ReferenceEdges) -> dict[str, Any]:
    return {
        "columns": [
            {"kind": type(column).__name__, **dataclasses.asdict(column)}
            for column in edges.columns
        ],
        "ranked": list(edges.ranked),
        "segments": list(edges.segments),
    }


def _read_edges(plain: Mapping[str, Any]) -> ReferenceEdges:
    kinds = {"NumericEdges": NumericEdges, "CategoryEdges": CategoryEdges}
    columns = []
    for column in plain["columns"]:
        fields = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in column.items()
            if name != "kind"
        }
        columns.append(kinds[column["kind"]](**fields))
    return ReferenceEdges(tuple(columns), tuple(plain["ranked"]), tuple(plain["segments"]))
