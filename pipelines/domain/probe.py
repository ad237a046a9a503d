"""The probe set: rows that a model is registered with, to prove later that it still says the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.domain.fused_encoder import FusedModel, fuse
from pipelines.domain.prediction_kinds import Answer
from pipelines.domain.training import FeatureColumns, answers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PROBE_ROWS = 1_900
"""Rows taken evenly from training and held-out rows; the made-up ones come on top."""

USUAL_ROWS = 100_000
"""Rows that tell what is usual at most: of half as many the median is within 0.6 % of the ranks, 99 times in 100."""

UNSEEN = "\U0001f6eb never seen in training"
"""A category that no training row has."""

EXTREMES = (0.0, -1.0, 1e-300, 1e300, -1e300)
"""Numbers at the ends of what a finite feature may be."""

PREDICTION = "__prediction"
"""Column of the stored probe set: what the pipeline itself predicted at registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the pipeline said of the probe set, and the scorer that says the same bit by bit."""

    digest: str
    scorer: Literal["fused", "pipeline"]
    reason: str


def probe_rows(
    model: Any,  # noqa: ANN401 - any estimator
    rows: Sequence["pa.Table"],
    columns: FeatureColumns,
    answer: Answer = "probability",
) -> "pa.Table":
    """Return the probe set: feature columns of rows taken evenly, then rows made up to be odd.

    Odd rows that the model itself refuses, such as missing values, are left out. The same model and
    rows, in the same order, give the same probe set.
    """
    import pyarrow as pa

    step = max(1, -(-sum(table.num_rows for table in rows) // PROBE_ROWS))
    parts, before = [], 0
    for table in rows:  # each by itself: taken of both together, all of them would be copied
        places = range(-before % step, table.num_rows, step)
        parts.append(table.select(columns.all).take(pa.array(places, pa.int64())))
        before += table.num_rows
    taken = pa.concat_tables(parts)
    odd = _odd_rows(taken.schema, columns)
    return pa.concat_tables([taken, _accepted(model, odd, columns, answer)]).combine_chunks()


def prove(
    model: Any,  # noqa: ANN401 - any estimator
    probe: "pa.Table",
    columns: FeatureColumns,
    expected: "np.ndarray",
    answer: Answer = "probability",
) -> Proof:
    """Compare what the pipeline said of the probe set with its fused form, bit by bit."""
    digest = digest_of(expected)
    fused = fuse(model, columns, answer)
    if fused is None:
        return Proof(digest=digest, scorer="pipeline", reason="not a pipeline that is recognised")
    if digest_of(fused.answers(probe)) != digest:
        return Proof(digest=digest, scorer="pipeline", reason="the fused form predicts otherwise")
    return Proof(digest=digest, scorer="fused", reason="bitwise equal on the probe set")


def usual_values(rows: "pa.Table", columns: FeatureColumns) -> dict[str, float | str | None]:
    """Return the median of each numeric feature and the most frequent text of each categorical one.

    Of more than USUAL_ROWS rows so many are looked at, taken evenly. None where all are missing. A tie
    goes to the text that sorts first.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if (step := -(-rows.num_rows // USUAL_ROWS)) > 1:
        rows = rows.select(columns.all).take(pa.array(np.arange(0, rows.num_rows, step)))
    found: dict[str, float | str | None] = {}
    for name in columns.numeric:
        numbers = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)  # missing is NaN
        finite = np.isfinite(numbers)
        numbers = numbers if finite.all() else numbers[finite]
        found[name] = float(np.median(numbers)) if len(numbers) else None
    for name in columns.categorical:
        counted = pc.value_counts(rows[name].drop_null()).to_pylist()
        ranked = sorted((-int(item["counts"]), str(item["values"])) for item in counted)
        found[name] = ranked[0][1] if ranked else None
    return found


def digest_of(predictions: "np.ndarray") -> str:
    """Return the SHA-256 of the float64 bytes, little-endian."""
    return hashlib.sha256(predictions.astype("<f8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """Predicts one batch of feature rows: through the fused form where it is proven, or the pipeline."""

    model: Any
    columns: FeatureColumns
    fused: FusedModel | None
    answer: Answer = "probability"

    @property
    def kind(self) -> str:
        """Return "fused" or "pipeline"."""
        return "pipeline" if self.fused is None else "fused"

    @property
    def dictionaries(self) -> tuple[str, ...]:
        """Return the features that are best read as dictionary codes."""
        return () if self.fused is None else self.columns.categorical

    def answers(self, rows: "pa.Table") -> "np.ndarray":
        """Return the probability of the positive class, or the number, one per row."""
        if self.fused is not None:
            return self.fused.answers(rows)
        return answers(self.model, rows, self.columns, self.answer)


def _accepted(model: Any, odd: "pa.Table", columns: FeatureColumns, answer: Answer) -> "pa.Table":  # noqa: ANN401 - any estimator
    """Return the rows that a model has an answer for; scikit-learn refuses one with a ValueError."""
    import numpy as np
    import pyarrow as pa

    try:
        with np.errstate(all="ignore"):
            return odd.filter(np.isfinite(answers(model, odd, columns, answer)))
    except ValueError:
        if odd.num_rows < 2:
            return odd.slice(0, 0)
    # Which of them it refuses is seen one by one.
    each = (odd.slice(number, 1) for number in range(odd.num_rows))
    return pa.concat_tables([_accepted(model, row, columns, answer) for row in each])


def _odd_rows(schema: "pa.Schema", columns: FeatureColumns) -> "pa.Table":
    """Return rows with every feature missing, categories unknown, and numbers extreme."""
    import pyarrow as pa

    made: list[dict[str, object]] = [dict.fromkeys(columns.all)]
    for number in EXTREMES:
        row: dict[str, object] = dict.fromkeys(columns.categorical, UNSEEN)
        for name in columns.numeric:
            kind = schema.field(name).type
            row[name] = _extreme(number, kind)
        made.append(row)
    made.append({**dict.fromkeys(columns.categorical, ""), **dict.fromkeys(columns.numeric)})
    return pa.Table.from_pylist(made, schema=schema)


def _extreme(number: float, kind: "pa.DataType") -> object:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return number > 0
    if pa.types.is_integer(kind):
        return int(max(-(2.0**53), min(2.0**53, number)))
    return number
