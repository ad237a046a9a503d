"""Data pins: the table versions that registered models were made from, and must stay readable."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_upkeep
from pipelines.adapters.models import judged_tags, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.domain.pins import PinnedBytes, pinned_bytes
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    from pipelines.adapters.models.mlflow_registry import ModelVersion

SQLITE = "sqlite:///"

FEATURES = "gold.features."
"""Start of the name under which a model records the version of its feature rows."""

RECORDED = "headframe.data_versions"
"""Tag of a version and of its run: the table versions that it was made from, by dotted name."""


def pinned_versions(settings: Settings) -> dict[str, set[int]]:
    """Return, by dotted table name, the versions that a registered model needs to be rebuilt.

    They are those that the version names, and those that its run does: a tag that was changed or
    taken away since takes nothing away. Raises LakeError when MLflow's database is gone though
    models were judged here, or a tag is unreadable, and ServiceUnavailable when MLflow does not
    answer: then nobody knows what may be removed.
    """
    pinned: dict[str, set[int]] = {}
    for told in _needed(settings).values():
        for versions in told:
            for table, version in versions.items():
                pinned.setdefault(table, set()).add(version)
    return pinned


def kept_bytes(settings: Settings) -> PinnedBytes:
    """Return the bytes that each registered model keeps from being removed.

    A promoted copy counts as the candidate that it is a copy of. Raises as ``pinned_versions``, and
    LakeError where a version that is needed cannot be opened any more.
    """
    needed = {model: told[0] for model, told in _needed(settings).items()}
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


def _needed(settings: Settings) -> dict[str, list[dict[str, int]]]:
    """Return what is said of the table versions that each registered model needs, its run first.

    A promoted copy is of its candidate's run, and goes by the candidate's name and version.
    """
    if not has_registry(settings):
        return {}
    by_run: dict[str, list[ModelVersion]] = {}
    for model in mlflow_registry.registered(settings):
        by_run.setdefault(model.run_id, []).append(model)
    found = {}
    for run_id, models in by_run.items():
        every = judged_tags.of_run(settings, run_id)
        run = {tag: text for tag, text in every.items() if len(text) < judged_tags.LONGEST}
        names = [f"{model.name} version {model.version}" for model in models]
        name = max(names, key=len)  # the candidate has the longer one
        said = [{**dict(models[0].tags), **run}, *({**run, **model.tags} for model in models)]
        found[name] = [_versions(settings, tags, name) for tags in said]
    return dict(sorted(found.items()))


def _versions(settings: Settings, tags: Mapping[str, str], model: str) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        told = {
            name: int(version) for name, version in json.loads(tags.get(RECORDED, "{}")).items()
        }
    except (ValueError, AttributeError, TypeError):
        raise LakeError(_unreadable(model)) from None
    for name, version in told.items():
        table = name
        if name.startswith(FEATURES):
            if judged_tags.FEATURES not in tags:
                raise LakeError(_unreadable(model))
            use_case = name.removeprefix(FEATURES)
            digest = tags[judged_tags.FEATURES]
            table = FEATURES + lake.features(settings, use_case, digest).name
        if version >= 0:
            found[table] = version
    return found


def _unreadable(model: str) -> Problem:
    return Problem(
        where=f"{model} in MLflow",
        expected=f"the table versions that it was made from, and its feature view ({RECORDED}, "
        f"{judged_tags.FEATURES})",
        found="tags that cannot be read, on the version and on its run",
        fix="Restore them; until then nothing is removed.",
    )


def _no_table(table: str) -> Problem:
    return Problem(
        where=table,
        expected="the table, which registered models were made from",
        found="none in the lake",
        fix="Restore it from a backup, or delete the model versions that nobody needs in MLflow.",
    )
