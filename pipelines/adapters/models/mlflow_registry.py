"""MLflow: runs, candidate models, the champion's alias; the only module that calls MLflow."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models.trusted_types import TRUSTED_TYPES, refuse_untrusted, requirements
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
from pipelines.errors import ChampionUnresolved, Problem, PromotionRefused, ServiceUnavailable

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

CHAMPION = "champion"
TRAIN_KEY = "headframe.train_key"
EVIDENCE_FILE = "evidence/evidence.json"
NOT_PART_OF_THE_MODEL = {"registered_model_meta"}
"""Files MLflow writes into a download itself; they differ by the name a model is fetched under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a candidate model: its run, where its files are, and their digest."""

    version: str
    run_id: str
    artifact_sha256: str
    tags: Mapping[str, str]


def candidates_name(use_case: str) -> str:
    """Name the registered model of every candidate; only promotion writes ``use_case``."""
    return f"{use_case}-candidates"


def find_candidate(
    settings: Settings, use_case: str, key: str, *, tag: str = TRAIN_KEY
) -> ModelVersion | None:
    """Return the first candidate whose ``tag`` is ``key``, such as that of its training."""
    client = _client(settings)
    found = [
        _version(version)
        for version in client.search_model_versions(f"name = '{candidates_name(use_case)}'")
        if version.tags.get(tag) == key
    ]
    return min(found, key=lambda version: int(version.version), default=None)


def registered(settings: Settings) -> list[ModelVersion]:
    """Return every registered version of every model: candidates, and copies that were promoted."""
    client = _client(settings)
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(page_token=token)
        found += [_version(version) for version in page]
        token = page.token
        if not token:
            return found


def log_candidate(
    settings: Settings,
    use_case: str,
    model: Any,  # noqa: ANN401 - any library's estimator
    *,
    train_key: str,
    example: "pd.DataFrame",
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    files: Mapping[str, Path],
) -> ModelVersion:
    """Log one trained model to a run and register it as a candidate, once per ``train_key``.

    A run that was killed before it registered is marked failed and made again. ``files`` are
    logged beside the model under the given folder names. Raises PromotionRefused when the model
    holds types outside TRUSTED_TYPES (classes defined in a DAG file, for one).
    """
    import mlflow
    from mlflow.models import infer_signature

    client = _client(settings)
    if (done := find_candidate(settings, use_case, train_key)) is not None:
        return done
    refuse_untrusted(model, use_case)
    experiment = _experiment(client, settings, use_case)
    for stale in client.search_runs([experiment], f"tags.`{TRAIN_KEY}` = '{train_key}'"):
        client.set_terminated(stale.info.run_id, status="KILLED")
        client.set_tag(stale.info.run_id, TRAIN_KEY, f"{train_key}:killed")
    with mlflow.start_run(experiment_id=experiment, tags={**tags, TRAIN_KEY: train_key}) as run:
        mlflow.log_params(dict(params))
        mlflow.log_metrics(dict(metrics))
        for folder, file in files.items():
            mlflow.log_artifact(str(file), folder)
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            pip_requirements=requirements(model),
            signature=infer_signature(example, model.predict_proba(example)[:, 1]),
        )
    failpoint("train.between_log_and_register")
    with tempfile.TemporaryDirectory() as folder:
        sha256 = _tree_digest(_download(settings, logged.model_uri, folder))
    client.set_tag(run.info.run_id, "headframe.artifact_sha256", sha256)
    registered = mlflow.register_model(
        logged.model_uri,
        candidates_name(use_case),
        tags={**tags, TRAIN_KEY: train_key, "headframe.artifact_sha256": sha256},
    )
    failpoint("train.after_register")
    return _version(registered)


def candidate(settings: Settings, use_case: str, version: str) -> ModelVersion:
    """Return one candidate version. Raises ChampionUnresolved when MLflow no longer has it."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(_client(settings).get_model_version(candidates_name(use_case), version))
    except MlflowException as error:
        if not _missing(error):
            raise _unavailable(error) from error
        raise ChampionUnresolved(
            Problem(
                where=f"{candidates_name(use_case)} version {version}",
                expected="a registered model version",
                found="none in MLflow",
                fix="Train again; a version that was deleted by hand cannot be used.",
            )
        ) from error


def load(settings: Settings, use_case: str, wanted: ModelVersion) -> Any:  # noqa: ANN401 - any estimator
    """Return the fitted model after its files' digest was verified; raises ChampionUnresolved."""
    import skops.io

    uri = f"models:/{candidates_name(use_case)}/{wanted.version}"
    with tempfile.TemporaryDirectory() as folder:
        tree = _download(settings, uri, folder)
        found = _tree_digest(tree)
        if found != wanted.artifact_sha256:
            raise ChampionUnresolved(
                Problem(
                    where=f"{uri} (artifact)",
                    expected=f"files with digest {wanted.artifact_sha256[:12]}",
                    found=f"digest {found[:12]}: they were changed after registration",
                    fix="Nothing is scored with it. Restore the files, or promote another version.",
                )
            )
        return skops.io.load(tree / "model.skops", trusted=list(TRUSTED_TYPES))


def experiment_id(settings: Settings, run_id: str) -> str:
    """Return the experiment of a run, which MLflow's pages are addressed by."""
    return str(_client(settings).get_run(run_id).info.experiment_id)


def artifact(settings: Settings, run_id: str, path: str) -> bytes:
    """Return a file logged beside a model; raises ChampionUnresolved when it is gone."""
    with tempfile.TemporaryDirectory() as folder:
        return _download(settings, f"runs:/{run_id}/{path}", folder).read_bytes()


def log_evidence(settings: Settings, run_id: str, text: str, metrics: Mapping[str, float]) -> None:
    """Attach an evidence bundle to a run; the same text again changes nothing."""
    client = _client(settings)
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    keep(settings, run_id, EVIDENCE_FILE, text)


def keep(settings: Settings, run_id: str, path: str, text: str) -> None:
    """Keep a text beside a model as folder/name of its run; one that is there is replaced."""
    client = _client(settings)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / Path(path).name
        file.write_text(text, "utf-8")
        client.log_artifact(run_id, str(file), str(Path(path).parent))


def artifact_bytes(settings: Settings, use_case: str, wanted: ModelVersion) -> int:
    """Return how large a version's files are, in bytes; raises ChampionUnresolved when they are gone."""
    uri = f"models:/{candidates_name(use_case)}/{wanted.version}"
    with tempfile.TemporaryDirectory() as folder:
        tree = _download(settings, uri, folder)
        return sum(
            path.stat().st_size
            for path in tree.rglob("*")
            if path.is_file() and path.name not in NOT_PART_OF_THE_MODEL
        )


def read_evidence(settings: Settings, run_id: str, digest: str) -> Evidence:
    """Return the evidence bundle of a run; raises PromotionRefused unless it has this digest."""
    try:
        text = artifact(settings, run_id, EVIDENCE_FILE).decode("utf-8")
    except ChampionUnresolved as error:
        raise _other_evidence(run_id, digest, "none") from error
    evidence = Evidence.from_json(text)
    if evidence.digest != digest:
        raise _other_evidence(run_id, digest, f"one with digest {evidence.digest[:12]}")
    return evidence


def publish_champion(settings: Settings, use_case: str, wanted: ModelVersion) -> str:
    """Copy a candidate to the registered model ``use_case``, once, and point the alias at it.

    Returns the copy's version.
    """
    client = _client(settings)
    copies = client.search_model_versions(f"name = '{use_case}'")
    mine = [copy for copy in copies if copy.run_id == wanted.run_id]
    copy = (
        mine[0]
        if mine
        else client.copy_model_version(
            f"models:/{candidates_name(use_case)}/{wanted.version}", use_case
        )
    )
    failpoint("promote.between_copy_and_alias")
    client.set_registered_model_alias(use_case, CHAMPION, copy.version)
    return str(copy.version)


def champion_run_id(settings: Settings, use_case: str) -> str | None:
    """Return the run of the model version that the champion alias points at; None without one."""
    from mlflow.exceptions import MlflowException

    try:
        found = _client(settings).get_model_version_by_alias(use_case, CHAMPION)
    except MlflowException as error:
        if not _missing(error):
            raise _unavailable(error) from error
        return None
    return str(found.run_id)


def _client(settings: Settings) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_DISABLE_SCHEMA_DETAILS"] = "true"
    import logging

    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # MLflow prints advice on conda and pip versions that no reader of a task log needs.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = settings.mlflow_uri
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise _unavailable(error) from error
    return client


def _missing(error: "MlflowException") -> bool:
    """Tell MLflow's "there is none" from a failure; a missing alias is an invalid parameter to it."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _unavailable(error: "MlflowException") -> ServiceUnavailable:
    return ServiceUnavailable(
        Problem(
            where="MLflow",
            expected="an answer from the tracking server",
            found=f"{type(error).__name__} ({error.error_code})",
            fix="Look at `headframe status` and `headframe logs mlflow`.",
        )
    )


def _experiment(client: "MlflowClient", settings: Settings, use_case: str) -> str:
    found = client.get_experiment_by_name(use_case)
    if found is not None:
        return str(found.experiment_id)
    embedded = settings.mlflow_is_embedded
    location = str(settings.mlflow_artifacts / use_case) if embedded else None
    return str(client.create_experiment(use_case, artifact_location=location))


def _download(settings: Settings, uri: str, folder: str) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    _client(settings)
    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        # MLflow answers an artifact folder that is gone with an empty one.
        if found.is_dir() and not any(found.iterdir()):
            raise FileNotFoundError(uri)
    except (MlflowException, OSError) as error:
        raise ChampionUnresolved(
            Problem(
                where=uri,
                expected="the artifact's files",
                found=f"none to be had ({type(error).__name__})",
                fix="Restore the artifact store, or promote another version.",
            )
        ) from error
    return found


def _tree_digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in NOT_PART_OF_THE_MODEL:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def _other_evidence(run_id: str, digest: str, found: str) -> PromotionRefused:
    return PromotionRefused(
        Problem(
            where=f"run {run_id}",
            expected=f"the evidence bundle with digest {digest[:12]}",
            found=found,
            fix="Evidence is frozen when it is judged: train and evaluate again.",
        )
    )


def _version(found: Any) -> ModelVersion:  # noqa: ANN401 - untyped library
    return ModelVersion(
        version=str(found.version),
        run_id=str(found.run_id),
        artifact_sha256=str(found.tags.get("headframe.artifact_sha256", "")),
        tags=dict(found.tags),
    )
