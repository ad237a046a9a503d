"""A model that was good when it was judged and is bad in use: its DAGs take it out of production."""

import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import decisions
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import Incident
from pipelines.domain.slots import SHADOW
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import machines
from tests.dags.airflow_runs import Ended, run
from tests.dags.conftest import use_home
from tests.machines import Variant, at

LAST = 60
"""Days until then were delivered; from day 50 on machines stop under a low load instead of a high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What each run left behind, in the simulated time of the runs."""

    settings: Settings
    without_the_version_before: Ended
    week: Ended
    in_parts: Ended
    decided: Ended
    alarm: Incident
    next_day: Ended
    after: Incident
    scored_after: Ended
    untold: Incident
    told_once: Incident


def declare(settings: Settings, variant: Variant) -> UseCase:
    """Declare a variant with the usual probation."""
    machines.declare(settings, variant)
    path = settings.dags / "machines.py"
    text = path.read_text()
    text = text.replace("    scoring=Scoring(", "    probation=Probation(),\n    scoring=Scoring(")
    path.write_text(text.replace("Monitoring,\n", "Monitoring,\n    Probation,\n", 1))
    return load(path)


def promoted(settings: Settings, variant: Variant, version: str) -> None:
    from airflow.utils.deprecation_tools import DeprecatedImportWarning

    use_case = declare(settings, variant)
    with warnings.catch_warnings():
        # As in a task: skops asks every loaded module, and Airflow's renamed names answer.
        warnings.simplefilter("ignore", DeprecatedImportWarning)
        _promote(use_case, settings, version)


def _promote(use_case: UseCase, settings: Settings, version: str) -> None:
    train(use_case, settings, as_of=at(50), run="test", requester="sam")
    evaluate(use_case, settings, version=version)
    promote(use_case, settings, version=version, as_of=at(50))


@pytest.fixture(scope="module")
def story(dags_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        settings = use_home(tmp_path_factory.mktemp("probation") / "home", patch)
        machines.deliver(settings)
        machines.deliver(settings, first=50, until=LAST, turned=True)
        machines.take_in(declare(settings, machines.WEAK), settings)
        (settings.root / "mlflow").mkdir()
        promoted(settings, machines.WEAK, "1")
        promoted(settings, Variant(), "2")
        yield _story(settings)
    (dags_folder / "machines.py").unlink()


def _story(settings: Settings) -> Story:
    _in_registry(settings, "1", "Deleted_Internal")
    without = _scored(51, 52)
    _in_registry(settings, "1", "None")
    week = _scored(51, 58)
    declare(settings, Variant(parts=2))
    in_parts = _scored(58, 59)
    # The labels of the seventh block are final two days after its end, at 04:00 of day 60.
    decided = run("machines__monitor", conf={"as_of": at(60, 4).isoformat()})
    (alarm,) = _about_probation(settings)
    next_day = run("machines__monitor", conf={"as_of": at(61, 4).isoformat()})
    (after,) = _about_probation(settings)
    scored_after = _scored(59, 60)
    # As if the run that rolled back had been killed before it told anybody.
    shutil.rmtree(str(lake.ledger(settings, "incidents")))
    untold, told_once = (_judged(settings, day) for day in (62, 63))
    return Story(
        settings=settings,
        without_the_version_before=without,
        week=week,
        in_parts=in_parts,
        decided=decided,
        alarm=alarm,
        next_day=next_day,
        after=after,
        scored_after=scored_after,
        untold=untold,
        told_once=told_once,
    )


def _in_registry(settings: Settings, version: str, stage: str) -> None:
    """Give a version the stage by which MLflow knows what was deleted, or take it away again."""
    with closing(sqlite3.connect(settings.root / "mlflow" / "mlflow.db")) as database:
        statement = "update model_versions set current_stage = ? where name = ? and version = ?"
        told = (stage, "machines-candidates", version)
        assert database.execute(statement, told).rowcount == 1
        database.commit()


def _judged(settings: Settings, day: int) -> Incident:
    """Do the work of the task ``probation`` alone; return the incident that there is then."""
    from pipelines.dag_factory import probation_tasks

    context = {"params": {"as_of": at(day, 4).isoformat()}}
    probation_tasks.probation(load(settings.dags / "machines.py"), context)
    (found,) = _about_probation(settings)
    return found


def _scored(first: int, until: int) -> Ended:
    conf = {"as_of": at(first, 0).isoformat(), "until": at(until, 0).isoformat()}
    return run("machines__score", conf=conf)


def _about_probation(settings: Settings) -> list[Incident]:
    return [
        incident
        for incident in incident_ledger.incidents(settings).values()
        if any(signal.kind == "probation" for signal in incident.seen)
    ]


def test_the_shadow_scores_what_the_run_scored_in_one_task_or_in_parts(story: Story) -> None:
    assert story.week.tasks == {"champion": "success", "score": "success", "shadow": "success"}
    assert story.in_parts.state == "success"
    assert story.in_parts.tasks["shadow"] == "success"
    theirs = delta_tables.read(lake.predictions(story.settings, machines.NAME, SHADOW)).to_pylist()
    assert {row["model_version"] for row in theirs} == {"1"}
    assert {row["scored_for"] for row in theirs} == {at(day, 4) for day in range(51, 59)}


def test_it_is_rolled_back_when_the_labels_of_the_first_look_are_final(story: Story) -> None:
    assert story.decided.state == "success"
    assert story.decided.returned["probation"]["outcome"] == "rolled_back"
    found = [entry.decision for entry in decisions.read_all(story.settings)]
    assert [(d.kind, d.version, d.actor, d.as_of) for d in found[-2:]] == [
        ("rolling_back", "1", "probation", at(60, 4)),
        ("rolled_back", "1", "probation", at(60, 4)),
    ]


def test_the_roll_back_pages_the_owner_with_its_figures_until_a_person_closes_it(
    story: Story,
) -> None:
    assert (story.alarm.owner, story.alarm.severity) == ("plant", "PAGE")
    (signal,) = (signal for signal in story.alarm.seen if signal.kind == "probation")
    assert signal.text.startswith(
        "ROLLED BACK from version 2 to version 1: On final labels the champion's mean log_loss is"
        " above that of version 1 by "
    )
    assert " nats over 7 blocks; at 0.9875 confidence the increase is at least " in signal.text
    assert story.next_day.returned["probation"]["outcome"] == "none"
    assert all(signal.kind != "probation" for signal in story.after.standing)
    assert story.after.state != "resolved"


def test_a_roll_back_that_no_run_told_of_pages_with_the_next_and_once(story: Story) -> None:
    assert (story.untold.severity, story.untold.state) == ("PAGE", "open")
    assert story.untold.title in {signal.text for signal in story.alarm.seen}
    assert len(story.untold.seen) == len(story.told_once.seen) == 1
    assert story.told_once.standing == ()


def test_consumers_get_theirs_although_the_version_before_is_gone(story: Story) -> None:
    assert story.without_the_version_before.tasks == {
        "champion": "success",
        "score": "success",
        "shadow": "skipped",
    }


def test_from_then_on_the_version_before_scores_and_nothing_is_compared(story: Story) -> None:
    assert story.scored_after.returned["champion"]["version"] == "1"
    assert story.scored_after.state == "success"
    assert story.scored_after.tasks["shadow"] == "skipped"
    rows = delta_tables.read(lake.predictions(story.settings, machines.NAME)).to_pylist()
    assert {row["model_version"] for row in rows if row["scored_for"] == at(59, 4)} == {"1"}
