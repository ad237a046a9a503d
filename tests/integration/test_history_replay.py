"""Replay of history: the same ledger each time, whoever broke it off; the real home stays as it was."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

from pipelines.adapters.models import code_archive
from pipelines.adapters.replay_home import ReplayAsked, ReplayHome
from pipelines.adapters.replay_journal import FILE
from pipelines.adapters.settings import Settings
from pipelines.cli import app
from pipelines.cli.replay_run import replayed
from pipelines.domain.replay_result import ReplayResult
from pipelines.errors import LakeError, NotEnoughData
from pipelines.stages.evaluate import evaluate
from pipelines.stages.train import train
from pipelines.use_case import StableAcrossSeeds, UseCase, load
from tests import machines
from tests.empty_databases import place_mlflow
from tests.machines import at

CHANGED, ENDS = 50, 71
"""Day from which low loads stop machines instead of high ones, and the first that is not replayed."""

HARM = (
    "Monitoring(minimum_labels=30), retraining=Retraining(on_harm=True, cooldown=timedelta(days=2)"
)
OPTIONS = ["--from", "2026-02-20T00:00:00Z", "--until", "2026-03-13T00:00:00Z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A home with a replay of both policies in it, and what its files were before."""

    settings: Settings
    use_case: UseCase
    before: dict[str, str]
    result: ReplayResult


@pytest.fixture(scope="module")
def replay(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Replay a world that turns with and without retraining on harm."""
    settings = machines.copy_template(machines_template, tmp_path_factory.mktemp("replay"))
    machines.declare(settings)
    file = settings.dags / f"{machines.NAME}.py"
    text = file.read_text("utf-8").replace("Scoring, Table", "Retraining, Scoring, Table")
    file.write_text(text.replace("Monitoring(minimum_labels=30", HARM), "utf-8")
    use_case = load(file)
    machines.deliver(settings, first=CHANGED, until=ENDS, turned=True)
    machines.take_in(use_case, settings)
    before = digests(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", settings.home / "no_library")
        home = home_of(settings, use_case)
        result = replayed(use_case, home, ["never", "declared"], Progress(disable=True))
    return Replayed(settings=settings, use_case=use_case, before=before, result=result)


def home_of(settings: Settings, use_case: UseCase) -> ReplayHome:
    asked = ReplayAsked(
        use_case=machines.NAME,
        declaration=use_case.digest(),
        code=code_archive.code_digest(settings, machines.NAME),
        since=at(CHANGED, 0),
        until=at(ENDS, 0),
        every="week",
        fixed=False,
    )
    home = ReplayHome(settings, asked)
    place_mlflow(home.settings().root / "mlflow" / "mlflow.db")
    return home


def digests(settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of every file of a home but those of its replays."""
    return {
        str(path.relative_to(settings.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(settings.root.rglob("*"))
        if path.is_file() and path.relative_to(settings.root).parts[0] != "replays"
    }


class Impatient(Progress):
    """A person who breaks off once so many steps were told."""

    def __init__(self, steps: int) -> None:
        super().__init__(disable=True)
        self.left = steps

    def update(self, *args: object, **more: object) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().update(*args, **more)  # type: ignore[arg-type]  # as they came


def test_policies_differ_as_the_world_was_made_to_turn(replay: Replayed) -> None:
    never, declared = replay.result.policies
    assert never.trainings == ()
    assert [(one.cause, one.version) for one in declared.trainings] == [
        ("harm", "2"),
        ("harm", "3"),
    ]
    assert [one.level for one in never.alarms if one.test == "Harm"] == ["PAGE"]
    assert never.predictions == declared.predictions == machines.MACHINES * (ENDS - CHANGED)
    losses = [one.loss for one in never.periods]
    assert len(losses) == 3
    assert all(loss is not None and loss > 1.0 for loss in losses)  # of a coin it is 0.69
    assert never.cpu_s.keys() >= {"train", "evaluate", "promote", "score", "monitor"}


def test_the_real_home_is_as_it_was(replay: Replayed) -> None:
    assert digests(replay.settings) == replay.before
    assert "lake/silver/machines/plan/_delta_log/00000000000000000000.json" in replay.before
    assert "mlflow/mlflow.db" in replay.before


def test_a_replay_broken_off_anywhere_ends_as_one_that_nobody_broke_off(
    replay: Replayed, stable_code: None, tmp_path: Path
) -> None:
    whole = replay.result.policies[1]
    settings = machines.copy_template(replay.settings.home.parent, tmp_path / "again")
    shutil.rmtree(settings.root / "replays")
    home = home_of(settings, replay.use_case)
    for steps in (2, 5):  # while it scores, and after the first training that harm asked for
        with pytest.raises(KeyboardInterrupt):
            replayed(replay.use_case, home, ["declared"], Impatient(steps))
        forget_last_step(home)
    found = replayed(replay.use_case, home, ["declared"], Progress(disable=True))
    assert found.policies[0].ledger == whole.ledger
    assert found.policies[0].blocks == whole.blocks
    assert found.policies[0].trainings == whole.trainings


def forget_last_step(home: ReplayHome) -> None:
    """Leave a policy's home as a kill does between the last thing a step wrote and the journal."""
    file = home.settings("declared").root / FILE
    file.write_text(json.dumps(json.loads(file.read_text())[:-1]))


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
    assert "harm: did not help" in text
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
    home = home_of(machines_settings, strict)
    with pytest.raises(NotEnoughData, match="BeatsBaseline failed"):
        replayed(strict, home, ["never"], Progress(disable=True))


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
