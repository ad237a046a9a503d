"""The inner encoder: what scikit-learn's boosted trees do to a matrix before they walk through it.

Trees with categorical features keep a transformer of their own. It moves those columns to the
front and gives each value the number of its category, by a search in every row. Columns that hold
known codes need one search per code.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerEncoder:
    """The columns of an estimator's matrix as its trees see them: the encoded ones, then the others.

    Both name columns by their place in the matrix that the estimator is given.
    """

    encoded: tuple[int, ...]
    passed: tuple[int, ...]
    encoder: Any

    def codes(self, values: Sequence[Sequence[float]]) -> list[list[float]]:
        """Return what the trees see for each value; ``values`` has a list per encoded column."""
        import numpy as np

        asked = np.full((max(map(len, values)), len(values)), np.nan)
        for number, column in enumerate(values):
            asked[: len(column), number] = column
        told = self.encoder.transform(asked)
        return [told[: len(column), number].tolist() for number, column in enumerate(values)]


def inner_encoder(estimator: Any) -> InnerEncoder | None:  # noqa: ANN401 - any estimator
    """Return the encoder of fitted trees with categorical features; None for any other estimator.

    Where a release of scikit-learn keeps it is not part of its interface: what looks otherwise is
    not recognised, and what is recognised must be proven like every fused form.
    """
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

    if type(estimator) not in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        return None
    found: Any = getattr(estimator, "_preprocessor", None)
    if type(found) is not ColumnTransformer:
        return None
    match found.transformers_:
        case [
            ("encoder", OrdinalEncoder() as encoder, encoded),
            ("numerical", FunctionTransformer(), passed),
            *rest,
        ] if all(step == "drop" for _, step, _ in rest):
            return InnerEncoder(
                encoded=tuple(np.flatnonzero(encoded).tolist()),
                passed=tuple(np.flatnonzero(passed).tolist()),
                encoder=nameless(encoder),
            )
    return None


def without(trees: Any) -> Any:  # noqa: ANN401 - untyped library
    """Return trees that take their matrix as it is, columns in their own order; the fit is shared."""
    shared = copy.copy(trees)
    shared._preprocessor = None  # as of trees without categorical features
    return shared


def nameless(fitted: Any) -> Any:  # noqa: ANN401 - any estimator
    """Return an estimator that does not warn of a matrix without column names; the fit is shared."""
    if not hasattr(fitted, "feature_names_in_"):
        return fitted
    shared = copy.copy(fitted)
    del shared.feature_names_in_
    return shared
