"""The fused encoder: Arrow batches straight into an estimator's matrix, for pipelines it recognises.

A recognised pipeline is a ColumnTransformer of passthrough columns and OrdinalEncoders followed by
one estimator, or an estimator alone over numeric columns. Its text columns come as dictionary
codes, so each category is looked up once per dictionary and not once per row. The matrix is the one
that the pipeline itself would build, value by value, or the one that the estimator would make of it
(see inner_encoder); registration proves it on the probe set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.domain.inner_encoder import inner_encoder, nameless, without
from pipelines.domain.prediction_kinds import Answer
from pipelines.domain.training import FeatureColumns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PREDICT_ROWS = 32_768
"""Rows predicted at once: the matrix stays small (4 MiB of 16 columns), calls stay few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One column of the estimator's matrix: the feature it comes from, and its codes if it is text.

    ``codes`` maps a text to its number; ``unknown`` is the number of any other; a missing text is
    the text "".
    """

    feature: str
    codes: Mapping[str, float] | None
    unknown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedModel:
    """An estimator with the places of its matrix; predicts what its pipeline would, bit by bit."""

    estimator: Any
    places: tuple[Place, ...]
    answer: Answer = "probability"

    def matrix(self, rows: "pa.Table | pa.RecordBatch") -> "np.ndarray":
        """Return the estimator's float64 matrix, one row per row, one column per place."""
        import numpy as np

        # Column by column in memory, as it is filled: a quarter of the time of row by row.
        filled = np.empty((rows.num_rows, len(self.places)), dtype=np.float64, order="F")
        for number, place in enumerate(self.places):
            column = rows.column(place.feature)
            filled[:, number] = _numbers(column) if place.codes is None else _codes(column, place)
        return filled

    def answers(self, rows: "pa.Table | pa.RecordBatch") -> "np.ndarray":
        """Return the probability of the positive class, or the number, one per row."""
        import numpy as np

        found = np.empty(rows.num_rows, dtype=np.float64)
        for first in range(0, rows.num_rows, PREDICT_ROWS):
            matrix = self.matrix(rows.slice(first, PREDICT_ROWS))
            found[first : first + PREDICT_ROWS] = self._said(matrix)
        return found

    def _said(self, matrix: "np.ndarray") -> "np.ndarray":
        import numpy as np

        if self.answer == "probability":
            return np.asarray(self.estimator.predict_proba(matrix)[:, 1])
        return np.asarray(self.estimator.predict(matrix)).reshape(-1)


def fuse(
    model: Any,  # noqa: ANN401 - any estimator
    columns: FeatureColumns,
    answer: Answer = "probability",
) -> FusedModel | None:
    """Return the fused form of a fitted model; None for one that is not recognised."""
    from sklearn.pipeline import Pipeline

    tells = "predict_proba" if answer == "probability" else "predict"
    if not isinstance(model, Pipeline):
        if columns.categorical or not hasattr(model, tells):
            return None
        return _fused(model, _passed(columns.numeric), answer)
    steps = [step for _, step in model.steps if step not in (None, "passthrough")]
    if len(steps) != 2 or not hasattr(steps[1], tells):
        return None
    places = places_of(steps[0], columns)
    return _fused(steps[1], places, answer) if places else None


def _fused(estimator: Any, places: tuple[Place, ...], answer: Answer) -> FusedModel:  # noqa: ANN401 - any estimator
    """Return the fused form, without the estimator's own encoder where all codes are known."""
    bare, inner = nameless(estimator), inner_encoder(estimator)
    if inner is None or any(places[number].codes is None for number in inner.encoded):
        return FusedModel(estimator=bare, places=places, answer=answer)
    encoded = [places[number] for number in inner.encoded]
    told = inner.codes([[*(place.codes or {}).values(), place.unknown] for place in encoded])
    recoded = [
        Place(
            feature=place.feature,
            codes=dict(zip(place.codes or {}, known, strict=True)),
            unknown=unknown,
        )
        for place, (*known, unknown) in zip(encoded, told, strict=True)
    ]
    passed = [places[number] for number in inner.passed]
    return FusedModel(estimator=without(bare), places=(*recoded, *passed), answer=answer)


def places_of(transformer: Any, columns: FeatureColumns) -> tuple[Place, ...] | None:  # noqa: ANN401
    """Return the matrix columns of a fitted ColumnTransformer; None for another transformer."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    if type(transformer) is not ColumnTransformer or transformer.transformer_weights:
        return None
    places: list[Place] = []
    for _, step, chosen in transformer.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        found = _chosen(chosen, columns)
        if found is None:
            return None
        if _passes(step) and set(found) <= set(columns.numeric):
            places += _passed(found)
        elif type(step) is OrdinalEncoder and set(found) <= set(columns.categorical):
            encoded = _encoded(step, found)
            if encoded is None:
                return None
            places += encoded
        elif found:
            return None
    return tuple(places)


def _chosen(chosen: Any, columns: FeatureColumns) -> list[str] | None:  # noqa: ANN401 - sklearn's choice
    """Return the feature names a step was given; None where it was chosen in another way."""
    names = list(chosen) if isinstance(chosen, list | tuple) else None
    if names is None or not all(isinstance(n, str) and n in columns.all for n in names):
        return None
    return names


def _passes(step: Any) -> bool:  # noqa: ANN401 - a transformer
    """Tell whether a step leaves its columns as they are."""
    from sklearn.preprocessing import FunctionTransformer

    if isinstance(step, str):
        return step == "passthrough"
    return type(step) is FunctionTransformer and step.func is None


def _passed(names: Sequence[str]) -> tuple[Place, ...]:
    return tuple(Place(feature=name, codes=None, unknown=0.0) for name in names)


def _encoded(encoder: Any, names: Sequence[str]) -> list[Place] | None:  # noqa: ANN401 - untyped library
    """Return the places of an OrdinalEncoder over texts; None for settings it is not fused with."""
    import numpy as np

    if encoder.handle_unknown != "use_encoded_value" or np.dtype(encoder.dtype) != np.float64:
        return None
    if getattr(encoder, "_infrequent_enabled", False):
        return None
    places = []
    for name, categories in zip(names, encoder.categories_, strict=True):
        if not all(isinstance(category, str) for category in categories):
            return None
        codes = {category: float(number) for number, category in enumerate(categories)}
        places.append(Place(feature=name, codes=codes, unknown=float(encoder.unknown_value)))
    return places


def _numbers(column: "pa.Array | pa.ChunkedArray") -> "np.ndarray":
    import pyarrow as pa

    if column.type != pa.float64():
        column = column.cast(pa.float64())
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    found: np.ndarray = whole.to_numpy(zero_copy_only=False)
    return found


def _codes(column: "pa.Array | pa.ChunkedArray", place: Place) -> "np.ndarray":
    """Return the code of each text; every distinct one of a dictionary is looked up once."""
    import numpy as np
    import pyarrow as pa

    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [_chunk_codes(chunk, place) for chunk in chunks]
    return np.concatenate(found) if found else np.empty(0)


def _chunk_codes(chunk: "pa.Array", place: Place) -> "np.ndarray":
    import numpy as np
    import pyarrow as pa

    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    codes = place.codes or {}
    texts = encoded.dictionary.to_pylist()
    # One place more than the dictionary has, for a missing text: the last.
    table = np.array(
        [codes.get(text or "", place.unknown) for text in [*texts, ""]], dtype=np.float64
    )
    indices = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    found: np.ndarray = table[indices]
    return found
