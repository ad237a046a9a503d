"""Train, evaluate, promote, score and monitor on the machines, each of them twice as once."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import code_archive, decisions
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.gates.beats_champion import BeatsChampion
from pipelines.domain.probe import PREDICTION
from pipelines.errors import (
    ChampionUnresolved,
    CodeChanged,
    DeclarationError,
    NotEnoughData,
    PromotionRefused,
)
from pipelines.stages.evaluate import Evaluated, evaluate
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.score import champion_version, score
from pipelines.stages.train import Trained, train
from pipelines.use_case import Column, Files, Table, UseCase, load
from tests import machines
from tests.goldens import assert_golden
from tests.machines import Variant, at

AS_OF = at(50)

Home = tuple[UseCase, Settings]


def trained(use_case: UseCase, settings: Settings, as_of: datetime = AS_OF) -> Trained:
    return train(use_case, settings, as_of=as_of, run="test", requester="sam")


@pytest.fixture(scope="module")
def trained_template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which candidate 1 was trained, and not yet judged."""
    return begun(machines_template, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def strict_template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which candidate 1 was trained whose gates ask for too much."""
    return begun(machines_template, tmp_path_factory.mktemp("strict"), Variant(margin=0.6))


def begun(template: Path, folder: Path, variant: Variant | None = None) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        settings = machines.copy_template(template, folder)
        trained(machines.declare(settings, variant), settings)
    return folder


@pytest.fixture
def candidate(trained_template: Path, tmp_path: Path, stable_code: None) -> Home:
    """Return a fresh copy with a candidate 1 to judge."""
    return copied(trained_template, tmp_path)


@pytest.fixture
def strict(strict_template: Path, tmp_path: Path, stable_code: None) -> Home:
    """Return a fresh copy with a candidate 1 that its gates will not let through."""
    return copied(strict_template, tmp_path)


def copied(template: Path, folder: Path) -> Home:
    settings = machines.copy_template(template, folder / "machines")
    return load(settings.dags / "machines.py"), settings


def judged(home: Home) -> Evaluated:
    """Evaluate candidate 1."""
    return evaluate(*home, version="1")


def kinds(settings: Settings) -> list[tuple[str, str, str]]:
    found = [entry.decision for entry in decisions.read_all(settings)]
    return [(decision.kind, decision.version, decision.actor) for decision in found]


def candidates(settings: Settings) -> list[str]:
    found = MlflowClient(settings.mlflow_uri).search_model_versions("name = 'machines-candidates'")
    return sorted(str(version.version) for version in found)


def predictions(settings: Settings) -> list[dict[str, Any]]:
    path = lake.predictions(settings, "machines")
    if not delta_tables.exists(path):
        return []
    rows: list[dict[str, Any]] = delta_tables.read(path).to_pylist()
    return sorted(rows, key=lambda row: (row["scored_for"], row["machine"]))


def scored(home: Home, first: int, until: int, *, model_version: str | None = None) -> list[str]:
    """Score days [first, until); return what happened to each window."""
    use_case, settings = home
    done = score(
        use_case,
        settings,
        since=at(first, 0),
        until=at(until, 0),
        run="test",
        model_version=model_version,
    )
    return [window.outcome for window in done.windows]


def test_training_twice_makes_one_candidate(machines_settings: Settings) -> None:
    use_case = machines.declare(machines_settings)
    first, again = trained(use_case, machines_settings), trained(use_case, machines_settings)
    assert first == again
    assert candidates(machines_settings) == ["1"]
    assert first.training_window == ("2026-01-01", "2026-01-26")
    assert first.held_out_window == ("2026-01-29", "2026-02-17")


def test_training_later_makes_another_candidate(machines_settings: Settings) -> None:
    use_case = machines.declare(machines_settings)
    assert trained(use_case, machines_settings).version == "1"
    assert trained(use_case, machines_settings, at(51)).version == "2"


def test_too_short_a_past_is_an_answer_of_its_own(machines_settings: Settings) -> None:
    use_case = machines.declare(machines_settings)
    with pytest.raises(NotEnoughData) as caught:
        trained(use_case, machines_settings, at(40))
    assert_golden("stages/train_too_few", str(caught.value))
    # Without the gap's two, 41 blocks look like enough for 20 and 20.
    with pytest.raises(NotEnoughData, match="2 in the gap and 20 held-out ones; found 41 blocks"):
        trained(use_case, machines_settings, at(43))
    with pytest.raises(NotEnoughData, match="2 in the gap and 20 held-out ones; found 0 blocks"):
        trained(use_case, machines_settings, at(-10))
    assert candidates(machines_settings) == []


def test_labels_of_one_kind_are_refused(machines_settings: Settings) -> None:
    path = machines_settings.dags / "machines.py"
    machines.declare(machines_settings)
    path.write_text(path.read_text().replace("stop_minutes > 10", "stop_minutes > 1000"))
    with pytest.raises(NotEnoughData) as caught:
        trained(load(path), machines_settings)
    assert_golden("stages/train_one_class", str(caught.value))


def test_a_model_of_a_class_from_the_dag_file_is_refused(machines_settings: Settings) -> None:
    path = machines_settings.dags / "machines.py"
    machines.declare(machines_settings)
    text = path.read_text().replace("LogisticRegression(C=1.0", "Mine(C=1.0")
    text = text.replace(
        "    return make_pipeline(",
        "    class Mine(LogisticRegression):\n        pass\n\n    return make_pipeline(",
    )
    path.write_text(text)
    with pytest.raises(PromotionRefused, match="an estimator made of library types"):
        trained(load(path), machines_settings)
    assert candidates(machines_settings) == []


def test_a_model_that_a_file_gives_back_otherwise_is_refused_before_it_is_judged(
    machines_settings: Settings,
) -> None:
    use_case = machines.declare(machines_settings)
    made = trained(use_case, machines_settings)
    (file,) = (machines_settings.root / "mlflow").rglob("probe.parquet")
    rows = pq.read_table(file)
    # Of one row the last bit, as some estimators come back from a file.
    said = rows[PREDICTION].to_numpy().copy()
    said[3] = np.nextafter(said[3], 1.0)
    pq.write_table(rows.drop_columns([PREDICTION]).append_column(PREDICTION, pa.array(said)), file)
    with pytest.raises(ChampionUnresolved, match=r"1 of [0-9,]+ that differ") as refused:
        evaluate(use_case, machines_settings, version=made.version)
    assert "a file gives back with other last bits" in str(refused.value)


def test_an_explore_use_case_has_nothing_to_train(machines_settings: Settings) -> None:
    meters = Table(
        name="meters",
        source=Files(pattern="meters/*.csv"),
        columns=[Column("meter", "string")],
        key=("meter",),
    )
    with pytest.raises(DeclarationError) as caught:
        trained(UseCase(name="readings", owner="energy", tables=[meters]), machines_settings)
    assert_golden("stages/train_explore", str(caught.value))


def test_evaluating_twice_makes_one_decision_with_one_digest(candidate: Home) -> None:
    _, settings = candidate
    first, again = judged(candidate), judged(candidate)
    assert first.promotable
    assert again == first
    assert again.evidence.digest == first.evidence.digest
    assert kinds(settings) == [("requested", "1", "sam"), ("evaluated", "1", "gates")]
    entry = decisions.read_all(settings)[-1]
    assert entry.decision.evidence_digest == first.evidence.digest
    assert [v.outcome for v in first.evidence.verdicts] == ["passed", "not_applicable"]


def test_code_that_changed_after_training_is_refused_but_frozen_evidence_stands(
    candidate: Home,
) -> None:
    use_case, settings = candidate
    path = settings.dags / "machines.py"
    before = path.read_text()
    path.write_text(before + "# a comment changes the code, though not the declaration\n")
    changed = load(path)
    assert changed.digest() == use_case.digest()
    with pytest.raises(CodeChanged, match="expected the code it was trained with"):
        evaluate(changed, settings, version="1")
    assert kinds(settings) == [("requested", "1", "sam")]
    path.write_text(before)
    evaluated = evaluate(use_case, settings, version="1")
    path.write_text(before + "# changed again\n")
    assert evaluate(changed, settings, version="1") == evaluated


def test_the_champion_is_judged_on_the_same_rows_with_its_own_features(promoted: Home) -> None:
    _, settings = promoted
    other = machines.declare(settings, Variant(more_features=", a.load * a.load as squared"))
    version = trained(other, settings).version
    found = evaluate(other, settings, version=version).evidence
    before = evaluate(other, settings, version="2").evidence
    assert (found.champion, found.rows) == ("1", before.rows)
    champions = [block.losses["champion"] for block in found.blocks]
    assert champions == [block.losses["champion"] for block in before.blocks]


def test_a_failed_gate_stops_the_promotion(strict: Home) -> None:
    use_case, settings = strict
    assert not judged(strict).promotable
    with pytest.raises(PromotionRefused) as caught:
        promote(use_case, settings, version="1", as_of=AS_OF)
    assert_golden("stages/promote_gate", str(caught.value))
    assert kinds(settings) == [("requested", "1", "sam"), ("evaluated", "1", "gates")]


def test_a_first_model_that_no_gate_could_judge_is_not_promoted(candidate: Home) -> None:
    use_case, settings = candidate
    unjudged = replace(use_case, gates=[BeatsChampion("log_loss")])
    found = evaluate(unjudged, settings, version="1")
    assert [v.outcome for v in found.evidence.verdicts] == ["not_applicable"]
    assert not found.promotable
    with pytest.raises(PromotionRefused) as caught:
        promote(unjudged, settings, version="1", as_of=AS_OF)
    assert_golden("stages/promote_unjudged", str(caught.value))


def test_a_candidate_that_was_not_evaluated_is_not_promoted(candidate: Home) -> None:
    use_case, settings = candidate
    with pytest.raises(PromotionRefused) as caught:
        promote(use_case, settings, version="1", as_of=AS_OF)
    assert_golden("stages/promote_not_evaluated", str(caught.value))


def test_a_candidate_whose_artifact_was_exchanged_is_not_promoted(candidate: Home) -> None:
    use_case, settings = candidate
    judged(candidate)
    client = MlflowClient(settings.mlflow_uri)
    client.set_model_version_tag("machines-candidates", "1", "headframe.artifact_sha256", "ff")
    with pytest.raises(PromotionRefused, match="expected the artifact that was evaluated"):
        promote(use_case, settings, version="1", as_of=AS_OF)


def test_evidence_that_was_exchanged_does_not_promote(strict: Home) -> None:
    use_case, settings = strict
    evaluated = judged(strict)
    (file,) = settings.mlflow_artifacts.glob("**/evidence.json")
    file.write_text(evaluated.evidence.to_json().replace('"failed"', '"passed"'))
    with pytest.raises(PromotionRefused, match="expected the evidence bundle with digest"):
        promote(use_case, settings, version="1", as_of=AS_OF)


def test_a_promotion_by_the_gates_needs_nobody_and_happens_once(candidate: Home) -> None:
    use_case, settings = candidate
    judged(candidate)
    first = promote(use_case, settings, version="1", as_of=AS_OF)
    again = promote(use_case, settings, version="1", as_of=AS_OF)
    assert (first.changed, again.changed) == (True, False)
    assert kinds(settings) == [
        ("requested", "1", "sam"),
        ("evaluated", "1", "gates"),
        ("promoting", "1", "gates"),
        ("promoted", "1", "gates"),
    ]
    assert champion_version(use_case, settings) == "1"


def test_a_candidate_judged_against_another_champion_is_not_promoted(promoted: Home) -> None:
    use_case, settings = promoted
    third = machines.declare(settings, Variant(seed=8))
    trained(third, settings)
    assert evaluate(third, settings, version="3").evidence.champion == "1"
    promote(use_case, settings, version="2", as_of=AS_OF)
    before = kinds(settings)
    with pytest.raises(PromotionRefused) as caught:
        promote(third, settings, version="3", as_of=AS_OF)
    assert_golden("stages/promote_other_champion", str(caught.value))
    assert kinds(settings) == before


def test_without_a_champion_nothing_is_scored(candidate: Home) -> None:
    _, settings = candidate
    judged(candidate)
    with pytest.raises(ChampionUnresolved) as caught:
        scored(candidate, 48, 50)
    assert_golden("stages/score_no_champion", str(caught.value))
    assert predictions(settings) == []


def test_every_entity_known_at_scoring_time_gets_one_prediction(promoted: Home) -> None:
    use_case, settings = promoted
    late = [f"{machines.FIRST + timedelta(days=49)},Z99,0.5,2026-02-19T09:00:00Z"]
    machines.land(settings, "plan/late.csv", "day,machine,load,shift_at", late, at(49, 6))
    machines.take_in(use_case, settings)
    assert scored(promoted, 47, 50) == ["written"] * 3
    found = [(row["scored_for"], row["day"], row["machine"]) for row in predictions(settings)]
    planned = delta_tables.read(lake.silver(settings, "machines", "plan")).to_pylist()
    expected = [
        (moment, row["day"], row["machine"])
        for moment in (at(47, 4), at(48, 4), at(49, 4))  # 05:00 in Berlin
        for row in planned
        if row["known_at"] <= moment <= row["shift_at"] < moment + timedelta(days=1)
    ]
    assert len(found) == 3 * machines.MACHINES
    assert sorted(found) == sorted(expected)


def test_scoring_twice_changes_nothing(promoted: Home) -> None:
    _, settings = promoted
    assert scored(promoted, 47, 50) == ["written"] * 3
    first, version = (
        predictions(settings),
        delta_tables.version(lake.predictions(settings, "machines")),
    )
    assert scored(promoted, 47, 50) == ["unchanged"] * 3
    assert scored(promoted, 48, 49) == ["unchanged"]
    assert predictions(settings) == first
    assert delta_tables.version(lake.predictions(settings, "machines")) == version
    assert not delta_tables.exists(lake.prediction_history(settings, "machines"))


def test_a_new_champion_replaces_predictions_and_keeps_the_old_ones(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted, 47, 49)
    old = predictions(settings)
    promote(use_case, settings, version="2", as_of=AS_OF)
    assert scored(promoted, 48, 50) == ["replaced", "written"]
    now = predictions(settings)
    by_day = {(row["scored_for"], row["model_version"], row["generation"]) for row in now}
    assert by_day == {(at(47, 4), "1", 1), (at(48, 4), "2", 2), (at(49, 4), "2", 1)}
    kept: list[dict[str, Any]] = delta_tables.read(
        lake.prediction_history(settings, "machines")
    ).to_pylist()
    reasons = {row.pop("replaced_because") for row in kept}
    assert reasons == {"model, features or declaration changed"}
    kept.sort(key=lambda row: row["machine"])
    assert kept == [row for row in old if row["scored_for"] == at(48, 4)]


def test_a_pinned_run_scores_with_the_champion_it_began_with(promoted: Home) -> None:
    use_case, settings = promoted
    pinned = champion_version(use_case, settings)
    promote(use_case, settings, version="2", as_of=AS_OF)
    scored(promoted, 48, 49, model_version=pinned)
    rows = predictions(settings)
    first = next(e.decision for e in decisions.read_all(settings) if e.decision.kind == "promoted")
    assert {row["model_version"] for row in rows} == {"1"}
    assert {row["evidence_digest"] for row in rows} == {first.evidence_digest}


def test_a_run_cannot_be_pinned_to_a_candidate_that_never_was_champion(promoted: Home) -> None:
    _, settings = promoted
    with pytest.raises(ChampionUnresolved, match="version 2, which never was"):
        scored(promoted, 48, 49, model_version="2")
    assert predictions(settings) == []


def test_a_changed_feature_view_is_not_scored_by_the_old_champion(promoted: Home) -> None:
    _, settings = promoted
    other = machines.declare(settings, Variant(more_features=", a.load * a.load as squared"))
    with pytest.raises(ChampionUnresolved) as caught:
        scored((other, settings), 48, 49)
    assert_golden("stages/score_other_features", str(caught.value))


def quiet_outcomes(promoted: Home) -> None:
    """Deliver two more plans, but no outcome with them."""
    use_case, settings = promoted
    machines.deliver(settings, first=50, until=53)
    for path in local(settings.landing).glob("machines/outcome/2026-02-2[0-9]*"):
        path.unlink()
    machines.take_in(use_case, settings)


def test_a_stale_table_is_flagged_on_every_prediction(promoted: Home) -> None:
    _, settings = promoted
    quiet_outcomes(promoted)
    assert scored(promoted, 50, 53) == ["written"] * 3
    flags = {row["scored_for"]: row["stale_tables"] for row in predictions(settings)}
    assert flags == {at(50, 4): "", at(51, 4): "", at(52, 4): "outcome"}


def test_a_stale_table_stops_scoring_where_that_is_declared(promoted: Home) -> None:
    _, settings = promoted
    quiet_outcomes(promoted)
    closed = machines.declare(settings, Variant(on_stale="fail_closed"))
    with pytest.raises(NotEnoughData) as caught:
        scored((closed, settings), 52, 53)
    assert_golden("stages/score_stale", str(caught.value))
    assert predictions(settings) == []


def test_a_day_without_entities_has_no_predictions(promoted: Home) -> None:
    _, settings = promoted
    assert scored(promoted, 70, 71) == ["no_rows"]
    assert predictions(settings) == []


def test_performance_counts_every_prediction_and_measures_final_labels_only(
    promoted: Home,
) -> None:
    use_case, settings = promoted
    scored(promoted, 45, 50)
    found = monitor(use_case, settings, as_of=at(50, 12), run="test")
    outcomes = delta_tables.read(lake.silver(settings, "machines", "outcome")).to_pylist()
    empty = {
        day: sum(row["stop_minutes"] is None for row in outcomes if row["day"] == day)
        for day in (machines.FIRST + timedelta(days=n) for n in range(45, 50))
    }
    for number, block in enumerate(found.blocks):
        day = machines.FIRST + timedelta(days=45 + number)
        assert block.block == day.isoformat()
        assert block.predictions == block.final + block.unlabelled + block.pending == 40
        if number < 3:  # until 48 hours after the day's last shift
            assert (block.outcome, block.unlabelled) == ("measured", empty[day])
            assert block.log_loss is not None
            assert 0 < block.log_loss < 0.7
    pending = [block.pending for block in found.blocks]
    assert pending[:3] == [0, 0, 0]
    assert 0 < pending[3] <= 40
    assert pending[4] == 40
    assert found.blocks[4].outcome == "too_few"
    assert (found.blocks[4].log_loss, found.blocks[4].auc) == (None, None)


def test_too_few_labels_are_no_number(promoted: Home) -> None:
    _, settings = promoted
    picky = machines.declare(settings, Variant(minimum_labels=41))
    scored((picky, settings), 45, 47)
    found = monitor(picky, settings, as_of=at(60), run="test")
    assert [(block.outcome, block.log_loss, block.auc) for block in found.blocks] == [
        ("too_few", None, None),
        ("too_few", None, None),
    ]
    assert [block.final + block.unlabelled for block in found.blocks] == [40, 40]


def test_monitoring_twice_changes_nothing(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted, 45, 50)
    first = monitor(use_case, settings, as_of=at(50), run="one")
    again = monitor(use_case, settings, as_of=at(50), run="two")
    assert first.settled > 0
    assert (again.settled, again.blocks) == (0, first.blocks)
    for path in (lake.labels(settings, "machines"), lake.performance(settings, "machines")):
        assert len(delta_tables.history(path)) == 2, path  # the table, and one commit


def test_monitoring_later_adds_what_became_final(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted, 45, 50)
    monitor(use_case, settings, as_of=at(48), run="test")
    later = monitor(use_case, settings, as_of=at(60), run="test")
    assert {block.pending for block in later.blocks} == {0}
    rows = delta_tables.read(lake.labels(settings, "machines"))
    assert rows.num_rows == machines.DAYS * machines.MACHINES
    keys = rows.group_by(["day", "machine"]).aggregate([])
    assert keys.num_rows == rows.num_rows


def test_monitoring_without_predictions_settles_labels_and_measures_nothing(
    promoted: Home,
) -> None:
    use_case, settings = promoted
    found = monitor(use_case, settings, as_of=at(10), run="test")
    assert found.settled > 0
    assert found.blocks == ()


def test_missing_deliveries_and_a_fallen_volume_are_findings(promoted: Home) -> None:
    use_case, settings = promoted
    machines.land(
        settings,
        f"plan/{machines.FIRST + timedelta(days=50)}.csv",
        "day,machine,load,shift_at",
        ["2026-02-20,A00,0.5,2026-02-20T09:00:00Z"],
        at(49, 20),
    )
    machines.take_in(use_case, settings)
    scored(promoted, 43, 51)
    found = monitor(use_case, settings, as_of=at(53), run="test")
    assert [(finding.kind, finding.text) for finding in found.findings] == [
        (
            "feed",
            "plan: MISSING 2026-02-20 to 2026-02-22, 3 deliveries: expected every 24 hours since "
            "2026-02-20 20:00 UTC, with grace until 2026-02-21 02:00 UTC, in "
            "landing/machines/plan/*.csv; the last delivery before came 2026-02-19 20:00 UTC; "
            "owner plant",
        ),
        (
            "feed",
            "outcome: MISSING 2026-02-21 to 2026-02-22, 2 deliveries: expected every 24 hours since "
            "2026-02-21 06:00 UTC, with grace until 2026-02-21 12:00 UTC, in "
            "landing/machines/outcome/*.csv; the last delivery before came 2026-02-20 06:00 UTC; "
            "owner plant",
        ),
        ("volume", "block 2026-02-20: 1 rows, against 40 or more in the 7 blocks before"),
    ]


def test_predictions_say_what_they_come_from(promoted: Home) -> None:
    use_case, settings = promoted
    scored(promoted, 48, 49)
    row = predictions(settings)[0]
    (run,) = {r["model_run"] for r in predictions(settings)}
    version = MlflowClient(settings.mlflow_uri).get_model_version("machines-candidates", "1")
    assert run == version.run_id
    assert row["artifact_sha256"] == version.tags["headframe.artifact_sha256"]
    assert row["feature_digest"] == version.tags["headframe.features"]
    assert row["declaration_digest"] == use_case.digest()
    assert row["slot"] == "champion"
    kinds_of = delta_tables.schema(lake.predictions(settings, "machines"))
    assert kinds_of.field("prediction").type == pa.float64()
    assert 0 < row["prediction"] < 1
