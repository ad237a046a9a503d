"""Broken blocks: a source that breaks by itself is known for it, and nothing else is hidden."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from pipelines.domain.broken_blocks import known_breaks
from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import losses_of
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import HARD_RULES, Profiled, episodes
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.new_blocks import judge_new

FIRST = date(2026, 1, 1)
ROWS = 100
MONITORING = Monitoring(alarms_per_quarter=1)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


@pytest.mark.parametrize(
    ("broken", "alarms_per_quarter", "expected"),
    [
        ([], 1.0, []),
        ([100], 1.0, []),  # one break in half a year is paid for
        ([100, 140], 1.0, [100, 140]),  # two are not: this is how the source is
        ([100, 107], 1.0, []),  # one break: no week passed without it
        ([100, 108], 1.0, [100, 108]),
        ([100, 140], 2.0, []),  # the budget pays for two
        ([100], 0.5, [100]),
        ([100, 140, 193], 1.0, [100, 140]),  # the last one may not be over yet
        ([100, 193], 1.0, []),
        ([100, 140, 186, 193], 1.0, [100, 140]),
        ([19, 140], 1.0, []),  # the first is longer ago than the reference
        ([20, 140], 1.0, [20, 140]),
        ([100, 140, 200, 205], 1.0, [100, 140]),  # what comes later is not known yet
    ],
)
def test_breaks_that_the_budget_does_not_pay_for_are_known(
    broken: list[int], alarms_per_quarter: float, expected: list[int]
) -> None:
    found = known_breaks(
        {day(number) for number in broken},
        upto=day(200),
        blocks=180,
        length="day",
        alarms_per_quarter=alarms_per_quarter,
    )
    assert sorted(found) == [day(number) for number in expected]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ([20, 27], []),  # one break: no seven weeks passed without it
        ([20, 28], []),  # a year of one alarm a quarter pays for two
        ([10, 20, 28], [10, 20, 28]),
        ([7, 20, 28], []),  # the first is longer ago than the reference
        ([10, 20, 28, 53], [10, 20, 28]),  # the last one may not be over yet
    ],
)
def test_breaks_of_weekly_blocks_are_counted_in_weeks(
    broken: list[int], expected: list[int]
) -> None:
    found = known_breaks(
        {day(7 * number) for number in broken},
        upto=day(7 * 60),
        blocks=52,
        length="week",
        alarms_per_quarter=1,
    )
    assert sorted(found) == [day(7 * number) for number in expected]


def watched(tables: Sequence[pa.Table], *, before: int) -> list[int]:
    """Return the numbers of the blocks that hard rules told, judged as monitor does.

    Those ``before`` the model's service are looked at, too.
    """
    columns = tables[0].column_names
    edges = edges_of(pa.concat_tables(tables[:before]), columns=columns)
    model = ModelReference(
        model_version="1",
        prediction=columns[-1],
        edges=edges,
        importance={},
        training_window=(day(-2), day(-1)),
        losses=losses_of("log_loss", label=[], probability=[], blocks=[], of_row=[]),
        calibration=None,
    )
    profiled = [
        Profiled(
            block=day(number),
            scored_for=datetime.combine(FIRST + timedelta(days=number), datetime.min.time(), UTC),
            source="",
            published=number >= before,
            stale_tables="",
            estimated_loss=None,
            profile=scan(table.to_batches(), edges, block=day(number)),
        )
        for number, table in enumerate(tables)
    ]
    answers = [one for one in judge_new(profiled, model, MONITORING, {}) if one.name == HARD_RULES]
    assert [one.block for one in answers] == [day(number) for number in range(len(tables))]
    return [(alarm.first.day - FIRST).days for alarm in episodes(answers, "day")]


def block(missing: float, *, rng: np.random.Generator, height: float = 0.0) -> pa.Table:
    """Return a block of two features and a prediction; ``missing`` is the share without a width."""
    gone = round(missing * ROWS)
    return pa.table(
        {
            "width": pa.array([None] * gone + rng.normal(0, 1, ROWS - gone).tolist(), pa.float64()),
            "height": rng.normal(height, 1, ROWS),
            "score": rng.uniform(0, 1, ROWS),
        }
    )


def test_a_break_that_comes_back_is_told_until_the_budget_is_spent_and_then_when_it_is_worse() -> (
    None
):
    rng = np.random.default_rng(3)
    out = {12: 0.5, 21: 0.5, 30: 0.5, 31: 0.5, 39: 0.9}
    tables = [block(out.get(number, 0.0), rng=rng) for number in range(41)]
    assert watched(tables, before=10) == [12, 21, 39]


def test_an_earlier_break_hides_none_of_another_column() -> None:
    rng = np.random.default_rng(4)
    tables = [
        block(0.9 if number == 12 else 0.0, rng=rng, height=60.0 if number == 21 else 0.0)
        for number in range(22)
    ]
    assert watched(tables, before=10) == [12, 21]


@pytest.mark.prove
def test_a_source_that_breaks_by_itself_alarms_no_more_often_over_the_years() -> None:
    """Three years of days that lose a share of their own: nothing drifts, and every third to fifth breaks."""
    rng = np.random.default_rng(5)
    years, quiet = 3, 180
    shares = rng.beta(0.7, 2.0, quiet + 365 * years)
    assert 0.2 < (shares > np.median(shares) + 0.2).mean() < 0.4
    told = watched([block(share, rng=rng) for share in shares], before=quiet)
    of_year = [sum((number - quiet) // 365 == year for number in told) for year in range(years)]
    # Single blocks and hard rules have 0.6 alarms of a quarter: a bound with a chance of 1 in 1000.
    assert max(of_year) <= binom.ppf(0.999, 365, 0.6 / 90), of_year
