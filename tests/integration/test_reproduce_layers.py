"""Reproduce, at length: every sort of estimator, and each layer changed for real and named."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import recipes
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import Recipe
from pipelines.domain.reproduction import Reproduced
from pipelines.stages.reproduce import reproduce
from tests import machines, reproducing
from tests.machines import at

NIGHT = at(60)

WEIGHING = """
def weighed(columns, seed):
    from sklearn.linear_model import LogisticRegression
    from weighing import STRENGTH

    return encoded(columns, LogisticRegression(C=STRENGTH, random_state=seed))


"""


@pytest.fixture
def home(
    machines_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Return a home with nothing trained, and a library that nobody edits."""
    reproducing.use_library(tmp_path / "library", monkeypatch)
    yield machines.copy_template(machines_template, tmp_path / "home")
    import mlflow

    mlflow.set_tracking_uri(None)


def again(
    settings: Settings, version: str, *, threads: int | None = None, rebuild: bool = False
) -> Reproduced:
    return reproduce(
        "machines",
        settings,
        version=version,
        as_of=NIGHT,
        run="test",
        threads=threads,
        rebuild=rebuild,
    )


@pytest.mark.prove
@pytest.mark.parametrize("candidate", ["logistic", "trees", "forest", "boosted"])
def test_every_sort_of_estimator_comes_out_bit_for_bit_on_any_number_of_threads(
    home: Settings, candidate: str
) -> None:
    if candidate == "boosted":
        pytest.importorskip("lightgbm")
    version = reproducing.judged(home, reproducing.trained(home, candidate))
    for threads in (None, 2, 4):
        found = again(home, version, threads=threads)
        assert found.outcome == "identical", found.describe()
        assert found.compared.rows > 1_000


@pytest.mark.prove
def test_a_seed_that_was_recorded_wrongly_is_named(home: Settings) -> None:
    version = reproducing.trained(home, "forest")
    client = MlflowClient(home.mlflow_uri)
    run = client.get_model_version("machines-candidates", version).run_id
    file = Path(client.get_run(run).info.artifact_uri) / recipes.FILE
    text = file.read_text("utf-8").replace('"seed": 7', '"seed": 8')
    file.write_text(text, "utf-8")
    client.set_model_version_tag(
        "machines-candidates", version, recipes.DIGEST, Recipe.from_plain(json.loads(text)).digest
    )
    found = again(home, reproducing.judged(home, version))
    assert (found.outcome, found.layer) == ("differs", "seed")
    assert found.findings[0].describe() == (
        "seed: 8 recorded, 7 declared in the archive: put back, the predictions are the recorded ones"
    )


@pytest.mark.prove
def test_a_candidate_that_takes_no_seed_is_named(home: Settings) -> None:
    found = again(home, reproducing.judged(home, reproducing.trained(home, "unseeded")))
    assert (found.outcome, found.layer) == ("differs", "seed")
    assert "draws at random without the seed" in found.reason


def install(folder: Path, version: str, strength: float) -> None:
    """Put a package into a folder of packages, as an installer does."""
    shutil.rmtree(folder, ignore_errors=True)
    told = folder / f"weighing-{version}.dist-info"
    told.mkdir(parents=True)
    (folder / "weighing.py").write_text(f"STRENGTH = {strength}\n", "utf-8")
    (told / "METADATA").write_text(f"Name: weighing\nVersion: {version}\n", "utf-8")
    (told / "top_level.txt").write_text("weighing\n", "utf-8")


@pytest.mark.prove
def test_a_changed_package_is_named_with_both_versions(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    install(packages, "1.0", 1.0)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.syspath_prepend(packages)
    version = reproducing.trained(home, "weighed", more_code=WEIGHING)
    reproducing.judged(home, version)
    assert again(home, version).outcome == "identical"
    install(packages, "2.0", 0.01)
    found = again(home, version)
    assert (found.outcome, found.layer) == ("differs", "environment")
    assert found.findings[0].evidence == "weighing 1.0 there, 2.0 here"
    shutil.rmtree(packages)
    gone = again(home, version)
    assert (gone.outcome, gone.layer) == ("not_rebuilt", "environment")
    assert any("weighing 1.0 there, none here" in one.evidence for one in gone.findings)


@pytest.mark.prove
def test_the_recorded_lock_is_installed_and_gives_the_recorded_predictions(home: Settings) -> None:
    version = reproducing.judged(home, reproducing.trained(home, "trees"))
    found = again(home, version, rebuild=True)
    assert found.outcome == "identical", found.describe()
    assert found.environment == "in an environment of the recorded lock"
    (made,) = (home.root / "environments").iterdir()
    assert (made / "venv" / "bin" / "python").exists()
