"""Searches: spaces, shares of candidates, folds, weights, and which trial is best."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.adapters.models import search_record
from pipelines.adapters.models.trusted_types import (
    TRUSTED_TYPES,
    refuse_untrusted,
    requirements,
)
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.search import (
    FoldRows,
    Searched,
    SearchPlan,
    Trial,
    baseline_loss,
    running_loss,
)
from pipelines.domain.search_space import (
    Choice,
    IntUniform,
    LogUniform,
    Space,
    Uniform,
    defaults,
    unknown_parameters,
)
from pipelines.domain.training import (
    Asked,
    Candidate,
    FeatureColumns,
    Training,
    feature_frame,
    fit,
    frame_probability,
)
from pipelines.domain.training_problems import asked_problems, training_problems
from pipelines.domain.weights import ByColumn, Recent
from pipelines.domain.windows import (
    ForwardTime,
    Sliding,
    forward_split,
    validation_folds,
    windowed,
)
from pipelines.errors import DeclarationError, NotEnoughData
from tests.goldens import assert_golden

COLUMNS = FeatureColumns(numeric=("x",), categorical=())


def trees(columns: FeatureColumns, seed: int, rate: float = 0.1, depth: int = 3) -> object:
    raise NotImplementedError


def anything(columns: FeatureColumns, seed: int, **more: object) -> object:
    raise NotImplementedError


def fixed(columns: FeatureColumns, seed: int) -> object:
    raise NotImplementedError


SPACE: dict[str, Space] = {"rate": LogUniform(0.001, 1.0), "depth": IntUniform(1, 9)}
TRAINING = Training(
    start=datetime(2026, 1, 1, tzinfo=UTC),
    split=ForwardTime(test_days=28, validation_days=14),
    candidates=[Candidate("trees", trees, SPACE)],
)


@pytest.mark.parametrize(
    ("space", "holds", "not_"),
    [
        (Uniform(0.0, 1.0), [0.0, 0.5, 1, 1.0], [-0.1, 1.1, "a", None, math.nan]),
        (LogUniform(0.1, 10.0), [0.1, 1, 10.0], [0.0, 11, "a", math.nan]),
        (IntUniform(1, 5), [1, 5], [0, 6, 2.0, True, "1"]),
        (Choice(["a", None, 1]), ["a", None, 1], ["b", 1.0, True]),
    ],
)
def test_a_space_holds_what_a_search_may_draw_and_nothing_else(
    space: Space, holds: list[object], not_: list[object]
) -> None:
    assert [value for value in holds if not space.holds(value)] == []
    assert [value for value in not_ if space.holds(value)] == []


def test_defaults_count_only_when_the_search_could_draw_all_of_them() -> None:
    assert defaults(trees, SPACE) == {"rate": 0.1, "depth": 3}
    assert defaults(trees, {"depth": IntUniform(4, 9)}) == {}
    assert defaults(anything, {"depth": IntUniform(1, 9)}) == {}


def test_a_space_names_parameters_that_the_function_takes_by_name() -> None:
    assert unknown_parameters(trees, {**SPACE, "dept": IntUniform(1, 2)}) == ["dept"]
    assert unknown_parameters(trees, {"seed": IntUniform(1, 2)}) == ["seed"]
    assert unknown_parameters(anything, {"dept": IntUniform(1, 2)}) == []


@given(trials=st.integers(3, 60), varied=st.lists(st.booleans(), min_size=1, max_size=3))
@settings(deadline=None)
def test_every_trial_goes_to_a_candidate_that_can_use_it(
    *, trials: int, varied: list[bool]
) -> None:
    candidates = [
        Candidate(f"c{n}", trees, SPACE if varies else {}) for n, varies in enumerate(varied)
    ]
    shares = SearchPlan(
        key="", candidates=candidates, trials=trials, cpu_seconds=1.0, seed=7
    ).allotment()
    assert [shares[f"c{n}"] for n, varies in enumerate(varied) if not varies] == [
        1 for varies in varied if not varies
    ]
    of_varied = [shares[f"c{n}"] for n, varies in enumerate(varied) if varies]
    if of_varied:
        assert sum(shares.values()) == trials
        assert max(of_varied) - min(of_varied) <= 1
        assert min(of_varied) >= 1


def daily(count: int) -> list[tuple[datetime, datetime]]:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return ScoringTimes(at=time(5)).blocks(first, first + timedelta(days=count))


def test_folds_are_the_last_days_before_the_held_out_ones_and_learn_what_was_final() -> None:
    rule = ForwardTime(test_days=5, validation_days=4, folds=2)
    blocks, gap = daily(30), timedelta(hours=48)
    split = forward_split(blocks, rule, gap=gap)
    learnable = [block for block in blocks if block[0] in split.training]
    starts = [start for start, _ in blocks]
    first, second = validation_folds(learnable, rule, gap=gap, window="expanding")
    assert len(split.training) == 23  # two of 25 are not final when the first test day opens
    assert (first.validation, second.validation) == (tuple(starts[19:21]), tuple(starts[21:23]))
    assert (first.training, second.training) == (tuple(starts[:17]), tuple(starts[:19]))
    slid = validation_folds(learnable, rule, gap=gap, window=Sliding(10))
    assert slid[0].training == tuple(starts[7:17])
    assert windowed(split.training, Sliding(10)) == tuple(starts[13:23])


@given(
    count=st.integers(0, 60),
    test_days=st.integers(1, 10),
    validation_days=st.integers(1, 20),
    folds=st.integers(1, 5),
    gap_hours=st.integers(0, 24 * 5),
)
@settings(deadline=None, max_examples=100)
def test_no_fold_learns_from_a_label_that_was_open_or_is_judged_on_a_held_out_day(
    *, count: int, test_days: int, validation_days: int, folds: int, gap_hours: int
) -> None:
    rule = ForwardTime(test_days=test_days, validation_days=validation_days, folds=folds)
    blocks, gap = daily(count), timedelta(hours=gap_hours)
    split = forward_split(blocks, rule, gap=gap)
    ends = dict(blocks)
    learnable = [block for block in blocks if block[0] in split.training]
    found = validation_folds(learnable, rule, gap=gap, window="expanding")
    judged = [moment for fold in found for moment in fold.validation]
    assert len(found) == folds
    assert judged == list(split.training[-validation_days:])
    for fold in found:
        assert all(ends[start] + gap <= fold.validation[0] for start in fold.training)
        assert not set(fold.training) & set(fold.validation)


def rows(days: list[int], worth: list[float | None]) -> pa.Table:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in days]
    return pa.table({"as_of": pa.array(moments, pa.timestamp("us", tz="UTC")), "worth": worth})


def test_a_row_of_one_half_life_ago_counts_half() -> None:
    found = Recent(half_life_days=10.0).weigh(rows([0, 10, 20], [1.0, 1.0, 1.0]))
    assert found.tolist() == [0.25, 0.5, 1.0]


def test_a_row_counts_what_its_column_says_and_nothing_may_be_missing() -> None:
    assert ByColumn(column="worth").weigh(rows([0, 1], [2.0, 0.5])).tolist() == [2.0, 0.5]
    wrong: list[list[float | None]] = [[1.0, None], [1.0, 0.0], [-1.0, 1.0], [1.0, math.inf]]
    for worth in wrong:
        with pytest.raises(NotEnoughData, match="another value in 1 of 2 rows"):
            ByColumn(column="worth").weigh(rows([0, 1], worth))
    with pytest.raises(NotEnoughData, match="no such feature"):
        ByColumn(column="price").weigh(rows([0], [1.0]))


def logistic(columns: FeatureColumns, seed: int, strength: float = 1.0) -> Any:  # noqa: ANN401 - sklearn
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, random_state=seed)


def piped(columns: FeatureColumns, seed: int) -> Any:  # noqa: ANN401 - sklearn
    from sklearn.pipeline import make_pipeline

    return make_pipeline("passthrough", logistic(columns, seed))


@pytest.mark.parametrize("build", [logistic, piped])
def test_a_row_of_weight_two_is_as_good_as_two_rows(build: Callable[..., Any]) -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0], "worth": [1.0, 1.0, 2.0, 1.0]})
    label = np.asarray([0, 1, 0, 1])
    twice = table.take(pa.array([0, 1, 2, 2, 3]))
    weighted = fit(
        Candidate("a", build), table, label, COLUMNS, 7, weights=ByColumn(column="worth")
    )
    plain = fit(Candidate("a", build), twice, label[[0, 1, 2, 2, 3]], COLUMNS, 7)
    unweighted = fit(Candidate("a", build), table, label, COLUMNS, 7)
    slopes = [
        float((model.steps[-1][1] if build is piped else model).coef_[0][0])
        for model in (weighted, plain, unweighted)
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    assert slopes[0] != pytest.approx(slopes[2], rel=0.05)


def fold(happened: list[int], label: list[int]) -> FoldRows:
    learned = pd.DataFrame({"x": np.linspace(0.0, 1.0, len(label))})
    judged = pd.DataFrame({"x": np.linspace(0.0, 1.0, len(happened))})
    return FoldRows(
        learned=learned,
        label=np.asarray(label),
        weight=None,
        judged=judged,
        happened=np.asarray(happened),
    )


class Says:
    """Predicts the share of positives it was taught."""

    def fit(self, frame: pd.DataFrame, label: "np.ndarray") -> "Says":
        self.share = float(label.mean())
        return self

    def predict_proba(self, frame: pd.DataFrame) -> "np.ndarray":
        return np.column_stack([np.full(len(frame), p) for p in (1 - self.share, self.share)])


def test_the_loss_of_a_trial_is_the_mean_over_all_rows_judged_so_far() -> None:
    folds = [fold([1, 0, 0], [0, 0, 0, 1]), fold([1], [0, 1])]
    candidate = Candidate("says", lambda _columns, _seed: Says())
    losses = list(running_loss(candidate, {}, folds, columns=COLUMNS, seed=7, loss="brier"))
    first = (0.75**2 + 2 * 0.25**2) / 3
    assert losses == pytest.approx([first, (3 * first + 0.25) / 4])
    assert baseline_loss(folds, "brier") == pytest.approx(losses[-1]), "the rate is the baseline"


def trial(place: int, **changes: Any) -> Trial:  # noqa: ANN401 - any field of a trial
    plain = Trial(candidate="trees", place=place, state="finished", parameters={"depth": place})
    return replace(plain, **changes)


def searched(*trials: Trial, baseline: float = 0.6) -> Searched:
    plan = SearchPlan(
        key="k",
        candidates=[Candidate("trees", trees, SPACE), Candidate("other", trees, SPACE)],
        trials=6,
        cpu_seconds=60.0,
        seed=7,
    )
    return Searched(plan=plan, trials=trials, baseline=baseline, loss="log_loss")


def test_the_best_trial_finished_and_is_the_first_of_equals() -> None:
    found = searched(
        trial(0, candidate="other", loss=0.4),
        trial(1, loss=0.5),
        trial(2, loss=0.4),
        trial(3, loss=0.4),
        trial(4, loss=0.1, state="pruned"),
        trial(5, loss=0.1, state="killed"),
    )
    assert found.best == trial(2, loss=0.4)
    assert searched(trial(0, state="failed")).best is None


def test_a_search_says_what_was_tried_spent_and_found() -> None:
    told = searched(
        trial(0, loss=0.51234, cpu_seconds=1.25),
        trial(1, loss=0.7, state="pruned", cpu_seconds=0.5),
        trial(2, state="failed", reason="ValueError"),
        trial(3, state="killed", cpu_seconds=0.25),
        trial(3, state="waiting"),
    )
    assert told.describe() == (
        "1 of 6 trials finished, 1 pruned, 1 failed, 1 killed, 1 waiting (ValueError); "
        "2.0 of 60 CPU s; best log_loss 0.5123 on the validation blocks (baseline 0.6000): "
        "trees depth=0"
    )
    assert "no trial beats the baseline" in replace(told, baseline=0.5).describe()


def test_a_model_keeps_how_many_trials_its_search_had_left() -> None:
    all_made = searched(trial(0, loss=0.5), trial(1, state="killed"), trial(1, loss=0.6))
    assert search_record.LEFT not in search_record.tags("trees", {"depth": 0}, all_made)
    ended = searched(trial(0, loss=0.5), trial(1, state="waiting"), trial(2, state="waiting"))
    assert search_record.tags("trees", {"depth": 0}, ended)[search_record.LEFT] == "2"


def test_what_is_asked_for_takes_the_place_of_what_is_declared() -> None:
    two = replace(TRAINING, candidates=[*TRAINING.candidates, Candidate("fixed", fixed)])
    asked = Asked(candidates=("fixed",), window_days=30, trials=3).of(two)
    assert [candidate.name for candidate in asked.candidates] == ["fixed"]
    assert (asked.window, asked.trials, asked.searches) == (Sliding(30), 3, False)
    assert Asked().of(two) == two
    near = r"expected some of trees, fixed; found tree \(did you mean 'trees'\?\), x\."
    with pytest.raises(DeclarationError, match=near):
        Asked(candidates=("tree", "x")).of(two)


def test_trials_are_asked_for_only_where_there_is_something_to_search() -> None:
    two = replace(TRAINING, candidates=[*TRAINING.candidates, Candidate("fixed", fixed)])
    plain = replace(TRAINING, candidates=[Candidate("fixed", fixed)])

    def said(asked: Asked, declared: Training) -> list[str]:
        return [str(problem) for problem in asked_problems(asked, declared, "t")]

    idle = [
        "t, trials: expected 0, since no candidate that is tried has a space to search; found 3.\n"
        "  Leave trials out, or declare what to vary: Candidate(..., {'depth': IntUniform(2, 8)})."
    ]
    assert said(Asked(trials=3), plain) == idle
    assert said(Asked(candidates=("fixed",), trials=3), two) == idle
    for fine in (Asked(), Asked(trials=0), Asked(trials=plain.trials), Asked(window_days=30)):
        assert said(fine, plain) == []
    assert said(Asked(candidates=("trees",), trials=3), two) == []
    assert said(Asked(candidates=("fixed",)), two) == []
    assert said(Asked(trials=-1), plain) == list(
        map(str, training_problems(replace(plain, trials=-1), "t"))
    )


def test_nothing_to_choose_from_or_no_trial_is_no_search() -> None:
    assert TRAINING.searches
    assert not replace(TRAINING, trials=0).searches
    assert not replace(TRAINING, candidates=[Candidate("fixed", fixed)]).searches
    assert list(training_problems(replace(TRAINING, trials=0), "t")) == []


WRONG: dict[str, Training] = {
    "spaces": replace(
        TRAINING,
        candidates=[
            Candidate("Trees", trees, {"rate": LogUniform(0.0, 1.0), "dept": IntUniform(5, 5)}),
            Candidate("trees", trees, {"depth": Choice([1]), "rate": Uniform(0.0, math.inf)}),
            Candidate("trees", trees, {"depth": IntUniform(1.5, 2)}),  # type: ignore[arg-type]
        ],
    ),
    "search": replace(
        TRAINING,
        candidates=[*TRAINING.candidates, Candidate("fixed", fixed)],
        split=ForwardTime(test_days=28, validation_days=6),
        trials=1,
        cpu_seconds=0.0,
        tuning_tasks=2,
        loss="auc",  # type: ignore[arg-type]
    ),
    "window": replace(
        TRAINING,
        window=Sliding(19),
        split=ForwardTime(test_days=28, validation_days=7, folds=8),
        weights="recent",  # type: ignore[arg-type]
        trials=-1,
    ),
    "folds": replace(TRAINING, split=ForwardTime(test_days=28, validation_days=7, folds=8)),
    "several_without_trials": replace(
        TRAINING, candidates=[*TRAINING.candidates, Candidate("fixed", fixed)], trials=0
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_training_reports_all_its_problems_as_the_golden_text_says(name: str) -> None:
    problems = training_problems(WRONG[name], "training")
    assert_golden(f"declarations/training_{name}", "\n".join(str(found) for found in problems))


def test_texts_reach_an_estimator_as_objects_and_missing_ones_as_a_category() -> None:
    columns = FeatureColumns(numeric=("x",), categorical=("c",))
    frame = feature_frame(
        pa.table({"c": ["a", None], "x": pa.array([1, None], pa.int64())}), columns
    )
    assert [str(kind) for kind in frame.dtypes] == ["float64", "object"]
    assert frame["c"].tolist() == ["a", ""]
    assert frame["x"].tolist() == [1.0, pytest.approx(math.nan, nan_ok=True)]


def test_a_lightgbm_model_is_trusted_and_names_its_package() -> None:
    import lightgbm
    import skops.io

    candidate = Candidate(
        "trees",
        lambda _columns, seed, leaves=7: lightgbm.LGBMClassifier(
            num_leaves=leaves, n_estimators=5, random_state=seed, n_jobs=1, verbose=-1
        ),
    )
    table = pa.table({"x": np.linspace(0.0, 1.0, 200)})
    label = (table["x"].to_numpy() > 0.5).astype("int8")
    model = fit(candidate, table, label, COLUMNS, 7, parameters={"leaves": 3})
    refuse_untrusted(model, "shop")
    assert f"lightgbm=={lightgbm.__version__}" in requirements(model)
    kept = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    said = [frame_probability(one, feature_frame(table, COLUMNS)).tolist() for one in (kept, model)]
    assert said[0] == said[1]
