"""The whole loop of flight_delays through Airflow: ingest, train, approve, promote, score, monitor."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from examples import flight_delays as example
from pipelines.adapters.models import decisions
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests.dags.airflow_runs import Answer, Ended, events, run, unpause, waiting_dags
from tests.dags.conftest import REPOSITORY, use_home

pytestmark = pytest.mark.prove
"""The demo's test in CI runs this loop through the scheduler."""

APRIL = "2013-04-01T04:00:00+00:00"
A_WEEK_LATER = "2013-04-08T04:00:00+00:00"
"""New York's midnights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What each step of the loop left behind."""

    settings: Settings
    ingest: Ended
    announced: list[dict[str, Any]]
    woken: list[str]
    second_ingest: Ended
    announced_by_second: list[dict[str, Any]]
    refused_ingest: Ended
    announced_by_refused: list[dict[str, Any]]
    announced_after_it: list[dict[str, Any]]
    train: Ended
    answer: Answer
    score: Ended
    predicted: list[dict[str, Any]]
    monitor: Ended


@pytest.fixture(scope="module")
def loop(
    airflow_api: None, dags_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    # In the DAG folder for these tests alone: in another home its tables are other assets of the
    # same names, and Airflow runs no task with one of two such.
    file = dags_folder / "flight_delays.py"
    shutil.copy(REPOSITORY / "dags" / file.name, file)
    with pytest.MonkeyPatch.context() as patch:
        settings = use_home(tmp_path_factory.mktemp("loop") / "home", patch)
        yield _loop(settings)
    file.unlink()


def _loop(settings: Settings) -> Loop:
    until_april = {"as_of": APRIL}
    unpause("flight_delays__monitor")
    example.deliver(local(settings.landing), first_day=date(2013, 1, 1), until=date(2013, 4, 1))
    ingest = run("flight_delays__ingest", conf=until_april)
    announced, woken = _announced(), waiting_dags()
    second = run("flight_delays__ingest", conf=until_april)
    announced_by_second = _announced()[len(announced) :]
    answer = Answer("Approve", reason="it beats the baseline")
    train = run("flight_delays__train", conf=until_april, answer=answer)
    example.deliver(local(settings.landing), first_day=date(2013, 4, 1), until=date(2013, 4, 8))
    unreadable = local(settings.landing) / "flight_delays" / "weather" / "broken.csv"
    unreadable.write_text("one,two\n1,2\n", "utf-8")
    until_then = {"as_of": "2099-01-01T00:00:00+00:00"}
    refused = run("flight_delays__ingest", conf=until_then)
    announced_by_refused = _announced()[len(announced) :]
    unreadable.unlink()
    run("flight_delays__ingest", conf=until_then)
    return Loop(
        settings=settings,
        ingest=ingest,
        announced=announced,
        woken=woken,
        second_ingest=second,
        announced_by_second=announced_by_second,
        refused_ingest=refused,
        announced_by_refused=announced_by_refused,
        announced_after_it=_announced()[len(announced) :],
        train=train,
        answer=answer,
        score=run("flight_delays__score", conf={"as_of": APRIL, "until": A_WEEK_LATER}),
        predicted=events("predictions.flight_delays"),
        monitor=run("flight_delays__monitor", conf={"as_of": A_WEEK_LATER}),
    )


def _announced() -> list[dict[str, Any]]:
    return events("silver.flight_delays.")


def test_ingest_announces_each_table_that_took_files(loop: Loop) -> None:
    assert loop.ingest.state == "success"
    assert [event["table"] for event in loop.announced] == [
        "schedule",
        "arrivals",
        "weather",
        "planes",
    ]
    assert {event["as_of"] for event in loop.announced} == {APRIL}
    assert all(event["version"] >= 0 and event["rows"] > 3_000 for event in loop.announced)


def test_new_labels_wake_the_monitor(loop: Loop) -> None:
    assert loop.woken == ["flight_delays__monitor"]


def test_an_ingest_without_news_announces_nothing(loop: Loop) -> None:
    assert loop.second_ingest.state == "success"
    assert loop.announced_by_second == []


def test_a_refused_file_fails_the_task_and_holds_back_no_other(loop: Loop) -> None:
    assert loop.refused_ingest.tasks == {"ingest": "failed", "docs": "success"}
    assert loop.refused_ingest.tries["ingest"] == 1
    assert "weather/broken.csv" in loop.refused_ingest.reasons["ingest"]
    assert loop.announced_by_refused == []
    assert {event["table"] for event in loop.announced_after_it} >= {"schedule", "arrivals"}


def test_training_ends_with_a_champion_that_a_second_person_approved(loop: Loop) -> None:
    assert loop.train.state == "success"
    assert loop.answer.asked == ["approver"]
    found = [entry.decision for entry in decisions.read_all(loop.settings)]
    assert (found[0].kind, found[0].version) == ("requested", found[-1].version)
    assert [(d.kind, d.actor) for d in found[1:]] == [
        ("evaluated", "gates"),
        ("approved", "approver"),
        ("promoting", "approver"),
        ("promoted", "approver"),
    ]
    assert found[2].evidence_digest == loop.train.returned["evaluate"]["evidence_digest"]
    assert loop.train.returned["promote"]["version"] == found[-1].version


def test_one_run_scores_each_day_of_a_week(loop: Loop) -> None:
    assert loop.score.state == "success"
    (said,) = loop.predicted
    assert said["rows"] > 6_000
    assert said["model_version"] == loop.score.returned["champion"]["version"]
    assert said["scored_for_first"] == "2013-04-01T09:00:00+00:00", "05:00 in New York"
    assert said["scored_for_last"] == "2013-04-07T09:00:00+00:00"
    assert said["as_of"] == A_WEEK_LATER


def test_the_monitor_measures_them(loop: Loop) -> None:
    assert loop.monitor.state == "success"
    assert loop.monitor.returned["monitor"]["as_of"] == A_WEEK_LATER
    assert "of 7 blocks measured" in loop.monitor.returned["monitor"]["says"]


def test_the_page_of_what_it_found_is_there(loop: Loop) -> None:
    told = loop.monitor.returned["report"]
    verdict = loop.monitor.returned["monitor"]["says"].splitlines()[0]
    assert told["says"].splitlines()[0] == verdict
    assert told["page"] == "flight_delays/2013-04-08T040000Z.html"
    assert (loop.settings.root / "reports" / told["page"]).is_file()
