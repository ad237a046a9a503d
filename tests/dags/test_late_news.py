"""Late news: an ingest that brings what a scored window lacks starts a run that scores it again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from tests import machines
from tests.dags.airflow_runs import Ended, events, run, unpause, waiting_dags
from tests.dags.conftest import use_home
from tests.empty_databases import place_mlflow
from tests.machines import at

WINDOW = "2026-02-20T04:00:00+00:00"
"""The scoring time of day 50: 05:00 in Berlin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What each step left behind: the runs, and what was announced as late by then."""

    in_time: Ended
    announced_in_time: list[dict[str, Any]]
    late: Ended
    announced: list[dict[str, Any]]
    woken: list[str]
    announced_again: list[dict[str, Any]]
    announced_a_day_later: list[dict[str, Any]]
    rescored: Ended
    reasons: list[str]
    announced_after_it: list[dict[str, Any]]


@pytest.fixture(scope="module")
def story(dags_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        yield _story(use_home(tmp_path_factory.mktemp("machines") / "home", patch))
    (dags_folder / "machines.py").unlink()


def _story(settings: Settings) -> Story:
    machines.deliver(settings)
    machines.take_in(machines.declare(settings), settings)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    assert run("machines__train", conf={"as_of": at(50).isoformat()}).state == "success"
    unpause("machines__score")
    two_days = {"as_of": at(49, 0).isoformat(), "until": at(51, 0).isoformat()}
    assert run("machines__score", conf=two_days).state == "success"
    in_time = _ingest(at(50, 5).isoformat())
    announced_in_time = _told()
    machines.deliver(settings, first=50, until=51)
    late = _ingest(at(50, 6).isoformat())
    announced, woken = _told(), waiting_dags()
    _ingest(at(50, 7).isoformat())
    announced_again = _told()
    _ingest(at(51, 6).isoformat())
    announced_a_day_later = _told()
    rescored = run("machines__score", conf={"as_of": at(51, 6).isoformat(), "late": True})
    history = delta_tables.history(lake.predictions(settings, machines.NAME))
    _ingest(at(53, 6).isoformat())
    return Story(
        in_time=in_time,
        announced_in_time=announced_in_time,
        late=late,
        announced=announced,
        woken=woken,
        announced_again=announced_again,
        announced_a_day_later=announced_a_day_later,
        rescored=rescored,
        reasons=[commit.get("headframe.reason", "") for commit in history],
        announced_after_it=_told(),
    )


def _ingest(as_of: str) -> Ended:
    ended = run("machines__ingest", conf={"as_of": as_of})
    assert ended.state == "success"
    return ended


def _told() -> list[dict[str, Any]]:
    return events("late.machines")


def test_an_ingest_in_time_announces_nothing_late(story: Story) -> None:
    assert story.in_time.returned["ingest"]["late"] == []
    assert story.announced_in_time == []


def test_a_late_ingest_announces_the_windows_with_the_reason_and_wakes_score(story: Story) -> None:
    reason = "late: plan delivered 2026-02-19 20:00 UTC, taken in 2026-02-20 06:00 UTC"
    assert story.announced == [
        {"as_of": "2026-02-20T06:00:00+00:00", "windows": [WINDOW], "reasons": [reason]}
    ]
    assert story.late.returned["ingest"]["late"] == [WINDOW]
    assert "machines__score" in story.woken


def test_the_same_windows_are_announced_once_a_day_until_they_are_scored(story: Story) -> None:
    assert story.announced_again == story.announced
    assert [told["as_of"] for told in story.announced_a_day_later] == [
        "2026-02-20T06:00:00+00:00",
        "2026-02-21T06:00:00+00:00",
    ]
    assert story.announced_after_it == story.announced_a_day_later


def test_the_run_scores_the_late_window_and_its_commit_says_why(story: Story) -> None:
    assert story.rescored.state == "success"
    assert story.rescored.returned["score"]["scored_for"] == [WINDOW]
    assert story.rescored.returned["score"]["rows"] == machines.MACHINES
    assert story.reasons[0] == story.announced[0]["reasons"][0]
