"""Pinned rows: what a registered model was taught, read from the table versions that it recorded."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.models import feature_store
from pipelines.adapters.settings import Settings
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.label_rule import lay_out_labels
from pipelines.domain.labels import Label, labelled
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa


def training_rows(
    settings: Settings,
    use_case: str,
    tags: Mapping[str, str],
    *,
    view: FeatureView,
    label: Label,
    times: ScoringTimes,
) -> "pa.Table":
    """Return the labelled rows of a version's training window, in canonical order.

    ``tags`` are the version's. Everything is read from the versions that they name, and nothing is
    computed. Raises LakeError when one of them cannot be read any more.
    """
    versions: dict[str, int] = json.loads(tags["headframe.data_versions"])
    described = lake.features(settings, use_case, tags["headframe.features"])
    blocks = times.blocks_of(*map(date.fromisoformat, _window(tags)))
    version = versions[f"gold.features.{use_case}"]
    rows = feature_store.rows_of_version(described, view, blocks, version=version)
    if rows is None:
        raise LakeError(
            Problem(
                where=f"gold.features.{use_case} at version {version}",
                expected=f"the feature rows of {' to '.join(_window(tags))}",
                found="none",
                fix="Restore the table from a backup.",
            )
        )
    tables = KnownTables(
        lake.versions(settings, use_case, view.tables, at=versions), view.tables, label
    )
    lay_out_labels(tables, view.entity, label)
    states = tables.label_states(view.entity, datetime.fromisoformat(tags["headframe.as_of"]))
    return labelled(rows, states, tuple(view.entity.key))


def _window(tags: Mapping[str, str]) -> tuple[str, str]:
    first, last = json.loads(tags["headframe.training_window"])
    return first, last
