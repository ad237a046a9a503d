"""Retraining in Airflow: monitor asks for a training by an event, and the run of train says why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.adapters.models import mlflow_registry, retraining_ledger
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import Signal
from pipelines.domain.retrain_attempts import Entry, attempts
from pipelines.domain.training import Asked
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import UseCase, load
from tests import machines
from tests.dags.airflow_runs import Ended, events, read_dags, run, unpause, waiting_dags
from tests.dags.conftest import use_home
from tests.empty_databases import place_mlflow
from tests.machines import at

CHANGED, LAST, HARMFUL = 50, 66, 65

RETRAINING = """\
    retraining=Retraining(schedule="@monthly", on_harm=True),
    monitoring=Monitoring("""


def declare(settings: Settings) -> UseCase:
    """Declare machines that are trained each month, and early on harm."""
    machines.declare(settings)
    path = settings.dags / "machines.py"
    text = path.read_text("utf-8").replace("    monitoring=Monitoring(", RETRAINING)
    path.write_text(text.replace("    Scoring, Table", "    Retraining, Scoring, Table"), "utf-8")
    return load(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What each step left behind: the runs, what was announced by then, and who was woken."""

    settings: Settings
    quiet: Ended
    announced_quiet: list[dict[str, Any]]
    harmful: Ended
    announced: list[dict[str, Any]]
    woken: list[str]
    announced_again: list[dict[str, Any]]
    trained: Ended
    trained_again: Ended


@pytest.fixture(scope="module")
def story(dags_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        yield _story(use_home(tmp_path_factory.mktemp("machines") / "home", patch), patch)
    (dags_folder / "machines.py").unlink()


def _story(settings: Settings, patch: pytest.MonkeyPatch) -> Story:
    use_case = declare(settings)
    machines.deliver(settings)
    machines.deliver(settings, first=CHANGED, until=LAST, turned=True)
    machines.take_in(use_case, settings)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    unpause("machines__train")
    assert run("machines__train", conf={"as_of": at(CHANGED).isoformat()}).state == "success"
    days = {"as_of": at(CHANGED, 0).isoformat(), "until": at(LAST, 0).isoformat()}
    assert run("machines__score", conf=days).state == "success"
    quiet = _monitor(60)
    announced_quiet = events("retrain.machines")
    harmful = _monitor(HARMFUL)
    announced, woken = events("retrain.machines"), waiting_dags()
    _monitor(HARMFUL)
    announced_again = events("retrain.machines")
    _consume_events(patch)
    return Story(
        settings=settings,
        quiet=quiet,
        announced_quiet=announced_quiet,
        harmful=harmful,
        announced=announced,
        woken=woken,
        announced_again=announced_again,
        trained=run("machines__train"),
        trained_again=run("machines__train"),
    )


def _monitor(day: int) -> Ended:
    ended = run("machines__monitor", conf={"as_of": at(day, 8).isoformat()})
    assert ended.state == "success"
    return ended


def _consume_events(patch: pytest.MonkeyPatch) -> None:
    """Give each run the events that ask for a training, as Airflow's scheduler does."""
    from airflow.models import dagrun
    from airflow.models.asset import AssetEvent, AssetModel
    from sqlalchemy import select

    whole = dagrun.get_or_create_dagrun

    def consuming(**options: Any) -> Any:  # noqa: ANN401 - Airflow is untyped here
        made, session = whole(**options), options["session"]
        asked = select(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        mine = asked.where(AssetModel.name == "retrain.machines")
        made.consumed_asset_events.extend(session.scalars(mine))
        session.commit()
        return made

    patch.setattr(dagrun, "get_or_create_dagrun", consuming)


def test_a_quiet_monitoring_asks_for_nothing(story: Story) -> None:
    assert story.quiet.returned["retrain"]["action"] == "nothing"
    assert story.announced_quiet == []


def test_harm_announces_one_training_and_wakes_train(story: Story) -> None:
    (event,) = story.announced
    assert (event["cause"], event["as_of"]) == ("harm", at(HARMFUL, 8).isoformat())
    assert "the mean log loss over 13 labelled blocks" in event["reason"]
    assert story.harmful.returned["retrain"]["action"] == "train"
    assert "machines__train" in story.woken
    assert story.announced_again == story.announced


def test_the_run_that_the_event_starts_says_why_and_trains_as_of_its_time(story: Story) -> None:
    told = story.trained.returned["train"]
    assert (told["cause"], told["reason"]) == ("harm", story.announced[0]["reason"])
    tags = mlflow_registry.candidate(story.settings, "machines", told["version"]).tags
    assert tags["headframe.cause"] == "harm"
    assert tags["headframe.as_of"] == at(HARMFUL, 8).isoformat()
    entries = retraining_ledger.read(story.settings, "machines")
    assert [(one.kind, one.cause, one.run) for one in entries] == [
        ("begun", "by hand", entries[0].run),
        ("trained", "by hand", entries[0].run),
        ("asked", "harm", ""),
        ("begun", "harm", story.trained.run_id),
        ("trained", "harm", story.trained.run_id),
    ]


def test_a_second_run_that_the_same_event_starts_trains_nothing(story: Story) -> None:
    assert set(story.trained_again.tasks.values()) == {"skipped"}


def test_the_schedule_stays_beside_the_events_and_without_triggers_there_is_no_task(
    story: Story, dags_folder: Path
) -> None:
    dags = read_dags(dags_folder / "machines.py").dags
    assert "AssetOrTimeSchedule" in type(dags["machines__train"].timetable).__name__
    assert [task.task_id for task in dags["machines__monitor"].topological_sort()] == [
        "monitor", "retrain", "report",
    ]  # fmt: skip
    machines.declare(story.settings)
    plain = read_dags(dags_folder / "machines.py").dags
    assert "retrain" not in plain["machines__monitor"].task_ids
    declare(story.settings)


ASKED = Entry(
    use_case="machines", kind="asked", at=at(1), cause="drift", reason="loads are higher", sequence=1
)  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "user", "run_type", "expected"),
    [
        ({"decision": 1, "cause": "harm"}, None, "asset_triggered",
         ("drift", "loads are higher", 1)),
        ({"decision": 9, "cause": "harm"}, None, "asset_triggered",
         ("by hand", "a look", 0)),
        ({}, None, "scheduled", ("schedule", "", 0)),
        ({}, "sam", "scheduled", ("by hand", "a look", 0)),
        ({}, "sam", "manual", ("by hand", "a look", 0)),
    ],
)  # fmt: skip
def test_a_run_is_called_for_by_the_ledger_a_schedule_or_a_person(
    settings: Settings,
    extra: dict[str, Any],
    user: str | None,
    run_type: str,
    expected: tuple[str, str, int],
) -> None:
    from airflow.sdk.api.datamodels._generated import DagRunType

    from pipelines.dag_factory.retrain_tasks import called

    retraining_ledger.append(settings, "machines", lambda so_far: ASKED)
    context = {
        "triggering_asset_events": {"retrain": [SimpleNamespace(extra=extra)]},
        "dag_run": SimpleNamespace(triggering_user_name=user, run_type=DagRunType(run_type)),
        "params": {"reason": "a look"},
    }
    found = called(cast("UseCase", SimpleNamespace(name="machines")), settings, context)
    assert (found.cause, found.reason, found.decision) == expected


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            NotEnoughData(
                Problem(where="training", expected="20 blocks", found="3", fix="Wait for labels.")
            ),
            "training: expected 20 blocks; found 3.",
        ),
        (ValueError("row 7 of anna@example.org"), "ValueError"),
    ],
)
def test_a_training_that_fails_is_told_without_a_row_until_a_later_try_makes_a_model(
    settings: Settings, error: Exception, told: str
) -> None:
    from pipelines.dag_factory.retrain_tasks import failing_told

    begun = replace(ASKED, kind="begun", run="a")
    retraining_ledger.append(settings, "machines", lambda so_far: begun)
    context = {"run_id": "a", "params": {"as_of": at(2).isoformat()}}
    use_case = cast("UseCase", SimpleNamespace(name="machines"))
    for _ in range(2):
        with pytest.raises(type(error)), failing_told(use_case, settings, context):
            raise error
    entries = retraining_ledger.read(settings, "machines")
    assert [(one.kind, one.reason) for one in entries[1:]] == [("failed", told)]
    assert attempts(entries, [])[0].outcome.text == f"failed: {told}"
    retraining_ledger.trained(
        settings, "machines", run="a", version="2", asked=Asked(), as_of=at(2)
    )
    (found,) = attempts(retraining_ledger.read(settings, "machines"), [])
    assert (found.version, found.outcome.kind) == ("2", "not judged")


def test_what_is_given_up_on_is_part_of_the_incident_of_its_cause(settings: Settings) -> None:
    from pipelines.dag_factory import alarms

    use_case = declare(settings)
    harm = Signal(
        use_case="machines", kind="harm", about=("model", "inputs"), severity="PAGE",
        owner="plant", text="the loss rose", at=at(1),
    )  # fmt: skip
    incident_ledger.report(settings, at=at(1), signals=[harm])
    for day in (2, 3):
        alarms.given_up(use_case, settings, "retraining did not help", as_of=at(day))
    (one,) = incident_ledger.incidents(settings).values()
    assert [signal.text for signal in one.standing] == ["the loss rose", "retraining did not help"]
    assert one.severity == "PAGE"
    alarms.given_up(use_case, settings, "", as_of=at(4))
    (one,) = incident_ledger.incidents(settings).values()
    assert [signal.text for signal in one.standing] == ["the loss rose"]
