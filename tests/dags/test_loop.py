"""The whole loop of flight_delays through Airflow: ingest, train, approve, promote, score, monitor."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import decisions
from pipelines.adapters.examples import flight_delays as example
from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import Answer, Ended, events, run, waiting_dags
from tests.dags.conftest import use_home

APRIL = "2013-04-01T04:00:00Z"
NEXT_WEEK = "2013-04-08T04:00:00Z"
"""New York's midnights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What the loop left behind."""

    settings: Settings
    first_ingest: Ended
    announced: list[dict[str, Any]]
    woken: list[str]
    repeated_ingest: Ended
    announced_twice: list[dict[str, Any]]
    train: Ended
    answer: Answer
    score: Ended
    predicted: list[dict[str, Any]]
    monitor: Ended


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with pytest.MonkeyPatch.context() as patch:
        settings = use_home(Path(tmp_path_factory.mktemp("loop")) / "home", patch)
        example.deliver(settings.landing, first_day=date(2013, 1, 1), until=date(2013, 4, 1))
        first = run("flight_delays__ingest", conf={"as_of": APRIL})
        announced, woken = events("silver.flight_delays."), waiting_dags()
        repeated = run("flight_delays__ingest", conf={"as_of": APRIL})
        twice = events("silver.flight_delays.")
        answer = Answer(
            "Approve", user="approver", reason="beats it", try_first=("dag_test", "operator")
        )
        train = run("flight_delays__train", conf={"as_of": APRIL, "reason": "a"}, answer=answer)
        example.deliver(settings.landing, first_day=date(2013, 4, 1), until=date(2013, 4, 8))
        run("flight_delays__ingest", conf={"as_of": NEXT_WEEK})
        score = run("flight_delays__score", conf={"as_of": APRIL, "until": NEXT_WEEK})
        yield Loop(
            settings=settings,
            first_ingest=first,
            announced=announced,
            woken=woken,
            repeated_ingest=repeated,
            announced_twice=twice,
            train=train,
            answer=answer,
            score=score,
            predicted=events("predictions.flight_delays"),
            monitor=run("flight_delays__monitor", conf={"as_of": NEXT_WEEK}),
        )


def test_x(loop: Loop) -> None:
    print(loop)
