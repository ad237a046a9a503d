"""Cost reports: what each stage of a use case cost in a period, against the period before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.domain.stage_cost import StageCost

SERVING = (
    "score.champion",
    "score.plan",
    "score.score_part",
    "score.publish",
    "score",
    "score.deliver",
)
"""Stages without which no consumer has a prediction; the shadow serves nobody yet."""

PREDICTING = ("score", "score.publish")
"""Stages whose rows are predictions, each once."""

PURPOSES = ("ingest", "train", "score", "monitor")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCosts:
    """The costs of one stage in a period. ``failed`` of its ``runs`` (tries) failed.

    ``before`` are the CPU seconds of the period before; ``trend`` is their growth as a share, None
    where there were none. Bytes and rows are sums of what was told.
    """

    stage: str
    runs: int
    failed: int
    cpu_seconds: float
    seconds: float
    peak_mib: float
    rows: int
    bytes_read: int
    bytes_written: int
    before: float
    trend: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """A use case's stages that cost anything in [``since``, ``until``), in the order of a day.

    ``per_1000_predictions`` are CPU seconds of scoring and delivering; None where nothing was scored.
    """

    use_case: str
    since: datetime
    until: datetime
    stages: tuple[StageCosts, ...]
    cpu_seconds: float
    before: float
    predictions: int
    per_1000_predictions: float | None


def reports(
    costs: Iterable[StageCost], *, since: datetime, until: datetime
) -> tuple[CostReport, ...]:
    """Sum costs by use case and stage, use cases sorted by name; raises ValueError for no period.

    The period before is as long and ends at ``since``.
    """
    if since >= until:
        raise ValueError("the period is empty")
    earlier = since - (until - since)
    told = [cost for cost in costs if earlier <= cost.at < until]
    return tuple(
        _report(name, [cost for cost in told if cost.use_case == name], since, until)
        for name in sorted({cost.use_case for cost in told})
    )


def _report(
    use_case: str, costs: Sequence[StageCost], since: datetime, until: datetime
) -> CostReport:
    stages = tuple(
        _stage(name, [cost for cost in costs if cost.stage == name], since)
        for name in sorted({cost.stage for cost in costs}, key=_place)
    )
    served = sum(stage.cpu_seconds for stage in stages if stage.stage in SERVING)
    predictions = sum(stage.rows for stage in stages if stage.stage in PREDICTING)
    return CostReport(
        use_case=use_case,
        since=since,
        until=until,
        stages=stages,
        cpu_seconds=sum(stage.cpu_seconds for stage in stages),
        before=sum(stage.before for stage in stages),
        predictions=predictions,
        per_1000_predictions=1000 * served / predictions if predictions else None,
    )


def _stage(name: str, costs: Sequence[StageCost], since: datetime) -> StageCosts:
    now = [cost for cost in costs if cost.at >= since]
    before = sum(cost.cpu_seconds for cost in costs if cost.at < since)
    spent = sum(cost.cpu_seconds for cost in now)
    return StageCosts(
        stage=name,
        runs=len(now),
        failed=sum(cost.outcome == "failed" for cost in now),
        cpu_seconds=spent,
        seconds=sum(cost.usage.seconds for cost in now),
        peak_mib=max((cost.usage.peak_mib for cost in now), default=0.0),
        rows=sum(cost.rows or 0 for cost in now),
        bytes_read=sum(cost.usage.bytes_read or 0 for cost in now),
        bytes_written=sum(cost.usage.bytes_written or 0 for cost in now),
        before=before,
        trend=spent / before - 1 if before else None,
    )


def _place(stage: str) -> tuple[int, str]:
    purpose = stage.partition(".")[0]
    return (PURPOSES.index(purpose) if purpose in PURPOSES else len(PURPOSES), stage)
