"""A use case that scores on Mondays for the week, from its files to monitoring."""

import json
import math
import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import mlflow_registry, monitoring_ledger, pinned_rows
from pipelines.adapters.settings import Settings
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.late import late_windows
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.report import values
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import TrainedUseCase, UseCase
from tests import machines
from tests.empty_databases import place_mlflow
from tests.machines import NAME, WEEKLY

MONDAY = date(2026, 1, 5)
WEEKS = 50
MACHINES = 8
ROWS = 7 * MACHINES
TRAINED = 42
"""Weeks whose labels are final when the model is trained: 21 to learn from, one in the gap, 20 held out."""


@pytest.fixture
def home(tmp_path: Path, stable_code: None) -> tuple[UseCase, Settings]:
    settings = machines.settings_in(tmp_path)
    use_case = machines.declare(settings, WEEKLY)
    for week in range(WEEKS):
        deliver(settings, week)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    ingest(use_case, settings, as_of=at(WEEKS), run="test")
    return use_case, settings


def at(week: int, *, days: int = 0, hour: int = 12) -> datetime:
    """Return ``hour`` UTC of a day of a week, counted from its Monday."""
    day = MONDAY + timedelta(days=7 * week + days)
    return datetime.combine(day, time(hour), tzinfo=UTC)


def deliver(settings: Settings, week: int) -> None:
    """Deliver the plan of a week on the Sunday before it, and each day's outcome the morning after."""
    chance = random.Random(week)  # noqa: S311 - made-up data, the same each time
    plan = []
    for number in range(7):
        day = MONDAY + timedelta(days=7 * week + number)
        outcome = []
        for machine in range(MACHINES):
            name = f"{'AB'[machine % 2]}{machine:02}"
            load = chance.random()
            stops = chance.random() < 1 / (1 + math.exp(-8 * (load - 0.6)))
            plan.append(f"{day},{name},{load:.4f},{day}T{7 + machine:02}:00:00Z")
            outcome.append(f"{day},{name},{30 if stops else 2}")
        header, morning = "day,machine,stop_minutes", at(week, days=number + 1, hour=6)
        machines.land(settings, f"outcome/{day}.csv", header, outcome, morning)
    header, sunday = "day,machine,load,shift_at", at(week, days=-1, hour=20)
    machines.land(settings, f"plan/{week:02}.csv", header, plan, sunday)


def test_a_weekly_use_case_learns_from_weeks_scores_each_once_and_is_watched_by_weeks(
    home: tuple[UseCase, Settings],
) -> None:
    use_case, settings = home
    times = TrainedUseCase.of(use_case).scoring.times

    trained = train(use_case, settings, as_of=at(TRAINED, days=3), run="test", requester="sam")
    assert trained.training_window == ("2026-01-05", "2026-05-25")
    assert trained.held_out_window == ("2026-06-08", "2026-10-19")
    assert trained.rows == 21 * ROWS
    judged = evaluate(use_case, settings, version="1")
    assert judged.promotable
    assert judged.evidence.held_out_window == trained.held_out_window
    promote(use_case, settings, version="1", as_of=at(TRAINED, days=3))

    # Two Mondays, scored again as they are, and no other day.
    since, until = at(43, hour=0), at(45, hour=0)
    first = score(use_case, settings, since=since, until=until, run="one")
    again = score(use_case, settings, since=since, until=until, run="two")
    others = score(
        use_case, settings, since=at(43, days=1, hour=0), until=at(44, hour=0), run="three"
    )
    assert [one.scored_for for one in first.windows] == [at(43, hour=4), at(44, hour=4)]
    assert [one.outcome for one in first.windows] == ["written", "written"]
    assert [one.outcome for one in again.windows] == ["unchanged", "unchanged"]
    assert others.windows == ()
    said = delta_tables.read(lake.predictions(settings, NAME), columns=["day", "scored_for"])
    days = {(row["scored_for"], row["day"]) for row in said.to_pylist()}
    assert said.num_rows == 2 * ROWS
    assert days == {
        (at(week, hour=4), MONDAY + timedelta(days=7 * week + day))
        for week in (43, 44)
        for day in range(7)
    }
    assert late_windows(use_case, settings, as_of=at(44, days=6)) == ()

    score(use_case, settings, since=at(45, hour=0), until=at(49, hour=0), run="rest")
    found = monitor(use_case, settings, as_of=at(49, days=3), run="test")
    mondays = [f"{MONDAY + timedelta(days=7 * week)}" for week in range(43, 49)]
    assert [(one.block, one.outcome, one.final) for one in found.blocks] == [
        (monday, "measured", ROWS) for monday in mondays
    ]
    assert found.watched.newest_block == mondays[-1]
    assert (found.watched.block, found.watched.level) == ("week", "INFO")
    assert "(last 7 blocks, compared with 20 earlier ones)" in found.watched.verdict
    # A quarter of 13 blocks pays for the test of single ones; one of 90 would not before 150 blocks.
    tests = {one.name for one in monitoring_ledger.read(settings, NAME, model_version="1")}
    assert {"HardRules", "BlockPermutation 1", "BlockPermutation 7", "Harm"} <= tests
    page = values(use_case, settings, as_of=at(49, days=3))
    assert [one.block for one in page.timeline] == mondays
    assert page.timeline[0].promoted == "1"

    # What a model was taught is found again by the days that its window names.
    tags = mlflow_registry.candidate(settings, NAME, "1").tags
    parts = TrainedUseCase.of(use_case)
    rows = pinned_rows.training_rows(
        settings, NAME, tags, view=parts.features, label=parts.label, times=times
    )
    assert rows.num_rows == trained.rows
    assert json.loads(tags["headframe.training_window"]) == list(trained.training_window)
