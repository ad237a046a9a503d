"""Kill -9 of a replay of history, after every step and inside stages: its ledger is that of a whole one."""

import json
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.replay_journal import FILE
from pipelines.adapters.settings import Settings
from pipelines.domain.replay_result import PolicyResult
from pipelines.use_case import UseCase, load
from tests import machines, turning_machines
from tests.faults.model_runs import Ended, run_work
from tests.turning_machines import LONGEST_SECONDS, PROMOTED, ROLLED_BACK, home_of

INSIDE = (
    "train.between_log_and_register",
    "train.after_register",
    "promote.between_ledger_and_alias",
    "promote.between_alias_and_ledger",
    "score.after_predictions",
    "rollback.between_ledger_and_alias",
    "rollback.between_copy_and_alias",
    "rollback.between_alias_and_ledger",
)
"""Failpoints inside stages, in the order in which a replay that is killed at each comes to them."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the turning machines' history was taken in, and nothing replayed."""
    folder = tmp_path_factory.mktemp("world")
    turning_machines.build(folder)
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PolicyResult, list[str]]:
    """Return what a replay that nobody killed found, and its steps."""
    folder = tmp_path_factory.mktemp("whole")
    settings = machines.copy_template(world, folder)
    return replayed(settings), steps_of(settings)


def replayed(settings: Settings) -> PolicyResult:
    """Go on with a replay to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", settings.home.parent / "no_library")
        return turning_machines.replay(declared(settings), settings, "declared").policies[0]


def declared(settings: Settings) -> UseCase:
    return load(settings.dags / f"{machines.NAME}.py")


def steps_of(settings: Settings) -> list[str]:
    """Return the steps in the journal, in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", settings.home.parent / "no_library")
        file = home_of(settings, declared(settings)).settings("declared").root / FILE
    if not file.exists():
        return []
    return [one["step"] for one in json.loads(file.read_text())["steps"]]


@pytest.mark.prove
def test_every_step_done_twice_says_what_it_said_once(
    world: Path, whole: tuple[PolicyResult, list[str]], tmp_path: Path
) -> None:
    once, steps = whole
    assert {f"asked__{PROMOTED}", f"probation__{ROLLED_BACK}"} <= set(steps)
    assert once.rolled_back == 1
    settings = machines.copy_template(world, tmp_path)
    for number, step in enumerate(steps):
        point = f"replay.before_journal.{step}"
        ended = run_work(tmp_path, turning_machines.go_on, point, seconds=LONGEST_SECONDS)
        assert ended.killed, (tmp_path / "log.txt").read_text()
        assert ended.reached == (point,)
        assert steps_of(settings) == steps[:number]
    assert replayed(settings).ledger == once.ledger


@pytest.mark.prove
def test_a_replay_killed_inside_its_stages_ends_as_one_that_nobody_killed(
    world: Path, whole: tuple[PolicyResult, list[str]], tmp_path: Path
) -> None:
    once, _ = whole
    settings = machines.copy_template(world, tmp_path)
    for point in INSIDE:
        ended = run_work(tmp_path, turning_machines.go_on, point, seconds=LONGEST_SECONDS)
        assert ended == Ended(-9, (point,)), (tmp_path / "log.txt").read_text()
    assert replayed(settings).ledger == once.ledger


@pytest.mark.prove
@pytest.mark.parametrize("step", [f"asked__{PROMOTED}", f"probation__{ROLLED_BACK}"])
def test_the_control_with_one_entry_for_all_that_a_monitoring_leads_to_ends_otherwise(
    world: Path, whole: tuple[PolicyResult, list[str]], tmp_path: Path, step: str
) -> None:
    once, _ = whole
    settings = machines.copy_template(world, tmp_path)
    point = f"replay.before_journal.{step}"
    ended = run_work(tmp_path, turning_machines.go_on_in_lumps, point, seconds=LONGEST_SECONDS)
    assert ended == Ended(-9, (point,)), (tmp_path / "log.txt").read_text()
    assert step.replace("asked", "monitor").replace("probation", "monitor") not in steps_of(
        settings
    )
    assert replayed(settings).ledger != once.ledger
