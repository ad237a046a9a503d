"""The label ledger: every label once it is final or unlabelled, and corrections that came later."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

LATE = "late_correction"
"""State of a row that records corrections known after the label was settled."""

COUNT = "late_corrections"

NOT_KEY = ("event_time", "final_at", "state", "value", COUNT)
"""Columns of ``labels.label_states`` beside the entity's key."""


def settle(
    settings: Settings, use_case: str, states: "pa.Table", *, as_of: datetime, run: str
) -> int:
    """Append labels that are settled in ``states`` and not in the ledger; return how many rows.

    ``states`` is ``labels.label_states`` at ``as_of``. A label is settled once and stays as it is.
    A late correction is a row of its own, written when a label's count of corrections grew.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = lake.labels(settings, use_case)
    settled = states.filter(pc.not_equal(states["state"], "pending"))
    if not settled.num_rows:
        return 0
    key = [n for n in states.column_names if n not in NOT_KEY]
    time = pa.scalar(as_of, pa.timestamp("us", tz="UTC"))
    settled = settled.append_column("recorded_as_of", pa.repeat(time, settled.num_rows))
    late = _with(settled.filter(pc.greater(settled[COUNT], 0)), "state", LATE)
    first = _with(settled, COUNT, 0)
    written = 0

    def make(number: int) -> delta_tables.Change | None:
        nonlocal written
        new_first, new_late = first, late
        if number:
            known = delta_tables.read(table, columns=[*key, "state", COUNT])
            is_late = pc.equal(known["state"], LATE)
            new_first = _absent(first, known.filter(pc.invert(is_late)), key)
            new_late = _absent(late, known.filter(is_late), [*key, COUNT])
        fresh = pa.concat_tables([new_first, new_late]).combine_chunks()
        written = fresh.num_rows
        if not written:
            return None
        return delta_tables.Change(
            rows=fresh, metadata={"stage": "monitor", "run": run, "rows": written}
        )

    delta_tables.commit_next(table, settled.schema, "labels", make)
    return written


def _with(rows: "pa.Table", column: str, value: str | int) -> "pa.Table":
    """Return ``rows`` with one constant in ``column``, whose type stays."""
    import pyarrow as pa

    kind = rows.schema.field(column).type
    index = rows.column_names.index(column)
    return rows.set_column(index, column, pa.repeat(pa.scalar(value, kind), rows.num_rows))


def _absent(wanted: "pa.Table", known: "pa.Table", columns: list[str]) -> "pa.Table":
    if not wanted.num_rows or not known.num_rows:
        return wanted
    return wanted.join(known.select(columns), columns, join_type="left anti").select(
        wanted.column_names
    )
