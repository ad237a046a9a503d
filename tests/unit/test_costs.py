"""Costs and budgets: sums of a period, what predictions cost, and which training fits in."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.adapters.platform.process_usage import PEAK_MARK, beginning, reading
from pipelines.domain.budget import Affordable, Budget, Level
from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.cost_report import reports
from pipelines.domain.stage_cost import StageCost
from pipelines.use_case import UseCase
from tests.costs import cost

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
BEFORE = SINCE - timedelta(days=5)

DIGEST = "1353123d2f6c80c26c618e8022b424dda9e6c7e9d8758aad1edec0b3ea80e497"
"""What the declaration below had before there were budgets."""

METERS = UseCase(
    name="meters",
    owner="plant",
    tables=[
        Table(
            name="readings",
            source=Files(pattern="*.csv"),
            columns=[Column("meter", "string")],
            key=("meter",),
        )
    ],
)


def test_a_report_sums_each_stage_and_holds_it_against_the_period_before() -> None:
    (report,) = reports(
        [
            cost("ingest", run="1", cpu=2.0, child=1.0, peak=300, rows=10),
            cost("ingest", run="2", cpu=3.0, peak=200, outcome="failed"),
            cost("ingest", run="0", at=BEFORE, cpu=4.0),
            cost("train.plan", run="1", cpu=1.0),
        ],
        since=SINCE,
        until=UNTIL,
    )
    ingest, plan = report.stages
    assert (ingest.stage, ingest.runs, ingest.failed, ingest.rows) == ("ingest", 2, 1, 10)
    assert (ingest.cpu_seconds, ingest.before, ingest.trend) == (6.0, 4.0, 0.5)
    assert (ingest.peak_mib, ingest.seconds) == (300, 4.0)
    assert (ingest.bytes_read, ingest.bytes_written) == (2_000, 0)
    assert (plan.stage, plan.trend) == ("train.plan", None)
    assert (report.cpu_seconds, report.before) == (7.0, 4.0)


def test_predictions_cost_what_scoring_and_delivering_do_and_parts_count_once() -> None:
    (report,) = reports(
        [
            cost("score.champion", cpu=1.0),
            cost("score.score_part", map_index=0, cpu=2.0, rows=300),
            cost("score.score_part", map_index=1, cpu=2.0, rows=200),
            cost("score.publish", cpu=1.0, rows=500),
            cost("score.deliver", cpu=4.0, rows=500),
            cost("score.shadow", cpu=50.0, rows=500),
            cost("train", cpu=90.0),
        ],
        since=SINCE,
        until=UNTIL,
    )
    assert (report.predictions, report.per_1000_predictions) == (500, 20.0)


def test_nothing_scored_has_no_cost_a_prediction() -> None:
    (report,) = reports([cost("score", rows=0)], since=SINCE, until=UNTIL)
    assert report.per_1000_predictions is None


def test_use_cases_are_told_apart_and_tries_outside_both_periods_count_nowhere() -> None:
    found = reports(
        [
            cost(use_case="b"),
            cost(use_case="a", run="1", at=UNTIL - timedelta(seconds=1)),
            cost(use_case="a", run="2", at=UNTIL),
            cost(use_case="a", run="3", at=SINCE - timedelta(days=32)),
        ],
        since=SINCE,
        until=UNTIL,
    )
    assert [(one.use_case, one.cpu_seconds, one.before) for one in found] == [
        ("a", 1.0, 0.0),
        ("b", 1.0, 0.0),
    ]
    with pytest.raises(ValueError, match="empty"):
        reports([], since=SINCE, until=SINCE)


@pytest.mark.parametrize(
    "other",
    [
        cost(attempt=2),
        cost(map_index=0),
        cost(run="two"),
        cost("train.ingest"),
        cost("ingest.docs"),
        cost(use_case="meters"),
    ],
)
def test_a_try_is_its_use_case_dag_task_run_map_index_and_number(other: StageCost) -> None:
    assert other.key != cost().key
    # What it used is no part of it: run twice by a broker, it is recorded once.
    assert cost(cpu=9.0, at=UNTIL, outcome="failed").key == cost().key


def test_a_row_of_the_ledger_is_the_try_again() -> None:
    told = cost("train.tune", map_index=3, rows=7)
    assert StageCost.from_row(told.to_row()) == told


@pytest.mark.parametrize(
    ("spent", "planned", "refusing", "warning"),
    [
        (0, 0, "within", "within"),
        (70, 9, "within", "within"),
        (70, 10, "warn", "warn"),
        (80, 0, "warn", "warn"),
        (70, 30, "warn", "warn"),
        (70, 31, "refuse", "warn"),
        (100, 0, "refuse", "warn"),
    ],
)
def test_a_training_is_held_against_what_is_left(
    spent: float, planned: float, refusing: Level, warning: Level
) -> None:
    budget = Budget(cpu_seconds_per_month=100)
    found = Affordable(budget=budget, month="2026-03", spent=spent, planned=planned)
    assert found.level == refusing
    assert replace(found, budget=replace(budget, on_exceeded="warn")).level == warning


def test_a_budget_that_cannot_be_meant_is_a_problem_of_the_declaration() -> None:
    wrong = Budget(cpu_seconds_per_month=0, warn_at=80, on_exceeded="stop")  # type: ignore[arg-type]
    found = replace(METERS, budget=wrong).problems()
    assert [(one.where.rpartition(", ")[2], one.found) for one in found] == [
        ("cpu_seconds_per_month", "0"),
        ("warn_at", "80"),
        ("on_exceeded", "'stop'"),
    ]
    assert not replace(METERS, budget=Budget(cpu_seconds_per_month=1)).problems()


def test_a_declaration_without_a_budget_keeps_the_digest_it_had() -> None:
    assert METERS.digest() == DIGEST
    assert replace(METERS, budget=Budget(cpu_seconds_per_month=1)).digest() != DIGEST


def test_a_usage_counts_what_lies_between_two_readings() -> None:
    before = reading()
    spun = sum(range(300_000))
    found = before.usage()
    assert spun
    assert 0 < found.cpu_seconds < 5
    assert found.seconds > 0
    assert found.child_cpu_seconds == 0
    assert found.peak_mib > 10


@pytest.mark.skipif(not PEAK_MARK.exists(), reason="this system forgets no peak")
def test_a_peak_is_that_of_the_try_and_not_of_what_was_before() -> None:
    large = b"1" * 200 * 2**20
    del large
    whole = reading().peak
    small = beginning().usage().peak_mib
    assert whole - small > 100
    before = beginning()
    large = b"1" * 100 * 2**20
    del large
    assert before.usage().peak_mib - small > 80


def test_a_childs_peak_counts_for_the_try_that_it_was_the_largest_child_of() -> None:
    before = replace(reading(), peak=0.0, child_peak=0.0)
    hold = "large = b'1' * 300 * 2**20"
    subprocess.run([sys.executable, "-c", hold], check=True)
    assert before.usage().peak_mib > 300
    known = reading()
    subprocess.run([sys.executable, "-c", ""], check=True)
    own = known.usage()
    assert own.child_cpu_seconds > 0
    assert own.peak_mib == reading().peak
