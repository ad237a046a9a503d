"""The fused encoder: its matrix gives the pipeline's own predictions, bit by bit."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from pipelines.adapters.threads import one_thread
from pipelines.domain.fused_encoder import PREDICT_ROWS, FusedModel, fuse
from pipelines.domain.probe import Scorer, digest_of, probe_rows, prove
from pipelines.domain.training import (
    Estimator,
    FeatureColumns,
    answers,
    feature_frame,
    positive_probability,
)

COLUMNS = FeatureColumns(numeric=("load", "count", "is_new"), categorical=("carrier", "origin"))
SCHEMA = pa.schema(
    [
        ("load", pa.float64()), ("count", pa.int64()), ("is_new", pa.bool_()),
        ("carrier", pa.string()), ("origin", pa.string()),
    ]
)  # fmt: skip
CARRIERS = ["AA", "DL", "UA", "Ünïted ✈", 'it\'s "quoted"', " AA"]
TREES = HistGradientBoostingClassifier(max_iter=8, random_state=7, min_samples_leaf=5)


def known_rows(count: int = 400) -> pa.Table:
    drawn = np.random.default_rng(7)
    return pa.table(
        {
            "load": pa.array(drawn.normal(size=count), mask=drawn.random(count) < 0.1),
            "count": pa.array(drawn.integers(-5, 50, count), mask=drawn.random(count) < 0.1),
            "is_new": pa.array(drawn.random(count) < 0.5, mask=drawn.random(count) < 0.1),
            "carrier": pa.array(CARRIERS).take(pa.array(drawn.integers(0, len(CARRIERS), count))),
            "origin": pa.array([f"O{n}" if n else None for n in drawn.integers(0, 9, count)]),
        },
        schema=SCHEMA,
    )


def fitted(model: Estimator, columns: FeatureColumns = COLUMNS) -> Estimator:
    rows = known_rows()
    signal = rows["load"].fill_null(0.0).to_numpy() + (rows["carrier"].to_numpy() == "DL")
    label = (signal + np.random.default_rng(8).normal(size=rows.num_rows) > 0.4).astype(int)
    with one_thread():
        return model.fit(feature_frame(rows.select(columns.all), columns), label)


def encoder(**options: object) -> OrdinalEncoder:
    chosen: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1, **options}
    return OrdinalEncoder(**chosen)


def encoding(estimator: Estimator, **options: object) -> Pipeline:
    return make_pipeline(
        ColumnTransformer(
            [
                ("texts", encoder(**options), list(COLUMNS.categorical)),
                ("numbers", "passthrough", list(COLUMNS.numeric)),
            ]
        ),
        estimator,
    )


@cache
def trees() -> tuple[Any, FusedModel]:
    model = fitted(encoding(TREES))
    found = fuse(model, COLUMNS)
    assert found is not None
    return model, found


texts = st.one_of(
    st.none(), st.sampled_from([*CARRIERS, "O1", "O8", "", "never seen"]), st.text(max_size=4)
)
drawn_rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(allow_infinity=False)),
        st.one_of(st.none(), st.integers(-(2**53), 2**53)),
        st.one_of(st.none(), st.booleans()),
        texts,
        texts,
    ),
    max_size=30,
)


def as_codes(column: pa.ChunkedArray, order: list[int]) -> pa.ChunkedArray:
    """Return texts as dictionary codes, of a dictionary in an order of its own for every chunk."""
    chunks = []
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        size = len(encoded.dictionary)
        places = sorted(range(size), key=lambda n: order[n % len(order)])
        moved = pa.array([places.index(n) for n in range(size)], pa.int32())
        codes = moved.take(encoded.indices)
        values = pa.concat_arrays(
            [encoded.dictionary.take(pa.array(places, pa.int32())), pa.array(["unused"])]
        )
        chunks.append(pa.DictionaryArray.from_arrays(codes, values))
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))


@settings(max_examples=60, deadline=None)
@given(drawn_rows, drawn_rows, st.booleans(), st.lists(st.integers(), min_size=1, max_size=8))
def test_fused_predictions_are_those_of_the_pipeline_bit_by_bit(
    first: list[tuple[Any, ...]],
    second: list[tuple[Any, ...]],
    codes: bool,  # noqa: FBT001 - hypothesis draws it
    order: list[int],
) -> None:
    model, fused = trees()
    chunks = [
        pa.table([list(c) for c in zip(*rows, strict=True)] or [[]] * 5, schema=SCHEMA)
        for rows in (first, second)
    ]
    rows = pa.concat_tables(chunks)
    read = rows
    if codes:
        for number, name in enumerate(SCHEMA.names):
            if name in COLUMNS.categorical:
                read = read.set_column(number, name, as_codes(read[name], order))
    expected = positive_probability(model, rows, COLUMNS)
    assert fused.answers(read).tobytes() == expected.tobytes()
    if rows.num_rows:
        # Trees may not tell two numbers apart, so the matrix is compared too.
        matrix = model[0].transform(feature_frame(rows, COLUMNS))
        np.testing.assert_array_equal(fused.matrix(read), matrix)


def categorised(**chosen: bool) -> HistGradientBoostingClassifier:
    """Return trees to which the chosen columns are categories."""
    ordered = [*COLUMNS.categorical, *COLUMNS.numeric]
    return HistGradientBoostingClassifier(
        max_iter=8,
        random_state=7,
        min_samples_leaf=5,
        categorical_features=[chosen.get(name, False) for name in ordered],
    )


@cache
def trees_of_categories(unknown: float) -> tuple[Any, FusedModel]:
    # Categories that no row has, so that the trees' own numbers differ from those they are given.
    known = [
        ["AA before", *sorted(CARRIERS)],
        ["", "O0", *(f"O{number}" for number in range(1, 9))],
    ]
    model = fitted(
        encoding(categorised(carrier=True, origin=True), categories=known, unknown_value=unknown)
    )
    found = fuse(model, COLUMNS)
    assert found is not None
    return model, found


@settings(max_examples=30, deadline=None)
@given(drawn_rows, st.sampled_from([-1, np.nan]))
def test_trees_see_the_codes_that_their_own_encoder_would_give_them(
    drawn: list[tuple[Any, ...]], unknown: float
) -> None:
    model, fused = trees_of_categories(unknown)
    rows = pa.table([list(c) for c in zip(*drawn, strict=True)] or [[]] * 5, schema=SCHEMA)
    expected = positive_probability(model, rows, COLUMNS)
    assert fused.answers(rows).tobytes() == expected.tobytes()
    if rows.num_rows:
        given_to_trees = model[0].transform(feature_frame(rows, COLUMNS))
        seen = model[1]._preprocessor.transform(given_to_trees)
        np.testing.assert_array_equal(fused.matrix(rows), seen)
        assert fused.estimator._preprocessor is None


def test_trees_see_their_categories_first() -> None:
    model = fitted(encoding(categorised(origin=True)))
    fused = fuse(model, COLUMNS)
    assert fused is not None
    features = [place.feature for place in fused.places]
    assert features == ["origin", "carrier", "load", "count", "is_new"]
    rows = known_rows()
    expected = positive_probability(model, rows, COLUMNS)
    assert fused.answers(rows).tobytes() == expected.tobytes()


def test_trees_to_which_a_number_is_a_category_encode_it_themselves() -> None:
    model = fitted(encoding(categorised(origin=True, count=True)))
    fused = fuse(model, COLUMNS)
    assert fused is not None
    assert fused.estimator._preprocessor is not None
    rows = known_rows()
    expected = positive_probability(model, rows, COLUMNS)
    assert fused.answers(rows).tobytes() == expected.tobytes()


def test_rows_beyond_one_matrix_are_predicted_as_those_within_it() -> None:
    model, fused = trees()
    rows = pa.concat_tables([known_rows(PREDICT_ROWS), known_rows(1_000)])
    expected = positive_probability(model, rows, COLUMNS)
    assert fused.answers(rows).tobytes() == expected.tobytes()


NUMBERS = FeatureColumns(numeric=COLUMNS.numeric, categorical=())


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (TREES, NUMBERS),
        (encoding(TREES), COLUMNS),
        (encoding(TREES, unknown_value=np.nan), COLUMNS),
        (Pipeline([("skip", "passthrough"), *encoding(TREES).steps]), COLUMNS),
        (encoding(TREES).set_output(transform="pandas"), COLUMNS),
        (encoding(categorised(origin=True)).set_output(transform="pandas"), COLUMNS),
        (
            make_pipeline(
                ColumnTransformer(
                    [("texts", encoder(), ["origin"])], remainder="drop", verbose_feature_names_out=True
                ),
                TREES,
            ),
            COLUMNS,
        ),
        (
            make_pipeline(
                ColumnTransformer(
                    [("texts", encoder(), list(COLUMNS.categorical))], remainder="passthrough"
                ),
                TREES,
            ),
            COLUMNS,
        ),
    ],
)  # fmt: skip
def test_a_recognised_model_is_fused(model: Estimator, columns: FeatureColumns) -> None:
    rows = known_rows()
    done = fitted(model, columns)
    fused = fuse(done, columns)
    assert fused is not None
    expected = positive_probability(done, rows, columns)
    assert fused.answers(rows).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (
            make_pipeline(
                ColumnTransformer(
                    [
                        ("texts", OneHotEncoder(sparse_output=False), ["carrier", "origin"]),
                        ("numbers", "passthrough", ["load"]),
                    ]
                ),
                TREES,
            ),
            COLUMNS,
        ),
        (encoding(TREES, max_categories=3), COLUMNS),
        (encoding(TREES, dtype=np.float32), COLUMNS),
        (
            make_pipeline(
                ColumnTransformer(
                    [("texts", encoder(), ["carrier"]), ("numbers", StandardScaler(), ["load"])]
                ),
                TREES,
            ),
            COLUMNS,
        ),
        (
            make_pipeline(
                ColumnTransformer(
                    [("texts", encoder(), ["carrier"]), ("numbers", encoder(), ["count"])]
                ),
                TREES,
            ),
            COLUMNS,
        ),
        (make_pipeline(StandardScaler(), TREES), NUMBERS),
        (
            make_pipeline(
                ColumnTransformer(
                    [("texts", encoder(), ["carrier"])], transformer_weights={"texts": 2.0}
                ),
                TREES,
            ),
            COLUMNS,
        ),
    ],
)  # fmt: skip
def test_a_model_it_would_have_to_guess_about_is_not_fused(
    model: Estimator, columns: FeatureColumns
) -> None:
    assert fuse(fitted(model, columns), columns) is None


def test_an_estimator_alone_with_text_features_is_not_fused() -> None:
    assert fuse(LogisticRegression(), COLUMNS) is None


REGRESSORS: dict[str, Any] = {
    "trees": HistGradientBoostingRegressor(max_iter=8, random_state=7, min_samples_leaf=5),
    "trees of the median": HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=8, random_state=7, min_samples_leaf=5
    ),
    "trees with categories of their own": HistGradientBoostingRegressor(
        max_iter=8, random_state=7, min_samples_leaf=5, categorical_features=[0, 1]
    ),
    "a forest": RandomForestRegressor(n_estimators=5, random_state=7),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_fused_regressor_gives_the_numbers_of_its_pipeline_bit_by_bit(name: str) -> None:
    rows = known_rows(PREDICT_ROWS + 100)
    minutes = 60.0 * known_rows()["load"].fill_null(0.5).to_numpy() + np.arange(400) / 7
    model: Any = encoding(REGRESSORS[name], unknown_value=np.nan)
    with one_thread():
        model.fit(feature_frame(known_rows(), COLUMNS), minutes)
        fused = fuse(model, COLUMNS, "number")
        assert fused is not None
        expected = answers(model, rows, COLUMNS, "number")
        assert fused.answers(rows).tobytes() == expected.tobytes()
        # In batches, as a window is streamed.
        parts = [fused.answers(rows.slice(at, 1_000)) for at in range(0, rows.num_rows, 1_000)]
        assert np.concatenate(parts).tobytes() == expected.tobytes()
        probe = probe_rows(model, [rows.slice(0, 300)], COLUMNS, "number")
        said = answers(model, probe, COLUMNS, "number")
        proof = prove(model, probe, COLUMNS, said, "number")
    assert (proof.scorer, proof.digest) == ("fused", digest_of(said))
    assert expected.std() > 1.0
    scorer = Scorer(model=model, columns=COLUMNS, fused=fused, answer="number")
    assert scorer.dictionaries == COLUMNS.categorical


def test_a_model_tells_numbers_or_probabilities_and_is_fused_for_what_it_tells() -> None:
    columns = FeatureColumns(numeric=("load",), categorical=())
    rows = known_rows().select(["load"])
    frame = feature_frame(rows, columns).fillna(0.0)
    line = LinearRegression().fit(frame, 2.0 * frame["load"] + 1.0)
    assert fuse(line, columns) is None  # it has no probability to tell
    fused = fuse(line, columns, "number")
    assert fused is not None
    sound = rows.set_column(0, "load", rows["load"].fill_null(0.0))
    assert fused.answers(sound).tobytes() == line.predict(frame).tobytes()


def test_the_probe_set_leaves_out_what_a_model_refuses_or_has_no_number_for() -> None:
    columns = FeatureColumns(numeric=("load",), categorical=())
    loads = pa.table({"load": pa.array(np.linspace(-1.0, 1.0, 50))})
    model = LogisticRegression().fit(feature_frame(loads, columns), np.arange(50) > 20)
    probe = probe_rows(model, [loads, loads], columns)
    assert probe["load"].to_pylist()[100:] == [0.0, -1.0, 1e-300, 1e300, -1e300]  # none is missing
    line = LinearRegression().fit(feature_frame(loads, columns), 1e9 * np.arange(50))
    probe = probe_rows(line, [loads], columns, "number")
    assert probe["load"].to_pylist()[50:] == [0.0, -1.0, 1e-300]  # those beyond are infinite


@pytest.mark.parametrize("cut", [0, 1, 3_001, 5_000])
def test_the_probe_set_is_taken_evenly_from_all_rows_wherever_they_are_parted(cut: int) -> None:
    columns = FeatureColumns(numeric=("load",), categorical=())
    loads = pa.table({"load": np.arange(5_000.0)})
    line = LinearRegression().fit(feature_frame(loads, columns), np.arange(5_000.0))
    probe = probe_rows(line, [loads.slice(0, cut), loads.slice(cut)], columns, "number")
    assert probe["load"].to_pylist()[:1_667] == list(range(0, 5_000, 3))
    assert probe.num_rows <= 1_667 + 7
