"""A ranking by expected value and a number to predict, each from its files to its monitoring page."""

import dataclasses
import json
import shutil
import statistics
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import code_archive, mlflow_registry, profile_store
from pipelines.adapters.reports import evidence_page, monitoring_page
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
from pipelines.domain.feature_query import AS_OF
from pipelines.domain.metrics import row_losses
from pipelines.domain.scoring import LateWindow
from pipelines.errors import DeclarationError, LakeError, PromiseBroken
from pipelines.stages.deliver import deliver
from pipelines.stages.evaluate import Evaluated, evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import Monitored, monitor
from pipelines.stages.promote import promote
from pipelines.stages.report import values
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import UseCase
from tests import offers
from tests.empty_databases import place_mlflow
from tests.offers import RANKING, REGRESSION, Row, Variant, at

TRAINED, SCORED, TODAY = 50, 56, 58


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One use case from its files to what was watched, made once and looked at by several tests."""

    use_case: UseCase
    settings: Settings
    judged: Evaluated
    delivered: dict[str, str]
    monitored: Monitored


def unusable(rows: list[Row]) -> list[Row]:
    """Take the amount of one offer of a day away, and make another's negative."""
    if rows[0]["day"] != offers.FIRST + timedelta(days=52):
        return rows
    return [{**rows[0], "amount": None}, {**rows[1], "amount": -3.0}, *rows[2:]]


def travelled(folder: Path, variant: Variant) -> Journey:
    settings = offers.settings_in(folder)
    use_case = offers.declare(settings, variant)
    offers.land(settings, 0, TODAY, unusable)
    ingest(use_case, settings, as_of=at(TODAY + 1), run="test")
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    made = train(use_case, settings, as_of=at(TRAINED), run="test", requester="sam")
    judged = evaluate(use_case, settings, version=made.version)
    promote(use_case, settings, version=made.version, as_of=at(TRAINED))
    score(use_case, settings, since=at(TRAINED), until=at(SCORED), run="test")
    done = deliver(
        use_case,
        settings,
        scored_for=[at(TRAINED + 1, 5)],
        run="test",
        connections=lambda name: name,
    )
    # Labels of the two last scored days are not final yet.
    monitored = monitor(use_case, settings, as_of=at(SCORED, 6), run="test")
    return Journey(
        use_case=use_case,
        settings=settings,
        judged=judged,
        delivered={
            one.output: (Path(settings.home) / one.place).read_text("utf-8") for one in done.outputs
        },
        monitored=monitored,
    )


@pytest.fixture(scope="module")
def still_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the code digest that of the DAG file alone, as ``stable_code`` does for one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", tmp_path_factory.mktemp("none") / "no_library")
        yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory, still_code: None) -> Journey:
    """Return the journey of a ranking by expected value."""
    return travelled(tmp_path_factory.mktemp("ranking"), RANKING)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory, still_code: None) -> Journey:
    """Return the journey of a number."""
    return travelled(tmp_path_factory.mktemp("regression"), REGRESSION)


def copied(journey: Journey, folder: Path) -> Settings:
    """Copy a journey's home, to change it."""
    shutil.copytree(journey.settings.home.parent, folder)
    return offers.settings_in(folder)


def predictions(journey: Journey) -> list[dict[str, Any]]:
    rows = delta_tables.read(lake.predictions(journey.settings, offers.NAME)).to_pylist()
    return sorted(rows, key=lambda row: (row["scored_for"], row["offer"]))


def test_a_ranking_carries_probability_value_and_their_product(ranking: Journey) -> None:
    rows = predictions(ranking)
    amounts = {
        (row["day"], row["offer"]): row["amount"]
        for day in range(TRAINED, SCORED)
        for row in unusable(offers.plan_of(day))
    }
    assert len(rows) == offers.OFFERS * (SCORED - TRAINED) - 2
    for row in rows:
        assert row["value"] == amounts[row["day"], row["offer"]]
        assert row["expected_value"] == row["prediction"] * row["value"]
    # The rule takes what may not be contacted off the list: it counts after the rules.
    ruled = [row for row in rows if row["rule"]]
    assert ruled
    assert {row["expected_value"] for row in ruled} == {0.0}
    assert all(row["raw_prediction"] > 0 for row in ruled)


def test_what_has_no_usable_value_is_set_aside_with_the_reason(ranking: Journey) -> None:
    aside = delta_tables.read(lake.refused_predictions(ranking.settings, offers.NAME)).to_pylist()
    assert {(row["offer"], row["reason"]) for row in aside} == {
        ("o000", "value amount is missing"),
        ("o001", "value amount is negative"),
    }


def test_the_list_holds_what_is_worth_most_by_the_published_rows(ranking: Journey) -> None:
    told = json.loads(ranking.delivered["first"])
    day = [row for row in predictions(ranking) if row["scored_for"] == at(TRAINED + 1, 5)]
    best = sorted(day, key=lambda row: (-row["expected_value"], row["offer"]))[:5]
    assert told["by"] == "expected_value"
    assert [(row["offer"], row["expected_value"]) for row in told["rows"]] == [
        (row["offer"], row["expected_value"]) for row in best
    ]
    assert told["columns"][:6] == [
        "day", "offer", "p_won", "value", "expected_value", "raw_prediction",
    ]  # fmt: skip
    assert all(row["reasons"] for row in told["rows"])
    header = ranking.delivered["all"].splitlines()[0]
    assert header.startswith("day,offer,p_won,value,expected_value,")


def test_a_ranking_is_judged_by_the_value_that_its_lists_miss(ranking: Journey) -> None:
    evidence = ranking.judged.evidence
    assert (evidence.kind, evidence.unit) == ("ranking", "USD")
    assert evidence.listed is not None
    assert (evidence.listed.count, evidence.listed.per) == (5, ())
    assert {verdict.outcome for verdict in evidence.verdicts} == {"passed", "not_applicable"}
    # The baseline's list holds the largest amounts: by hand, from what was planned and came.
    block = evidence.blocks[0]
    day = (date.fromisoformat(block.block) - offers.FIRST).days
    won = {row["offer"]: row["result"] == "won" for row in offers.outcome_of(day)}
    amounts = {row["offer"]: row["amount"] for row in offers.plan_of(day)}
    gained = {name: amount * won[name] for name, amount in amounts.items()}
    largest = sorted(amounts, key=lambda name: -amounts[name])[:5]
    best = sum(sorted(gained.values())[-5:])
    missed = 1 - sum(gained[name] for name in largest) / best
    assert block.losses["baseline"]["missed_value"] == pytest.approx(missed)
    read = mlflow_registry.read_evidence(
        ranking.settings,
        champions.resolve(ranking.settings, offers.NAME).model.run_id,  # type: ignore[union-attr]
        evidence.digest,
    )
    assert read == evidence
    page = evidence_page.render(evidence)
    assert "Missed value" in page
    assert "Captured value" in page
    assert "ranked by probability x value (USD), the first 5" in page
    assert "lists the largest values first" in page


def test_what_published_lists_missed_is_watched(ranking: Journey) -> None:
    blocks = ranking.monitored.blocks
    measured = [block for block in blocks if block.outcome == "measured"]
    assert len(measured) >= 3
    assert all(block.missed_value is not None for block in measured)
    assert all(0.0 <= (block.missed_value or 0.0) <= 1.0 for block in measured)
    page = monitoring_page.render(values(ranking.use_case, ranking.settings, as_of=at(SCORED, 6)))
    assert "log loss" in page


def test_a_number_is_predicted_in_its_unit(regression: Journey) -> None:
    rows = predictions(regression)
    assert len(rows) == offers.OFFERS * (SCORED - TRAINED)
    assert "value" not in rows[0]
    known = {
        (row["day"], row["offer"]): row["minutes"]
        for day in range(TRAINED, SCORED)
        for row in offers.outcome_of(day)
    }
    said = [row["prediction"] for row in rows]
    errors = row_losses("absolute_error", [known[row["day"], row["offer"]] for row in rows], said)
    assert max(said) > 1.0  # no probability
    assert float(errors.mean()) < 25.0
    header = regression.delivered["all"].splitlines()[0]
    assert header.startswith("day,offer,predicted_handling,event_time")
    told = json.loads(regression.delivered["longest"])
    assert [row["rank"] for row in told["rows"]] == [1, 2, 3]
    found = [row["predicted_handling"] for row in told["rows"]]
    assert found == sorted(found, reverse=True)
    assert all(row["reasons"] for row in told["rows"])


def test_a_regressor_scores_by_its_fused_form(regression: Journey) -> None:
    champion = champions.resolve(regression.settings, offers.NAME)
    assert champion is not None
    tags = champion.model.tags
    assert tags["headframe.scorer"] == "fused"
    assert (tags["headframe.answer"], tags["headframe.unit"]) == ("number", "minutes")
    assert "headframe.training_rate" not in tags
    # The median of the training rows, which is what every model must beat.
    days = range(25)
    minutes = [row["minutes"] for day in days for row in offers.outcome_of(day)]
    assert float(tags["headframe.training_number"]) == statistics.median(minutes)


def test_a_number_is_judged_by_its_error_in_every_gate(regression: Journey) -> None:
    evidence = regression.judged.evidence
    assert {verdict.gate: verdict.outcome for verdict in evidence.verdicts} == {
        "BeatsBaseline": "passed",
        "BeatsChampion": "not_applicable",
        "NoLeakage": "passed",
        "StableAcrossSeeds": "passed",
        "Reproducible": "passed",
        "WithinBudget": "passed",
    }
    assert set(evidence.metrics["challenger"]) == {"absolute_error", "squared_error"}
    assert (evidence.kind, evidence.unit, evidence.positives) == ("regression", "minutes", 0)
    assert evidence.examination is not None
    assert evidence.examination.reliability is None
    assert Evidence.from_json(evidence.to_json()) == evidence
    reasons = " ".join(verdict.reason for verdict in evidence.verdicts)
    assert "improves absolute_error by" in reasons
    assert " minutes over 20 blocks" in reasons
    assert "nats" not in reasons
    page = evidence_page.render(evidence)
    assert "Absolute error" in page
    assert "are positive" not in page
    assert "nats" not in page
    assert "The label is a number" in page


def test_errors_of_numbers_are_expected_before_labels_and_watched_after(
    regression: Journey,
) -> None:
    blocks = {block.block: block for block in regression.monitored.blocks}
    measured = [block for block in blocks.values() if block.outcome == "measured"]
    assert len(measured) >= 3
    assert all((block.absolute_error or 0.0) > 5.0 for block in measured)
    reference = profile_store.references(regression.settings, offers.NAME)["1"]
    assert (reference.loss, reference.unit, reference.calibration) == (
        "absolute_error", "minutes", None,
    )  # fmt: skip
    profiled = profile_store.profiles(regression.settings, offers.NAME, reference)
    usual = float(reference.losses.loss.mean())
    for one in profiled:
        assert one.estimated_loss is not None
        assert one.estimated_loss == pytest.approx(usual, rel=0.5)
    waiting = [estimate.block for estimate in regression.monitored.watched.estimates]
    assert waiting == [block.block for block in blocks.values() if block.outcome == "too_few"]
    assert "mean absolute error in minutes" in regression.monitored.describe()
    found = values(regression.use_case, regression.settings, as_of=at(SCORED, 6))
    page = monitoring_page.render(found)
    assert "Losses are in minutes" in page
    assert "log loss" not in page


def test_the_same_again_changes_nothing(ranking: Journey, regression: Journey) -> None:
    for journey in (ranking, regression):
        use_case, settings = journey.use_case, journey.settings
        again = score(use_case, settings, since=at(TRAINED), until=at(SCORED), run="again")
        assert {window.outcome for window in again.windows} == {"unchanged"}
        assert monitor(use_case, settings, as_of=at(SCORED, 6), run="again") == dataclasses.replace(
            journey.monitored, settled=0
        )


def test_a_late_offer_is_ranked_beside_those_that_stand(ranking: Journey, tmp_path: Path) -> None:
    settings = copied(ranking, tmp_path / "late")
    before = delta_tables.read(lake.predictions(settings, offers.NAME)).num_rows
    window = at(SCORED - 1, 5)
    late = LateWindow(
        scored_for=window, as_of=at(SCORED - 1, 12), until=at(SCORED, 5), reason="late"
    )
    done = score(ranking.use_case, settings, since=window, until=window, run="late", late=[late])
    assert [one.outcome for one in done.windows] == ["replaced"]
    assert done.windows[0].carried > 0
    rows = delta_tables.read(lake.predictions(settings, offers.NAME)).to_pylist()
    assert len(rows) == before
    assert {row[AS_OF] for row in rows if row["scored_for"] == window} == {
        window, at(SCORED - 1, 12),
    }  # fmt: skip
    assert all(row["expected_value"] == row["prediction"] * row["value"] for row in rows)


def test_another_kind_never_mixes_with_the_predictions_that_stand(
    ranking: Journey, tmp_path: Path
) -> None:
    settings = copied(ranking, tmp_path / "mixed")
    label = ranking.use_case.label
    assert label is not None
    plain = dataclasses.replace(ranking.use_case, label=dataclasses.replace(label, value=None))
    before = delta_tables.read(lake.predictions(settings, offers.NAME)).num_rows
    with pytest.raises(LakeError, match="a table without value and expected_value; found one with"):
        score(plain, settings, since=at(SCORED), until=at(SCORED + 1), run="plain")
    assert delta_tables.read(lake.predictions(settings, offers.NAME)).num_rows == before


def test_a_number_outside_its_promised_range_stops_its_window(
    regression: Journey, tmp_path: Path
) -> None:
    settings = copied(regression, tmp_path / "promised")
    narrow = dataclasses.replace(REGRESSION, promises="PredictionRange(0.0, 100.0)")
    use_case = offers.declare(settings, narrow)
    with pytest.raises(PromiseBroken, match=r"a prediction in \[0, 100\] in every row"):
        score(use_case, settings, since=at(SCORED), until=at(SCORED + 1), run="narrow")


@pytest.mark.parametrize(
    ("variant", "changed", "words"),
    [
        (
            RANKING,
            {"label_more": 'value=Value("amout", "USD"),'},
            r"'amout' \(did you mean 'amount'",
        ),
        (RANKING, {"rule": "minutes", "label_more": ""}, "which is a double"),
        (RANKING, {"estimator": "HistGradientBoostingRegressor"}, "without predict_proba"),
        (REGRESSION, {"estimator": "HistGradientBoostingClassifier"}, "with predict_proba"),
    ],
)
def test_what_is_of_another_kind_is_refused_before_anything_is_trained(
    variant: Variant, changed: dict[str, str], words: str, ranking: Journey, tmp_path: Path
) -> None:
    settings = copied(ranking, tmp_path / "refused")
    if not changed.get("label_more", "value"):
        changed = {**changed, "gates": 'BeatsChampion("log_loss")', "outputs": ""}
    use_case = offers.declare(settings, dataclasses.replace(variant, **changed))
    with pytest.raises(DeclarationError, match=words):
        train(use_case, settings, as_of=at(50), run="test", requester="sam")


def test_a_search_of_a_number_is_judged_by_its_own_loss(
    regression: Journey, tmp_path: Path
) -> None:
    settings = copied(regression, tmp_path / "searched")
    searching = dataclasses.replace(
        REGRESSION,
        validation=", validation_days=7, folds=2",
        space=', {"leaves": IntUniform(2, 12)}',
        training_more='baseline="median", loss="absolute_error", trials=3,',
    )
    use_case = offers.declare(settings, searching)
    made = train(use_case, settings, as_of=at(TODAY), run="test", requester="sam")
    assert "minutes on average" in made.describe()
    assert "best absolute_error" in made.searched
    assert "no trial beats the baseline" not in made.searched
