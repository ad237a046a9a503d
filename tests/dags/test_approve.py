"""Approve: who is asked, what they see, and what each answer does."""

from pathlib import Path

import pytest

from pipelines.adapters.models import decisions
from pipelines.adapters.settings import Settings
from pipelines.stages.promote import Approval, record_answer
from pipelines.use_case import load
from tests import machines
from tests.dags.airflow_runs import Answer, run
from tests.dags.conftest import use_home
from tests.dags.test_links import link
from tests.machines import Variant

TRAIN = "machines__train"
GOVERNED = Variant(tier="governed")
CONF = {"as_of": "2026-02-20T12:00:00Z", "reason": "more history"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machines.build_template(tmp_path_factory.mktemp("machines"))


@pytest.fixture
def ready(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a home in which everything of the governed machines was taken in."""
    copied = machines.copy_template(template, tmp_path)
    settings = use_home(copied.home, monkeypatch)
    machines.declare(settings, GOVERNED)
    return settings


def decided(settings: Settings) -> list[tuple[str, str, str]]:
    found = [entry.decision for entry in decisions.read_all(settings)]
    return [(d.kind, d.actor, d.reason) for d in found if d.kind != "evaluated"]


def test_a_rejection_fails_the_run_and_is_in_the_ledger(ready: Settings) -> None:
    answer = Answer("Reject", reason="not before Easter", try_first=("dag_test", "operator"))
    ended = run(TRAIN, conf=CONF, answer=answer)
    assert ended.state == "failed"
    assert ended.tasks["approve"] == "failed"
    assert ended.tries["approve"] == 1
    assert ended.tasks["promote"] == "upstream_failed"
    assert "found a rejection by approver: not before Easter." in ended.reasons["approve"]
    assert decided(ready) == [("rejected", "approver", "not before Easter")]
    assert answer.asked == ["approver"], "dag_test asked for the training"
    assert answer.refused == ["dag_test: 403", "operator: 403"]


def test_an_approver_sees_the_evidence(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADFRAME_MLFLOW_UI", "https://mlflow.example/")
    answer = Answer("Approve", reason="better")
    ended = run(TRAIN, conf=CONF, answer=answer)
    judged = ended.returned["evaluate"]
    page = f"https://mlflow.example/{judged['run_page']}"
    assert f"[Calibration, segments and all else]({page}) on one page" in answer.body
    for task in ("evaluate", "approve"):
        assert link(task, ended.run_id, dag_id=TRAIN, name="Evidence page") == page
    assert link("approve", "another_run", dag_id=TRAIN, name="Evidence page") == ""
    assert link("train", ended.run_id, dag_id=TRAIN, name="Evidence page") is None
    assert (ready.root / "reports" / judged["page"]).is_file()
    assert answer.subject == "Promote machines version 1?"
    for part in (
        "**dag_test** asked for it: more history",
        "It would be the **first** champion.",
        "judged on 2026-01-29 to 2026-02-17",
        "| challenger | ",
        "| baseline | ",
        "- **passed** BeatsBaseline: ",
        judged["evidence_digest"],
        judged["run_id"],
    ):
        assert part in answer.body
    assert ended.state == "success"
    assert decided(ready) == [
        ("approved", "approver", "better"),
        ("promoting", "approver", ""),
        ("promoted", "approver", ""),
    ]


def test_no_answer_in_time_is_no_approval(ready: Settings) -> None:
    ended = run(TRAIN, conf=CONF, answer=Answer("expire"))
    assert (ended.state, ended.tries["approve"]) == ("failed", 1)
    assert "expected an answer within 7 days, 0:00:00; found none" in ended.reasons["approve"]
    assert decided(ready) == []


def test_nobody_is_asked_when_only_the_requester_may_approve(ready: Settings) -> None:
    ready.users_file.write_text('[users]\ndag_test = ["approver"]\n', "utf-8")
    ended = run(TRAIN, conf=CONF)
    assert ended.tasks["approve"] == "failed"
    assert "no approver other than dag_test" in ended.reasons["approve"]
    assert decided(ready) == []


def test_an_answer_outlives_a_try_that_airflow_took_for_dead(ready: Settings) -> None:
    def approve() -> None:
        evaluated = decisions.read_all(ready)[-1].decision
        record_answer(
            load(ready.dags / "machines.py"),
            ready,
            version="1",
            as_of=evaluated.as_of,
            approval=Approval(
                actor="approver",
                answer="approved",
                evidence_digest=evaluated.evidence_digest,
                reason="better",
            ),
        )

    ended = run(TRAIN, conf=CONF, answer=Answer("lost", meanwhile=approve))
    assert (ended.state, ended.tries["approve"]) == ("success", 2)
    assert [kind for kind, _, _ in decided(ready)] == ["approved", "promoting", "promoted"]


def test_an_approval_of_code_that_changed_since_promotes_nothing(ready: Settings) -> None:
    def change() -> None:
        machines.declare(ready, Variant(tier="governed", seed=8))

    ended = run(TRAIN, conf=CONF, answer=Answer("Approve", meanwhile=change))
    assert ended.tasks["promote"] == "failed"
    assert "expected the code it began with" in ended.reasons["promote"]
    assert [kind for kind, _, _ in decided(ready)] == ["approved"]


def test_a_challenger_that_the_gates_refuse_goes_no_further_and_the_run_is_green(
    ready: Settings,
) -> None:
    machines.declare(ready, Variant(tier="governed", margin=5.0))
    ended = run(TRAIN, conf=CONF)
    assert ended.state == "success"
    assert ended.tasks == {
        "train": "success",
        "evaluate": "success",
        "approve": "skipped",
        "promote": "skipped",
        "reference": "skipped",
    }
    assert "The gates refused it: the champion stays" in ended.returned["evaluate"]["says"]
    assert decided(ready) == []


def test_without_an_approval_the_gates_alone_promote(ready: Settings) -> None:
    machines.declare(ready, Variant(tier="scheduled"))
    ended = run(TRAIN, conf=CONF)
    assert ended.tasks == dict.fromkeys(("train", "evaluate", "promote", "reference"), "success")
    assert [kind for kind, _, _ in decided(ready)] == ["promoting", "promoted"]
