"""The performance store: how current predictions did, one row per block."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.performance import OF_KIND, BlockPerformance
from pipelines.domain.prediction_kinds import BINARY, Kind

if TYPE_CHECKING:
    import pyarrow as pa

MEASURED = "headframe.as_of"
"""Metadata of a commit: the time that it measured as of."""


def keep(
    settings: Settings,
    use_case: str,
    blocks: Sequence[BlockPerformance],
    *,
    as_of: datetime,
    run: str,
    kind: Kind = BINARY,
) -> None:
    """Replace the performance table by these blocks unless it says the same already."""
    if not blocks:
        return
    import pyarrow as pa

    table = lake.performance(settings, use_case)
    schema = _schema(kind)
    rows = pa.Table.from_pylist([block.as_row(kind) for block in blocks], schema=schema)

    def make(number: int) -> delta_tables.Change | None:
        current: list[dict[str, Any]] = delta_tables.read(table).to_pylist() if number else []
        ordered = sorted(current, key=lambda row: row["block"])
        if ordered == rows.to_pylist():
            return None
        return delta_tables.Change(
            rows=rows,
            metadata={"stage": "monitor", "run": run, "as_of": as_of.isoformat()},
            replace="true",
        )

    delta_tables.commit_next(table, schema, "performance", make)


def last_as_of(settings: Settings, use_case: str) -> datetime | None:
    """Return the latest time (UTC) as of which the table was written; None before the first."""
    commits = delta_tables.history(lake.performance(settings, use_case))
    told = [datetime.fromisoformat(one[MEASURED]) for one in commits if MEASURED in one]
    return max(told, default=None)


def _schema(kind: Kind) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("block", pa.string()),
            ("outcome", pa.string()),
            ("predictions", pa.int64()),
            ("final", pa.int64()),
            ("unlabelled", pa.int64()),
            ("pending", pa.int64()),
            ("positives", pa.int64()),
            ("log_loss", pa.float64()),
            ("auc", pa.float64()),
            ("model_versions", pa.string()),
            *((name, pa.float64()) for name in OF_KIND[kind.name]),
        ]
    )
