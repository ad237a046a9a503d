"""The fused fit: a pipeline fitted from Arrow rows is the one that its own fit makes, bit by bit."""

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from pipelines.adapters.threads import one_thread
from pipelines.domain import fused_fit
from pipelines.domain.fused_fit import fit_fused
from pipelines.domain.training import Candidate, FeatureColumns, feature_frame, fit
from pipelines.domain.weights import ByColumn

NUMBERS = FeatureColumns(numeric=("load", "count"), categorical=("carrier", "origin"))
TREES = HistGradientBoostingClassifier(max_iter=4, random_state=7, min_samples_leaf=5)


def rows_of(count: int = 300) -> pa.Table:
    """Return rows of which the last few alone hold a text, and some lack a text or a number."""
    drawn = np.random.default_rng(7)
    return pa.table(
        {
            "carrier": pa.array([f"C{n % 9}" if n < count - 8 else "rare" for n in range(count)]),
            "load": pa.array(drawn.normal(size=count), mask=drawn.random(count) < 0.1),
            "count": pa.array(drawn.integers(1, 50, count)),
            "origin": pa.array([f"O{n}" if n else None for n in drawn.integers(0, 9, count)]),
        }
    )


def label_of(rows: pa.Table) -> np.ndarray:
    signal = rows["load"].fill_null(0.0).to_numpy() + (rows["count"].to_numpy() > 30)
    return np.asarray(signal > 0.4, dtype="int8")


def encoding(estimator: Any, **encoder: Any) -> Pipeline:  # noqa: ANN401 - scikit-learn's
    """Return an unfitted pipeline whose texts are encoded and whose numbers pass."""
    settings = {"handle_unknown": "use_encoded_value", "unknown_value": -1, **encoder}
    steps = [
        ("texts", OrdinalEncoder(**settings), list(NUMBERS.categorical)),
        ("numbers", "passthrough", list(NUMBERS.numeric)),
    ]
    return make_pipeline(ColumnTransformer(steps), estimator)


def said(model: Any, rows: pa.Table) -> bytes:  # noqa: ANN401 - scikit-learn's
    found: np.ndarray = model.predict_proba(feature_frame(rows, NUMBERS))
    return found.tobytes()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("estimator", [TREES, LogisticRegression(max_iter=300)])
def test_a_fused_fit_makes_the_model_that_the_pipelines_own_fit_makes(
    estimator: Any,  # noqa: ANN401 - scikit-learn's
    weighted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    from sklearn.base import clone

    rows = rows_of().filter(pa.array(np.arange(300) % 2 == 0))
    if isinstance(estimator, LogisticRegression):
        rows = rows.set_column(1, "load", rows["load"].fill_null(0.0))
    label = label_of(rows)
    weight = rows["count"].to_numpy().astype("float64") if weighted else None
    own, fused = encoding(clone(estimator)), encoding(clone(estimator))
    with one_thread():
        own.fit(
            feature_frame(rows, NUMBERS),
            label,
            **({} if weight is None else {f"{own.steps[1][0]}__sample_weight": weight}),
        )
        assert fit_fused(fused, rows, label, NUMBERS, weight)
        assert said(fused, rows) == said(own, rows)
    assert [list(found) for found in fused[0].named_transformers_["texts"].categories_] == [
        list(found) for found in own[0].named_transformers_["texts"].categories_
    ]
    assert list(fused.feature_names_in_) == list(own.feature_names_in_)
    assert sorted(vars(fused[0])) == sorted(vars(own[0]))
    assert sorted(vars(fused[1])) == sorted(vars(own[1]))


def test_rows_beyond_one_batch_are_learned_from_as_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of()
    whole, parts = encoding(TREES), encoding(HistGradientBoostingClassifier(**TREES.get_params()))
    with one_thread():
        assert fit_fused(whole, rows, label_of(rows), NUMBERS)
        monkeypatch.setattr(fused_fit, "BATCH_ROWS", 7)
        assert fit_fused(parts, rows, label_of(rows), NUMBERS)
        assert said(whole, rows) == said(parts, rows)


UNLIKE = {
    "an estimator alone": TREES,
    "a step more": make_pipeline(StandardScaler(), *[step for _, step in encoding(TREES).steps]),
    "texts counted": encoding(TREES, min_frequency=3),
    "texts named": encoding(TREES, categories=[["C1"], ["O1"]]),
    "a memory": encoding(TREES).set_params(memory="somewhere"),
    "frames asked for": encoding(TREES).set_output(transform="pandas"),
    "numbers scaled": make_pipeline(
        ColumnTransformer([("numbers", StandardScaler(), list(NUMBERS.numeric))]), TREES
    ),
    "the rest passed": make_pipeline(
        ColumnTransformer([("numbers", "passthrough", ["load"])], remainder="passthrough"), TREES
    ),
    "unknown texts refused": encoding(TREES, handle_unknown="error", unknown_value=None),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_a_pipeline_that_does_something_else_is_left_to_its_own_fit(name: str) -> None:
    rows = rows_of()
    assert not fit_fused(UNLIKE[name], rows, label_of(rows), NUMBERS)


def test_a_training_weighs_rows_of_a_fused_fit_as_of_any_other() -> None:
    rows = rows_of()
    label = label_of(rows)
    candidate = Candidate("trees", lambda _columns, _seed: encoding(TREES))
    with one_thread():
        plain = said(fit(candidate, rows, label, NUMBERS, 7), rows)
        weighed = said(
            fit(candidate, rows, label, NUMBERS, 7, weights=ByColumn(column="count")), rows
        )
        own = encoding(TREES)
        weight = ByColumn(column="count").weigh(rows)
        name = f"{own.steps[1][0]}__sample_weight"
        own.fit(feature_frame(rows, NUMBERS), label, **{name: weight})
    assert weighed == said(own, rows) != plain


def test_texts_are_never_python_objects_all_at_once() -> None:
    count = 40_000
    texts = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(count, dtype="int32") % 9), pa.array([f"text {n:040}" for n in range(9)])
    ).cast(pa.string())
    names = tuple(f"text_{n}" for n in range(6))
    rows = pa.table(dict.fromkeys(names, texts))
    columns = FeatureColumns(numeric=(), categorical=names)
    settings = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    model = make_pipeline(
        ColumnTransformer([("texts", OrdinalEncoder(**settings), list(names))]), _Learned()
    )
    tracemalloc.start()
    try:
        assert fit_fused(model, rows, np.zeros(count, "int8"), columns)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    matrix = count * len(names) * 8
    assert model[1].shape == (count, len(names))
    # Objects would take fifteen times the matrix: some 90 bytes a text, and 8 for its address.
    assert peak < 3 * matrix


class _Learned:
    """An estimator that learns the shape of what it was given, and needs no memory for it."""

    def fit(self, matrix: np.ndarray, _label: np.ndarray) -> "_Learned":
        self.shape = matrix.shape
        return self
