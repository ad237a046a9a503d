"""Judged tags: what a version says it was made of, held against the run that registered it."""

from pipelines.adapters.models import mlflow_client
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved, Problem

FEATURES = "headframe.features"
"""Tag: the digest of the feature view, which decides whose rows a model may score."""

JUDGED = (FEATURES, "headframe.declaration", "headframe.code")
"""Tags that a version and its run were given alike when they were registered."""


def refuse_changed(settings: Settings, use_case: str, model: ModelVersion) -> None:
    """Raise ChampionUnresolved where a judged tag was removed or is not that of the run any more.

    Whoever changes version and run alike is not found here. Raises ServiceUnavailable when MLflow
    does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        told = mlflow_client.client(settings).get_run(model.run_id).data.tags
    except MlflowException as error:
        if not mlflow_client.gone(error):
            raise mlflow_client.unavailable(error) from error
        told = {}
    changed = [name for name in JUDGED if model.tags.get(name) != told.get(name)]
    if FEATURES not in model.tags and FEATURES not in changed:
        changed.append(FEATURES)
    if changed:
        raise ChampionUnresolved(
            Problem(
                where=f"{use_case} version {model.version} in MLflow",
                expected="the tags that it was registered with, as its run has them",
                found=f"others, or none: {', '.join(changed)}",
                fix="Restore the version's tags, or roll back: "
                f"`headframe rollback {use_case} --reason ...`.",
            )
        )
