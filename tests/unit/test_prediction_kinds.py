"""Kinds of prediction: a condition, a ranking by expected value, a number; each judged by hand."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC

from pipelines.adapters.models.known import rehearse
from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.digest import canonical, digest_of
from pipelines.domain.evidence_figures import build_metrics
from pipelines.domain.examine import LEAKAGE, SEEDS, Subject, examine
from pipelines.domain.expected_value import RankedList, Value
from pipelines.domain.features import KnownTables, feature_digest, features
from pipelines.domain.kind_problems import kind_problems
from pipelines.domain.labels import Label
from pipelines.domain.metric import METRICS
from pipelines.domain.metrics import Interval, row_losses
from pipelines.domain.outputs import CsvFile, TopN, ranked_list, shown_columns
from pipelines.domain.prediction_kinds import BINARY, KINDS, RANKING, REGRESSION
from pipelines.domain.probe import Scorer
from pipelines.domain.refits import Lesson
from pipelines.domain.training import (
    Baseline,
    Candidate,
    FeatureColumns,
    Training,
    answers,
    feature_frame,
    refuse_other_answers,
)
from pipelines.domain.windows import ForwardTime
from pipelines.errors import DeclarationError, HeadframeError
from pipelines.use_case import (
    BeatsBaseline,
    BeatsChampion,
    Calibrated,
    NoLeakage,
    NoWorseOnSegment,
    StableAcrossSeeds,
)
from tests.examined import SOUND, estimated, evidence_with
from tests.goldens import assert_golden

OFFERS = Table(
    name="offers",
    source=Files(pattern="offers/*.csv"),
    columns=[
        Column("offer", "string"), Column("amount", "double"), Column("minutes", "double"),
        Column("made_at", "timestamp[UTC]"),
    ],
    key=("offer",),
    event_time="made_at",
)  # fmt: skip
WON = Label(
    name="won",
    table=OFFERS,
    rule="amount > 5",
    expected_after=timedelta(days=1),
    final_after=timedelta(days=2),
)
WORTH = dataclasses.replace(WON, value=Value("amount", "USD"))
HANDLING = dataclasses.replace(WON, name="handling", rule="minutes", unit="minutes")
FIVE = TopN(5, name="five", consumer="sales", by="expected_value")
COLUMNS = FeatureColumns(numeric=("amount",), categorical=())


@features(entity=OFFERS)
def described(known: KnownTables) -> Any:  # noqa: ANN401 - a DuckDB relation
    return known.sql("select offer, amount from asked")


def test_the_label_says_what_kind_of_prediction_it_is() -> None:
    assert (WON.kind, WORTH.kind, HANDLING.kind) == (BINARY, RANKING, REGRESSION)
    assert {kind.answer for kind in (BINARY, RANKING)} == {"probability"}
    assert REGRESSION.answer == "number"


def test_a_label_that_says_nothing_new_keeps_its_digest() -> None:
    assert set(canonical(WON)) == {
        "type", "name", "table", "rule", "expected_after", "final_after",
    }  # fmt: skip
    digests = {digest_of(label) for label in (WON, WORTH, HANDLING)}
    digests.add(digest_of(dataclasses.replace(WORTH, value=Value("amount", "EUR"))))
    digests.add(digest_of(dataclasses.replace(HANDLING, unit="hours")))
    assert len(digests) == 5


def test_a_unit_makes_other_feature_rows_and_a_value_does_not() -> None:
    hours = dataclasses.replace(WON, unit="hours")
    assert feature_digest(described, WORTH) == feature_digest(described, WON)
    assert feature_digest(described, hours) != feature_digest(described, WON)


def test_every_kind_is_judged_by_metrics_that_exist() -> None:
    for kind in KINDS.values():
        assert {*kind.compared, kind.loss} <= {*METRICS}
        assert kind.loss in kind.losses
        assert all(METRICS[name].better == "lower" for name in kind.compared)


def test_errors_of_numbers_are_the_distance_and_its_square() -> None:
    label, predicted = [12.0, 3.0, -1.0], [10.0, 3.0, 1.5]
    assert row_losses("absolute_error", label, predicted).tolist() == [2.0, 0.0, 2.5]
    assert row_losses("squared_error", label, predicted).tolist() == [4.0, 0.0, 6.25]


@pytest.mark.parametrize(
    ("label", "predicted"),
    [([1.0], [float("nan")]), ([float("inf")], [1.0]), ([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])],
)
def test_an_error_of_what_is_no_number_is_refused(label: Any, predicted: Any) -> None:  # noqa: ANN401 - nonsense
    with pytest.raises(HeadframeError, match=r"finite number|one length"):
        row_losses("absolute_error", label, predicted)


def test_metrics_of_numbers_have_intervals_over_blocks() -> None:
    blocks = [f"d{n // 3:02}" for n in range(75)]
    label = np.arange(75.0)
    found = build_metrics(
        label, {"challenger": label + 2.0, "baseline": label - 3.0}, blocks, kind=REGRESSION
    )
    assert set(found["challenger"]) == {"absolute_error", "squared_error"}
    error = found["challenger"]["absolute_error"]
    assert isinstance(error, Interval)
    assert (error.low, error.estimate, error.high) == (2.0, 2.0, 2.0)
    assert found["baseline"]["squared_error"].estimate == 9.0


def test_units_of_metrics_are_those_of_the_label() -> None:
    assert METRICS["absolute_error"].of("minutes").unit == "minutes"
    assert METRICS["squared_error"].of("minutes").unit == "squared minutes"
    assert METRICS["log_loss"].of("minutes").unit == "nats"


def test_baselines_are_the_share_the_mean_and_the_median() -> None:
    assert Baseline.of("prior_rate", np.asarray([1, 0, 0, 0])).predict(2).tolist() == [0.25, 0.25]
    numbers = np.asarray([1.0, 2.0, 30.0])
    assert Baseline.of("mean", numbers).answer == 11.0
    assert Baseline.of("median", numbers).answer == 2.0


def test_who_learned_the_median_of_shuffled_numbers_shows_no_leakage() -> None:
    drawn = np.random.default_rng(9)

    def lesson(days: int) -> Lesson:
        size = 20 * days
        return Lesson(
            rows=pa.table({"amount": drawn.random(size)}),
            label=drawn.lognormal(3.0, 1.0, size),
            blocks=[f"2026-03-{1 + place // 20:02}" for place in range(size)],
        )

    def teach(rows: pa.Table, label: np.ndarray, seed: int) -> Any:  # noqa: ANN401 - an estimator
        return DummyRegressor(strategy="median").fit(feature_frame(rows, COLUMNS), label)

    taught, held_out = lesson(25), lesson(28)
    model = teach(taught.rows, taught.label, 7)
    subject = Subject(
        model=Scorer(model=model, columns=COLUMNS, fused=None, answer="number"),
        columns=COLUMNS,
        champion_columns=None,
        taught=lambda: taught,
        held_out=held_out,
        predictions={
            "challenger": answers(model, held_out.rows, COLUMNS, "number"),
            "baseline": Baseline.of("mean", taught.label).predict(560),
        },
        teach=teach,
        seed=7,
        kind=REGRESSION,
    )
    seen = examine(subject, segments=[], needs={LEAKAGE, SEEDS}, described=(560, 0))
    # The declared mean is worse than any median, by the absolute error of skewed numbers.
    assert subject.gained("absolute_error", "baseline").mean() > 1.0
    assert seen.leakage is not None
    assert seen.leakage.shuffled.estimate == 0.0
    assert 0.5 <= seen.leakage.alone["amount"] < 0.6
    assert seen.reliability is None
    usual = float(np.abs(held_out.label - np.median(taught.label)).mean())
    assert [one.loss for one in seen.seeds] == pytest.approx([usual] * 4)
    assert seen.learning_curve[-1].loss == pytest.approx(usual)


def training(*models: Any) -> Training:  # noqa: ANN401 - estimators
    return Training(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=20),
        candidates=[
            Candidate(f"number_{place}", lambda columns, seed, model=model: model)
            for place, model in enumerate(models)
        ],
    )


def test_a_classifier_among_regressors_is_told_before_anything_is_fitted() -> None:
    wrong = training(LinearRegression(), LogisticRegression(), DummyClassifier())
    with pytest.raises(DeclarationError) as caught:
        refuse_other_answers(wrong, COLUMNS, REGRESSION)
    assert [problem.where for problem in caught.value.problems] == [
        "candidate 'number_1'",
        "candidate 'number_2'",
    ]
    refuse_other_answers(training(LinearRegression(), DummyRegressor()), COLUMNS, REGRESSION)


def test_a_candidate_that_cannot_be_built_is_left_to_the_trial_that_fails() -> None:
    def broken(columns: FeatureColumns, seed: int) -> object:
        raise ValueError("these parameters do not go together")

    made = dataclasses.replace(training(), candidates=[Candidate("broken", broken)])
    refuse_other_answers(made, COLUMNS, REGRESSION)


@pytest.mark.parametrize("kind", [BINARY, RANKING])
def test_a_candidate_that_tells_no_probability_is_told_before_anything_is_fitted(
    kind: Any,  # noqa: ANN401 - a kind
) -> None:
    with pytest.raises(DeclarationError) as caught:
        refuse_other_answers(training(LinearRegression(), SVC()), COLUMNS, kind)
    assert [problem.found for problem in caught.value.problems] == [
        "LinearRegression without predict_proba",
        "SVC without predict_proba",
    ]
    refuse_other_answers(training(LogisticRegression()), COLUMNS, kind)


def test_outputs_of_each_kind_show_what_it_has() -> None:
    everything = CsvFile(name="all", consumer="desk")
    assert shown_columns(FIVE, key=("offer",), label="won", kind=RANKING) == (
        "offer", "p_won", "value", "expected_value", "raw_prediction", "rule",
    )  # fmt: skip
    number = shown_columns(everything, key=("offer",), label="handling", kind=REGRESSION)
    assert number[:2] == ("offer", "predicted_handling")
    assert "value" not in number


def test_a_ranking_is_judged_by_the_first_list_by_expected_value() -> None:
    lowest = dataclasses.replace(FIVE, order="lowest")
    other = TopN(3, name="other", consumer="desk", by="p_won")
    per = TopN(7, name="per", consumer="desk", by="expected_value", per="region")
    assert ranked_list([other, lowest, per, FIVE]) == RankedList(count=7, per=("region",))
    assert ranked_list([other, lowest]) is None


WRONG: dict[str, tuple[Label, Training, list[Any], list[Any]]] = {
    "number": (
        HANDLING,
        training(LinearRegression()),
        [
            Calibrated(0.05),
            BeatsBaseline("log_loss", margin=0.01),
            BeatsChampion("missed_value"),
            BeatsBaseline("absolute_eror", margin=0.5),
            NoLeakage(),
        ],
        [FIVE],
    ),
    "ranking": (
        WORTH,
        dataclasses.replace(training(LogisticRegression()), loss="squared_error", baseline="mean"),
        [BeatsChampion("missed_value"), BeatsChampion("absolute_error")],
        [TopN(3, name="other", consumer="desk", by="p_won")],
    ),
    "condition": (WON, training(LogisticRegression()), [BeatsChampion("missed_value")], [FIVE]),
    "label": (
        dataclasses.replace(WORTH, unit=" ", value=Value("", "USD")),
        dataclasses.replace(training(LinearRegression()), loss="absolute_error", baseline="median"),
        [],
        [],
    ),
    "value": (
        dataclasses.replace(WON, value="amount"),  # type: ignore[arg-type]
        training(LogisticRegression()),
        [],
        [],
    ),
}


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (WON, []),
        (WORTH, []),
        (HANDLING, []),
        (dataclasses.replace(WON, rule="minutes"), ["label 'won', rule"]),
        (dataclasses.replace(HANDLING, rule="miles"), ["label 'handling', rule"]),
        (dataclasses.replace(WORTH, value=Value("amout", "USD")), ["scoring, value"]),
        (dataclasses.replace(WORTH, value=Value("offer", "USD")), ["scoring, value"]),
    ],
)
def test_label_and_value_are_tried_on_no_rows(label: Label, found: list[str]) -> None:
    problems = rehearse(described, label)
    assert [problem.where for problem in problems] == found


@pytest.mark.parametrize(
    "gate",
    [StableAcrossSeeds(0.1), StableAcrossSeeds(0.00001), NoWorseOnSegment("origin", 0.1),
     NoWorseOnSegment("origin", 0.02), NoLeakage(), NoLeakage(alone=0.6)],
)  # fmt: skip
def test_gates_tell_figures_of_numbers_in_their_unit(gate: Any) -> None:  # noqa: ANN401 - a gate
    leaking = dataclasses.replace(SOUND.leakage, shuffled=estimated(5.0), shuffles=(5.0, 5.1) * 2)  # type: ignore[type-var]
    nats = evidence_with(leakage=leaking)
    minutes = dataclasses.replace(nats, kind="regression", unit="minutes", positives=0)
    before, after = gate.judge(nats), gate.judge(minutes)
    assert (before.outcome, before.figures) == (after.outcome, after.figures)
    assert " nats" in before.reason
    assert after.reason == before.reason.replace(" nats", " minutes").replace(
        "log loss", "absolute error"
    )


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_with_another_kind_is_refused_as_the_golden_text_says(name: str) -> None:
    label, made, gates, outputs = WRONG[name]
    problems = kind_problems(label, training=made, gates=gates, outputs=outputs, where="use case")
    assert_golden(f"declarations/kind_{name}", "\n".join(map(str, problems)))


def test_sound_declarations_of_every_kind_have_no_problems() -> None:
    number = dataclasses.replace(
        training(LinearRegression()), loss="squared_error", baseline="mean"
    )
    beats: list[Any] = [BeatsBaseline("missed_value", margin=0.02), Calibrated(0.05)]
    for label, made, gates, outputs in (
        (WON, training(LogisticRegression()), [Calibrated(0.05), BeatsChampion("brier")], []),
        (WORTH, training(LogisticRegression()), beats, [FIVE]),
        (HANDLING, number, [BeatsChampion("squared_error"), NoLeakage()], []),
    ):
        found = kind_problems(label, training=made, gates=gates, outputs=outputs, where="use case")
        assert list(found) == []
