"""The loss store: what blocks of each model cost, measured for good, one row per model version and block."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.drift.losses import BlockLosses

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "losses"


def kept(
    settings: Settings,
    use_case: str,
    model_version: str,
    sources: Mapping[datetime, str],
    segments: Sequence[tuple[str, str]],
) -> tuple[list[datetime], BlockLosses]:
    """Return the scoring times and the losses of a model's blocks that were measured of these ``sources``.

    ``sources`` names by scoring time what a block's losses are measured of, the ``segments`` among it.
    """
    import numpy as np

    there = _rows(settings, use_case, model_version)
    rows = [row for start, row in there.items() if sources.get(start) == row["source"]]
    contrast = np.array([row["contrast"] for row in rows], np.float64)
    losses = BlockLosses(
        blocks=tuple(row["block"] for row in rows),
        rows=np.array([row["rows"] for row in rows], np.int64),
        loss=np.array([row["loss"] for row in rows], np.float64),
        residual=np.array([row["residual"] for row in rows], np.float64),
        segments=tuple(segments),
        contrast=contrast.reshape(len(rows), len(segments)),
    )
    return [row["scored_for"] for row in rows], losses


def keep(
    settings: Settings,
    use_case: str,
    model_version: str,
    losses: BlockLosses,
    *,
    times: Sequence[datetime],
    sources: Mapping[datetime, str],
    run: str,
) -> None:
    """Put the losses of blocks, of these scoring ``times``, in place of those of other sources.

    What is there of the same sources stays, and where all is, nothing is written. All rows of a model
    are written together: so they lie in one file, however often one is added.
    """
    import pyarrow as pa

    if not times:
        return
    fresh = {
        start: {
            "model_version": model_version,
            "block": losses.blocks[place],
            "scored_for": start,
            "source": sources[start],
            "rows": int(losses.rows[place]),
            "loss": float(losses.loss[place]),
            "residual": float(losses.residual[place]),
            "contrast": losses.contrast[place].tolist(),
        }
        for place, start in enumerate(times)
    }

    def make(number: int) -> delta_tables.Change | None:
        there = _rows(settings, use_case, model_version) if number else {}
        known = {start: row["source"] for start, row in there.items()}
        if all(known.get(start) == row["source"] for start, row in fresh.items()):
            return None
        every = there | fresh
        return delta_tables.Change(
            rows=pa.Table.from_pylist([every[start] for start in sorted(every)], schema=_schema()),
            metadata={"stage": "monitor", "run": run, "blocks": len(fresh)},
            replace=_of(model_version) if there else None,
        )

    delta_tables.commit_next(lake.losses(settings, use_case), _schema(), SEQUENCE, make)


def _rows(settings: Settings, use_case: str, model_version: str) -> dict[datetime, dict[str, Any]]:
    """Return the rows of a model by scoring time, sorted."""
    table = lake.losses(settings, use_case)
    if not delta_tables.exists(table):
        return {}
    rows = delta_tables.read(table, where=_of(model_version)).sort_by("scored_for").to_pylist()
    return {row["scored_for"].astimezone(UTC): row for row in rows}


def _of(model_version: str) -> str:
    return f"model_version = {delta_tables.quoted(model_version)}"


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            ("model_version", text),
            ("block", text),
            ("scored_for", pa.timestamp("us", tz="UTC")),
            ("source", text),
            ("rows", pa.int64()),
            ("loss", number),
            ("residual", number),
            ("contrast", pa.list_(number)),
        ]
    )
