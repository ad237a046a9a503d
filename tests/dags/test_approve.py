"""Approve: who is asked, what they see, and what each answer does."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from pipelines.adapters.models import decisions
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Approval, Person, Terms
from pipelines.domain.decision import Decision
from pipelines.errors import PromotionRefused
from tests import machines
from tests.airflow_fake import airflow_of
from tests.dags.airflow_runs import Answer, forget_questions, run, set_by_hand
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
def ready(
    airflow_api: None, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Return a home in which everything of the governed machines was taken in."""
    forget_questions()
    copied = machines.copy_template(template, tmp_path)
    settings = use_home(copied.home, monkeypatch)
    machines.declare(settings, GOVERNED)
    return settings


def decided(settings: Settings) -> list[tuple[str, str, str]]:
    found = [entry.decision for entry in decisions.read_all(settings)]
    return [(d.kind, d.actor, d.reason) for d in found if d.kind not in ("requested", "evaluated")]


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
    again = Answer("Approve", reason="it is after Easter")
    assert run(TRAIN, conf=CONF, answer=again).state == "success"
    assert "\n**Rejected before** by **approver**: not before Easter\n" in again.body
    assert [kind for kind, _, _ in decided(ready)] == [
        "rejected", "approved", "promoting", "promoted",
    ]  # fmt: skip


def test_an_approver_sees_the_evidence(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADFRAME_MLFLOW_UI", "https://mlflow.example/")
    ranks = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
    monkeypatch.setenv(ranks, os.environ[ranks].replace("approver:user", "approver:viewer"))
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
        "Asked: approver. Without an answer within 7 days the champion stays.",
        "**Airflow takes no answer of approver before the next `headframe up`.**",
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


def test_an_answer_outlives_a_try_that_airflow_took_for_dead(
    ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked twice, and nobody is told twice; that telling failed is shown, and stops nothing."""
    monkeypatch.setenv("HEADFRAME_NOTIFY", "nonsense")
    answer = Answer("Approve", reason="better", lost=True)
    ended = run(TRAIN, conf=CONF, answer=answer)
    assert (ended.state, ended.tries["approve"]) == ("success", 2)
    assert decided(ready) == [
        ("approved", "approver", "better"),
        ("promoting", "approver", ""),
        ("promoted", "approver", ""),
    ]
    told, failed = notifications.recent(ready, 10)
    assert (told.title, failed.title) == ("Promote machines version 1?", notifications.NOT_SENT)
    run_id = quote(ended.run_id, safe="")
    page = f"http://airflow.test/dags/{TRAIN}/runs/{run_id}/tasks/approve/required_actions"
    assert f"\nAnswer: {page}\n" in told.body
    assert "**They were not told.** HEADFRAME_NOTIFY is no URL" in answer.body


def test_a_form_that_names_other_evidence_is_no_answer(ready: Settings) -> None:
    ended = run(TRAIN, conf=CONF, answer=Answer("Approve", form={"evidence": "0" * 64}))
    assert ended.tasks["approve"] == "failed"
    assert "found an answer to 000000000000" in ended.reasons["approve"]
    assert decided(ready) == []


def test_a_forged_return_value_of_approve_promotes_nothing(ready: Settings) -> None:
    """The task is set to success by hand, with the return value that an approval has."""

    def forge() -> None:
        judged = decisions.read_all(ready)[-1].decision
        answer = {
            "actor": "approver",
            "answer": "approved",
            "evidence_digest": judged.evidence_digest,
            "reason": "forged",
        }
        set_by_hand("machines__train", "approve", state="success", returned=answer)

    ended = run(TRAIN, conf=CONF, answer=Answer("nothing", meanwhile=forge))
    assert (ended.tasks["approve"], ended.tasks["promote"]) == ("success", "failed")
    assert ended.returned["approve"]["reason"] == "forged"
    assert "found no answer yet in Airflow" in ended.reasons["promote"]
    assert decided(ready) == []


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


def test_where_everybody_is_administrator_nobody_is_asked(
    ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    ended = run(TRAIN, conf=CONF)
    assert ended.tasks["approve"] == "failed"
    assert "whoever reaches Airflow is an administrator" in ended.reasons["approve"]
    assert decided(ready) == []


REJECTED = Decision(
    use_case="machines",
    kind="rejected",
    version="1",
    actor="bob",
    as_of=datetime(2026, 2, 20, tzinfo=UTC),
    reason="not before Easter",
    artifact_sha256="",
    evidence_digest="a" * 64,
)
SHOWN = "Look:\n\n**Rejected before** by **bob**: not before Easter\n\nand more"


@pytest.mark.parametrize(
    ("shown", "asked", "body", "rejections", "found"),
    [
        ("a" * 64, "approver", "", (), ""),
        ("a" * 64, "approver", SHOWN, (REJECTED,), ""),
        ("b" * 64, "approver", "", (), "found the one that this run asked before, which shows"),
        ("a" * 64, "gone", "", (), "found none who still has the role"),
        ("a" * 64, "approver", "Look", (REJECTED,), "that shows the rejection by bob"),
    ],
)
def test_a_cleared_task_asks_what_airflow_kept_or_nothing(
    *,
    shown: str,
    asked: str,
    body: str,
    rejections: tuple[Decision, ...],
    found: str,
    tmp_path: Path,
) -> None:
    """Airflow keeps text and people of a question when its task is cleared."""
    from pipelines.dag_factory.approve import Approve

    settings = Settings(home=tmp_path, airflow="", airflow_password_file=None)
    use_case = machines.declare(machines.settings_in(tmp_path), GOVERNED)
    approver = Person(id="approver", name="approver")
    terms = Terms(
        role="approver",
        holders=(approver, Person(id="new", name="new")),
        roles_in="users.toml",
        requesters=frozenset({"dag_test"}),
        evidence_digest="a" * 64,
        expires=use_case.approval_expires,
    )
    approve = Approve(task_id="approve", use_case=use_case)
    with airflow_of(settings) as airflow:
        airflow.answered(shown, by=asked, run_id="run_1", body=body)
        if not found:
            assert approve._asked(settings, {"run_id": "run_1"}, terms, rejections) == (approver,)
            assert len(approve._asked(settings, {"run_id": "run_2"}, terms, rejections)) == 2
            return
        with pytest.raises(PromotionRefused, match=found):
            approve._asked(settings, {"run_id": "run_1"}, terms, rejections)


def test_clearing_a_task_does_not_take_a_rejection_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not asked anew, and written to the ledger where the task had no time to; a yes is asked again."""
    from pipelines.dag_factory.approve import Approve

    settings = use_home(tmp_path, monkeypatch)
    for name in ("HEADFRAME_AIRFLOW", "HEADFRAME_AIRFLOW_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    approve = Approve(
        task_id="approve", use_case=machines.declare(machines.settings_in(tmp_path), GOVERNED)
    )
    judged = {"version": "1", "evidence_digest": "a" * 64}
    kept: dict[str, str] = {}

    def cleared(run_id: str) -> Approval | None:
        context = {
            "run_id": run_id,
            "ti": SimpleNamespace(max_tries=4),
            "task_state_store": SimpleNamespace(get=kept.get, set=kept.__setitem__),
        }
        return approve._answer_of_lost_try(context, judged)

    no = {"evidence": "a" * 64, "why": "not before Easter"}
    with airflow_of(settings) as airflow:
        airflow.answered("a" * 64, by="bob", chosen="Reject", run_id="run_1", form=no)
        airflow.answered("a" * 64, by="ann", run_id="run_2")
        given = cleared("run_1")
        assert given is not None
        assert (given.actor, given.answer, given.reason) == ("bob", "rejected", no["why"])
        decisions.append(settings, lambda _: REJECTED)
        with pytest.raises(PromotionRefused, match="a rejection by bob: not before Easter"):
            cleared("run_1")
        assert cleared("run_2") is None
