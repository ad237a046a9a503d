"""Retraining in Airflow: monitor asks for a training by an event, and the run of train says why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from pipelines.errors import CodeChanged, NotEnoughData, Problem
from pipelines.use_case import UseCase, load
from tests import machines
from tests.dags.airflow_runs import Ended, events, read_dags, run, unpause, waiting_dags
from tests.dags.conftest import use_home
from tests.empty_databases import place_mlflow
from tests.machines import at

CHANGED, LAST, HARMFUL = 50, 66, 65

FORGED = {"decision": 10**9, "as_of": "soon"}
"""An event that would keep every later training from being announced, were it believed."""

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
    _forge(FORGED)
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


def _forge(extra: dict[str, Any]) -> None:
    """Write an event that names no entry, as whoever may make events can."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        asset = session.scalars(select(AssetModel).where(AssetModel.name == "retrain.machines"))
        session.add(AssetEvent(asset_id=asset.one().id, extra=extra))


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
    forged, event = story.announced
    assert forged == FORGED
    assert (event["cause"], event["as_of"]) == ("harm", at(HARMFUL, 8).isoformat())
    assert "the mean log loss over 13 labelled blocks" in event["reason"]
    assert story.harmful.returned["retrain"]["action"] == "train"
    assert "machines__train" in story.woken
    assert story.announced_again == story.announced


def test_the_run_that_the_event_starts_says_why_and_trains_as_of_its_time(story: Story) -> None:
    told = story.trained.returned["train"]
    assert (told["cause"], told["reason"]) == ("harm", story.announced[-1]["reason"])
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


def context_of(
    extra: dict[str, Any] | None, user: str | None, run_type: str, **more: object
) -> dict[str, Any]:
    """Return what Airflow tells a task of train, whose run an event with this ``extra`` started."""
    from airflow.sdk.api.datamodels._generated import DagRunType

    event = SimpleNamespace(asset=SimpleNamespace(name="retrain.machines"), extra=extra)
    due = at(20)
    return {
        "triggering_asset_events": {"retrain": [] if extra is None else [event]},
        "dag_run": SimpleNamespace(
            triggering_user_name=user,
            run_type=DagRunType(run_type),
            logical_date=None,
            run_after=due,
        ),
        "params": {"reason": "a look"},
        "run_id": "a",
        **more,
    }


@pytest.mark.parametrize(
    ("extra", "user", "run_type", "expected"),
    [
        ({"decision": 1, "cause": "harm"}, None, "asset_triggered",
         ("drift", "loads are higher", 1)),
        (None, None, "scheduled", ("schedule", "", 0)),
        (None, "sam", "scheduled", ("by hand", "a look", 0)),
        (None, "sam", "manual", ("by hand", "a look", 0)),
        # What nobody asked for is skipped, whatever the event says.
        ({"decision": 9, "cause": "harm"}, None, "asset_triggered", None),
        ({"decision": "1"}, None, "asset_triggered", None),
        ({"decision": [1]}, None, "asset_triggered", None),
        ({"decision": True}, None, "asset_triggered", None),
        ({}, None, "asset_triggered", None),
        (None, None, "manual", None),
    ],
)  # fmt: skip
def test_a_run_is_called_for_by_the_ledger_a_schedule_or_a_person(
    settings: Settings,
    extra: dict[str, Any] | None,
    user: str | None,
    run_type: str,
    expected: tuple[str, str, int] | None,
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from pipelines.dag_factory.retrain_tasks import called

    retraining_ledger.append(settings, "machines", lambda so_far: ASKED)
    context = context_of(extra, user, run_type)
    if expected is None:
        with pytest.raises(AirflowSkipException, match="Nobody started this run"):
            called(context)
        return
    found = called(context)
    assert (found.cause, found.reason, found.decision) == expected


def test_a_run_that_an_event_starts_is_of_the_time_that_the_ledger_says(settings: Settings) -> None:
    from pipelines.dag_factory import runs

    retraining_ledger.append(settings, "machines", lambda so_far: ASKED)
    said = {"decision": 1, "as_of": at(300).isoformat()}
    named = context_of(said, None, "asset_triggered")
    assert runs.as_of(named) == at(1)
    assert runs.now_in_run(named, at(23)) == at(4)
    assert runs.as_of(context_of({**said, "decision": 9}, None, "asset_triggered")) == at(20)
    assert runs.as_of(context_of({"as_of": 5}, None, "asset_triggered")) == at(20)


def test_a_training_that_does_not_run_ends_no_incident(settings: Settings) -> None:
    from pipelines.dag_factory.failure_message import failure_message, success_message

    use_case = declare(settings)
    bare = {"dag": SimpleNamespace(dag_id="machines__train"), "run_id": "a"}
    # All that Airflow tells where no task began, or none succeeded.
    failure_message(use_case)(bare)
    (failed,) = incident_ledger.incidents(settings).values()
    tell, worked = success_message(use_case), {**bare, "params": {"as_of": at(9).isoformat()}}
    for dag_id in ("machines__train", "machines__score"):
        tell({**bare, "dag": SimpleNamespace(dag_id=dag_id)})
    tell({**worked, "ti": SimpleNamespace(task_id="evaluate")})
    (found,) = incident_ledger.incidents(settings).values()
    assert (failed.state, found.state) == ("open", "open")
    retraining_ledger.trained(
        settings, "machines", run="a", version="2", asked=Asked(), as_of=at(9)
    )
    later = {"params": {"as_of": datetime.now(UTC).isoformat()}}
    tell({**worked, **later, "ti": SimpleNamespace(task_id="evaluate")})
    (found,) = incident_ledger.incidents(settings).values()
    assert found.state == "resolved"


def test_a_search_that_was_not_laid_out_is_skipped_for_what_the_log_of_plan_says(
    settings: Settings,
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from pipelines.dag_factory import train_tasks

    nothing = SimpleNamespace(xcom_pull=lambda task_ids, key: None)
    context = context_of(None, None, "scheduled", ti=nothing)
    with pytest.raises(AirflowSkipException, match="plan did not lay a search out"):
        train_tasks.finish(declare(settings), context)


def test_a_training_whose_code_changed_in_between_is_told_to_have_failed(
    settings: Settings,
) -> None:
    from pipelines.dag_factory import train_tasks

    use_case = declare(settings)
    planned = {"code": "of before", "study": "s"}
    context = context_of(
        None, "sam", "manual",
        ti=SimpleNamespace(
            xcom_pull=lambda task_ids, key: planned, max_tries=2, dag_id="machines__train"
        ),
        task_state_store=SimpleNamespace(get=lambda key: "of before"),
    )  # fmt: skip
    works: dict[str, Callable[[], object]] = {
        "tuned": lambda: train_tasks.tune(use_case, context, 0),
        "finished": lambda: train_tasks.finish(use_case, context),
        "planned": lambda: train_tasks.plan(use_case, context),
        "trained": lambda: train_tasks.train(use_case, context),
    }
    for name, work in works.items():
        context["run_id"] = name
        with pytest.raises(CodeChanged):
            work()
        assert name not in {one.run for one in retraining_ledger.read(settings, "machines")}
        begun = replace(ASKED, kind="begun", run=name)
        retraining_ledger.append(settings, "machines", lambda so_far, begun=begun: begun)  # type: ignore[misc]
        with pytest.raises(CodeChanged):
            work()
        told = retraining_ledger.read(settings, "machines")[-1]
        assert (told.kind, told.run) == ("failed", name)
        assert "expected the code it began with (of before)" in told.reason


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
