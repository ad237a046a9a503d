"""Measured tries: what a block of work uses is noted in the cost ledger when it ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.adapters.platform import cost_ledger, process_usage
from pipelines.adapters.settings import Settings
from pipelines.domain.stage_cost import Outcome, StageCost


@dataclass(slots=True)
class Ended:
    """How the work ended, as far as it says; ``outcome`` None leaves it to whether it raised."""

    rows: int | None = None
    outcome: Outcome | None = None


@contextmanager
def measured(
    settings: Settings,
    *,
    use_case: str,
    purpose: str,
    task: str,
    run: str,
    map_index: int = -1,
    attempt: int = 1,
) -> Iterator[Ended]:
    """Note what the block uses for this try; whatever it raises goes on."""
    before, at, ended = process_usage.beginning(), datetime.now(UTC), Ended()
    outcome: Outcome = "failed"
    try:
        yield ended
        outcome = "done"
    finally:
        cost = StageCost(
            use_case=use_case,
            purpose=purpose,
            task=task,
            run=run,
            map_index=map_index,
            attempt=attempt,
            at=at,
            outcome=ended.outcome or outcome,
            usage=before.usage(),
            rows=ended.rows,
        )
        cost_ledger.note(settings, cost)
