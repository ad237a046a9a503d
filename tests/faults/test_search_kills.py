"""Kill -9 in the middle of a search: it goes on where it was, and ends with the declared trials."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipelines.adapters import failpoints
from pipelines.adapters.models import mlflow_registry, search_record
from pipelines.adapters.settings import Settings
from pipelines.stages.train import train
from pipelines.use_case import UseCase
from tests import machines, searches
from tests.faults.model_runs import Ended, run_work

TRIALS = 5
KILLED_IN = 3
"""Trials that have ended when the kill comes; the fourth is under way."""

LINES = "told.txt"


def _search(use_case: UseCase, settings: Settings) -> None:
    """Train, and keep a line of each trial; die in a trial once three have ended, if armed."""
    armed = os.environ.pop(failpoints.ARMED, "")
    lines = settings.root / LINES

    def tell(line: str) -> None:
        with lines.open("a") as file:
            file.write(f"{line}\n")
        if len(lines.read_text().splitlines()) == KILLED_IN:
            os.environ[failpoints.ARMED] = armed

    train(use_case, settings, as_of=machines.at(50), run="test", requester="sam", told=tell)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home that is ingested, and declared to make five trials."""
    folder = machines.build_template(tmp_path_factory.mktemp("start"))
    searches.declare(machines.settings_in(folder), trials=TRIALS)
    return folder


def tried(settings: Settings) -> list[tuple[int, str, str, float | None]]:
    """Return place, state, parameters and loss of every trial that the model's run keeps."""
    version = mlflow_registry.candidate(settings, machines.NAME, "1")
    kept = json.loads(mlflow_registry.artifact(settings, version.run_id, search_record.FILE))
    return [(t["place"], t["state"], str(t["parameters"]), t["loss"]) for t in kept["trials"]]


def lines(settings: Settings) -> list[str]:
    """Return the first words of every line that was told, and forget them."""
    told = (settings.root / LINES).read_text().splitlines()
    (settings.root / LINES).unlink()
    return [line.split(":")[0] for line in told]


@pytest.fixture(scope="module")
def undisturbed(
    start: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, str, str, float | None]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = machines.copy_template(start, folder)
    assert run_work(folder, _search) == Ended(0, ())
    return tried(settings)


@pytest.mark.parametrize("place", ["tune.after_begin", "tune.after_fold"])
def test_a_search_that_was_killed_in_a_trial_ends_with_the_declared_ones(
    place: str,
    start: Path,
    undisturbed: list[tuple[int, str, str, float | None]],
    tmp_path: Path,
) -> None:
    settings = machines.copy_template(start, tmp_path)
    killed = run_work(tmp_path, _search, place)
    assert (killed.killed, killed.reached) == (True, (place,))
    assert lines(settings) == [f"trial {n} of {TRIALS}" for n in range(1, KILLED_IN + 1)]
    assert run_work(tmp_path, _search) == Ended(0, ()), (tmp_path / "log.txt").read_text()
    assert lines(settings) == ["1 begun anew", "trial 4 of 5", "trial 5 of 5"]
    found = tried(settings)
    assert [trial[:2] for trial in found if trial[1] == "killed"] == [(KILLED_IN, "killed")]
    assert [trial for trial in found if trial[1] != "killed"] == undisturbed


def test_control_without_its_study_a_killed_search_begins_from_nothing(
    start: Path, tmp_path: Path
) -> None:
    settings = machines.copy_template(start, tmp_path)
    assert run_work(tmp_path, _search, "tune.after_fold").killed
    assert len(lines(settings)) == KILLED_IN
    shutil.rmtree(settings.root / "studies")
    assert run_work(tmp_path, _search) == Ended(0, ())
    assert lines(settings) == [f"trial {n} of {TRIALS}" for n in range(1, TRIALS + 1)]
