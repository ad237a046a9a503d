"""Examined: evidence with an examination, whose parts a test may change."""

from dataclasses import replace
from typing import Any

from pipelines.domain.block_estimate import BlockEstimate
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.examination import (
    Examination,
    Footprint,
    Leakage,
    Reliability,
    Reproduction,
    SeedLoss,
    SegmentDifference,
)


def estimated(estimate: float, error: float = 0.01, blocks: int = 28) -> BlockEstimate:
    """Return an estimate from independent, equal blocks."""
    return BlockEstimate(
        estimate=estimate,
        standard_error=error,
        effective=float(blocks),
        degrees=max(blocks - 1.0, 1.0),
        autocorrelation=0.0,
        skewness=0.0,
        blocks=blocks,
    )


def level(name: str, worse: float, *, rows: int = 700, blocks: int = 28) -> SegmentDifference:
    """Return a level that is worse by so many nats, with an error of 0.01."""
    return SegmentDifference(level=name, rows=rows, worsening=estimated(worse, blocks=blocks))


SOUND = Examination(
    rival="champion",
    segments={"origin": (level("EWR", 0.0), level("JFK", -0.01), level("LGA", 0.005))},
    reliability=Reliability(
        in_the_large=estimated(0.004), slope=estimated(0.97), error=estimated(0.01), bins=()
    ),
    seeds=tuple(SeedLoss(seed=8 + at, loss=0.5 + at / 1000) for at in range(4)),
    leakage=Leakage(
        shuffled=estimated(-0.001),
        shuffles=(-0.002, 0.001, 0.0, -0.003),
        alone={"load": 0.7, "age": 0.6},
        described=90,
        differing=0,
    ),
    footprint=Footprint(rows=1_900, milliseconds_per_1000=4.5, megabytes=1.25),
    inputs={
        "challenger": {"load": "number", "family": "text"},
        "champion": {"load": "number", "family": "text", "age": "number"},
    },
    reproduction=Reproduction(rows=1_900, differing=0, largest=0.0),
)
"""An examination in which every gate finds what it wants."""


def evidence_with(**changed: Any) -> Evidence:  # noqa: ANN401 - the examination's own fields
    """Return evidence of 28 days of 75 rows with these parts of a sound examination changed."""
    return Evidence(
        use_case="flight_delays",
        as_of="2013-06-01T05:00:00+00:00",
        challenger="7",
        champion="3",
        training_window=("2013-01-01", "2013-04-30"),
        held_out_window=("2013-05-01", "2013-05-28"),
        rows=2_100,
        positives=400,
        metrics={},
        blocks=tuple(
            BlockLoss(block=f"2013-05-{day:02}", rows=75, losses={}) for day in range(1, 29)
        ),
        data_versions={},
        declaration_digest="",
        code_digest="",
        examination=replace(SOUND, **changed),
    )
