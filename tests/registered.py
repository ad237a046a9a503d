"""Registered: versions of a made-up model with whole evidence, whose parts a test may change."""

from dataclasses import replace
from typing import Any

from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.examination import (
    ChampionDifference,
    CurvePoint,
    Reliability,
    ReliabilityBin,
)
from pipelines.domain.metrics import Interval, TooFewBlocks, mean_interval
from pipelines.domain.registered import Answered, Registered
from pipelines.domain.verdict import Verdict
from tests.examined import estimated, evidence_with, level

DAYS = range(1, 29)

GATES = (
    Verdict(
        gate="BeatsBaseline",
        outcome="passed",
        reason="Against the baseline the challenger improves log_loss by 0.09 nats.",
        figures={},
    ),
    Verdict(gate="Calibrated", outcome="failed", reason="Off by at most 0.08.", figures={}),
    Verdict(
        gate="NoWorseOnSegment",
        outcome="too_few",
        reason="Not tested enough: levels of origin with 70% of the rows.",
        figures={},
    ),
    Verdict(gate="FreshData", outcome="not_applicable", reason="No age is asked.", figures={}),
)


def blocks(challenger: float = 0.0, *, month: int = 5) -> tuple[BlockLoss, ...]:
    """Return 28 days of 75 rows; the challenger's losses are higher by so many nats."""
    return tuple(
        BlockLoss(
            block=f"2013-{month:02}-{day:02}",
            rows=75,
            losses={
                "challenger": {
                    "log_loss": 0.50 + challenger + day * 7 % 5 / 100,
                    "brier": 0.16 + challenger / 2 + day * 7 % 5 / 200,
                },
                "champion": {
                    "log_loss": 0.51 + day * 3 % 7 / 100,
                    "brier": 0.165 + day * 3 % 7 / 200,
                },
                "baseline": {"log_loss": 0.6 + day % 4 / 100, "brier": 0.2 + day % 4 / 200},
            },
        )
        for day in DAYS
    )


def judged(**changed: Any) -> Evidence:  # noqa: ANN401 - the evidence's own fields
    """Return evidence on version 7 against champion 3, with these of its fields changed."""
    days = changed.get("blocks", blocks())
    metrics = {role: {"log_loss": _mean(days, role)} for role in days[0].losses}
    metrics["challenger"] |= {
        "brier": _mean(days, "challenger", "brier"),
        "auc": TooFewBlocks(estimate=0.7125, blocks=19),
    }
    seen = evidence_with(
        segments={
            "origin": (
                level("EWR", -0.03, rows=900),
                level("JFK", 0.05, rows=800),
                level("LGA", 0.004, rows=380),
                level("HPN", 0.1, rows=20, blocks=6),
            )
        },
        reliability=Reliability(
            in_the_large=estimated(0.004),
            slope=estimated(0.85, error=0.05),
            error=estimated(0.01),
            bins=tuple(
                ReliabilityBin(rows=210, predicted=0.05 * n, observed=0.045 * n + 0.01)
                for n in range(1, 11)
            ),
        ),
        importance={"load": 0.7, "family": 0.3},
        learning_curve=(
            CurvePoint(blocks=30, rows=2_250, loss=0.56),
            CurvePoint(blocks=60, rows=4_500, loss=0.53),
            CurvePoint(blocks=120, rows=9_000, loss=0.52),
        ),
        difference=ChampionDifference(
            improvements={}, moved=0.0312, features_added=(), features_removed=("age",)
        ),
    )
    values: dict[str, Any] = {
        "metrics": metrics,
        "blocks": days,
        "data_versions": {"silver.flight_delays.arrivals": 12},
        "declaration_digest": "d" * 64,
        "code_digest": "c" * 64,
        "verdicts": GATES,
    }
    return replace(seen, **values | changed)


def registered(**changed: Any) -> Registered:  # noqa: ANN401 - its own fields
    """Return version 7, with these of its fields changed."""
    values: dict[str, Any] = {
        "use_case": "flight_delays",
        "version": "7",
        "run_id": "0123abc",
        "as_of": "2013-06-01T05:00:00+00:00",
        "requester": "sam",
        "reason": "more history",
        "candidate": "trees",
        "parameters": {"learning_rate": 0.0312345, "max_iter": 150},
        "searched": "20 of 20 trials finished; 61.2 of 900 CPU s",
        "training_window": ("2013-01-01", "2013-04-30"),
        "held_out_window": ("2013-05-01", "2013-05-28"),
        "positive_share": 0.2256,
        "numeric": ("load",),
        "categorical": ("family",),
        "data_versions": {"silver.flight_delays.arrivals": 12, "gold.features.flight_delays": 4},
        "digests": {"declaration": "d" * 64, "code": "c" * 64, "artifact": "a" * 64},
        "requirements": ("numpy==2.4.6", "scikit-learn==1.9.1"),
        "evidence": judged(),
        "decisions": (
            Answered(
                sequence=9,
                kind="evaluated",
                actor="gates",
                as_of="2013-06-01T05:00:00+00:00",
                reason="",
            ),
            Answered(
                sequence=10,
                kind="rejected",
                actor="ann",
                as_of="2013-06-01T05:00:00+00:00",
                reason="not before Easter",
            ),
        ),
    }
    return Registered(**values | changed)


def _mean(
    days: tuple[BlockLoss, ...], role: str, metric: str = "log_loss"
) -> Interval | TooFewBlocks:
    values = [day.losses[role][metric] for day in days]
    return mean_interval(values, [day.block for day in days], rows=[day.rows for day in days])
