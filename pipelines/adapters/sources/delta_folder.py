"""Delta folder: what a Delta table that somebody else writes holds since it was last extracted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import foreign_tables
from pipelines.domain.contract import DeltaFolder

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The versions that an extract covers, and what its sidecar tells about them."""

    low: str | None
    high: str
    tells: Mapping[str, object]


def extract(
    source: DeltaFolder,
    *,
    where: str,
    last: Mapping[str, Any] | None,
    write: Callable[["pa.RecordBatch"], None],
) -> Changes:
    """Give to ``write`` the rows added since the extract that ``last`` tells about, or all rows.

    All rows are given where rows were changed or removed, where the table itself changed, or where
    its log does not say any more; the sidecar then says why. Nothing is given where no version
    changed a row. Raises ServiceUnavailable where the table cannot be reached, DeclarationError for
    one that delta-rs would not read right.
    """
    if last is not None and last.get("source") != "delta":  # the table had another source before
        last = None
    newest = foreign_tables.state(source.location, where)
    before = last["source_version"] if last else None
    why = _give_added(source, where, last, newest, write)
    if why:
        foreign_tables.write_whole(source.location, where, newest.version, write)
    return Changes(
        low=None if before is None else str(before),
        high=str(newest.version),
        tells={
            "source": "delta",
            "source_version": newest.version,
            "source_table": newest.table_id,
            "contents": "whole table" if why else "added rows",
            "because": why or "every version since the last extract only added rows",
        },
    )


def _give_added(
    source: DeltaFolder,
    where: str,
    last: Mapping[str, Any] | None,
    newest: foreign_tables.State,
    write: Callable[["pa.RecordBatch"], None],
) -> str:
    """Give the rows added since the last extract; else return why the whole table must be given."""
    if last is None:
        return "it is the first extract"
    if newest.table_id != last["source_table"] or newest.version < last["source_version"]:
        return "another table lies there now"
    found = foreign_tables.additions(source.location, where, last["source_version"], newest.version)
    if isinstance(found, str):
        return found
    if foreign_tables.write_added(source.location, where, found, write):
        return ""
    return "the added rows cannot be told from others (deletion vectors, or vacuumed files)"
