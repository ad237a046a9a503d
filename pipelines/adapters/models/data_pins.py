"""Data pins: the table versions that registered models were made from, and must stay readable."""

import json
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.errors import LakeError, Problem

SQLITE = "sqlite:///"

FEATURES = "gold.features."
"""Start of the name under which a model records the version of its feature rows."""


def pinned_versions(settings: Settings) -> dict[str, set[int]]:
    """Return, by dotted table name, the versions that a registered model needs to be rebuilt.

    Raises LakeError when MLflow's database is gone though models were judged here, and
    ServiceUnavailable when MLflow does not answer: then nobody knows what may be removed.
    """
    if not _has_registry(settings):
        return {}
    pinned: dict[str, set[int]] = {}
    for model in mlflow_registry.registered(settings):
        for name, version in json.loads(model.tags.get("headframe.data_versions", "{}")).items():
            table = name
            if name.startswith(FEATURES):
                use_case = name.removeprefix(FEATURES)
                digest = model.tags["headframe.features"]
                table = FEATURES + lake.features(settings, use_case, digest).name
            if version >= 0:
                pinned.setdefault(table, set()).add(int(version))
    return pinned


def _has_registry(settings: Settings) -> bool:
    if not settings.mlflow_uri.startswith(SQLITE):
        return True
    if Path(settings.mlflow_uri.removeprefix(SQLITE)).exists():
        return True
    if not delta_tables.exists(lake.ledger(settings, "decisions")):
        return False
    raise LakeError(
        Problem(
            where="MLflow's database",
            expected="the models that the decisions ledger speaks of, and the data they need",
            found="no such file",
            fix="Restore it from a backup; until then nothing is removed.",
        )
    )
