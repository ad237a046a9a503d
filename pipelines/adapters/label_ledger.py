"""The label ledger: every label once it is final or unlabelled, and corrections that came later."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import delta_tables, lake
from pipelines.adapters.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

LATE = "late_correction"


def settle(
    settings: Settings, use_case: str, states: "pa.Table", *, as_of: datetime, run: str
) -> int:
    """Append labels that are settled in ``states`` and not in the ledger; return how many rows.

    ``states`` is ``labels.label_states`` at ``as_of``. A late correction is a row of its own,
    written when a label's count of corrections grew; the settled label stays as it is.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = lake.labels(settings, use_case)
    settled = states.filter(pc.not_equal(states["state"], "pending"))
    corrected = settled.filter(pc.greater(settled["late_corrections"], 0))
    late = corrected.set_column(
        corrected.column_names.index("state"),
        "state",
        pa.array([LATE] * corrected.num_rows, pa.string()),
    )
    first = settled.set_column(
        settled.column_names.index("late_corrections"),
        "late_corrections",
        pa.array([0] * settled.num_rows, settled.schema.field("late_corrections").type),
    )
    wanted = pa.concat_tables([first, late])
    times = pa.array([as_of] * wanted.num_rows, pa.timestamp("us", tz="UTC"))
    wanted = wanted.append_column("recorded_as_of", times).combine_chunks()
    key = [n for n in states.column_names if n not in ("event_time", "final_at", "state", "value")]
    written = 0

    def make(number: int) -> delta_tables.Change | None:
        nonlocal written
        written = 0
        known = delta_tables.read(table, columns=[*key, "state"]) if number else None
        fresh = wanted if known is None else _absent(wanted, known, [*key, "state"])
        if not fresh.num_rows:
            return None
        written = fresh.num_rows
        return delta_tables.Change(
            rows=fresh, metadata={"stage": "monitor", "run": run, "rows": written}
        )

    if wanted.num_rows:
        delta_tables.commit_next(table, wanted.schema, "labels", make)
    return written


def _absent(wanted: "pa.Table", known: "pa.Table", columns: list[str]) -> "pa.Table":
    return wanted.join(known, columns, join_type="left anti").select(wanted.column_names)
