"""Monitoring of weekly blocks: budgets, references and verdicts count weeks."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.block_length import BlockLength
from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Profiled
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.monitoring_report import inputs_of, watched_of
from pipelines.domain.watch import compared
from pipelines.domain.watch_losses import judge_losses

MONDAY = date(2026, 1, 5)
ROWS = pa.table({"load": [0.1, 0.5, 0.9], "p_stopped": [0.2, 0.5, 0.8]})
EDGES = edges_of(ROWS, columns=ROWS.column_names)


def monday(week: int) -> str:
    return f"{MONDAY + timedelta(days=7 * week)}"


def losses(first: int, count: int, around: float) -> BlockLosses:
    return BlockLosses(
        blocks=tuple(monday(first + week) for week in range(count)),
        rows=np.full(count, 50),
        loss=np.random.default_rng(first).normal(around, 0.02, count),
        residual=np.zeros(count),
        segments=(),
        contrast=np.zeros((count, 0)),
    )


MODEL = ModelReference(
    model_version="1",
    prediction="p_stopped",
    edges=EDGES,
    importance={"load": 1.0},
    training_window=(monday(-40), monday(-1)),
    losses=losses(0, 30, 0.45),
    calibration=None,
)


@pytest.mark.parametrize(
    ("count", "windows", "level"),
    [(52, {"day": 52, "week": 52}, "PAGE"), (60, {"day": 60, "week": 8}, "none")],
)
def test_harm_of_weeks_is_told_within_the_year_it_begins_anew_with(
    count: int, windows: dict[str, int], level: str
) -> None:
    harmed = losses(30, count, 0.45)
    harmed.loss[12:] += 0.3
    times = [datetime.combine(MONDAY, time(9), UTC) + timedelta(weeks=n) for n in range(count)]
    found = {
        block: {
            one.name: one for one in judge_losses(harmed, times, MODEL, Monitoring(block=block))
        }
        for block in ("day", "week")
    }
    assert {name: one["Harm"].result.window_blocks for name, one in found.items()} == windows
    assert (found["day"]["Harm"].level, found["week"]["Harm"].level) == ("PAGE", level)
    # 5 % of an alarm a quarter, of which the year has four and spends two.
    deltas = {name: one["Harm"].result.alpha for name, one in found.items()}
    assert deltas == {"day": 0.05, "week": 0.1}
    # 15 % of an alarm over the checks of a quarter, of which 80 % begin one.
    alphas = {block: one["SegmentContrast"].result.alpha for block, one in found.items()}
    assert alphas == {"day": pytest.approx(0.15 / 90 / 0.8), "week": pytest.approx(0.15 / 13 / 0.8)}


def scored(weeks: int) -> list[Profiled]:
    profile = scan(ROWS.to_batches(), EDGES, block="any")
    return [
        Profiled(
            block=monday(week),
            scored_for=datetime.combine(MONDAY, time(9), UTC) + timedelta(weeks=week),
            source="",
            published=True,
            stale_tables="",
            estimated_loss=None,
            profile=profile,
        )
        for week in range(weeks)
    ]


@pytest.mark.parametrize(("block", "length"), [("day", 180), ("week", 52)])
def test_weeks_are_compared_with_those_of_a_year(block: BlockLength, length: int) -> None:
    profiled = scored(200)
    chosen = compared(profiled, MODEL, Monitoring(block=block), window=7)
    assert chosen.current == tuple(range(193, 200))
    assert chosen.reference == tuple(range(193 - length, 193))


@pytest.mark.parametrize(("block", "length"), [("day", 90), ("week", 13)])
def test_a_feature_is_drawn_over_the_quarter_that_the_budget_is_about(
    block: BlockLength, length: int
) -> None:
    profiled, monitoring = scored(100), Monitoring(block=block)
    watched = watched_of([], [], profiled, blocks=[], model=MODEL, monitoring=monitoring)
    features, _, _ = inputs_of(watched, [], profiled, MODEL, monitoring)
    drawn = [monday(week) for week in range(100 - length, 100)]
    assert [[one.block for one in feature.timeline] for feature in features] == [drawn, drawn]
