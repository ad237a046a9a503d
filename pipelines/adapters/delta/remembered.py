"""Remembered: what was made of a table's present version, where tables are kept open."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

MOST_BYTES = 4_194_304
"""Rows are remembered up to this size: those of ledgers."""


def once(
    table: Folder, what: Hashable, make: Callable[[], T], *, keep: Callable[[T], bool] | None = None
) -> T:
    """Return what ``make`` does of a table; of one that is ``kept`` it is remembered until its next version.

    ``what`` says all else that it depends on; ``keep`` says what is worth it. Nobody may change it.
    """
    if not delta_handles.are_kept() or delta_handles.opened_if_exists(table) is None:
        return make()
    known = delta_handles.kept_table(table)
    assert known is not None  # noqa: S101 - opened just now
    newest = int(known.handle.version())
    if known.memory_of != newest:
        known.memory, known.memory_of = {}, newest
    if what in known.memory:
        found: T = known.memory[what]
        return found
    found = make()
    if known.memory_of == newest and (keep is None or keep(found)):
        known.memory[what] = found
    return found


def is_small(rows: "pa.Table") -> bool:
    """Tell whether rows are worth remembering."""
    return bool(rows.nbytes <= MOST_BYTES)
