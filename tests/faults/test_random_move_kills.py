"""Kill -9 at random in promotions, roll backs and reconciliations: ledger and alias agree in the end."""

import random
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.models import champion, champion_findings, published_ledger
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.errors import ChampionUnresolved
from tests import machines
from tests.faults.model_runs import LONGEST_SECONDS, STAGES, Ended, run, start_work

WANTED = 12
"""Kills in the middle of a move: after its first entry, before its last."""

MOST = 200


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moves")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.adapters.models.code_archive.PACKAGE", folder / "no_library")
        promoted = machines.build_promoted(machines.build_template(folder / "in"), folder / "home")
    start_work(promoted, STAGES["reconcile"]).join()  # the first process of all imports for long
    return promoted


@pytest.mark.prove
def test_whatever_is_killed_when_reconciling_ends_it_and_only_judged_versions_serve(
    template: Path, tmp_path: Path
) -> None:
    chance = random.Random(20)  # noqa: S311 - kills, the same each time
    killed = 0
    for number in range(MOST):
        folder = tmp_path / str(number)
        settings = machines.copy_template(template, folder)
        for stage in ("promote", "rollback"):
            kill_somewhere(folder, stage, chance)
            refuse_unjudged(settings)
            killed += disagreements(settings) == ["unfinished"]
            if chance.random() < 0.3:
                alias = chance.choice(["1", "2"])
                move_alias(settings, alias)
            while chance.random() < 0.5:
                kill_somewhere(folder, "reconcile", chance)
                refuse_unjudged(settings)
            assert run(folder, "reconcile") == Ended(0, ()), (folder / "log.txt").read_text()
            assert disagreements(settings) == []
            assert published_ledger.verified(settings).entries
            assert champion.resolve(settings, "machines") is not None
        if killed >= WANTED:
            break
    print(f"{killed} kills in the middle of a move, in {number + 1} homes")  # noqa: T201 - the proof's figures
    assert killed >= WANTED


def kill_somewhere(folder: Path, stage: str, chance: random.Random) -> None:
    """Start a stage; kill it after some entries of the ledger and a moment more, if it still runs."""
    settings = machines.settings_in(folder)
    wanted, began = entries(settings) + chance.randint(0, 2), time.monotonic()
    process = start_work(folder, STAGES[stage])
    while entries(settings) < wanted and process.is_alive():
        assert time.monotonic() - began < 2 * LONGEST_SECONDS
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.3))
    process.kill()
    process.join()


def entries(settings: Settings) -> int:
    """Return how many commits the ledger has, without opening it."""
    return len(list(local(lake.ledger(settings, "decisions")).glob("_delta_log/*.json")))


def move_alias(settings: Settings, version: str) -> None:
    client = MlflowClient(settings.mlflow_uri)
    if any(
        found.version == int(version) for found in client.search_model_versions("name='machines'")
    ):
        client.set_registered_model_alias("machines", "champion", version)


def refuse_unjudged(settings: Settings) -> None:
    """Require that the champion, where there is one, is a version that was judged."""
    try:
        found = champion.resolve(settings, "machines")
    except ChampionUnresolved:
        return
    assert found is not None
    assert found.model.version in ("1", "2")


def disagreements(settings: Settings) -> list[str]:
    return [finding.what for finding in champion_findings.look(settings, "machines")]
