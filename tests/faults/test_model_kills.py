"""Kill -9 in the middle of training, promoting and scoring: run again, all is as after one run."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion, champion_findings, decisions
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import load
from tests import machines
from tests.faults.model_runs import Ended, run, state

KILLS = {
    "train": ("train.between_log_and_register", "train.after_register"),
    "promote": (
        "promote.between_ledger_and_alias",
        "promote.between_copy_and_alias",
        "promote.between_alias_and_ledger",
    ),
    "promote_governed": (
        "promote.between_ledger_and_alias",
        "promote.between_alias_and_ledger",
    ),
    "rollback": (
        "rollback.between_ledger_and_alias",
        "rollback.between_copy_and_alias",
        "rollback.between_alias_and_ledger",
    ),
    "reconcile_alias": (
        "reconcile.between_look_and_act",
        "republish.between_copy_and_alias",
        "reconcile.between_act_and_look",
    ),
    "reconcile_promotion": (
        "promote.between_ledger_and_alias",
        "promote.between_copy_and_alias",
        "promote.between_alias_and_ledger",
    ),
    "reconcile_champion": ("reconcile.between_look_and_act", "reconcile.between_act_and_look"),
    "score": ("score.between_history_and_predictions", "score.after_predictions"),
}
"""Where a run starts -> the failpoints that kill it."""

STAGE = {
    "promote_governed": "promote",
    "reconcile_alias": "reconcile",
    "reconcile_promotion": "reconcile",
    "reconcile_champion": "reconcile",
}

ONE_AFTER_ANOTHER = tuple(start for start in KILLS if start != "promote_governed")
"""Starts whose stage is killed at each place in turn, in one home; each place alone is a proof."""


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a home for every start: what is there before the stage that is killed."""
    folder = tmp_path_factory.mktemp("starts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.adapters.models.code_archive.PACKAGE", folder / "no_library")
        ingested = machines.build_template(folder / "train")
        promotable = machines.build_promoted(ingested, folder / "promote")
        governed = _judged_governed(ingested, folder / "promote_governed")
        replaceable = _scored_by_the_champion_before(promotable, folder / "score")
        replaced = _replaced(promotable, folder / "rollback")
        astray = _with_the_alias_moved(replaced, folder / "reconcile_alias")
        cut_off = _with_the_promotion_cut_off(promotable, folder / "reconcile_promotion")
        unsound = _with_the_champion_deleted(replaced, folder / "reconcile_champion")
    return {
        "train": ingested,
        "promote": promotable,
        "promote_governed": governed,
        "rollback": replaced,
        "reconcile_alias": astray,
        "reconcile_promotion": cut_off,
        "reconcile_champion": unsound,
        "score": replaceable,
    }


def _judged_governed(template: Path, folder: Path) -> Path:
    settings = machines.copy_template(template, folder)
    settings.users_file.write_text('[users]\nann = ["approver"]\n')
    use_case = machines.declare(settings, machines.Variant(tier="governed"))
    train(use_case, settings, as_of=machines.at(50), run="test", requester="sam")
    evaluate(use_case, settings, version="1")
    return folder


def _scored_by_the_champion_before(template: Path, folder: Path) -> Path:
    """Score three days with version 1, then promote version 2: scoring again replaces them."""
    settings = machines.copy_template(template, folder)
    use_case = load(settings.dags / "machines.py")
    score(use_case, settings, since=machines.at(47, 0), until=machines.at(50, 0), run="test")
    promote(use_case, settings, version="2", as_of=machines.at(50))
    return folder


def _replaced(template: Path, folder: Path) -> Path:
    settings = machines.copy_template(template, folder)
    promote(load(settings.dags / "machines.py"), settings, version="2", as_of=machines.at(50))
    return folder


def _with_the_alias_moved(template: Path, folder: Path) -> Path:
    client = MlflowClient(machines.copy_template(template, folder).mlflow_uri)
    client.set_registered_model_alias("machines", "champion", "1")
    return folder


def _with_the_promotion_cut_off(template: Path, folder: Path) -> Path:
    machines.copy_template(template, folder)
    assert run(folder, "promote", kill_at="promote.between_ledger_and_alias").killed
    return folder


def _with_the_champion_deleted(template: Path, folder: Path) -> Path:
    client = MlflowClient(machines.copy_template(template, folder).mlflow_uri)
    client.delete_model_version("machines-candidates", "2")
    return folder


@pytest.fixture(scope="module")
def clean(starts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the state after one undisturbed run of each stage, in a process like the others."""
    states = {}
    for start, template in starts.items():
        folder = tmp_path_factory.mktemp(f"clean_{start}")
        settings = machines.copy_template(template, folder)
        assert run(folder, STAGE.get(start, start)) == Ended(0, ())
        states[start] = state(settings)
    return states


CASES = [(start, place) for start, places in KILLS.items() for place in places]


@pytest.mark.prove
@pytest.mark.parametrize(("start", "place"), CASES)
def test_a_killed_stage_run_again_leaves_what_one_clean_run_leaves(
    start: str, place: str, starts: dict[str, Path], clean: dict[str, Any], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts[start], tmp_path)
    stage = STAGE.get(start, start)
    killed = run(tmp_path, stage, kill_at=place)
    assert killed.killed
    assert killed.reached == (place,), "the kill landed where it was meant to, once"
    assert run(tmp_path, stage) == Ended(0, ()), (tmp_path / "log.txt").read_text()
    assert state(settings) == clean[start]
    assert run(tmp_path, stage) == Ended(0, ())
    assert state(settings) == clean[start], "a third run changes nothing"


@pytest.mark.parametrize("start", ONE_AFTER_ANOTHER)
def test_a_stage_killed_at_each_place_in_turn_leaves_what_one_clean_run_leaves(
    start: str, starts: dict[str, Path], clean: dict[str, Any], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts[start], tmp_path)
    stage = STAGE.get(start, start)
    for place in KILLS[start]:
        killed = run(tmp_path, stage, kill_at=place)
        assert killed.killed
        assert killed.reached == (place,), "the kill landed where it was meant to, once"
    assert run(tmp_path, stage) == Ended(0, ()), (tmp_path / "log.txt").read_text()
    assert state(settings) == clean[start]
    assert run(tmp_path, stage) == Ended(0, ())
    assert state(settings) == clean[start], "one more run changes nothing"


def test_a_run_that_logged_a_model_and_was_killed_is_marked_so(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts["train"], tmp_path)
    assert run(tmp_path, "train", kill_at="train.between_log_and_register").killed
    run(tmp_path, "train")
    client = MlflowClient(settings.mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'machines'")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(found.info.status for found in runs) == ["FINISHED", "KILLED"]
    (version,) = client.search_model_versions("name = 'machines-candidates'")
    (finished,) = [found for found in runs if found.info.status == "FINISHED"]
    assert version.run_id == finished.info.run_id


@pytest.mark.parametrize("place", KILLS["promote"])
def test_between_two_champions_nothing_is_scored(
    place: str, starts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = machines.copy_template(starts["promote"], tmp_path)
    monkeypatch.setattr("pipelines.adapters.models.code_archive.PACKAGE", tmp_path / "no_library")
    assert run(tmp_path, "promote", kill_at=place).killed
    with pytest.raises(ChampionUnresolved, match="the promotion of version 2 to be finished"):
        champion.resolve(settings, "machines")
    use_case = load(settings.dags / "machines.py")
    with pytest.raises(ChampionUnresolved):
        score(use_case, settings, since=machines.at(47, 0), until=machines.at(50, 0), run="test")
    assert not delta_tables.exists(lake.predictions(settings, "machines"))


BOTH = [("promote", place, "2") for place in KILLS["promote"]] + [
    ("rollback", place, "1") for place in KILLS["rollback"]
]


@pytest.mark.parametrize(
    ("start", "place", "version"),
    [BOTH[1], pytest.param(*BOTH[4], marks=pytest.mark.prove), BOTH[5]],
)
def test_after_a_kill_anywhere_in_a_move_reconciling_ends_it(
    start: str, place: str, version: str, starts: dict[str, Path], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts[start], tmp_path)
    assert run(tmp_path, start, kill_at=place).reached == (place,)
    assert disagreements(settings) == ["unfinished"]
    assert run(tmp_path, "reconcile") == Ended(0, ())
    assert disagreements(settings) == []
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert found.model.version == version


def disagreements(settings: Settings) -> list[str]:
    """Return what ledger, alias and artifacts do not agree on."""
    return [finding.what for finding in champion_findings.look(settings, "machines")]


def test_control_a_promotion_that_begins_with_the_alias_is_seen_to_disagree(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts["promote"], tmp_path)
    place = "naive.between_alias_and_ledger"
    assert run(tmp_path, "move_naively", kill_at=place).reached == (place,)
    assert disagreements(settings) == ["alias"]


def generations(settings: Settings) -> list[tuple[str, str, int]]:
    """Return (window, model version, generation) of every current prediction."""
    rows = delta_tables.read(lake.predictions(settings, "machines")).to_pylist()
    return sorted((r["prediction_window"], r["model_version"], r["generation"]) for r in rows)


def test_a_killed_scoring_leaves_every_window_whole(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts["score"], tmp_path)
    before = generations(settings)
    assert len(before) == 3 * machines.MACHINES
    assert run(tmp_path, "score", kill_at="score.between_history_and_predictions").killed
    assert generations(settings) == before
    assert run(tmp_path, "score", kill_at="score.after_predictions").killed
    first, *rest = [
        before[n : n + machines.MACHINES] for n in range(0, len(before), machines.MACHINES)
    ]
    replaced = [(window, "2", 2) for window, _, _ in first]
    assert generations(settings) == [*replaced, *rest[0], *rest[1]]


def test_the_ledger_is_whole_after_kills_at_every_step_of_a_promotion(
    starts: dict[str, Path], clean: dict[str, Any], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts["promote_governed"], tmp_path)
    for place in KILLS["promote"]:
        assert run(tmp_path, "promote", kill_at=place).reached == (place,)
    assert run(tmp_path, "promote") == Ended(0, ())
    kinds = [(e.decision.kind, e.decision.actor) for e in decisions.read_all(settings)]
    assert kinds == [
        ("requested", "sam"),
        ("evaluated", "gates"),
        ("approved", "ann"),
        ("promoting", "ann"),
        ("promoted", "ann"),
    ]
    assert state(settings) == clean["promote_governed"]


def test_control_a_scorer_that_only_appends_fails_in_the_same_harness(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    settings = machines.copy_template(starts["score"], tmp_path / "killed")
    undisturbed = machines.copy_template(starts["score"], tmp_path / "clean")
    assert run(tmp_path / "clean", "score_naively") == Ended(0, ())
    killed = run(tmp_path / "killed", "score_naively", kill_at="score.after_predictions")
    assert killed.killed
    assert killed.reached == ("score.after_predictions",)
    assert run(tmp_path / "killed", "score_naively") == Ended(0, ())
    assert state(settings) != state(undisturbed)
    assert len(generations(settings)) == 2 * len(generations(undisturbed))


def test_control_an_unarmed_or_misspelt_failpoint_kills_nothing(
    starts: dict[str, Path], tmp_path: Path
) -> None:
    machines.copy_template(starts["score"], tmp_path)
    assert run(tmp_path, "score", kill_at="score.after_prediction") == Ended(0, ())
