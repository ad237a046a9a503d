"""Prediction layouts: the columns and partitions of prediction tables and of refused rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.partitions import Layout
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.outputs import VALUED
from pipelines.errors import LakeError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = "prediction_window"
"""Partition column: the slot and scoring time that a commit replaces."""

CURRENT = (WINDOW, "run_key", "generation")
"""What one commit says of all rows of a window: its partition."""


def layout(key: "Sequence[pa.Field]", *, valued: bool = False) -> Layout:
    """Return the layout of a prediction table for entities of this key; a ranking's is ``valued``."""
    import pyarrow as pa

    moment, text = pa.timestamp("us", tz="UTC"), pa.string()
    worth = [(name, pa.float64()) for name in VALUED] if valued else []
    return Layout(
        schema=pa.schema(
            [
                *key,
                ("scored_for", moment), ("as_of", moment), ("event_time", moment),
                ("slot", text), ("model_version", text), ("model_run", text),
                ("artifact_sha256", text), ("evidence_digest", text), ("feature_digest", text),
                ("declaration_digest", text), ("stale_tables", text),
                ("raw_prediction", pa.float64()), ("prediction", pa.float64()), ("rule", text),
                *worth,
                (WINDOW, text), ("run_key", text), ("generation", pa.int64()),
            ]
        ),
        partition_by=CURRENT,
    )  # fmt: skip


def refused_layout(key: "Sequence[pa.Field]") -> Layout:
    """Return the layout of a table of refused rows for entities of this key."""
    import pyarrow as pa

    moment, text = pa.timestamp("us", tz="UTC"), pa.string()
    fields = [
        *key, ("scored_for", moment), ("as_of", moment), ("event_time", moment),
        ("reason", text), ("run", text), ("model_version", text), (WINDOW, text), ("run_key", text),
    ]  # fmt: skip
    return Layout(schema=pa.schema(fields), partition_by=(WINDOW, "run_key"))


def refuse_other_kind(table: Folder, use_case: str, *, valued: bool) -> None:
    """Raise LakeError for a table of another kind of prediction: its files have other columns."""
    if not delta_tables.exists(table):
        return
    has = set(VALUED) <= set(delta_tables.schema(table).names)
    if has != valued:
        raise LakeError(
            Problem(
                where=f"predictions {use_case}",
                expected=f"a table {'with' if valued else 'without'} {' and '.join(VALUED)}",
                found=f"one {'with' if has else 'without'} them",
                fix="The label got a value, or lost it, since this table began: declare it as a use "
                "case of another name, which keeps both histories apart.",
            )
        )
