"""Scored features: the feature rows that predictions were made from, as long as the store has them."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, pinned_files
from pipelines.adapters.lineage import prediction_records
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.features import AS_OF
from pipelines.domain.slots import SLOT, window_name
from pipelines.domain.sql_text import delta_moment
from pipelines.errors import LakeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def scored_features(
    settings: Settings,
    use_case: str,
    view: str,
    columns: "Sequence[str]",
    *,
    scored_for: datetime,
    generation: int,
    as_of: datetime,
) -> "pa.RecordBatchReader | None":
    """Return the feature rows, as of one time, that a window's generation was made from, in batches.

    ``view`` is the digest of their feature view. They are the newest of their time, unless that was
    described anew and the window was not scored again: then they are read from the version that was
    scored. None where maintenance has removed that.
    """
    table, where = lake.features(settings, use_case, view), f"{AS_OF} = {delta_moment(as_of)}"
    version = None
    if _is_described_anew(settings, use_case, table, scored_for, as_of):
        version = _scored_version(settings, use_case, scored_for, generation, as_of)
        if version is None or not _is_there(table, version, as_of):
            return None
    return delta_tables.read_batches(table, columns=columns, where=where, at_version=version)


def _is_described_anew(
    settings: Settings, use_case: str, table: Folder, scored_for: datetime, as_of: datetime
) -> bool:
    """Tell whether the rows of a time are others now; of an earlier release's nobody can."""
    standing = made_marks.segments(settings, use_case).get(scored_for, [])
    made = next((segment for segment in standing if segment.as_of == as_of), None)
    blocks = made_marks.blocks(table).get(as_of, [])
    return made is not None and bool(blocks) and blocks[-1].digest != made.digest


def _scored_version(
    settings: Settings, use_case: str, scored_for: datetime, generation: int, as_of: datetime
) -> int | None:
    made = prediction_records.made_by(settings, use_case)
    window = window_name(SLOT, scored_for)
    by = prediction_records.maker(made, window, generation, as_of)
    return by.feature_version if by else None


def _is_there(table: Folder, version: int, as_of: datetime) -> bool:
    """Tell whether every file of a version that may hold rows of a time can be opened."""
    try:
        for file in pinned_files.pinned(table, version, at=(AS_OF, as_of)):
            with pinned_files.opened(table, file.path):
                pass
    except LakeError:
        return False
    return True
