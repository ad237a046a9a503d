"""Stage tasks fail, retry and report by the type of the error."""

from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from tests.dags.airflow_runs import run

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


def test_a_failed_run_sends_one_message_that_leads_to_its_runbook(settings: Settings) -> None:
    ended = run("troubles__refused")
    (message,) = notifications.recent(settings, 10)
    assert message.title == "troubles__refused failed"
    lines = message.body.splitlines()
    assert lines[:3] == [
        "use case troubles, owner plant",
        f"run {ended.run_id}",
        "failed task work",
    ]
    assert lines[-2:] == [
        f"Run: http://airflow.test/dags/troubles__refused/runs/{ended.run_id}/tasks/work",
        "Runbook: http://airflow.test/dags/troubles__refused, button Dag Docs",
    ]
