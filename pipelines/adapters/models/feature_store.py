"""The feature store: feature rows per scoring time, computed once and read by all."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.features import AS_OF, FeatureView, KnownTables, compute_features
from pipelines.domain.sql_text import delta_moment
from pipelines.errors import NotEnoughData, Problem

if TYPE_CHECKING:
    import pyarrow as pa

TIMES_PER_COMMIT = 64
"""Scoring times written together: few commits, and little to compute again after a kill."""


def rows_at(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
) -> "pa.Table | None":
    """Return the feature rows of every block (scoring time, its end), sorted by time and key.

    ``table`` is the folder of this version of the view (``lake.features``). Blocks that no earlier
    run described are computed and written, once; a block without known entities has no rows and
    stays open. A block is computed again, and its rows replaced, when what was known at its time
    has changed since (see ``KnownTables.edition``). Returns None when no block has any row.
    """
    done = delta_tables.transaction_versions(table, [_application(start) for start, _ in blocks])
    missing = [block for block in blocks if _application(block[0]) not in done]
    for first in range(0, len(missing), TIMES_PER_COMMIT):
        _compute(table, view, known, missing[first : first + TIMES_PER_COMMIT])
    changed = [
        (start, until)
        for start, until in blocks
        if done.get(_application(start), known.edition(start)) < known.edition(start)
    ]
    for first in range(0, len(changed), TIMES_PER_COMMIT):
        _compute(table, view, known, changed[first : first + TIMES_PER_COMMIT], replace=True)
    return _read(table, view, blocks)


def written_rows_at(
    table: Folder, view: FeatureView, blocks: Sequence[tuple[datetime, datetime]]
) -> "pa.Table":
    """Return rows that an earlier feature view wrote; raises NotEnoughData when some are missing."""
    done = delta_tables.committed(table, [_application(start) for start, _ in blocks])
    rows = _read(table, view, blocks)
    if rows is None or len(done) < len(blocks):
        raise NotEnoughData(
            Problem(
                where=f"features {table.name}",
                expected=f"rows for {len(blocks)} blocks, as the champion's feature view made them",
                found=f"rows for {len(done)}",
                fix="The feature view changed since the champion was trained, and the old view "
                "never described these blocks. Put the old view back, score them, then change it.",
            )
        )
    return rows


def _read(
    table: Folder, view: FeatureView, blocks: Sequence[tuple[datetime, datetime]]
) -> "pa.Table | None":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not delta_tables.exists(table) or not blocks:
        return None
    low, high = min(start for start, _ in blocks), max(start for start, _ in blocks)
    where = f"{AS_OF} >= {delta_moment(low)} and {AS_OF} <= {delta_moment(high)}"
    rows = delta_tables.read(table, where=where)
    wanted = pa.array([start for start, _ in blocks], pa.timestamp("us", tz="UTC"))
    rows = rows.filter(pc.is_in(rows[AS_OF], wanted))
    order = [(AS_OF, "ascending"), *((name, "ascending") for name in view.entity.key)]
    return rows.sort_by(order) if rows.num_rows else None


def _compute(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
    *,
    replace: bool = False,
) -> None:
    import pyarrow as pa

    described = {
        start: compute_features(known, view, as_of=start, until=until) for start, until in blocks
    }
    # A block that is replaced may have no rows left, and then loses those it had.
    filled = {start: rows for start, rows in described.items() if rows.num_rows or replace}
    moments = ", ".join(delta_moment(start) for start in filled)
    if filled:
        delta_tables.commit_rows(
            table,
            pa.concat_tables(filled.values()).combine_chunks(),
            transactions={_application(start): known.edition(start) for start in filled},
            metadata={"stage": "features", "blocks": len(filled)},
            replace=f"{AS_OF} in ({moments})" if replace else None,
        )


def _application(start: datetime) -> str:
    return f"features:{start.isoformat()}"
