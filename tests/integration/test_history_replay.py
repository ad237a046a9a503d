"""Replay of history: the same ledger each time, whoever broke it off; the real home stays as it was."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

from pipelines.adapters.models import code_archive
from pipelines.adapters.replay_home import ReplayHome
from pipelines.adapters.replay_journal import BEGUN, FILE
from pipelines.adapters.settings import Settings
from pipelines.cli import app
from pipelines.cli.replay_run import replayed
from pipelines.domain.replay_result import ReplayResult
from pipelines.errors import LakeError, NotEnoughData
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.train import train
from pipelines.use_case import StableAcrossSeeds, UseCase
from tests import machines, turning_machines
from tests.faults.model_runs import Ended, run_work
from tests.machines import at
from tests.turning_machines import LONGEST_SECONDS, PROMOTED, ROLLED_BACK, home_of

OPTIONS = ["--from", "2026-02-25T00:00:00Z", "--until", "2026-03-15T00:00:00Z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A home with a replay of both policies in it, and what its files were before."""

    settings: Settings
    use_case: UseCase
    before: dict[str, str]
    result: ReplayResult


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Replay the turning machines with and without retraining."""
    folder = tmp_path_factory.mktemp("replay")
    use_case, settings = turning_machines.build(folder), machines.settings_in(folder)
    before = digests(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        result = turning_machines.replay(use_case, settings, "never", "declared")
    return Replayed(settings=settings, use_case=use_case, before=before, result=result)


def digests(settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of every file of a home but those of its replays."""
    return {
        str(path.relative_to(settings.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(settings.root.rglob("*"))
        if path.is_file() and path.relative_to(settings.root).parts[0] != "replays"
    }


def test_policies_differ_as_the_world_was_made_to_turn(replay: Replayed) -> None:
    never, declared = replay.result.policies
    assert never.trainings == ()
    (training,) = declared.trainings
    assert (training.cause, training.version) == ("labels", "2")
    assert training.outcome == "version 2 was promoted, and rolled back from"
    assert (never.rolled_back, declared.rolled_back) == (0, 1)
    assert never.predictions == declared.predictions == machines.MACHINES * 18
    versions = [one.versions for one in declared.periods]
    assert versions == [("1",), ("2",), ("2",)]
    assert [one.versions for one in never.periods] == [("1",)] * 3
    stages = {"train", "evaluate", "promote", "score", "shadow", "monitor", "probation", "retrain"}
    assert declared.cpu_s.keys() == stages


def test_what_has_to_be_known_of_the_history_is_said(replay: Replayed) -> None:
    (said,) = replay.result.remarks
    assert said.startswith("Monitored once a week; the platform does so after each scoring")


def test_the_real_home_is_as_it_was(replay: Replayed) -> None:
    assert digests(replay.settings) == replay.before
    assert "lake/silver/machines/plan/_delta_log/00000000000000000000.json" in replay.before
    assert "mlflow/mlflow.db" in replay.before


def again(replay: Replayed, folder: Path) -> Settings:
    """Return a copy of the home in which nothing was replayed."""
    settings = machines.copy_template(replay.settings.home.parent, folder)
    shutil.rmtree(settings.root / "replays")
    return settings


@pytest.mark.prove
def test_a_replay_killed_after_it_promoted_and_rolled_back_ends_as_one_that_nobody_killed(
    replay: Replayed, stable_code: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "again"
    settings = again(replay, folder)
    monkeypatch.setattr(code_archive, "PACKAGE", folder / "no_library")
    home = home_of(settings, replay.use_case)
    for step in (f"asked__{PROMOTED}", f"probation__{ROLLED_BACK}"):
        point = f"replay.before_journal.{step}"
        ended = run_work(folder, turning_machines.go_on, point, seconds=LONGEST_SECONDS)
        assert ended.killed, (folder / "log.txt").read_text()
        assert ended.reached == (point,)
        kept = json.loads((home.settings("declared").root / FILE).read_text())
        assert step not in [one["step"] for one in kept["steps"]]
        noted = json.loads((home.settings("declared").root / BEGUN).read_text())
        assert noted["step"] == step
        assert sum(noted["cpu_s"].values()) > 0
    assert run_work(folder, turning_machines.go_on, seconds=LONGEST_SECONDS) == Ended(0, ())
    found = turning_machines.replay(replay.use_case, settings, "declared").policies[0]
    whole = replay.result.policies[1]
    assert found.ledger == whole.ledger
    assert found.blocks == whole.blocks
    assert found.trainings == whole.trainings
    # What the promotion cost before the kill is counted, though it was not done again.
    assert found.cpu_s["train"] > 0.5 * whole.cpu_s["train"]


def test_the_command_shows_what_was_replayed_before_and_writes_a_page(
    replay: Replayed, stable_code: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("home", "dags", "expectations"):
        monkeypatch.setenv(f"HEADFRAME_{name.upper()}", str(getattr(replay.settings, name)))
    monkeypatch.setattr(code_archive, "PACKAGE", replay.settings.home / "no_library")
    page = tmp_path / "page.html"
    command = ["replay", machines.NAME, *OPTIONS, "--retrain", "never", "--retrain", "declared"]
    told = CliRunner().invoke(app, [*command, "--json", "--page", str(page)])
    assert told.exit_code == 0, told.output
    plain = json.loads(told.stdout)
    assert plain["ledger"] == replay.result.ledger
    assert [one["policy"] for one in plain["policies"]] == ["never", "declared"]
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "promoted, and rolled back from" in text
    shown = CliRunner().invoke(app, command).stdout
    assert f"ledger {replay.result.ledger[:12]}" in shown


def test_a_policy_that_there_is_not_is_named_with_the_nearest_one(
    replay: Replayed, stable_code: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADFRAME_HOME", str(replay.settings.home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(replay.settings.dags))
    told = CliRunner().invoke(app, ["replay", machines.NAME, *OPTIONS, "--retrain", "montly"])
    assert told.exit_code == 1
    assert "did you mean 'monthly'" in " ".join(told.output.split())


def test_without_a_first_champion_nothing_is_replayed(
    machines_settings: Settings,
) -> None:
    strict = machines.declare(machines_settings, machines.Variant(margin=5.0))
    home = home_of(machines_settings, strict, begins=48, ends=50)
    with pytest.raises(NotEnoughData, match="BeatsBaseline failed"):
        replayed(strict, home, ["never"], Progress(disable=True))
    early = home_of(machines_settings, strict, begins=43, ends=45)
    with pytest.raises(NotEnoughData, match=r"found 40 blocks with final labels\.\n  Begin later"):
        replayed(strict, early, ["never"], Progress(disable=True))
    beyond = home_of(machines_settings, strict, begins=55, ends=60)
    with pytest.raises(NotEnoughData, match="nothing newer than 2026-02-20 06:00 UTC"):
        replayed(strict, beyond, ["never"], Progress(disable=True))


def test_late_data_whose_predictions_break_a_promise_does_not_end_a_replay(
    machines_settings: Settings,
) -> None:
    promised = "promises=[PredictionRange(0.0, 0.9325)]"
    variant = machines.Variant(on_stale="fail_closed", more_scoring=f", {promised}")
    with pytest.MonkeyPatch.context() as patch:
        named = machines.DAG.replace("Scoring, Table", "PredictionRange, Scoring, Table")
        patch.setattr(machines, "DAG", named)
        use_case = machines.declare(machines_settings, variant)
    machines.deliver(machines_settings, first=50, until=57)
    ingest(use_case, machines_settings, as_of=at(55, 10), run="test")
    home = home_of(machines_settings, use_case, begins=50, ends=56)
    found = replayed(use_case, home, ["never"], Progress(disable=True)).policies[0]
    broken = ["2026-02-24T04:00:00+00:00", "2026-02-25T04:00:00+00:00"]
    scored, late = found_of(home, "score"), found_of(home, "late")
    assert scored["refused"] == broken
    assert [scored_for for scored_for, *_ in scored["late"]] == broken
    assert late == {"again": [], "refused_again": broken}
    assert (found.predictions, found.refused) == (machines.MACHINES * 4, 2)


def found_of(home: ReplayHome, kind: str) -> dict[str, Any]:
    """Return what came of the only step of a kind of the policy "never"."""
    plain = json.loads((home.settings("never").root / FILE).read_text())
    (only,) = [one for one in plain["steps"] if one["step"].startswith(kind)]
    found: dict[str, Any] = only["found"]
    return found


def test_what_was_not_ingested_is_not_replayed(tmp_path: Path, stable_code: None) -> None:
    settings = machines.settings_in(tmp_path)
    use_case = machines.declare(settings)
    with pytest.raises(LakeError, match="table plan: expected rows in silver"):
        replayed(use_case, home_of(settings, use_case), ["never"], Progress(disable=True))


def test_spared_evidence_decides_the_same_and_asks_for_no_refit_in_vain(
    machines_settings: Settings,
) -> None:
    found = {}
    for margin in (5.0, 0.01):
        use_case = machines.declare(machines_settings, machines.Variant(margin=margin))
        use_case = replace(use_case, gates=[*use_case.gates, StableAcrossSeeds(10.0)])
        made = train(use_case, machines_settings, as_of=at(50), run="test", requester="sam")
        judged = evaluate(use_case, machines_settings, version=made.version, spare=True)
        outcomes = {one.gate: one.outcome for one in judged.evidence.verdicts}
        looked = judged.evidence.examination
        assert looked is not None
        found[margin] = judged.promotable, outcomes, len(looked.seeds), looked.importance
    stopped = {"BeatsBaseline": "failed", "BeatsChampion": "not_applicable"}
    passed = {"BeatsBaseline": "passed", "BeatsChampion": "not_applicable"}
    assert found[5.0] == (False, stopped, 0, {})
    promotable, outcomes, seeds, importance = found[0.01]
    assert (promotable, outcomes) == (True, {**passed, "StableAcrossSeeds": "passed"})
    assert seeds > 1
    assert importance == {}
