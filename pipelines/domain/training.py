"""Training: candidates, the baseline, and one fit from rows to a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipelines.domain.windows import ForwardTime

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


class Estimator(Protocol):
    """What a candidate builds: the scikit-learn protocol of a probabilistic classifier."""

    def fit(self, X: "pd.DataFrame", y: "np.ndarray") -> "Estimator":  # noqa: N803 - sklearn's name
        """Learn from rows and labels."""
        ...

    def predict_proba(self, X: "pd.DataFrame") -> "np.ndarray":  # noqa: N803 - sklearn's name
        """Return the probability of each class, one row per row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureColumns:
    """Feature names by how an estimator must treat them, each in the order of the feature view."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """Every feature, numeric first: the column order of every matrix."""
        return [*self.numeric, *self.categorical]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to try: its name, and a function that builds an unfitted estimator.

    The function is given the feature columns and a seed, and returns an estimator made of library
    classes only, so that the model loads wherever those libraries are installed.
    """

    name: str
    build: Callable[[FeatureColumns, int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How models are made: which candidate, on which window, held out how, with which seed.

    ``start`` (aware) is the earliest scoring time trained on; the window expands from there.
    """

    start: datetime
    candidates: Sequence[Candidate]
    split: ForwardTime
    window: Literal["expanding"] = "expanding"
    baseline: Literal["prior_rate"] = "prior_rate"
    seed: int = 7


@dataclass(frozen=True, slots=True)
class PriorRate:
    """The baseline: every row gets the share of positives in the training window."""

    rate: float

    def predict(self, rows: int) -> "np.ndarray":
        """Return the rate once per row."""
        import numpy as np

        return np.full(rows, self.rate)


def feature_columns(table: "pa.Table", names: Sequence[str]) -> FeatureColumns:
    """Sort feature names into categorical (text) and numeric (all others)."""
    import pyarrow as pa

    text = [n for n in names if pa.types.is_string(table.schema.field(n).type)]
    return FeatureColumns(numeric=tuple(n for n in names if n not in text), categorical=tuple(text))


def feature_frame(rows: "pa.Table", columns: FeatureColumns) -> "pd.DataFrame":
    """Return the matrix an estimator sees: float64 for numeric, object for categorical features.

    A missing number is NaN; a missing text is its own category, the empty string.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    data: dict[str, Any] = {}
    for name in columns.numeric:
        data[name] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    for name in columns.categorical:
        texts = pc.fill_null(rows[name], "")
        data[name] = texts.to_numpy(zero_copy_only=False)
    return pd.DataFrame(data, columns=columns.all)


def fit(
    candidate: Candidate, rows: "pa.Table", label: "np.ndarray", columns: FeatureColumns, seed: int
) -> Any:  # noqa: ANN401 - any library's estimator
    """Fit one candidate. Rows must be in canonical order: some estimators depend on it."""
    return candidate.build(columns, seed).fit(feature_frame(rows, columns), label)


def positive_probability(
    model: Any,  # noqa: ANN401 - any library's estimator
    rows: "pa.Table",
    columns: FeatureColumns,
) -> "np.ndarray":
    """Return the probability of the positive class, one per row."""
    import numpy as np

    if not rows.num_rows:
        return np.empty(0)
    return np.asarray(model.predict_proba(feature_frame(rows, columns))[:, 1], dtype=np.float64)
