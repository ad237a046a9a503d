"""Loading a registered model: the ledger's digest counts, whatever MLflow and the disk agree on."""

import errno
import os
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved, ServiceUnavailable
from pipelines.use_case import UseCase


def tree_of(settings: Settings, version: str) -> Path:
    """Return the folder of a candidate's files."""
    run_id = mlflow_registry.candidate(settings, "machines", version).run_id
    found = [
        path.parent
        for path in settings.mlflow_artifacts.glob("**/MLmodel")
        if run_id in path.read_text("utf-8")
    ]
    (tree,) = found
    return tree


def loaded(settings: Settings, version: str) -> str:
    """Load a candidate; return why that was refused."""
    wanted = mlflow_registry.candidate(settings, "machines", version)
    with pytest.raises(ChampionUnresolved) as caught:
        mlflow_registry.load(settings, "machines", wanted)
    return str(caught.value)


def test_attack_files_and_tag_are_swapped_together(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    recorded = decisions.artifact(settings, "machines", "1")
    swapped = (tree_of(settings, "2") / "model.skops").read_bytes()
    (tree_of(settings, "1") / "model.skops").write_bytes(swapped)
    assert f"expected files with digest {recorded[:12]}" in loaded(settings, "1")
    other = mlflow_registry.candidate(settings, "machines", "2").artifact_sha256
    client = MlflowClient(settings.mlflow_uri)
    client.set_model_version_tag("machines-candidates", "1", "headframe.artifact_sha256", other)
    assert loaded(settings, "1").splitlines()[0] == (
        "models:/machines-candidates/1: expected the artifact of the decisions ledger, digest "
        f"{recorded[:12]}; found digest {other[:12]} on the version in MLflow."
    )


def test_attack_a_pickle_beside_the_model(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    (tree_of(settings, "2") / "model.pkl").write_bytes(b"\x80\x04.")
    assert "changed after registration; model.pkl is no part of a model." in loaded(settings, "2")


def test_the_digest_in_the_ledger_is_the_first_one_of_a_version(
    promoted: tuple[UseCase, Settings],
) -> None:
    _, settings = promoted
    for version in ("1", "2"):
        found = mlflow_registry.candidate(settings, "machines", version).artifact_sha256
        assert decisions.artifact(settings, "machines", version) == found
    assert decisions.artifact(settings, "machines", "3") == ""


def fail(*_: object, **__: object) -> None:
    """Do what a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_store_that_fails_is_no_word_about_its_files(
    promoted: tuple[UseCase, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = promoted
    judged = decisions.evaluation(settings, "machines", "1")
    assert judged is not None
    wanted = mlflow_registry.candidate(settings, "machines", "1")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy2", fail)
        with pytest.raises(ServiceUnavailable):
            mlflow_registry.load(settings, "machines", wanted)
        with pytest.raises(ServiceUnavailable):
            mlflow_registry.read_evidence(settings, wanted.run_id, judged.evidence_digest)
    with pytest.raises(ChampionUnresolved, match="none to be had"):
        mlflow_registry.artifact(settings, wanted.run_id, "evidence/other.json")
    with pytest.raises(ChampionUnresolved, match="none to be had"):
        mlflow_registry.artifact(settings, "0" * 32, mlflow_registry.EVIDENCE_FILE)
