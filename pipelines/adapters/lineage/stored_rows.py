"""Stored rows: the feature rows of a block as they were scored, as long as the store has them."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.silver import made_marks
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.features import AS_OF
from pipelines.domain.sql_text import delta_moment
from pipelines.errors import VersionGone

if TYPE_CHECKING:
    import pyarrow as pa


def stored_rows(table: Folder, as_of: datetime, version: int | None) -> "pa.Table | None":
    """Return the rows of the block at ``as_of`` as a version of a feature table held them.

    Without a ``version`` they are the newest. Maintenance removes versions that no model needs; of
    one that is gone the newest rows are the same, unless the block was described anew since: None
    then, and where there is no table.
    """
    if not delta_tables.exists(table):
        return None
    where = f"{AS_OF} = {delta_moment(as_of)}"
    try:
        return delta_tables.read(table, where=where, at_version=version)
    except VersionGone:
        if version is None or len(made_marks.blocks(table).get(as_of, ())) != 1:
            return None
    return delta_tables.read(table, where=where)
