"""Judged tags: what a version says it was made of, held against the run that registered it."""

from collections.abc import Mapping

from pipelines.adapters.models import answer_tags, mlflow_client, probe
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.errors import ChampionUnresolved, Problem

FEATURES = "headframe.features"
"""Tag: the digest of the feature view, which decides whose rows a model may score."""

ANSWERS = (probe.NUMERIC, probe.CATEGORICAL, probe.DIGEST, answer_tags.ANSWER)
"""Tags that say which columns a model is given, what its answers are, and what proves both."""

LONGEST = 8000
"""Characters of a run's tag that MLflow keeps (its MAX_TAG_VAL_LENGTH); a version's may have more."""

JUDGED = (FEATURES, "headframe.declaration", "headframe.code", *ANSWERS)
"""Tags that a version and its run were given alike when they were registered."""


def refuse_changed(settings: Settings, use_case: str, model: ModelVersion) -> None:
    """Raise ChampionUnresolved where a judged tag was removed or is not that of the run any more.

    Whoever changes version and run alike is not found here. Raises ServiceUnavailable when MLflow
    does not answer.
    """
    told = of_run(settings, model.run_id)
    changed = [name for name in JUDGED if not _alike(model.tags.get(name), told.get(name))]
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


def _alike(of_version: str | None, of_run: str | None) -> bool:
    """Tell whether a tag of a version is that of its run, as far as MLflow kept that."""
    if of_version is None or of_run is None:
        return of_version is of_run
    return of_version[:LONGEST] == of_run


def of_run(settings: Settings, run_id: str) -> Mapping[str, str]:
    """Return the tags of the run that registered a version; none of a run that is gone.

    One of LONGEST characters may be the beginning of one. Raises ServiceUnavailable when MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        found: Mapping[str, str] = mlflow_client.client(settings).get_run(run_id).data.tags
    except MlflowException as error:
        if not mlflow_client.gone(error):
            raise mlflow_client.unavailable(error) from error
        return {}
    return found
