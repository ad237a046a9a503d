"""Data pins: the table versions that registered models were made from, and must stay readable."""

import json
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_upkeep
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.pins import PinnedBytes, pinned_bytes
from pipelines.errors import LakeError, Problem

SQLITE = "sqlite:///"

FEATURES = "gold.features."
"""Start of the name under which a model records the version of its feature rows."""


def pinned_versions(settings: Settings) -> dict[str, set[int]]:
    """Return, by dotted table name, the versions that a registered model needs to be rebuilt.

    Raises LakeError when MLflow's database is gone though models were judged here, and
    ServiceUnavailable when MLflow does not answer: then nobody knows what may be removed.
    """
    pinned: dict[str, set[int]] = {}
    for versions in _needed(settings).values():
        for table, version in versions.items():
            pinned.setdefault(table, set()).add(version)
    return pinned


def kept_bytes(settings: Settings) -> PinnedBytes:
    """Return the bytes that each registered model keeps from being removed.

    A promoted copy counts as the candidate that it is a copy of. Raises as ``pinned_versions``, and
    LakeError where a version that is needed cannot be opened any more.
    """
    needed = _needed(settings)
    paths = lake.table_paths(settings)
    wanted = {(table, version) for found in needed.values() for table, version in found.items()}
    if gone := sorted({table for table, _ in wanted} - set(paths)):
        raise LakeError(*(_no_table(table) for table in gone))
    sizes = {
        (table, version): {
            file.path: file.bytes for file in table_upkeep.files_at(paths[table], version)
        }
        for table, version in sorted(wanted)
    }
    current = {
        table: {
            file.path
            for file in table_upkeep.files_at(paths[table], delta_tables.version(paths[table]))
        }
        for table in {table for table, _ in wanted}
    }
    return pinned_bytes(needed, sizes, current)


def has_registry(settings: Settings) -> bool:
    """Tell whether there is an MLflow to ask; False in a home in which nothing was judged yet.

    Raises LakeError when its database is gone though the ledger speaks of models: a new one in its
    place would know of none.
    """
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


def _needed(settings: Settings) -> dict[str, dict[str, int]]:
    """Return the table versions that each registered model needs, by its name and version."""
    if not has_registry(settings):
        return {}
    by_run: dict[str, tuple[str, dict[str, int]]] = {}
    for model in mlflow_registry.registered(settings):
        # A copy is of the same run; the candidate has the longer name.
        name = f"{model.name} version {model.version}"
        if model.run_id not in by_run or len(name) > len(by_run[model.run_id][0]):
            by_run[model.run_id] = name, _versions(settings, model)
    return dict(sorted(by_run.values()))


def _versions(settings: Settings, model: ModelVersion) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, version in json.loads(model.tags.get("headframe.data_versions", "{}")).items():
        table = name
        if name.startswith(FEATURES):
            use_case = name.removeprefix(FEATURES)
            digest = model.tags["headframe.features"]
            table = FEATURES + lake.features(settings, use_case, digest).name
        if version >= 0:
            found[table] = int(version)
    return found


def _no_table(table: str) -> Problem:
    return Problem(
        where=table,
        expected="the table, which registered models were made from",
        found="none in the lake",
        fix="Restore it from a backup, or delete the model versions that nobody needs in MLflow.",
    )
