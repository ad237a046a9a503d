"""Stage tasks fail, retry and report by the type of the error."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.adapters.platform import cost_ledger, incident_ledger, notifications
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Column, Files, Table
from pipelines.use_case import UseCase
from tests.dags.airflow_runs import run

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
TEXT = "here: expected peace; found trouble.\n  Do something."


def test_an_error_that_waiting_cannot_mend_fails_at_once(settings: Settings) -> None:
    ended = run("troubles__refused")
    assert (ended.state, ended.tries) == ("failed", {"work": 1})
    assert ended.reasons == {"work": TEXT}


def test_an_error_that_waiting_may_mend_is_tried_three_times(settings: Settings) -> None:
    ended = run("troubles__lost")
    assert (ended.state, ended.tries) == ("failed", {"work": 3})
    assert ended.reasons == {"work": TEXT}


def test_a_fault_is_tried_three_times_and_its_text_stays_in_the_log(settings: Settings) -> None:
    ended = run("troubles__fault")
    assert (ended.state, ended.tries) == ("failed", {"work": 3})
    assert ended.reasons == {"work": "KeyError; its text is in the task's log."}


def test_a_try_that_succeeds_ends_the_retries(settings: Settings) -> None:
    ended = run("troubles__third_time")
    assert (ended.state, ended.tries) == ("success", {"work": 3})
    assert ended.returned == {"work": "done"}
    assert notifications.recent(settings, 10) == ()


def test_a_retry_with_other_code_is_refused(settings: Settings) -> None:
    ended = run("troubles__other_code")
    assert (ended.state, ended.tries) == ("failed", {"work": 2})
    assert "expected the code it began with" in ended.reasons["work"]


def test_a_failed_run_is_an_incident_whose_message_leads_to_its_runbook(settings: Settings) -> None:
    ended = run("troubles__refused")
    (message,) = notifications.recent(settings, 10)
    assert message.title == (
        "WARN, incident 1: troubles__refused failed: here: expected peace; found trouble."
    )
    (incident,) = incident_ledger.incidents(settings).values()
    assert (incident.owner, incident.state) == ("plant", "open")
    assert message.body.splitlines() == [
        "use case troubles, owner plant",
        "troubles__refused failed: here: expected peace; found trouble.",
        "  Do something.",
        f"run {ended.run_id}",
        "failed task work",
        f"Run: http://airflow.test/dags/troubles__refused/runs/{ended.run_id}/tasks/work",
        f"began {incident.began_at:%Y-%m-%d %H:%M} UTC, seen {incident.began_at:%Y-%m-%d %H:%M} UTC",
        "Runbook: http://airflow.test/dags/troubles__refused, button Dag Docs",
        "headframe incident show 1",
    ]


def test_a_run_that_fails_again_tells_nobody_and_one_that_goes_well_ends_it(
    settings: Settings,
) -> None:
    for _ in range(2):
        run("troubles__refused", conf={"as_of": "2026-03-01T09:00:00Z"})
    (standing,) = incident_ledger.incidents(settings).values()
    assert len(notifications.recent(settings, 10)) == 1
    assert standing.subjects == {"dag:troubles__refused", "table:t"}
    run("troubles__refused", conf={"as_of": "2026-03-01T10:00:00Z", "mended": True})
    (ended,) = incident_ledger.incidents(settings).values()
    assert ended.state == "resolved"
    assert ended.time_to_recover == timedelta(hours=1)


def test_every_try_is_in_the_cost_ledger_with_how_it_ended(settings: Settings) -> None:
    third_time = run("troubles__third_time")
    run("troubles__rows")
    found = cost_ledger.read(settings, since=LONG_AGO)
    assert [(cost.stage, cost.attempt, cost.outcome, cost.rows) for cost in found] == [
        ("third_time.work", 1, "failed", None),
        ("third_time.work", 2, "failed", None),
        ("third_time.work", 3, "done", None),
        ("rows", 1, "done", 7),
        ("rows.none", 1, "skipped", None),
    ]
    assert {cost.use_case for cost in found} == {"troubles"}
    assert found[0].run == third_time.run_id
    assert all(cost.usage.seconds > 0 and cost.map_index == -1 for cost in found)


def test_a_month_that_is_nearly_spent_is_told_once_and_is_over_in_the_next(
    settings: Settings,
) -> None:
    from pipelines.dag_factory import alarms

    readings = Table(
        name="t", source=Files(pattern="*.csv"), columns=[Column("a", "int64")], key=("a",)
    )
    use_case = UseCase(name="meters", owner="plant", tables=[readings])
    months = ((1, "90 of 100"), (2, "95 of 100"), (33, ""))
    for day, told in months:
        alarms.budget(use_case, settings, told, as_of=LONG_AGO + timedelta(days=day))
    (message,) = notifications.recent(settings, 10)
    assert message.title == "WARN, incident 1: 90 of 100"
    (incident,) = incident_ledger.incidents(settings).values()
    assert (incident.state, sorted(incident.subjects)) == ("resolved", ["budget"])


def test_a_stage_task_takes_work_and_what_airflow_knows_and_nothing_else() -> None:
    from pipelines.dag_factory.stage_task import PartTask, PartWork, StageTask

    task = StageTask(task_id="work", work=len, retries=0)
    assert (task.work, task.retries, task.owner) == (len, 0, "airflow")
    part = PartTask(task_id="part", work=PartWork(name="part", do=lambda _, n: n), part=2)
    assert (part.work({}), part.part) == (2, 2)
    with pytest.raises(TypeError, match="work"):
        StageTask(task_id="idle")
    with pytest.raises(TypeError, match="wrok"):
        StageTask(task_id="work", work=len, wrok=len)


def test_airflow_merges_the_defaults_of_a_stage_task_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import DAG
    from airflow.sdk.bases import operator

    from pipelines.dag_factory.stage_task import ModelTask

    merged: list[Any] = []
    merge = operator.get_merged_defaults

    def counted(**asked: Any) -> Any:  # noqa: ANN401 - Airflow is untyped here
        merged.append(asked["dag"].dag_id)
        return merge(**asked)

    monkeypatch.setattr(operator, "get_merged_defaults", counted)
    with DAG("once", schedule=None, params={"as_of": ""}, default_args={"owner": "plant"}):
        task = ModelTask(task_id="work", work=len)
    assert (merged, task.owner, dict(task.params)) == (["once"], "plant", {"as_of": ""})
