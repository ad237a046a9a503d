"""Expected value: what a list captures of what could be had, by hand; which rows no list can place."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.evidence_figures import build_blocks, build_metrics
from pipelines.domain.expected_value import BlockValue, Ranked, RankedList, captured
from pipelines.domain.predicted import predict
from pipelines.domain.probe import Scorer
from pipelines.domain.training import (
    Baseline,
    FeatureColumns,
)
from pipelines.errors import HeadframeError


def listed(count: int, value: list[float], group: list[object] | None = None) -> Ranked:
    return Ranked(
        listed=RankedList(count=count),
        value=np.asarray(value),
        group=group or [()] * len(value),
    )


def test_the_value_that_a_list_captures_is_that_of_its_rows_that_came_true() -> None:
    # Expected values 50, 90, 8, 40 of the first day: the list holds the second and the first row.
    found = captured(
        label=[1, 0, 1, 1, 1, 1],
        probability=[0.5, 0.9, 0.8, 0.2, 0.1, 0.2],
        blocks=["a", "a", "a", "a", "b", "b"],
        ranked=listed(2, [100.0, 100.0, 10.0, 200.0, 70.0, 30.0]),
    )
    assert found == {
        "a": BlockValue(rows=4, captured=100.0, best=300.0),
        "b": BlockValue(rows=2, captured=100.0, best=100.0),
    }
    assert found["a"].missed == pytest.approx(2 / 3)
    assert found["b"].missed == 0.0


def test_a_list_per_group_takes_its_length_from_each() -> None:
    label, probability, value = [1, 1, 1], [0.9, 0.8, 0.1], [10.0, 20.0, 30.0]
    one = captured(label, probability, ["a"] * 3, listed(1, value))
    each = captured(label, probability, ["a"] * 3, listed(1, value, ["n", "n", "s"]))
    assert (one["a"].captured, one["a"].best) == (20.0, 30.0)
    assert (each["a"].captured, each["a"].best) == (50.0, 50.0)


def test_equal_expected_values_go_by_the_order_of_the_rows_as_lists_go_by_key() -> None:
    first = captured([1, 0], [0.5, 0.5], ["a", "a"], listed(1, [10.0, 10.0]))
    second = captured([0, 1], [0.5, 0.5], ["a", "a"], listed(1, [10.0, 10.0]))
    assert (first["a"].missed, second["a"].missed) == (0.0, 1.0)


@pytest.mark.parametrize("unusable", [float("nan"), -5.0, float("inf"), float("-inf")])
def test_a_row_without_a_usable_value_is_on_no_list_and_worth_nothing(unusable: float) -> None:
    found = captured([1, 1], [1.0, 0.5], ["a", "a"], listed(1, [unusable, 10.0]))
    assert found["a"] == BlockValue(rows=2, captured=10.0, best=10.0)


def test_where_nothing_could_be_had_nothing_was_missed() -> None:
    found = captured([0, 0], [0.5, 0.5], ["a", "a"], listed(1, [10.0, 20.0]))
    assert found["a"].missed == 0.0


def test_the_share_of_positives_lists_the_largest_values_first() -> None:
    drawn = np.random.default_rng(3)
    value, label = drawn.lognormal(size=60), drawn.integers(0, 2, 60)
    blocks = [f"d{n // 20}" for n in range(60)]
    constant = Baseline.of("prior_rate", label).predict(60)
    by_value = captured(label, value / value.max(), blocks, listed(5, [1.0] * 60))
    by_rate = captured(label, constant, blocks, listed(5, value.tolist()))
    for block in by_rate:
        rows = [n for n in range(60) if blocks[n] == block]
        largest = sorted(rows, key=lambda n: -value[n])[:5]
        assert by_rate[block].captured == pytest.approx(sum(value[n] * label[n] for n in largest))
        assert by_value[block].captured == sum(label[n] for n in largest)


def test_what_is_not_of_the_same_rows_is_no_list() -> None:
    with pytest.raises(HeadframeError, match="2, 2, 2, 1, 1 of them"):
        captured([1, 0], [0.5, 0.5], ["a", "a"], listed(1, [10.0]))


def test_blocks_and_metrics_of_a_ranking_hold_what_its_lists_missed() -> None:
    label, probability, blocks = [1, 0, 1, 1], [0.9, 0.4, 0.2, 0.6], ["a", "a", "b", "b"]
    ranked = listed(1, [10.0, 30.0, 40.0, 10.0])
    (first, second) = build_blocks(label, {"challenger": probability}, blocks, ranked=ranked)
    assert first.losses["challenger"]["missed_value"] == 1.0
    assert second.losses["challenger"]["missed_value"] == 0.0
    assert set(first.losses["challenger"]) == {"log_loss", "brier", "missed_value"}
    found = build_metrics(label, {"challenger": probability}, blocks, ranked=ranked)["challenger"]
    assert found["missed_value"].estimate == 0.5
    # Of 50 that could be had, the lists captured 40: a day counts by what could be had on it.
    assert found["captured_value"].estimate == 0.8


class Says:
    """A model that says of each row what its first feature holds."""

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803 - sklearn's names
        said = X.iloc[:, 0].to_numpy()
        return np.column_stack([1 - said, said])

    def predict(self, X: Any) -> np.ndarray:  # noqa: ANN401, N803 - as above
        return np.asarray(X.iloc[:, 0].to_numpy())


SAID = FeatureColumns(numeric=("said",), categorical=())


def test_rows_that_no_list_could_place_are_refused_with_the_reason() -> None:
    rows = pa.table(
        {
            "offer": ["a", "b", "c", "d", "e", "f"],
            "said": [0.5, 0.5, 0.5, 0.5, 2.0, 0.25],
            "amount": [10.0, None, -1.0, float("inf"), 5.0, 4.0],
        }
    )
    scorer = Scorer(model=Says(), columns=SAID, fused=None)
    found = predict(rows, scorer, (), value="amount")
    assert found.rows["offer"].to_pylist() == ["a", "f"]
    assert found.value is not None
    assert (found.prediction * found.value).tolist() == [5.0, 1.0]
    assert dict(
        zip(found.refused["offer"].to_pylist(), found.reasons.to_pylist(), strict=True)
    ) == {
        "b": "value amount is missing",
        "c": "value amount is negative",
        "d": "value amount is infinite",
        "e": "the model's answer is not a number in [0, 1]",
    }


def test_a_whole_number_is_a_value_too() -> None:
    rows = pa.table({"said": [0.5, 0.5], "amount": pa.array([3, None], pa.int64())})
    found = predict(rows, Scorer(model=Says(), columns=SAID, fused=None), (), value="amount")
    assert found.value is not None
    assert found.value.tolist() == [3.0]
    assert found.reasons.to_pylist() == ["value amount is missing"]


def test_a_number_may_be_any_finite_one_before_and_after_the_rules() -> None:
    rows = pa.table({"said": [-4.0, 250.0, 17.0, None]})
    scorer = Scorer(model=Says(), columns=SAID, fused=None, answer="number")
    rule = BusinessRule("floor", owner="o", when="prediction < 0", then="0", reason="r")
    far = BusinessRule("far", owner="o", when="prediction = 17", then="1e308 * 100", reason="r")
    cap = BusinessRule("cap", owner="o", when="prediction > 200", then="200", reason="r")
    found = predict(rows, scorer, (rule, cap, far))
    assert found.prediction.tolist() == [0.0, 200.0]
    assert found.raw.tolist() == [-4.0, 250.0]
    assert found.reasons.to_pylist() == [
        "business rule 'far': not a finite number",
        "the model's answer is not a finite number",
    ]
    bounded = Scorer(model=Says(), columns=SAID, fused=None)
    assert predict(rows, bounded, ()).rows.num_rows == 0
