"""The feature store: feature rows per scoring time, computed once and read by all."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables
from pipelines.domain.features import AS_OF, FeatureView, KnownTables, compute_features
from pipelines.errors import NotEnoughData, Problem

if TYPE_CHECKING:
    import pyarrow as pa

TIMES_PER_COMMIT = 64
"""Scoring times written together: few commits, and little to compute again after a kill."""


def rows_at(
    table: Path, view: FeatureView, known: KnownTables, blocks: Sequence[tuple[datetime, datetime]]
) -> "pa.Table | None":
    """Return the feature rows of every block (scoring time, its end), sorted by time and key.

    ``table`` is the folder of this version of the view (``lake.features``). Blocks that no earlier
    run described are computed and written, once; a block without known entities has no rows and
    stays open. Returns None when no block has any row.
    """
    done = delta_tables.committed(table, [_application(start) for start, _ in blocks])
    missing = [block for block in blocks if _application(block[0]) not in done]
    for first in range(0, len(missing), TIMES_PER_COMMIT):
        _compute(table, view, known, missing[first : first + TIMES_PER_COMMIT])
    return _read(table, view, blocks)


def written_rows_at(
    table: Path, view: FeatureView, blocks: Sequence[tuple[datetime, datetime]]
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
    table: Path, view: FeatureView, blocks: Sequence[tuple[datetime, datetime]]
) -> "pa.Table | None":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not delta_tables.exists(table) or not blocks:
        return None
    low, high = min(start for start, _ in blocks), max(start for start, _ in blocks)
    rows = delta_tables.read(
        table,
        where=f"{AS_OF} >= timestamp '{low.isoformat()}' and {AS_OF} <= timestamp '{high.isoformat()}'",
    )
    wanted = pa.array([start for start, _ in blocks], pa.timestamp("us", tz="UTC"))
    rows = rows.filter(pc.is_in(rows[AS_OF], wanted))
    order = [(AS_OF, "ascending"), *((name, "ascending") for name in view.entity.key)]
    return rows.sort_by(order) if rows.num_rows else None


def _compute(
    table: Path, view: FeatureView, known: KnownTables, blocks: Sequence[tuple[datetime, datetime]]
) -> None:
    import pyarrow as pa

    described = {
        start: compute_features(known, view, as_of=start, until=until) for start, until in blocks
    }
    filled = {start: rows for start, rows in described.items() if rows.num_rows}
    if filled:
        delta_tables.commit_rows(
            table,
            pa.concat_tables(filled.values()).combine_chunks(),
            transactions={_application(start): 1 for start in filled},
            metadata={"stage": "features", "blocks": len(filled)},
        )


def _application(start: datetime) -> str:
    return f"features:{start.isoformat()}"
