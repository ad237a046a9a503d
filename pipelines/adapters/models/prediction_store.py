"""The prediction store: current predictions per slot and window, and the generations before."""

from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    import pyarrow as pa


def window_name(slot: str, scored_for: datetime) -> str:
    """Return the name of one slot's window: what a commit replaces, exactly."""
    return f"{slot}/{scored_for.isoformat()}"


def publish(
    settings: Settings,
    use_case: str,
    rows: "pa.Table",
    *,
    window: str,
    run_key: str,
    reason: str,
    metadata: dict[str, object],
) -> delta_tables.Commit:
    """Make ``rows`` the current predictions of a window; the same ``run_key`` again is a no-op.

    Another run key replaces the rows, raises ``generation`` and keeps the old rows in the history
    with the reason. ``rows`` lack ``window``, ``run_key`` and ``generation``; they are added here.
    """
    import pyarrow as pa

    table = lake.predictions(settings, use_case)
    where = f"prediction_window = {delta_tables.quoted(window)}"
    count = rows.num_rows
    stamped = rows.append_column("prediction_window", pa.array([window] * count, pa.string()))
    stamped = stamped.append_column("run_key", pa.array([run_key] * count, pa.string()))
    schema = stamped.schema.append(pa.field("generation", pa.int64()))

    def make(number: int) -> delta_tables.Change | None:
        current = delta_tables.read(table, where=where)
        if number and current.num_rows and current["run_key"][0].as_py() == run_key:
            return None
        if current.num_rows:
            _keep(
                lake.prediction_history(settings, use_case),
                current,
                transactions={f"history:{window}": number},
                reason=reason,
            )
        failpoint("score.between_history_and_predictions")
        generation = pa.array([number + 1] * count, pa.int64())
        return delta_tables.Change(
            rows=stamped.append_column("generation", generation),
            metadata={**metadata, "window": window, "run_key": run_key, "reason": reason},
            replace=where,
        )

    commit = delta_tables.commit_next(table, schema, f"score:{window}", make)
    failpoint("score.after_predictions")
    return commit


def current_run_key(settings: Settings, use_case: str, window: str) -> str | None:
    """Return the run key of a window's current predictions; None when there are none."""
    table = lake.predictions(settings, use_case)
    if not delta_tables.exists(table):
        return None
    where = f"prediction_window = {delta_tables.quoted(window)}"
    keys = delta_tables.read(table, columns=["run_key"], where=where)["run_key"]
    return str(keys[0].as_py()) if len(keys) else None


def _keep(history: Folder, old: "pa.Table", *, transactions: dict[str, int], reason: str) -> None:
    """Add a replaced generation to the history, once; a killed run may have done so already."""
    import pyarrow as pa

    replaced = old.append_column("replaced_because", pa.array([reason] * old.num_rows, pa.string()))
    delta_tables.commit_rows(
        history, replaced, transactions=transactions, metadata={"stage": "score"}
    )
