"""The fused fit: a recognised pipeline fitted on Arrow rows, without a data frame of texts.

What is recognised is a ColumnTransformer of passthrough columns and plain OrdinalEncoders followed
by one estimator (see fused_encoder). Its encoders learn from rows that hold each text once, and its
estimator from the matrix that the pipeline itself would make, value by value and in the same layout.
Texts as Python objects cost more memory than all else, and as much time as the fit of some trees.
"""

from typing import TYPE_CHECKING, Any

from pipelines.domain.fused_encoder import FusedModel, places_of
from pipelines.domain.training import FeatureColumns, feature_frame

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BATCH_ROWS = 32_768
"""Rows of the matrix that are made at once where it lies row by row in memory."""

COMPARED_ROWS = 1_000
"""Rows whose matrix is compared with the transformer's own before anything is fitted on it."""

PLAIN = {"categories": "auto", "min_frequency": None, "max_categories": None}
"""Parameters of an encoder that knows every text once it has met it: how often does not matter."""


def fit_fused(
    model: Any,  # noqa: ANN401 - any library's estimator
    rows: "pa.Table",
    label: "np.ndarray",
    columns: FeatureColumns,
    weight: "np.ndarray | None" = None,
) -> bool:
    """Fit a pipeline as its own ``fit`` would; False for one that is not recognised.

    That one is to be fitted with its own ``fit``, whatever has been done to it here.
    """
    if not _recognised(model, columns) or not rows.num_rows:
        return False
    transformer, estimator = model[0], model[1]
    transformer.fit(feature_frame(_every_text(rows, columns), columns))
    places = places_of(transformer, columns)
    if not places:
        return False
    fused = FusedModel(estimator=estimator, places=places)
    some = rows.slice(0, COMPARED_ROWS)
    own = transformer.transform(feature_frame(some, columns))
    if not _same(own, fused.matrix(some)):
        return False
    matrix = _matrix(fused, rows, order="C" if own.flags.c_contiguous else "F")
    estimator.fit(matrix, label, **({} if weight is None else {"sample_weight": weight}))
    return True


def _recognised(model: Any, columns: FeatureColumns) -> bool:  # noqa: ANN401 - any estimator
    """Tell whether an unfitted pipeline does nothing to rows but pass and encode them."""
    import sklearn
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    settings = sklearn.get_config()
    if settings["transform_output"] != "default" or settings["enable_metadata_routing"]:
        return False
    if type(model) is not Pipeline or len(model.steps) != 2 or model.memory is not None:
        return False
    transformer, estimator = model[0], model[1]
    if type(transformer) is not ColumnTransformer or not hasattr(estimator, "fit"):
        return False
    if transformer.remainder != "drop" or hasattr(transformer, "_sklearn_output_config"):
        return False
    return all(_plain(step, chosen, columns) for _, step, chosen in transformer.transformers)


def _plain(step: Any, chosen: Any, columns: FeatureColumns) -> bool:  # noqa: ANN401 - scikit-learn's
    from sklearn.preprocessing import OrdinalEncoder

    if isinstance(step, str):
        return step in {"passthrough", "drop"}
    if type(step) is not OrdinalEncoder or hasattr(step, "_sklearn_output_config"):
        return False
    parameters = step.get_params()
    named = isinstance(chosen, list | tuple) and set(chosen) <= set(columns.categorical)
    return named and all(
        isinstance(parameters[name], type(value)) and parameters[name] == value
        for name, value in PLAIN.items()
    )


def _every_text(rows: "pa.Table", columns: FeatureColumns) -> "pa.Table":
    """Return few rows that hold each text of each column, a missing one included."""
    import pyarrow as pa
    import pyarrow.compute as pc

    distinct = {name: pc.unique(rows[name]) for name in columns.categorical}
    most = max([1, *(len(texts) for texts in distinct.values())])
    made = {name: rows[name].slice(0, 1).take([0] * most) for name in columns.numeric}
    for name, texts in distinct.items():
        made[name] = texts.take(pa.array([min(n, len(texts) - 1) for n in range(most)]))
    return pa.table(made)


def _same(one: Any, other: "np.ndarray") -> bool:  # noqa: ANN401 - dense or sparse
    """Compare two matrices value by value; missing is the same as missing."""
    import numpy as np

    if not isinstance(one, np.ndarray) or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=True)


def _matrix(fused: FusedModel, rows: "pa.Table", *, order: str) -> "np.ndarray":
    """Return the whole matrix, column by column ("F") or row by row ("C") in memory."""
    import numpy as np

    if order == "F":
        return fused.matrix(rows)
    filled = np.empty((rows.num_rows, len(fused.places)), dtype=np.float64)
    for first in range(0, rows.num_rows, BATCH_ROWS):
        filled[first : first + BATCH_ROWS] = fused.matrix(rows.slice(first, BATCH_ROWS))
    return filled
