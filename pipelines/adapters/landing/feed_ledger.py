"""The feed ledger: since when a feed without deliveries is waited for."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

WAITED_FOR = "waited_for"
"""Kind of the row that says since when a table without deliveries is waited for."""


def waited_for_since(settings: Settings, use_case: str, table: str, as_of: datetime) -> datetime:
    """Return the moment from which deliveries of a table are expected that never had one.

    It is the ``as_of`` of the first run that asked: a table cannot miss what came before it was
    declared.
    """
    key = f"{table}:{WAITED_FOR}"
    row = {"key": key, "kind": WAITED_FOR, "at": as_of, "text": ""}
    _append(settings, use_case, [row])
    since = {found["key"]: found["at"] for found in _rows(settings, use_case)}
    return cast("datetime", since[key])


def _append(settings: Settings, use_case: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows whose keys are not there yet."""
    import pyarrow as pa

    def make(number: int) -> delta_tables.Change | None:
        known = {row["key"] for row in _rows(settings, use_case)} if number else set()
        fresh = [{"use_case": use_case, **row} for row in rows if row["key"] not in known]
        if not fresh:
            return None
        return delta_tables.Change(
            rows=pa.Table.from_pylist(fresh, schema=_schema()),
            metadata={"use_case": use_case, "rows": len(fresh)},
        )

    ledger = lake.ledger(settings, "feeds")
    delta_tables.commit_next(ledger, _schema(), f"feeds:{use_case}", make)


def _rows(settings: Settings, use_case: str) -> list[dict[str, Any]]:
    ledger = lake.ledger(settings, "feeds")
    if not delta_tables.exists(ledger):
        return []
    where = f"use_case = {delta_tables.quoted(use_case)}"
    rows: list[dict[str, Any]] = delta_tables.read(ledger, where=where).to_pylist()
    return rows


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("use_case", pa.string()),
            ("key", pa.string()),
            ("kind", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("text", pa.string()),
        ]
    )
