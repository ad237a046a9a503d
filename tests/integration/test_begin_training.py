"""Beginning what was asked for: once, in time, and where nothing else trains; by blocks of local days."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.models import monitoring_ledger, retraining_ledger, training_obstacles
from pipelines.adapters.settings import Settings
from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.monitored import Judged
from pipelines.domain.retrain_attempts import Entry
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.training import Asked
from pipelines.stages.begin_training import Begun, begin_training
from pipelines.use_case import Retraining, UseCase
from tests import machines
from tests.machines import at

Home = tuple[UseCase, Settings]

DAY = 47
ASKED = Entry(
    use_case=machines.NAME, kind="asked", at=at(DAY, 8), cause="harm", reason="the loss rose",
    champion="2", block="2026-02-17", since="2026-02-15",
)  # fmt: skip
GOES_ON = "cause of this training, harm: the loss rose"


@pytest.fixture
def home(replaced: Home) -> Home:
    """Return a home in which nothing was asked for yet; the cooldown is two days."""
    declared = Retraining(on_harm=True, cooldown=timedelta(days=2))
    return replace(replaced[0], retraining=declared), replaced[1]


def append(home: Home, entry: Entry) -> int:
    """Write an entry, and return its place."""
    written = retraining_ledger.append(home[1], machines.NAME, lambda _: entry)
    assert written is not None
    return written.sequence


def began(home: Home, decision: int, at: datetime, run: str = "run a") -> str:
    """Begin what was asked for at a moment of the clock; return what the run's log says."""
    begun = begin_training(
        *home, as_of=ASKED.at, run=run, cause="harm", reason="the loss rose", decision=decision,
        begins_at=at,
    )  # fmt: skip
    return begun.describe()


def by_hand(home: Home, day: int) -> Begun:
    return begin_training(*home, as_of=at(day, 8), run="manual", cause="by hand")


def told(home: Home) -> list[tuple[str, str, str]]:
    """Return what the ledger holds beside the first models: kind, cause, what held it back."""
    entries = retraining_ledger.read(home[1], machines.NAME)
    return [(one.kind, one.cause, one.why) for one in entries if one.run != "test"]


def test_what_was_asked_for_does_not_begin_after_another_training_did(home: Home) -> None:
    decision = append(home, ASKED)
    by_hand(home, DAY)
    held = "no training for harm: the training of 2026-02-17 (by hand) began after it was asked for"
    for _ in range(2):
        assert began(home, decision, at(DAY, 9)) == held
    assert told(home) == [
        ("asked", "harm", ""), ("begun", "by hand", ""), ("held", "harm", "cooldown"),
    ]  # fmt: skip


def test_a_training_that_fills_a_time_long_ago_in_leaves_what_was_asked_for_wanted(
    home: Home,
) -> None:
    number = append(home, ASKED)
    asked = Asked(cause="by hand", reason="")
    retraining_ledger.trained(
        home[1], machines.NAME, run="cli", version="9", asked=asked, as_of=at(DAY - 20)
    )
    assert began(home, number, at(DAY, 9)) == GOES_ON


def test_a_training_that_was_under_way_when_another_was_asked_for_does_not_stop_it(
    home: Home,
) -> None:
    by_hand(home, DAY - 3)
    decision = append(home, ASKED)
    retraining_ledger.trained(
        home[1], machines.NAME, run="manual", version="3", asked=Asked(), as_of=at(DAY - 3)
    )
    assert began(home, decision, at(DAY, 9)) == GOES_ON


def test_what_was_asked_for_does_not_begin_once_the_cooldown_is_over(home: Home) -> None:
    decision = append(home, ASKED)
    late = "it was asked for at 2026-02-17 08:00 UTC, longer ago than the cooldown of 2 days"
    assert began(home, decision, at(DAY + 2, 8)) == f"no training for harm: {late}"
    assert told(home) == [("asked", "harm", ""), ("held", "harm", "cooldown")]
    assert began(home, decision, at(DAY + 2, 7), run="run b") == GOES_ON


def test_the_ledger_tells_the_age_of_what_an_old_event_names(home: Home) -> None:
    decision = append(home, ASKED)
    append(home, replace(ASKED, kind="held", at=at(DAY + 9), cause="schedule", why="obstacle"))
    assert "longer ago than the cooldown" in began(home, decision, at(DAY, 9))


def test_what_the_ledger_does_not_ask_for_does_not_begin(home: Home) -> None:
    held = append(home, replace(ASKED, kind="held", why="obstacle"))
    before = told(home)
    for decision in (held, 99):
        assert began(home, decision, at(DAY, 9)) == (
            f"no training for harm: entry {decision} of the ledger asks for no training"
        )
    assert told(home) == before


def test_the_newest_block_is_the_local_day_of_the_moment(tmp_path: Path) -> None:
    settings = machines.settings_in(tmp_path)
    result = DriftResult(
        test="HardRules", outcome="quiet", reason="", window_blocks=1, reference_blocks=0,
        alpha=None, per_column=(),
    )  # fmt: skip
    judged = [
        Judged(name="HardRules", block=block, result=result, alarm=None)
        for block in ("2026-03-08", "2026-03-09", "2026-03-10")
    ]
    evening = datetime(2026, 3, 8, 20, tzinfo=UTC)
    monitoring_ledger.keep(settings, machines.NAME, "1", judged, as_of=evening, run="test")
    found = {
        zone: training_obstacles.alarms(
            settings,
            machines.NAME,
            "1",
            times=ScoringTimes(at=time(5), timezone=zone),
            as_of=evening,
        )[0]
        for zone in ("UTC", "Asia/Tokyo", "America/New_York")
    }
    assert found == {
        "UTC": "2026-03-08",
        "Asia/Tokyo": "2026-03-09",
        "America/New_York": "2026-03-08",
    }
