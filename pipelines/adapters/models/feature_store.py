"""The feature store: feature rows per scoring time, computed once and read by all."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables, moment_groups, partitions, unseen_files
from pipelines.adapters.delta.partitions import Layout
from pipelines.adapters.silver import made_marks
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.features import (
    AS_OF,
    EVENT_TIME,
    FeatureView,
    KnownTables,
    compute_features,
    rows_digest,
)
from pipelines.domain.row_order import in_order
from pipelines.domain.sql_text import delta_moment
from pipelines.errors import CommitLost, NotEnoughData, Problem

if TYPE_CHECKING:
    import pyarrow as pa

DESCRIBED = "features:"
"""Start of the transactions of described times; the version is the edition of their rows."""

GROUP_ROWS = 1 << 18
"""Most rows of one row group: what one batch of a reader is cut from."""

MOST_RACES = 5
"""Times blocks are looked for again because another run has just described some of them."""

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
    run described are computed and written, once. A block is computed again, and its rows replaced,
    when what was known at its time has changed since (see ``KnownTables.edition``); until then one
    without known entities has no rows. Returns None when no block has any row.
    """
    describe(table, view, known, blocks)
    return _read(table, view, blocks)


def versioned_rows_at(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
) -> "tuple[int, pa.Table | None]":
    """Return what ``rows_at`` does, and the version of the table that holds these rows."""
    describe(table, view, known, blocks)
    return described_rows_at(table, view, blocks)


def described_rows_at(
    table: Folder, view: FeatureView, blocks: Sequence[tuple[datetime, datetime]]
) -> "tuple[int, pa.Table | None]":
    """Return what ``versioned_rows_at`` does of blocks of which ``is_described`` says that they are."""
    version = delta_tables.version(table)
    return version, _read(table, view, blocks, at_version=version)


def rows_of_version(
    table: Folder,
    view: FeatureView,
    blocks: Sequence[tuple[datetime, datetime]],
    *,
    version: int,
) -> "pa.Table | None":
    """Return the rows of the blocks as a version of the table has them; None when it has none.

    Nothing is computed. Raises LakeError when the version cannot be read any more.
    """
    return _read(table, view, blocks, at_version=version)


def is_described(
    table: Folder, known: KnownTables, blocks: Sequence[tuple[datetime, datetime]]
) -> bool:
    """Tell whether ``describe`` would find nothing to compute: that of all blocks is current."""
    done = delta_tables.transaction_versions(table, [_application(start) for start, _ in blocks])
    return all(done.get(_application(start), 0) >= known.edition(start) for start, _ in blocks)


def describe(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
    *,
    since: Mapping[datetime, datetime] | None = None,
) -> None:
    """Compute and write what is missing or stale of the blocks; see ``rows_at``.

    ``since`` names the late ones, which are described in the middle of a window: when that began.
    All its entities are asked for, so that a feature over them means what it always means; the rows
    kept are those of entities ahead.
    """
    for _ in range(MOST_RACES):
        with suppress(CommitLost):
            _describe(table, view, known, blocks, since or {})
            return
    _describe(table, view, known, blocks, since or {})


def _describe(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
    since: Mapping[datetime, datetime],
) -> None:
    done = delta_tables.transaction_versions(table, [_application(start) for start, _ in blocks])
    missing = [block for block in blocks if _application(block[0]) not in done]
    for first in range(0, len(missing), TIMES_PER_COMMIT):
        _compute(table, view, known, missing[first : first + TIMES_PER_COMMIT], since)
    changed = [
        (start, until)
        for start, until in blocks
        if done.get(_application(start), known.edition(start)) < known.edition(start)
    ]
    for first in range(0, len(changed), TIMES_PER_COMMIT):
        some = changed[first : first + TIMES_PER_COMMIT]
        _compute(table, view, known, some, since, replace=True)


def pinned(
    table: Folder, view: FeatureView, starts: Sequence[datetime]
) -> tuple[int, dict[datetime, str]]:
    """Return the newest version and the ``digests`` of its blocks, and of no other version's.

    Raises CommitLost when other runs describe blocks all the time.
    """
    for _ in range(MOST_RACES):
        version = delta_tables.version(table)
        found = digests(table, view, starts)
        if delta_tables.version(table) == version:
            return version, found
    raise CommitLost(
        Problem(
            where=f"features {table.name}",
            expected="a moment without another run that describes blocks",
            found=f"a new version {MOST_RACES} times",
            fix="Nothing was lost; run the stage again.",
        )
    )


def digests(table: Folder, view: FeatureView, starts: Sequence[datetime]) -> dict[datetime, str]:
    """Return what identifies the rows of each block that was described; other times are left out.

    It is the beginning of ``rows_digest``, kept by the commit that wrote the block. Blocks that an
    older release wrote are read for it.
    """
    made = made_marks.blocks(table)
    described = delta_tables.committed(table, [_application(start) for start in starts])
    found = {}
    for start in starts:
        if start in made:
            found[start] = made[start][-1].digest
        elif _application(start) in described:
            rows = _read(table, view, [(start, start)])
            found[start] = (
                _short(rows)
                if rows is not None
                else _short(delta_tables.schema(table).empty_table())
            )
    return found


def editions(table: Folder) -> dict[datetime, int]:
    """Return the edition (``KnownTables.edition``) of each described time, by its rows.

    It rises when the rows of a time are made again.
    """
    told = delta_tables.transactions_of(table, DESCRIBED)
    return {datetime.fromisoformat(name.removeprefix(DESCRIBED)): told[name] for name in told}


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
    table: Folder,
    view: FeatureView,
    blocks: Sequence[tuple[datetime, datetime]],
    *,
    at_version: int | None = None,
) -> "pa.Table | None":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not delta_tables.exists(table) or not blocks:
        return None
    starts = [start for start, _ in blocks]
    rows = moment_groups.read(table, AS_OF, starts, at_version=at_version)
    asked = pc.is_in(rows[AS_OF], pa.array(starts, pa.timestamp("us", tz="UTC")))
    if not pc.all(asked).as_py():  # or each column would be copied to be the same
        rows = rows.filter(asked)
    if not rows.num_rows:
        return None
    return in_order(rows, [AS_OF, *view.entity.key])


def _compute(
    table: Folder,
    view: FeatureView,
    known: KnownTables,
    blocks: Sequence[tuple[datetime, datetime]],
    since: Mapping[datetime, datetime],
    *,
    replace: bool = False,
) -> None:
    import pyarrow as pa

    described = {
        start: _ahead(view, known, start, until, since.get(start)) for start, until in blocks
    }
    transactions = {_application(start): known.edition(start) for start in described}
    for start, rows in described.items():
        seen, edition = known.publications, known.edition(start)
        transactions |= made_marks.block(start, rows_digest(rows), seen, edition)
    metadata = {"stage": "features", "blocks": len(described)}
    if replace:
        moments = ", ".join(delta_moment(start) for start in described)
        delta_tables.commit_rows(
            table,
            pa.concat_tables(described.values()).combine_chunks(),
            transactions=transactions,
            metadata=metadata,
            replace=f"{AS_OF} in ({moments})",
        )
        return
    add(
        table,
        list(described.values()),
        transactions=transactions,
        metadata=metadata,
    )


def _ahead(
    view: FeatureView,
    known: KnownTables,
    as_of: datetime,
    until: datetime,
    since: datetime | None,
) -> "pa.Table":
    """Describe a block; of a late one the entities that are still ahead."""
    import pyarrow.compute as pc

    rows = compute_features(known, view, as_of=as_of, until=until, since=since)
    if since is None:
        return rows
    return rows.filter(pc.greater_equal(rows[EVENT_TIME], as_of))


def add(
    table: Folder,
    blocks: "Sequence[pa.Table]",
    *,
    transactions: Mapping[str, int],
    metadata: Mapping[str, object],
) -> None:
    """Write blocks, each of one ``as_of``, into one file with row groups of their own, in a commit.

    So a reader of one block reads nothing else. Raises CommitLost when another run has written one
    of them by now: then its rows would be there twice.
    """
    import pyarrow as pa

    schema = blocks[0].schema.remove_metadata()
    filled = {rows[AS_OF][0].as_py(): rows for rows in blocks if rows.num_rows}
    bounds = {AS_OF: (min(filled), max(filled))} if filled else {}
    plain = [field.name for field in schema if pa.types.is_floating(field.type)]
    with unseen_files.unseen(table, bounds=bounds, plain=plain) as file:
        for rows in filled.values():
            file.write(rows.cast(schema), group_rows=GROUP_ROWS)
        files = file.finish()
    partitions.append(
        table,
        Layout(schema=schema, partition_by=()),
        [(file, {}) for file in files],
        transactions=transactions,
        metadata=metadata,
    )


def _short(rows: "pa.Table") -> str:
    return rows_digest(rows)[: made_marks.DIGITS]


def _application(start: datetime) -> str:
    return f"{DESCRIBED}{start.isoformat()}"
