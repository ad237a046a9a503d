"""Reasons: which features of a row, put back to their usual value, change its prediction most."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Value: TypeAlias = float | int | bool | str | None

LEAST = 0.001
"""Smallest absolute effect that is told: a tenth of a percentage point, on which nobody acts."""

ROWS_AT_ONCE = 256
"""Rows explained together: with a hundred features, 25,600 rows to predict, a few MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One feature of one row, its value, its usual value, and what the difference does.

    ``effect`` is the row's prediction less its prediction with the usual value: above zero, the
    value raises the prediction. In units of probability, or of a label that has one.
    """

    feature: str
    value: Value
    usual: Value
    effect: float

    @property
    def text(self) -> str:
        """The reason in words, such as "carrier_late 0.12 instead of 0.01 raises it by 0.08"."""
        does = "raises" if self.effect > 0 else "lowers"
        return (
            f"{self.feature} {_words(self.value)} instead of {_words(self.usual)} "
            f"{does} it by {abs(self.effect):.2g}"
        )

    def to_plain(self) -> dict[str, Value]:
        """Return the reason as JSON-ready data, with its text."""
        return {
            "feature": self.feature,
            "value": self.value,
            "usual": self.usual,
            "effect": self.effect,
            "text": self.text,
        }


def reasons(
    predict: Callable[["pa.Table"], "np.ndarray"],
    rows: "pa.Table",
    reference: Mapping[str, Value],
    *,
    most: int,
    least: float = LEAST,
) -> list[tuple[Reason, ...]]:
    """Return up to ``most`` reasons per row, the largest absolute effect first.

    Single-feature ablation, also called occlusion: with f the model, x the row, and x[j := r_j] the
    row whose feature j has its reference value,

        effect_j = f(x) - f(x[j := r_j]).

    (Robnik-Sikonja and Kononenko, "Explaining classifications for individual instances", IEEE
    TKDE 20(5), 2008; Zeiler and Fergus, "Visualizing and understanding convolutional networks",
    ECCV 2014; in the frame of Covert, Lundberg and Lee, "Explaining by removing", JMLR 22, 2021:
    features are removed one at a time, by a default value, and summarized by the change.)

    ``reference`` names the features that are tried, with their usual value: the training window's
    median of a number, the most frequent category of a text. ``rows`` holds those columns;
    ``predict`` returns one probability, or number, per row of such a table. Features whose
    replacement changes less than ``least`` are left out; of equal effects the first in
    ``reference`` comes first. Deterministic; it costs at most rows x (features + 1) predictions, so
    it is for short lists.

    What it is not: not a cause (the world does not change as the model's input does), not a sum
    (effects do not add up to the prediction), and no Shapley value. Of two features that say the
    same, each may show no effect, since the other still says it; and a replaced row may be one that
    never occurs.
    """
    found: list[tuple[Reason, ...]] = []
    for first in range(0, rows.num_rows if most else 0, ROWS_AT_ONCE):
        found += _reasons(predict, rows.slice(first, ROWS_AT_ONCE), reference, most, least)
    return found or [()] * rows.num_rows


def _reasons(
    predict: Callable[["pa.Table"], "np.ndarray"],
    rows: "pa.Table",
    reference: Mapping[str, Value],
    most: int,
    least: float,
) -> list[tuple[Reason, ...]]:
    import pyarrow as pa

    tried = [name for name in reference if name in rows.column_names]
    matrix = _as_the_model_sees(rows)
    variants = [matrix]
    for name in tried:
        place, field = matrix.column_names.index(name), matrix.schema.field(name)
        usual = pa.array([reference[name]] * rows.num_rows, field.type)
        variants.append(matrix.set_column(place, field, usual))
    predicted = predict(pa.concat_tables(variants).combine_chunks())
    predicted = predicted.reshape(len(variants), rows.num_rows)
    effects = predicted[0] - predicted[1:]
    told = []
    for number, row in enumerate(rows.select(tried).to_pylist()):
        mine = [
            Reason(
                feature=name,
                value=_plain(row[name], rows.schema.field(name).type),
                usual=_plain(reference[name], rows.schema.field(name).type),
                effect=float(effects[place, number]),
            )
            for place, name in enumerate(tried)
            if (effect := abs(effects[place, number])) > 0 and least <= effect < math.inf
        ]
        # sorted() is stable, so of equal effects the first feature stays first.
        told.append(tuple(sorted(mine, key=lambda reason: -abs(reason.effect))[:most]))
    return told


def _as_the_model_sees(rows: "pa.Table") -> "pa.Table":
    """Return the rows with every number and bool as float64: a median may lie between two of them."""
    import pyarrow as pa

    fields = [
        field
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
        else pa.field(field.name, pa.float64())
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def _plain(value: Value, kind: "pa.DataType") -> Value:
    """Return a value as its column means it: a bool as such, a whole number without a point."""
    import pyarrow as pa

    if isinstance(value, float) and math.isnan(value):
        return None
    if value is not None and pa.types.is_boolean(kind) and value in (0, 1):
        return bool(value)
    if isinstance(value, float) and pa.types.is_integer(kind) and value.is_integer():
        return int(value)
    return value


def _words(value: Value) -> str:
    if value is None or value == "":
        return "(missing)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
