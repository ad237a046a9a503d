"""Predicted rows: one batch of feature rows, split into those with a prediction and those refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain import business_rules
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.expected_value import unusable
from pipelines.domain.probe import Scorer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NOT_A_PROBABILITY = "the model's answer is not a number in [0, 1]"
NOT_A_NUMBER = "the model's answer is not a finite number"

EXACT = 2**53
"""Largest whole number up to which every one is a float64 of its own (IEEE 754)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Rows with what the model said, what the rules made of it and which did (null: none).

    ``value`` is what each row of a ranking is worth, None without one. ``refused`` are the other rows
    with their reasons, in order. Together they are the batch.
    """

    rows: "pa.Table"
    raw: "np.ndarray"
    prediction: "np.ndarray"
    rule: "pa.Array | None"
    value: "np.ndarray | None"
    refused: "pa.Table"
    reasons: "pa.Array"


def predict(
    rows: "pa.Table",
    scorer: Scorer,
    rules: Sequence[BusinessRule],
    *,
    value: str | None = None,
) -> Predicted:
    """Predict one batch. A row is refused that has an infinite feature or no sound answer in the end.

    A sound answer is a probability, or a finite number where the model tells numbers. With a
    ``value``, the column of what a row is worth, a row without a usable one is refused, too. What a
    row gets does not depend on which other rows are refused.
    """
    import numpy as np
    import pyarrow as pa

    reasons: list[str] = []
    why = np.full(rows.num_rows, -1, dtype=np.int32)
    for name in scorer.columns.numeric:
        column = rows.column(name)
        _refuse(why, _infinite(column), f"feature {name} is infinite", reasons)
        _refuse(why, _too_large(column), f"feature {name} is beyond 2^53", reasons)
    worth = None if value is None else _worth(rows, value)
    if worth is not None:
        for words, hit in unusable(worth).items():
            _refuse(why, hit, words.format(value), reasons)
    sound, open_rows = _only(rows, why)
    raw = scorer.answers(sound)
    bounded = scorer.answer == "probability"
    # A comparison with NaN is false.
    wrong = ~((raw >= 0) & (raw <= 1)) if bounded else ~np.isfinite(raw)
    _refuse_open(why, open_rows, wrong, NOT_A_PROBABILITY if bounded else NOT_A_NUMBER, reasons)
    if reasons:
        sound, open_rows, raw = _kept(rows, why, open_rows, raw)
    prediction, rule = raw, None
    if rules:
        ruled = business_rules.apply(rules, _texts(sound), raw, bounded=bounded)
        prediction, rule = ruled.prediction, ruled.rule
        for reason in ruled.refused.unique().drop_null().to_pylist():
            hit = np.asarray(ruled.refused.to_pylist(), dtype=object) == reason
            _refuse_open(why, open_rows, hit, reason, reasons)
        if ruled.refused.null_count < len(ruled.refused):
            kept = why[open_rows] < 0
            rule = rule.filter(pa.array(kept))
            prediction = prediction[kept]
            sound, open_rows, raw = _kept(rows, why, open_rows, raw)
    lost = why >= 0
    return Predicted(
        rows=sound,
        raw=raw,
        prediction=prediction,
        rule=rule,
        value=None if worth is None else worth[open_rows],
        refused=rows.filter(pa.array(lost)) if reasons else rows.slice(0, 0),
        reasons=pa.array(reasons, pa.string()).take(pa.array(why[lost])),
    )


def _worth(rows: "pa.Table", name: str) -> "np.ndarray":
    """Return what each row is worth, NaN where it is missing."""
    import pyarrow as pa

    found: np.ndarray = rows.column(name).cast(pa.float64()).to_numpy()
    return found


def _infinite(column: "pa.ChunkedArray") -> "np.ndarray | None":
    """Return where a number is infinite; None where it nowhere is."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return None
    if not any(_any_infinite(chunk) for chunk in column.chunks):
        return None
    found: np.ndarray = np.isinf(column.to_numpy())
    return found if found.any() else None


def _any_infinite(chunk: "pa.Array") -> bool:
    """Tell whether a number may be infinite: also one that lies unused below a missing value."""
    import numpy as np
    import pyarrow as pa

    if chunk.type != pa.float64() or not len(chunk):
        return True
    numbers = np.frombuffer(chunk.buffers()[1], np.float64)[
        chunk.offset : chunk.offset + len(chunk)
    ]
    return bool(np.isinf(numbers).any())


def _too_large(column: "pa.ChunkedArray") -> "np.ndarray | None":
    """Return where a whole number has no place of its own in a matrix of floats; None where all have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(column.type):
        return None
    bounds = pc.min_max(column).as_py()
    if bounds["min"] is None or (bounds["min"] >= -EXACT and bounds["max"] <= EXACT):
        return None
    numbers = column.fill_null(0).to_numpy()
    found: np.ndarray = (numbers > EXACT) | (numbers < -EXACT)
    return found


def _refuse(why: "np.ndarray", hit: "np.ndarray | None", reason: str, reasons: list[str]) -> None:
    """Note the first reason of each row that is hit."""
    if hit is not None and (hit & (why < 0)).any():
        reasons.append(reason)
        why[hit & (why < 0)] = len(reasons) - 1


def _refuse_open(
    why: "np.ndarray", open_rows: "np.ndarray", hit: "np.ndarray", reason: str, reasons: list[str]
) -> None:
    if hit.any():
        reasons.append(reason)
        why[open_rows[hit]] = len(reasons) - 1


def _only(rows: "pa.Table", why: "np.ndarray") -> tuple["pa.Table", "np.ndarray"]:
    """Return the rows that nothing was found against, and their places in the batch."""
    import numpy as np
    import pyarrow as pa

    places = np.flatnonzero(why < 0)
    return (rows if len(places) == rows.num_rows else rows.take(pa.array(places))), places


def _kept(
    rows: "pa.Table", why: "np.ndarray", open_rows: "np.ndarray", raw: "np.ndarray"
) -> tuple["pa.Table", "np.ndarray", "np.ndarray"]:
    """Return what ``_only`` does, with the model's answers of those rows."""
    kept = why[open_rows] < 0
    sound, places = _only(rows, why)
    return sound, places, raw[kept]


def _texts(rows: "pa.Table") -> "pa.Table":
    """Return the rows with plain texts for dictionary codes, as rules are written for."""
    import pyarrow as pa

    schema = pa.schema(
        [
            f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f
            for f in rows.schema
        ]
    )
    return rows.cast(schema)
