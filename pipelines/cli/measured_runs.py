"""Measured runs: what `headframe run` does, noted in the cost ledger as Airflow's tasks are."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.adapters.platform.measured_try import measured
from pipelines.adapters.settings import Settings

PURPOSES = {
    "ingest": "ingest",
    "train": "train",
    "evaluate": "train",
    "promote": "train",
    "score": "score",
    "deliver": "score",
    "monitor": "monitor",
    "probation": "monitor",
}
"""Stage -> purpose of the DAG that runs it in Airflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a stage says, and how many rows it was about, where it tells them.

    ``is_no`` is the answer of a stage that was asked whether, such as evaluate: no failure, and no yes.
    """

    text: str
    rows: int | None = None
    is_no: bool = False


def measured_run(settings: Settings, use_case: str, stage: str, work: Callable[[], Done]) -> Done:
    """Do the work and return what it says; note what it used, as a run of its own."""
    began = datetime.now(UTC).isoformat()
    with measured(
        settings,
        use_case=use_case,
        purpose=PURPOSES[stage],
        task=stage,
        run=f"cli__{began}__{os.getpid()}",
    ) as ended:
        done = work()
        ended.rows = done.rows
        return done
