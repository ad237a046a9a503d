"""Schema gate: rows enter a table only in its own columns and types, since delta-rs casts silently."""

from typing import TYPE_CHECKING

from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder


def plain(kind: "pa.DataType") -> "pa.DataType":
    """Return a list type with Arrow's own name for its item, so that equal types compare equal."""
    import pyarrow as pa

    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def refuse_other_schema(table: "Folder", found: "pa.Schema", expected: "pa.Schema") -> None:
    """Raise LakeError unless names, order and types are equal.

    delta-rs would store 1.5 in a column of whole numbers as 1 (measured, deltalake 1.6.6).
    """
    shape = [(field.name, str(plain(field.type))) for field in found]
    wanted = [(field.name, str(plain(field.type))) for field in expected]
    if shape == wanted:
        return
    differing = sorted({name for name, _ in set(shape) ^ set(wanted)})
    raise LakeError(
        Problem(
            where=f"table {table.parent.name}/{table.name}",
            expected=f"rows with columns {_shown(wanted)}",
            found=f"rows that differ in {', '.join(differing) or 'their order'}",
            fix="A contract change needs a new table: rename it, or rebuild it from landing.",
        )
    )


def _shown(shape: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in shape)
