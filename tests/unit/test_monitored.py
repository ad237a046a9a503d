"""Monitored: what stands, what an episode is, how the budget is spent, and what is told of it."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.change_point import changed_since
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.drift_result import ColumnShift, DriftResult, Outcome
from pipelines.domain.drift.estimates import Calibration
from pipelines.domain.drift.losses import losses_of
from pipelines.domain.drift.severity import Alarm, Level
from pipelines.domain.model_reference import ModelReference, importances
from pipelines.domain.monitored import (
    Judged,
    Standing,
    answers_after,
    episodes,
    spent,
    standing,
)
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.signals import of_standing, watched_areas

FIRST = date(2026, 3, 1)
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
WEEK = "BlockPermutation 7"


def judged(
    day: int,
    level: Level | None = None,
    *,
    name: str = WEEK,
    outcome: Outcome | None = None,
    column: str = "miles",
    reason: str = "miles looks converted.",
) -> Judged:
    """Return what a test said of a day counted from FIRST."""
    test = name.split(" ", maxsplit=1)[0]
    shift = ColumnShift(column=column, family="bins", effect=0.3, p_value=0.001, direction="up")
    result = DriftResult(
        test=test,
        outcome=outcome or ("quiet" if level is None else "drifted"),
        reason=reason,
        window_blocks=7,
        reference_blocks=30,
        per_column=(shift,),
    )
    alarm = Alarm(level=level, test=test, reason=reason, shifts=(shift,)) if level else None
    since = datetime(2026, 3, 1, 5, tzinfo=UTC) + timedelta(days=day) if level else None
    block = (FIRST + timedelta(days=day)).isoformat()
    return Judged(name=name, block=block, result=result, alarm=alarm, since=since)


@pytest.mark.parametrize(
    ("fired", "expected"),
    [
        ([], []),
        ([3], [(3, 3)]),
        ([3, 4, 10], [(3, 10)]),
        ([3, 11], [(3, 3), (11, 11)]),
    ],
)
def test_what_fires_again_within_a_week_is_one_episode(
    fired: list[int], expected: list[tuple[int, int]]
) -> None:
    days = [judged(day, "WARN" if day in fired else None) for day in range(15)]
    found = [((a.first.day - FIRST).days, (a.last.day - FIRST).days) for a in episodes(days, "day")]
    assert found == expected


def test_a_fresh_answer_takes_the_place_of_that_of_its_block_and_test() -> None:
    before = [judged(1), judged(2, "WARN"), judged(2, name="HardRules")]
    fresh = [judged(2), judged(3, "PAGE", name="HardRules")]
    assert [(one.day.day, one.name, one.level) for one in answers_after(before, fresh)] == [
        (2, WEEK, "none"),
        (3, WEEK, "none"),
        (3, "HardRules", "none"),
        (4, "HardRules", "PAGE"),
    ]


def test_what_is_merely_real_is_no_episode() -> None:
    assert episodes([judged(1, "INFO")], "day") == []


@pytest.mark.parametrize(
    ("name", "quiet_days", "stands"),
    [(WEEK, 0, True), (WEEK, 6, True), (WEEK, 7, False), ("HardRules", 0, True), ("HardRules", 1, False)],
)  # fmt: skip
def test_a_hard_rule_ends_at_once_and_every_other_alarm_after_a_quiet_week(
    name: str, quiet_days: int, *, stands: bool
) -> None:
    level: Literal["PAGE", "WARN"] = "PAGE" if name == "HardRules" else "WARN"
    days = [
        judged(0, level, name=name),
        *(judged(1 + n, name=name) for n in range(quiet_days)),
    ]
    assert bool(standing(days, "day")) == stands


@pytest.mark.parametrize("outcome", ["learning", "not_tested"])
def test_a_test_that_could_not_judge_ends_no_alarm(outcome: Outcome) -> None:
    days = [judged(0, "PAGE", name="HardRules"), judged(1, name="HardRules", outcome=outcome)]
    assert [alarm.last.level for alarm in standing(days, "day")] == ["PAGE"]


def test_the_budget_counts_what_began_in_the_last_ninety_blocks() -> None:
    days = [judged(day, "WARN" if day in {0, 20, 22, 60} else None) for day in range(111)]
    found = spent(days, alarms_per_quarter=1, newest=judged(110).block, length="day")
    # Day 0 is 110 days back; 20 and 22 are one episode, 90 days back.
    assert [(one.day - FIRST).days for one in found.episodes] == [60]
    found = spent(days, alarms_per_quarter=1, newest=judged(109).block, length="day")
    assert [(one.day - FIRST).days for one in found.episodes] == [20, 60]


def test_alarms_of_weekly_blocks_last_and_are_counted_in_weeks() -> None:
    weeks = [judged(7 * week, "WARN" if week in {0, 7, 15} else None) for week in range(21)]
    found = episodes(weeks, "week")
    spans = [((a.first.day - FIRST).days // 7, (a.last.day - FIRST).days // 7) for a in found]
    # The eighth week is seven blocks after the first, the sixteenth eight after the eighth.
    assert spans == [(0, 7), (15, 15)]
    assert [bool(standing(weeks[:end], "week")) for end in (15, 22)] == [False, True]
    assert [bool(standing(weeks[:end], "week")) for end in (14, 15)] == [True, False]
    for newest, began in ((12, [0]), (13, []), (15, [15]), (20, [15])):
        of_quarter = spent(
            weeks[: newest + 1], alarms_per_quarter=1, newest=weeks[newest].block, length="week"
        )
        assert [(one.day - FIRST).days // 7 for one in of_quarter.episodes] == began


BROKEN = judged(19, "PAGE", name="HardRules")
SHIFTED = judged(19, "WARN")


def test_all_alarms_about_inputs_share_a_subject_and_name_their_columns() -> None:
    alarms = [Standing(last=BROKEN, first=BROKEN), Standing(last=SHIFTED, first=SHIFTED)]
    rule, drift = of_standing("u", alarms, owner="plant", at=NOON, runbook="")
    assert (rule.about, drift.about) == (("inputs", "feature:miles"), ("inputs", "feature:miles"))
    assert (rule.severity, drift.severity) == ("PAGE", "WARN")
    assert (rule.area, drift.area) == ("u/rule:inputs", "u/drift:inputs")
    assert {rule.area, drift.area} < set(watched_areas("u"))
    assert rule.since == datetime(2026, 3, 20, 5, tzinfo=UTC)
    assert rule.text == "miles looks converted."
    assert drift.text == (
        "miles is higher on the whole (last 7 blocks, compared with 30 earlier ones)."
    )
    assert drift.details == ("miles looks converted.",)  # what the test said, word for word


def test_another_broken_column_is_another_alarm() -> None:
    other = judged(19, "PAGE", name="HardRules", column="depot")
    alarms = [Standing(last=BROKEN, first=BROKEN), Standing(last=other, first=other)]
    assert len({s.key for s in of_standing("u", alarms, owner="o", at=NOON, runbook="")}) == 2


@pytest.mark.parametrize("began", [0, 3, 6])
def test_the_change_point_is_the_block_from_which_statistics_moved(began: int) -> None:
    generator = np.random.default_rng(3)
    reference, current = generator.normal(size=(30, 4)), generator.normal(size=(7, 4))
    current[began:, 1] += 6
    assert changed_since(reference, current) == began


def test_a_statistic_that_is_unknown_counts_as_usual() -> None:
    assert changed_since([[0.0], [1.0], [np.nan]], [[np.nan], [0.5], [9.0]]) == 2


class OfMiles:
    """A model that looks at miles alone."""

    def answers(self, rows: pa.Table) -> np.ndarray:
        shares: np.ndarray = np.clip(rows["miles"].to_numpy() / 100, 0.01, 0.99)
        return shares


def test_importance_is_the_share_of_the_loss_that_shuffling_costs() -> None:
    generator = np.random.default_rng(5)
    miles = generator.uniform(0, 100, 4_000)
    rows = pa.table({"miles": miles, "depot": generator.choice(["N", "S"], 4_000)})
    label = generator.uniform(0, 100, 4_000) < miles
    found = importances(OfMiles(), rows, label, columns=["miles", "depot"], seed=7)
    assert found == {"miles": 1.0, "depot": 0.0}


def test_a_reference_comes_back_from_json_as_it_was() -> None:
    rows = pa.table({"miles": [1.0, 2.0, None], "depot": ["N", "S", "N"], "p": [0.1, 0.5, 0.2]})
    edges = edges_of(
        rows, columns=["miles", "depot", "p"], ranked=["miles", "p"], segments=["depot"]
    )
    losses = losses_of(
        "log_loss",
        label=[1, 0],
        probability=[0.5, 0.25],
        blocks=["2026-03-01", "2026-03-02"],
        of_row=[0, 0],
        segments={"depot": ["N", "S"]},
        levels=edges.segment_names,
        minimum_rows=1,
    )
    made = ModelReference(
        model_version="3",
        prediction="p",
        edges=edges,
        importance={"miles": 0.7, "depot": 0.3},
        training_window=("2026-01-01", "2026-02-01"),
        losses=losses,
        calibration=Calibration(scores=np.array([0.0, 1.0]), shares=np.array([0.1, 0.8])),
    )
    back = ModelReference.from_json(made.to_json())
    assert back.to_json() == made.to_json()
    assert (back.edges, back.digest) == (edges, made.digest)
    assert back.losses.contrast.shape == (2, 2)
    assert np.isnan(back.losses.loss[1])


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (Monitoring(), 0),
        (Monitoring(alarms_per_quarter=0), 1),
        (Monitoring(alarms_per_quarter=float("nan")), 1),
        (Monitoring(minimum_reference_blocks=5, tolerance=-1), 2),
        (Monitoring(segments=["depot", "depot"]), 1),
    ],
)
def test_a_declaration_that_cannot_be_kept_is_a_problem(
    declared: Monitoring, expected: int
) -> None:
    assert len(declared.problems("here")) == expected
