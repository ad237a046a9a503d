"""Costs: tries of stages as tests make them up."""

from datetime import UTC, datetime

from pipelines.domain.stage_cost import Outcome, StageCost, Usage

MORNING = datetime(2026, 3, 10, 6, tzinfo=UTC)


def cost(
    stage: str = "ingest",
    *,
    use_case: str = "machines",
    run: str = "one",
    attempt: int = 1,
    map_index: int = -1,
    at: datetime = MORNING,
    cpu: float = 1.0,
    child: float = 0.0,
    peak: float = 100.0,
    rows: int | None = None,
    outcome: Outcome = "done",
) -> StageCost:
    """Return a try of ``stage`` ("score", or "train.plan": the DAG's purpose, then the task)."""
    purpose, _, task = stage.partition(".")
    usage = Usage(
        seconds=2.0,
        cpu_seconds=cpu,
        child_cpu_seconds=child,
        peak_mib=peak,
        bytes_read=1_000,
        bytes_written=None,
    )
    return StageCost(
        use_case=use_case,
        purpose=purpose,
        task=task or purpose,
        run=run,
        map_index=map_index,
        attempt=attempt,
        at=at,
        outcome=outcome,
        usage=usage,
        rows=rows,
    )
