"""MLflow: runs and candidate models, their files and what is kept beside them."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import decisions, kept_models, mlflow_client, model_file
from pipelines.adapters.models.trusted_types import TRUSTED_TYPES, refuse_untrusted, requirements
from pipelines.adapters.settings import Settings
from pipelines.domain.evidence import Evidence
from pipelines.domain.prediction_kinds import Answer
from pipelines.domain.training import frame_answers
from pipelines.errors import ChampionUnresolved, Problem, PromotionRefused

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

TRAIN_KEY = "headframe.train_key"
EVIDENCE_FILE = "evidence/evidence.json"
MOST_DIGITS = 9
"""Of a version: all numbers of so many are below 2^31, the most that MLflow's databases hold."""

NEWEST_NAMED = 5
"""Versions named to whoever asks for one that there is not."""

NOT_PART_OF_THE_MODEL = {"registered_model_meta"}
"""Files MLflow writes into a download itself; they differ by the name a model is fetched under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a candidate model: its run, where its files are, and their digest."""

    version: str
    run_id: str
    artifact_sha256: str
    tags: Mapping[str, str]
    name: str = ""


def candidates_name(use_case: str) -> str:
    """Name the registered model of every candidate; only promotion writes ``use_case``."""
    return f"{use_case}-candidates"


def find_candidate(
    settings: Settings, use_case: str, key: str, *, tag: str = TRAIN_KEY
) -> ModelVersion | None:
    """Return the first candidate whose ``tag`` is ``key``, such as that of its training."""
    client = mlflow_client.client(settings)
    found = [
        _version(version)
        for version in client.search_model_versions(f"name = '{candidates_name(use_case)}'")
        if version.tags.get(tag) == key
    ]
    return min(found, key=lambda version: int(version.version), default=None)


def registered(settings: Settings) -> list[ModelVersion]:
    """Return every registered version of every model: candidates, and copies that were promoted."""
    client = mlflow_client.client(settings)
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
    answer: Answer = "probability",
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    files: Mapping[str, Path],
) -> ModelVersion:
    """Log one trained model to a run and register it as a candidate, once per ``train_key``.

    A run that was killed before it registered is marked failed and made again. ``files`` are
    logged beside the model under the given folder names. Raises PromotionRefused when the model
    holds types outside TRUSTED_TYPES (classes defined in a DAG file, for one); its run has failed then.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature
    from skops.io.exceptions import UnsupportedTypeException

    client = mlflow_client.client(settings)
    if (done := find_candidate(settings, use_case, train_key)) is not None:
        return done
    experiment = _experiment(client, settings, use_case)
    for stale in client.search_runs([experiment], f"tags.`{TRAIN_KEY}` = '{train_key}'"):
        client.set_terminated(stale.info.run_id, status="KILLED")
        client.set_tag(stale.info.run_id, TRAIN_KEY, f"{train_key}:killed")
    with mlflow.start_run(experiment_id=experiment, tags={**tags, TRAIN_KEY: train_key}) as run:
        mlflow.log_params(dict(params))
        mlflow.log_metrics(dict(metrics))
        for folder, file in files.items():
            mlflow.log_artifact(str(file), folder)
        try:
            # Reads what it wrote, and takes trusted types alone.
            logged = mlflow.sklearn.log_model(
                model,
                name="model",
                serialization_format="skops",
                skops_trusted_types=list(TRUSTED_TYPES),
                pip_requirements=requirements(model),
                signature=infer_signature(example, frame_answers(model, example, answer)),
            )
        except (MlflowException, UnsupportedTypeException):
            refuse_untrusted(model, use_case)
            raise
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
    """Return one candidate version. Raises ChampionUnresolved when MLflow does not have it."""
    from mlflow.exceptions import MlflowException

    client, name = mlflow_client.client(settings), candidates_name(use_case)
    # Its database fails on a number that is no 32-bit one, as if it were out of order.
    if version.isdecimal() and len(version) > MOST_DIGITS:
        raise _no_such(client, name, version)
    try:
        return _version(client.get_model_version(name, version))
    except MlflowException as error:
        if not mlflow_client.missing(error):
            raise mlflow_client.unavailable(error) from error
        raise _no_such(client, name, version) from error


def _no_such(client: "MlflowClient", name: str, version: str) -> ChampionUnresolved:
    """Return the error about a version that is not there, with the newest of those that are."""
    newest = client.search_model_versions(
        f"name = '{name}'", max_results=NEWEST_NAMED, order_by=["version_number DESC"]
    )
    others = ", ".join(str(one.version) for one in newest)
    again = f"Name another (newest first: {others}), or train again" if others else "Train again"
    return ChampionUnresolved(
        Problem(
            where=f"{name} version {version}",
            expected="a registered model version",
            found="none in MLflow",
            fix=f"{again}; a version that was deleted by hand cannot be used.",
        )
    )


def load(settings: Settings, use_case: str, wanted: ModelVersion) -> Any:  # noqa: ANN401 - any estimator
    """Return the fitted model, after its files' digest was held against the decisions ledger.

    A version that the ledger does not know yet is held against its own tag. Raises
    ChampionUnresolved when the files or the tag were changed, or hold anything but a model.
    """
    uri = f"models:/{candidates_name(use_case)}/{wanted.version}"
    recorded = decisions.artifact(settings, use_case, wanted.version) or wanted.artifact_sha256
    if wanted.artifact_sha256 != recorded:
        raise ChampionUnresolved(
            Problem(
                where=uri,
                expected=f"the artifact of the decisions ledger, digest {recorded[:12]}",
                found=f"digest {wanted.artifact_sha256[:12]} on the version in MLflow",
                fix="Restore the version's tag, or train and promote another version.",
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        tree = _download(settings, uri, folder)
        found = _tree_digest(tree)
        if found != recorded:
            more = ", ".join(model_file.strangers(tree))
            raise ChampionUnresolved(
                Problem(
                    where=f"{uri} (artifact)",
                    expected=f"files with digest {recorded[:12]}",
                    found=f"digest {found[:12]}: they were changed after registration"
                    + (f"; {more} is no part of a model" if more else ""),
                    fix="Nothing is scored with it. Restore the files, or promote another version.",
                )
            )
        return kept_models.once(found, lambda: model_file.read(tree, f"{uri} (artifact)"))


def experiment_id(settings: Settings, run_id: str) -> str:
    """Return the experiment of a run, which MLflow's pages are addressed by."""
    return str(mlflow_client.client(settings).get_run(run_id).info.experiment_id)


def artifact(settings: Settings, run_id: str, path: str) -> bytes:
    """Return a file logged beside a model.

    Raises ChampionUnresolved when it is gone, ServiceUnavailable when the store did not give it.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _download(settings, f"runs:/{run_id}/{path}", folder).read_bytes()


def log_evidence(settings: Settings, run_id: str, text: str, metrics: Mapping[str, float]) -> None:
    """Attach an evidence bundle to a run; the same text again changes nothing."""
    client = mlflow_client.client(settings)
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    keep(settings, run_id, EVIDENCE_FILE, text)


def keep(settings: Settings, run_id: str, path: str, text: str) -> None:
    """Keep a text beside a model as folder/name of its run; one that is there is replaced."""
    client = mlflow_client.client(settings)
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
        # A byte that is no text makes it another evidence, not an error of its own.
        text = artifact(settings, run_id, EVIDENCE_FILE).decode("utf-8", "replace")
    except ChampionUnresolved as error:
        raise _other_evidence(run_id, digest, "none") from error
    evidence = Evidence.from_json(text)
    if evidence.digest != digest:
        raise _other_evidence(run_id, digest, f"one with digest {evidence.digest[:12]}")
    return evidence


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

    mlflow_client.client(settings)
    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        # MLflow answers an artifact folder that is gone with an empty one.
        if found.is_dir() and not any(found.iterdir()):
            raise FileNotFoundError(uri)
    except (MlflowException, OSError) as error:
        if not mlflow_client.gone(error) or (isinstance(error, MlflowException) and _kept(uri)):
            # A store that fails says nothing about the model: asking again may help.
            raise mlflow_client.unavailable(error) from error
        raise ChampionUnresolved(
            Problem(
                where=uri,
                expected="the artifact's files",
                found=f"none to be had ({type(error).__name__})",
                fix="Restore the artifact store, or promote another version.",
            )
        ) from error
    return found


def _kept(uri: str) -> bool:
    """Tell whether a run lists a file that did not come: MLflow calls each failure of one missing."""
    import mlflow
    from mlflow.exceptions import MlflowException

    if not uri.startswith("runs:/"):
        return False
    folder, _, name = uri.rpartition("/")
    try:
        listed = mlflow.artifacts.list_artifacts(folder)
    except (MlflowException, OSError) as error:
        return not mlflow_client.gone(error)
    return name in (Path(file.path).name for file in listed)


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
        name=str(found.name),
    )
