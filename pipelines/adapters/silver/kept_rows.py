"""Kept rows: what a table that is rebuilt keeps of itself, fitted to its contract without loss."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.delta_handles import problem
from pipelines.domain.contract import STAMPS, Table, silver_schema
from pipelines.errors import LakeError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

WIDENED = {("int64", "double")}
"""Changes of a column's type that keep each value, as long as it casts without an error."""

FIX = "Run `headframe reingest` without --from: it reads every file again."


def hashes(silver: "Folder") -> set[str]:
    """Return the sha256 of every file of which silver holds rows."""
    import pyarrow.compute as pc

    if not delta_tables.exists(silver):
        return set()
    found: set[str] = set()
    for batch in delta_tables.read_batches(silver, columns=["_sha256"]):
        found.update(pc.unique(batch.column(0)).to_pylist())
    return found


def of_silver(
    silver: "Folder", table: Table, kept: Collection[str], *, at_version: int
) -> Iterator["pa.Table"]:
    """Yield the rows of the files ``kept`` in the contract's columns and types, a batch at a time.

    Raises LakeError when the columns are others, or a value would be lost or may not be empty now.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = silver_schema(table)
    required = [column.name for column in table.columns if not column.nullable]
    _refuse_others(silver, delta_tables.schema(silver), wanted)
    mine = pa.array(kept, pa.string())
    for batch in delta_tables.read_batches(silver, at_version=at_version):
        rows = pa.Table.from_batches([batch])
        rows = rows.filter(pc.is_in(rows["_sha256"], value_set=mine))
        if empty := [name for name in required if rows[name].null_count]:
            expected, found = f"a value in every {', '.join(empty)}", "kept rows without one"
            raise LakeError(problem(silver, expected, found, FIX))
        try:
            yield rows.select(wanted.names).cast(wanted)
        except pa.ArrowInvalid as error:
            found = "kept values that would change"
            raise LakeError(problem(silver, "a change that keeps values", found, FIX)) from error


def of_quarantine(
    quarantine: "Folder", left_out: Collection[str], *, at_version: int
) -> Iterator["pa.Table"]:
    """Yield the rows of all files but those, a batch at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    others = pa.array(left_out, pa.string())
    for batch in delta_tables.read_batches(quarantine, at_version=at_version):
        rows = pa.Table.from_batches([batch])
        yield rows.filter(pc.invert(pc.is_in(rows["_sha256"], value_set=others)))


def _refuse_others(silver: "Folder", found: "pa.Schema", wanted: "pa.Schema") -> None:
    before = {field.name: str(field.type) for field in found if field.name not in STAMPS}
    after = {field.name: str(field.type) for field in wanted if field.name not in STAMPS}
    changed = [
        f"{name} ({before.get(name, 'absent')}, now {after.get(name, 'absent')})"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        and (before.get(name), after.get(name)) not in WIDENED
    ]
    if changed:
        expected = "the contract's columns in the rows that are kept"
        raise LakeError(problem(silver, expected, f"others: {', '.join(changed)}", FIX))
