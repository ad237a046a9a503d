"""Repeats: staged rows that say what was said before, found in bounded memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters.delta import delta_tables
from pipelines.domain.contract import KNOWN_AT, Table, silver_schema
from pipelines.domain.lineage import unrepeated
from pipelines.domain.quality import ROW_KEY
from pipelines.domain.sql_text import delta_moment, quoted, read_parquet

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    import numpy as np
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

    Hashes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]

PARTS = 64
"""Ranges of the hash that are looked at one by one: of 20 million rows each holds 312,500."""

HELD_HASHES = 1 << 22
"""Hashes in memory (32 MiB) before they go to the files of their ranges."""

COMPARED_HASHES = 200_000
"""Hashes whose rows are compared column by column at once."""


class Repeats:
    """The staged rows of one table and the silver rows known in their span, by hash.

    The hash is of key and ``known_at``. Only rows of one hash can be repeats, so only they are ever
    compared: of clean files none. ``scratch`` is an empty folder for what does not fit in memory.
    """

    def __init__(self, table: Table, scratch: Path) -> None:
        self._table = table
        self._scratch = scratch
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._held: list[Hashes] = []
        self._spilled = False
        self._span: tuple[datetime, datetime] | None = None

    def see(self, rows: "pa.Table") -> None:
        """Remember staged rows."""
        import pyarrow.compute as pc

        low, high = (bound.as_py() for bound in pc.min_max(rows[KNOWN_AT]).values())
        before = self._span or (low, high)
        self._span = min(low, before[0]), max(high, before[1])
        self._remember(self._hashes(rows))

    def close(self) -> None:
        """Let go of the engine that hashes and compares."""
        if self._connection is not None:
            self._connection.close()

    def find(self, staged: Sequence[Path], silver: "Folder | None") -> "pa.Table":
        """Return ``_file`` and ``_row`` of the staged rows that repeat another, as ``unrepeated`` says.

        Without ``silver`` they are compared with one another alone.
        """
        import pyarrow as pa

        found = [silver_schema(self._table).empty_table().select(ROW_KEY)]
        if not staged:  # what was seen was of files that were refused
            return found[0]
        known = silver if silver and self._span and delta_tables.exists(silver) else None
        if known is not None:
            for batch in self._existing(known, [*self._table.key, KNOWN_AT]):
                self._remember(self._hashes(pa.Table.from_batches([batch])))
        for suspects in self._suspects():
            rows = self._with_hash(suspects, staged)
            existing = rows.slice(0, 0)
            if known is not None:
                reader = self._existing(known, rows.column_names)
                existing = self._with_hash(suspects, reader)
            kept, _ = unrepeated(rows, existing, self._table)
            found.append(_without(rows, kept))
        return pa.concat_tables(found)

    def _existing(self, silver: "Folder", columns: Sequence[str]) -> "pa.RecordBatchReader":
        assert self._span is not None  # noqa: S101 - rows were seen
        low, high = map(delta_moment, self._span)
        where = f"{KNOWN_AT} >= {low} and {KNOWN_AT} <= {high}"
        return delta_tables.read_batches(silver, columns=columns, where=where)

    def _remember(self, hashes: "Hashes") -> None:
        self._held.append(hashes)
        if sum(map(len, self._held)) > HELD_HASHES:
            for part, held in enumerate(self._parts()):
                with (self._scratch / str(part)).open("ab") as file:
                    held.tofile(file)
            self._held.clear()
            self._spilled = True

    def _parts(self) -> "Iterator[Hashes]":
        """Yield the hashes in memory by range, sorted."""
        import numpy as np

        held = np.sort(np.concatenate([np.empty(0, np.uint64), *self._held]))
        edges = np.arange(1, PARTS, dtype=np.uint64) << np.uint64(64 - PARTS.bit_length() + 1)
        yield from np.split(held, np.searchsorted(held, edges))

    def _suspects(self) -> "Iterator[Hashes]":
        """Yield the hashes that occur more than once, so many at a time as are compared at once."""
        import numpy as np

        waiting = np.empty(0, np.uint64)
        for part, held in enumerate(self._parts()):
            hashes = held
            if self._spilled:
                spilled = np.fromfile(self._scratch / str(part), np.uint64)
                # Each spill was sorted: a stable sort merges such runs, and is cheap.
                hashes = np.sort(np.concatenate([spilled, held]), kind="stable")
            twice = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
            waiting = np.concatenate([waiting, twice])
            while len(waiting) > COMPARED_HASHES:
                yield waiting[:COMPARED_HASHES]
                waiting = waiting[COMPARED_HASHES:]
        if len(waiting):
            yield waiting

    def _hashes(self, rows: "pa.Table") -> "Hashes":
        connection = self._engine()
        connection.register("seen", rows)
        found: Hashes = connection.sql(
            f"select {_hash(self._table)} as hash from seen"  # noqa: S608 - names come from the declaration
        ).fetchnumpy()["hash"]
        connection.unregister("seen")
        return found

    def _with_hash(
        self, suspects: "Hashes", rows: "Sequence[Path] | pa.RecordBatchReader"
    ) -> "pa.Table":
        """Return those of the rows (of Parquet files, or of a reader) whose hash is suspect."""
        import pyarrow as pa

        connection, schema = self._engine(), silver_schema(self._table)
        columns = ", ".join(map(quoted, schema.names))
        if isinstance(rows, pa.RecordBatchReader):
            connection.register("seen", rows)
            source = "seen"
        else:
            source = read_parquet(rows)
        connection.register("suspects", pa.table({"hash": suspects}))
        found = connection.sql(
            f"select {columns} from {source}"  # noqa: S608 - names come from the declaration, paths are quoted
            f" where {_hash(self._table)} in (select hash from suspects)"
        ).to_arrow_table()
        return found.cast(schema)

    def _engine(self) -> "duckdb.DuckDBPyConnection":
        import duckdb

        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config={"threads": 1})
            self._connection.execute("set TimeZone = 'UTC'")
        return self._connection


def _without(rows: "pa.Table", kept: "pa.Table") -> "pa.Table":
    """Return the names of ``rows`` that are not among ``kept``."""
    names = list(ROW_KEY)
    return rows.select(names).join(kept.select(names), names, join_type="left anti")


def _hash(table: Table) -> str:
    columns = ", ".join(map(quoted, (*table.key, KNOWN_AT)))
    return f"hash({columns})"
