"""Refits: what each teaches and compares, on rows small enough to check by eye."""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.domain.examination import CurvePoint
from pipelines.domain.prediction_kinds import BINARY, REGRESSION, Kind
from pipelines.domain.refits import (
    Lesson,
    learning_curve,
    ranked_alone,
    reproduced,
    seed_losses,
    shuffled_skill,
)
from pipelines.domain.training import FeatureColumns

COLUMNS = FeatureColumns(numeric=("load",), categorical=("family",))


class ByLoad:
    """Predicts the share of positives among taught rows of a like load, moved by its seed."""

    def __init__(self, seed: int = 0) -> None:
        self.moved = 0.01 * (seed % 3)
        self.shares = (0.5, 0.5)

    def fit(self, frame: Any, label: npt.NDArray[Any]) -> "ByLoad":  # noqa: ANN401 - pandas
        high = frame["load"].to_numpy() > 0.5
        self.shares = (float(label[~high].mean()), float(label[high].mean()))
        return self

    def predict_proba(self, frame: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - pandas
        high = frame["load"].to_numpy() > 0.5
        said = np.clip(np.where(high, self.shares[1], self.shares[0]) + self.moved, 0, 1)
        return np.column_stack([1 - said, said])


class School:
    """Teaches ByLoad, and remembers the lessons."""

    def __init__(self) -> None:
        self.lessons: list[tuple[int, int, list[int]]] = []

    def __call__(self, rows: pa.Table, label: npt.NDArray[Any], seed: int) -> ByLoad:
        from pipelines.domain.training import feature_frame

        self.lessons.append((rows.num_rows, seed, label.tolist()))
        return ByLoad(seed).fit(feature_frame(rows, COLUMNS), label)


def lesson(days: int, rows_a_day: int = 20, first: int = 1) -> Lesson:
    chance = random.Random(first)  # noqa: S311 - made-up data, the same each time
    load, family, label, blocks = [], [], [], []
    for day in range(days):
        for row in range(rows_a_day):
            load.append(chance.random())
            family.append("AB"[row % 2])
            label.append(int(chance.random() < (0.9 if load[-1] > 0.5 else 0.1)))
            blocks.append(f"2013-{first:02}-{1 + day:02}")
    return Lesson(
        rows=pa.table({"load": load, "family": family}),
        label=np.asarray(label, np.int8),
        blocks=blocks,
    )


TRAINING, HELD_OUT = lesson(24), lesson(28, first=2)


def test_other_seeds_are_taught_the_same_rows_and_labels() -> None:
    school = School()
    found = seed_losses(school, TRAINING, HELD_OUT, COLUMNS, seed=7)
    assert [each.seed for each in found] == [8, 9, 10, 11]
    assert [taught[:2] for taught in school.lessons] == [(480, 8), (480, 9), (480, 10), (480, 11)]
    assert all(taught[2] == TRAINING.label.tolist() for taught in school.lessons)
    # 9 and 7 leave the same remainder by 3, so ByLoad makes equal models of 8 and 11.
    assert found[0].loss == found[3].loss != found[1].loss


def test_the_curve_learns_from_the_latest_days_and_ends_with_the_challenger() -> None:
    school = School()
    said = ByLoad().fit(TRAINING.rows.to_pandas(), TRAINING.label)
    whole = said.predict_proba(HELD_OUT.rows.to_pandas())[:, 1]
    found = learning_curve(school, TRAINING, HELD_OUT, COLUMNS, seed=7, said=whole)
    assert [(each.blocks, each.rows) for each in found] == [(6, 120), (12, 240), (24, 480)]
    assert school.lessons[0][2] == TRAINING.label[-120:].tolist()
    assert isinstance(found[-1], CurvePoint)
    assert found[-1].loss == pytest.approx(0.33, abs=0.05)


def test_a_part_of_one_class_teaches_nothing() -> None:
    label = TRAINING.label.copy()
    label[-120:] = 0
    one_class = Lesson(rows=TRAINING.rows, label=label, blocks=TRAINING.blocks)
    said = np.full(len(HELD_OUT.label), 0.5)
    found = learning_curve(School(), one_class, HELD_OUT, COLUMNS, seed=7, said=said)
    assert [each.blocks for each in found] == [12, 24]


def test_shuffled_labels_teach_no_skill_and_a_model_that_knows_anyway_is_seen() -> None:
    school = School()
    baseline = np.full(len(HELD_OUT.label), TRAINING.label.mean())
    _, shuffles = shuffled_skill(school, TRAINING, HELD_OUT, COLUMNS, seed=7, baseline=baseline)
    assert len({tuple(taught[2]) for taught in school.lessons}) == len(shuffles) == 4
    for _, seed, labels in school.lessons:
        assert seed == 7
        assert sorted(labels) == sorted(TRAINING.label.tolist())
        assert labels != TRAINING.label.tolist()
    # What a shuffle resembles by luck goes both ways.
    assert min(shuffles) < 0
    assert max(shuffles) < 0.1

    def knows(rows: pa.Table, label: npt.NDArray[Any], seed: int) -> ByLoad:
        return School()(TRAINING.rows, TRAINING.label, seed)

    leaked, each = shuffled_skill(knows, TRAINING, HELD_OUT, COLUMNS, seed=7, baseline=baseline)
    assert leaked is not None
    assert leaked.at_least(0.99) > 0.2
    assert leaked.estimate == pytest.approx(np.mean(each))


def test_a_model_fitted_again_is_compared_bit_by_bit() -> None:
    expected = ByLoad(6).fit(TRAINING.rows.to_pandas(), TRAINING.label)
    said = expected.predict_proba(HELD_OUT.rows.to_pandas())[:, 1]
    same = reproduced(School(), TRAINING, COLUMNS, seed=6, probe=HELD_OUT.rows, expected=said)
    assert (same.rows, same.differing, same.largest) == (560, 0, 0.0)
    said[3] = np.nextafter(said[3], 1)
    other = reproduced(School(), TRAINING, COLUMNS, seed=6, probe=HELD_OUT.rows, expected=said)
    assert other.differing == 1
    assert 0 < other.largest < 1e-15


def test_each_feature_is_ranked_alone_whichever_way_round() -> None:
    turned = pa.array([-value for value in HELD_OUT.rows["load"].to_pylist()])
    held_out = Lesson(
        rows=HELD_OUT.rows.set_column(0, "load", turned),
        label=HELD_OUT.label,
        blocks=HELD_OUT.blocks,
    )
    straight, other = (ranked_alone(each, TRAINING, COLUMNS) for each in (HELD_OUT, held_out))
    assert straight["load"] == pytest.approx(other["load"])
    assert straight["load"] > 0.8
    assert 0.5 <= straight["family"] < 0.6


def test_a_text_ranks_by_what_it_meant_in_training_and_gaps_are_taken() -> None:
    columns = FeatureColumns(numeric=("load",), categorical=("family",))
    training = Lesson(
        rows=pa.table({"load": [1.0, 2.0, 3.0, 4.0], "family": ["good", "good", "bad", None]}),
        label=np.asarray([1, 1, 0, 0], np.int8),
        blocks=["1"] * 4,
    )
    held_out = Lesson(
        rows=pa.table(
            {"load": [None, float("inf"), 1.0, 2.0], "family": ["good", "never seen", "bad", None]}
        ),
        label=np.asarray([1, 0, 0, 0], np.int8),
        blocks=["2"] * 4,
    )
    assert ranked_alone(held_out, training, columns) == {"load": 1.0, "family": 1.0}


@pytest.mark.parametrize("kind", [BINARY, REGRESSION], ids=lambda kind: kind.name)
def test_held_out_rows_of_one_kind_tell_of_no_feature_how_it_ranks(kind: Kind) -> None:
    none = Lesson(rows=HELD_OUT.rows, label=np.zeros_like(HELD_OUT.label), blocks=HELD_OUT.blocks)
    assert ranked_alone(none, TRAINING, COLUMNS, kind) == {}


def test_more_rows_than_the_budget_are_thinned_evenly() -> None:
    assert TRAINING.thinned(480) is TRAINING
    thinned = TRAINING.thinned(200)
    assert len(thinned.label) == thinned.rows.num_rows == len(thinned.blocks) == 160
    assert thinned.rows["load"].to_pylist() == TRAINING.rows["load"].to_pylist()[::3]
    assert thinned.label.tolist() == TRAINING.label.tolist()[::3]
