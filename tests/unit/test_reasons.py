"""Reasons: single-feature ablation, against arithmetic done by hand and exact linear models."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.reasons import ROWS_AT_ONCE, Value, reasons

ROWS = pa.table(
    {
        "rate": pa.array([0.12, 0.01]),
        "stays": pa.array([3, 2]),
        "urgent": pa.array([True, None]),
        "airline": pa.array(["9E", None]),
    }
)
REFERENCE: dict[str, Value] = {"rate": 0.01, "stays": 1.5, "urgent": 0.0, "airline": "UA"}


def predict(rows: pa.Table) -> np.ndarray:
    """Answer 0.2 + rate + 0.1 stays, plus 0.05 where urgent, minus 0.02 for airline 9E."""
    urgent = np.nan_to_num(rows["urgent"].to_numpy())
    is_9e = np.array([airline == "9E" for airline in rows["airline"].to_pylist()])
    found: np.ndarray = (
        0.2
        + rows["rate"].to_numpy()
        + 0.1 * rows["stays"].to_numpy()
        + 0.05 * urgent
        - 0.02 * is_9e
    )
    return found


def test_reasons_are_the_changes_by_hand_largest_first() -> None:
    first, second = reasons(predict, ROWS, REFERENCE, most=10)
    assert [reason.text for reason in first] == [
        "stays 3 instead of 1.5 raises it by 0.15",
        "rate 0.12 instead of 0.01 raises it by 0.11",
        "urgent true instead of false raises it by 0.05",
        "airline 9E instead of UA lowers it by 0.02",
    ]
    assert [reason.text for reason in second] == ["stays 2 instead of 1.5 raises it by 0.05"]


def test_only_as_many_as_asked_are_told_and_none_when_none_are_asked() -> None:
    assert [len(row) for row in reasons(predict, ROWS, REFERENCE, most=2)] == [2, 1]
    assert reasons(predict, ROWS, REFERENCE, most=0) == [(), ()]
    assert reasons(predict, ROWS.slice(0, 0), REFERENCE, most=3) == []


def test_an_effect_that_nobody_acts_on_is_not_told() -> None:
    def small(found: pa.Table) -> np.ndarray:
        summed: np.ndarray = 0.0009 * found["a"].to_numpy() - 0.0011 * found["b"].to_numpy()
        return summed

    rows = pa.table({"a": [1.0], "b": [1.0]})
    (row,) = reasons(small, rows, {"a": 0.0, "b": 0.0}, most=2)
    assert [reason.text for reason in row] == ["b 1 instead of 0 lowers it by 0.0011"]


def test_of_equal_effects_the_first_feature_of_the_reference_comes_first() -> None:
    rows = pa.table({"b": [1.0], "a": [1.0]})

    def both(found: pa.Table) -> np.ndarray:
        summed: np.ndarray = found["a"].to_numpy() + found["b"].to_numpy()
        return summed

    for order in (["a", "b"], ["b", "a"]):
        (row,) = reasons(both, rows, dict.fromkeys(order, 0.0), most=2)
        assert [reason.feature for reason in row] == order


def test_a_missing_value_is_told_as_missing_and_becomes_json() -> None:
    rows = pa.table({"rate": pa.array([None, float("nan")], pa.float64())})

    def known(found: pa.Table) -> np.ndarray:
        filled = found["rate"].to_pandas().fillna(9.0)
        return np.asarray(filled)

    for (reason,) in reasons(known, rows, {"rate": 1.0}, most=1):
        assert reason.text == "rate (missing) instead of 1 raises it by 8"
        assert json.loads(json.dumps(reason.to_plain(), allow_nan=False))["value"] is None


def test_a_feature_that_the_model_does_not_read_is_no_reason() -> None:
    ignored: dict[str, Value] = {**REFERENCE, "absent": 1.0}
    assert reasons(predict, ROWS, ignored, most=10) == reasons(predict, ROWS, REFERENCE, most=10)


def test_it_costs_at_most_one_prediction_per_row_and_feature_and_one_more() -> None:
    asked = []

    def counting(found: pa.Table) -> np.ndarray:
        asked.append(found.num_rows)
        return predict(found)

    many = pa.concat_tables([ROWS] * ROWS_AT_ONCE)
    assert reasons(counting, many, REFERENCE, most=3) == reasons(
        predict, ROWS, REFERENCE, most=3
    ) * (ROWS_AT_ONCE)
    assert sum(asked) == many.num_rows * (len(REFERENCE) + 1)
    assert max(asked) == ROWS_AT_ONCE * (len(REFERENCE) + 1)


@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
)
def test_of_a_linear_model_the_effect_is_weight_times_distance(
    weights: list[float], values: list[float], usual: list[float]
) -> None:
    names = ["a", "b", "c"]
    rows = pa.table({name: [value] for name, value in zip(names, values, strict=True)})

    def linear(found: pa.Table) -> np.ndarray:
        columns = [found[name].to_numpy() * w for name, w in zip(names, weights, strict=True)]
        return np.asarray(np.sum(columns, axis=0))

    (row,) = reasons(linear, rows, dict(zip(names, usual, strict=True)), most=3, least=0)
    expected = {n: w * (v - u) for n, w, v, u in zip(names, weights, values, usual, strict=True)}
    for reason in row:
        assert reason.effect == pytest.approx(expected[reason.feature], abs=1e-12)
    left_out = set(names) - {reason.feature for reason in row}
    assert all(abs(expected[name]) < 1e-12 for name in left_out)
    assert [abs(r.effect) for r in row] == sorted((abs(r.effect) for r in row), reverse=True)
