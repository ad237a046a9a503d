"""The cost ledger: each try once, whoever notes, folds or dies in between; and what it decides."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import cost_ledger
from pipelines.adapters.platform.measured_try import measured
from pipelines.adapters.platform.process_usage import reading
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.budget import Budget
from pipelines.domain.search_space import LogUniform
from pipelines.domain.training import AS_DECLARED, Asked, Candidate
from pipelines.errors import BudgetSpent
from pipelines.stages.afford import afford
from pipelines.stages.maintain import maintain
from pipelines.use_case import UseCase
from tests import machines
from tests.costs import MORNING, cost
from tests.integration.test_command_line import headframe_in

NOW = MORNING + timedelta(days=5)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return machines.settings_in(tmp_path)


def notes(settings: Settings) -> list[Path]:
    return sorted(local(lake.ledger(settings, "costs") / "_waiting").glob("*.json"))


def keys(settings: Settings) -> list[str]:
    found: list[str] = delta_tables.read(lake.ledger(settings, "costs"))["key"].to_pylist()
    return sorted(found)


def test_a_try_noted_twice_is_one_note_and_one_row(settings: Settings) -> None:
    for one in (cost(), cost(cpu=5.0), cost(attempt=2)):
        assert cost_ledger.note(settings, one)
    assert len(notes(settings)) == 2
    assert cost_ledger.fold(settings, run="test") == 2
    assert notes(settings) == []
    # The broker took the worker for dead, and the try ran once more.
    cost_ledger.note(settings, cost(cpu=7.0, at=MORNING + timedelta(hours=3)))
    # It counts when it first began, in whichever month that was, whether it is folded in or waits.
    assert cost_ledger.read(settings, since=MORNING + timedelta(hours=1)) == []
    assert cost_ledger.fold(settings, run="test") == 0
    assert keys(settings) == sorted([cost().key, cost(attempt=2).key])
    assert notes(settings) == []


def test_a_fold_killed_before_it_removed_the_notes_adds_nothing_twice(settings: Settings) -> None:
    cost_ledger.note(settings, cost())
    (note,) = notes(settings)
    text = note.read_bytes()
    cost_ledger.fold(settings, run="test")
    note.write_bytes(text)
    cost_ledger.note(settings, cost(run="two"))
    read = cost_ledger.read(settings, since=LONG_AGO)
    assert sorted(one.run for one in read) == ["one", "two"]
    assert cost_ledger.fold(settings, run="test") == 1
    assert keys(settings) == sorted([cost().key, cost(run="two").key])


def test_what_waits_and_what_is_folded_in_are_read_alike(settings: Settings) -> None:
    told = [cost(run="1", rows=3), cost("train.tune", run="2", map_index=1, outcome="failed")]
    other = cost(use_case="meters", at=MORNING + timedelta(hours=1))
    for one in told:
        cost_ledger.note(settings, one)
    cost_ledger.fold(settings, run="test")
    cost_ledger.note(settings, other)
    by_key = sorted(told, key=lambda one: one.key)
    assert cost_ledger.read(settings, since=MORNING) == [*by_key, other]
    assert cost_ledger.read(settings, since=MORNING, use_case="meters") == [other]
    assert cost_ledger.read(settings, since=MORNING + timedelta(minutes=1)) == [other]


def test_a_note_that_cannot_be_read_keeps_no_other_from_the_ledger(settings: Settings) -> None:
    cost_ledger.note(settings, cost())
    broken = notes(settings)[0].with_name("0.json")
    broken.write_text("{", "utf-8")
    text = notes(settings)[1].read_text("utf-8")
    mistyped = broken.with_name("1.json")
    mistyped.write_text(text.replace('"rows": null', '"rows": "many"'), "utf-8")
    assert [one.rows for one in cost_ledger.read(settings, since=LONG_AGO)] == [None]
    assert cost_ledger.fold(settings, run="test") == 1
    assert notes(settings) == [broken, mistyped]


def test_work_whose_costs_cannot_be_noted_stands_and_the_loss_is_counted(
    settings: Settings,
) -> None:
    settings.root.mkdir(parents=True)
    local(settings.lake).write_text("no folder", "utf-8")
    with measured(settings, use_case="machines", purpose="ingest", task="ingest", run="r") as ended:
        ended.rows = 3
    assert cost_ledger.lost(settings) == 1
    with (
        pytest.raises(KeyError, match="its own"),
        measured(settings, use_case="machines", purpose="ingest", task="ingest", run="s"),
    ):
        raise KeyError("its own")
    assert cost_ledger.lost(settings) == 2
    # A full disk cut the line off: the next one is a line of its own.
    with (settings.root / "costs_lost.log").open("rb+") as file:
        file.truncate(file.seek(0, 2) - 5)
    cost_ledger.note(settings, cost())
    assert cost_ledger.lost(settings) == 3
    (settings.root / "costs_lost.log").write_bytes(b"2026-03-10 machines \xc3")
    assert cost_ledger.lost(settings) == 1


def test_a_note_costs_less_than_50_ms_of_cpu(settings: Settings) -> None:
    spent = []
    for number in range(50):
        before = time.process_time()
        with measured(settings, use_case="m", purpose="score", task="score", run=str(number)):
            pass
        spent.append(time.process_time() - before)
    assert len(notes(settings)) == 50
    assert sorted(spent)[25] < 0.050


def test_a_try_tells_how_it_ended_its_rows_and_what_it_used(settings: Settings) -> None:
    before = b"1" * 200 * 2**20
    del before
    highest = reading().peak
    with measured(settings, use_case="m", purpose="score", task="plan", run="r") as ended:
        ended.rows = 3
        sum(range(300_000))
    with pytest.raises(ValueError, match="wrong"):
        _fail(settings)
    done, failed = cost_ledger.read(settings, since=LONG_AGO)
    assert (done.stage, done.outcome, done.rows) == ("score.plan", "done", 3)
    assert done.usage.cpu_seconds > 0
    assert done.usage.peak_mib < highest - 100
    assert (failed.outcome, failed.rows) == ("failed", None)


def _fail(settings: Settings) -> None:
    with measured(settings, use_case="m", purpose="score", task="score", run="r"):
        raise ValueError("wrong")


def test_maintenance_folds_notes_in_and_finds_no_file_of_no_table(
    machines_settings: Settings,
) -> None:
    cost_ledger.note(machines_settings, cost())
    assert maintain(machines_settings, now=NOW, run="test", dry_run=True).orphans
    assert len(notes(machines_settings)) == 1
    maintained = maintain(machines_settings, now=NOW, run="test")
    assert keys(machines_settings) == [cost().key]
    assert maintained.orphans == ()
    cost_ledger.note(machines_settings, cost(run="two"))
    # Hidden from Delta: neither vacuum nor a reader takes a note for a file of the table.
    assert delta_tables.read(lake.ledger(machines_settings, "costs")).num_rows == 1


def test_a_ledger_that_takes_no_note_holds_no_maintenance_back(machines_settings: Settings) -> None:
    other = pa.table({"key": ["somebody's own table"]})
    place = lake.ledger(machines_settings, "costs")
    delta_tables.commit_rows(place, other, transactions={"other": 1}, metadata={})
    cost_ledger.note(machines_settings, cost())
    maintained = maintain(machines_settings, now=NOW, run="test")
    assert "what stages cost waits for the next run: " in maintained.describe()
    assert len(maintained.tables) >= 3
    assert len(notes(machines_settings)) == 1


def budgeted(settings: Settings, budget: Budget, *, searched: float | None = None) -> UseCase:
    """Return the use case with a budget; with ``searched``, a search of as many CPU seconds."""
    use_case = replace(machines.declare(settings), budget=budget)
    assert use_case.training is not None
    if searched is None:
        return use_case
    build = use_case.training.candidates[0].build
    candidate = Candidate("logistic", build, {"strength": LogUniform(0.1, 1.0)})
    training = replace(use_case.training, candidates=[candidate], cpu_seconds=searched)
    return replace(use_case, training=training)


def test_a_search_that_may_spend_more_than_is_left_is_refused_before_it_begins(
    settings: Settings,
) -> None:
    use_case = budgeted(settings, Budget(cpu_seconds_per_month=100), searched=50)
    for spent in (
        cost("train", cpu=30, child=25),
        cost("train", run="last month", at=MORNING - timedelta(days=10), cpu=500),
        cost("train", use_case="meters", cpu=500),
    ):
        cost_ledger.note(settings, spent)
    with pytest.raises(BudgetSpent) as caught:
        afford(use_case, settings, now=NOW, run="test", asked=AS_DECLARED)
    assert str(caught.value) == (
        "training of machines: expected one that fits in what is left of the month's budget; "
        "found 55 of 100 CPU s of 2026-03 are spent, and this training may spend 50.\n"
        "  Lower Training.cpu_seconds, or train without a search (`--trials 0`). Raise "
        "budget.cpu_seconds_per_month, or wait for the next month. `headframe costs machines` says "
        "what was spent."
    )
    assert caught.value.about == ("budget",)
    without = afford(use_case, settings, now=NOW, run="test", asked=Asked(trials=0))
    assert without is not None
    assert without.level == "within"
    later = afford(use_case, settings, now=NOW + timedelta(days=30), run="t", asked=AS_DECLARED)
    assert later is not None
    assert (later.spent, later.level) == (0.0, "within")


def test_a_budget_that_only_warns_refuses_nothing_and_none_says_nothing(settings: Settings) -> None:
    cost_ledger.note(settings, cost("score", cpu=200))
    use_case = budgeted(settings, Budget(cpu_seconds_per_month=100, on_exceeded="warn"))
    found = afford(use_case, settings, now=NOW, run="test", asked=AS_DECLARED)
    assert found is not None
    assert found.level == "warn"
    plain = replace(use_case, budget=None)
    assert afford(plain, settings, now=NOW, run="test", asked=AS_DECLARED) is None


BUDGET = """
from dataclasses import replace
from pipelines.use_case import Budget
machines = replace(machines, budget=Budget(cpu_seconds_per_month=0.001))
"""


def test_runs_by_hand_are_in_the_ledger_and_costs_tells_them(machines_settings: Settings) -> None:
    machines.declare(machines_settings)
    headframe = headframe_in(machines_settings)
    assert "No stage was run" in headframe("costs", "machines").stdout
    headframe("run", "ingest", "machines", "--as-of", "2026-03-01")
    headframe("run", "ingest", "machines", "--as-of", "2026-03-01")
    headframe("run", "evaluate", "machines", "--version", "9", status=1)
    (report,) = json.loads(headframe("costs", "machines", "--json").stdout)["reports"]
    stages = {one["stage"]: (one["runs"], one["failed"]) for one in report["stages"]}
    assert stages == {"ingest": (2, 0), "train.evaluate": (1, 1)}
    assert report["cpu_seconds"] > 0
    told = headframe("costs", "machines").stdout
    assert "train.evaluate" in told
    assert "nothing was scored" in told
    assert "train.evaluate" in headframe("costs", "--since", "1999-01-01").stdout
    cost_ledger.note(machines_settings, cost("maintenance.maintain", use_case="platform"))
    said = headframe("costs", "platform", "--since", "2026-03-01").stdout
    assert "maintenance.maintain" in said
    assert "found no such file" in headframe("costs", "nosuch", status=1).stderr
    for wrong in ("2999-01-01", "0001-01-01", "0206-03-01", "yesterday"):
        said = headframe("costs", "machines", "--since", wrong, status=1).stderr
        assert "expected an ISO date or time that has passed" in said


def test_a_training_by_hand_is_refused_by_a_spent_budget_and_scoring_never_is(
    machines_settings: Settings,
) -> None:
    machines.declare(machines_settings)
    path = machines_settings.dags / "machines.py"
    path.write_text(path.read_text("utf-8") + BUDGET, "utf-8")
    headframe = headframe_in(machines_settings)
    headframe("run", "ingest", "machines", "--as-of", "2026-03-01")
    now = ("--as-of", "2026-02-20T12:00:00Z")
    said = headframe("run", "train", "machines", *now, status=1).stderr
    assert said.startswith("BudgetSpent\ntraining of machines: ")
    assert "of 0.001 CPU s" in said
    # Nothing is cheap enough for a month that is spent.
    assert "\n  Raise budget.cpu_seconds_per_month, or wait" in said
    assert "expected a champion" in headframe("run", "score", "machines", *now, status=1).stderr
    budgets = json.loads(headframe("costs", "--json").stdout)["budgets"]
    assert budgets["machines"]["level"] == "refuse"
