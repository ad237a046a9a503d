"""An approval that counts, and every other that must not: what Airflow says decides, nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import code_archive, decisions
from pipelines.adapters.settings import Settings
from pipelines.domain.approval import Approval
from pipelines.errors import (
    ChampionUnresolved,
    PromotionRefused,
    ServiceUnavailable,
    SettingsError,
)
from pipelines.stages.accept import accept
from pipelines.stages.evaluate import evaluate
from pipelines.stages.history import in_production
from pipelines.stages.promote import promote, record_answer
from pipelines.stages.score import champion_version
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import machines
from tests.airflow_fake import ANSWERED_AT, FakeAirflow, airflow_of
from tests.goldens import assert_golden
from tests.machines import Variant, at

AS_OF = at(50)
NOW = ANSWERED_AT + timedelta(hours=1)

USERS = """
[users]
ann = ["approver"]
sam = ["approver", "data_scientist"]
bob = ["operator"]
"""


@pytest.fixture(scope="module")
def governed_template(machines_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which candidate 1 of a governed use case passed the gates."""
    folder = tmp_path_factory.mktemp("governed")
    settings = machines.copy_template(machines_template, folder)
    settings.users_file.write_text(USERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        judged(settings)
    return folder


def judged(settings: Settings, margin: float = 0.01) -> UseCase:
    use_case = machines.declare(settings, Variant(tier="governed", margin=margin))
    train(use_case, settings, as_of=AS_OF, run="test", requester="sam")
    evaluate(use_case, settings, version="1")
    return use_case


class Home:
    """A governed use case whose candidate 1 awaits an answer, and the Airflow that keeps answers."""

    def __init__(self, settings: Settings, airflow: FakeAirflow) -> None:
        self.settings, self.airflow = settings, airflow
        self.use_case = load(settings.dags / "machines.py")
        found = decisions.evaluation(settings, "machines", "1")
        assert found is not None
        self.digest = found.evidence_digest

    def promote(self, *, hours: float = 0.0) -> None:
        """Promote candidate 1, so many hours after the moment of most of these tests."""
        now = NOW + timedelta(hours=hours)
        promote(self.use_case, self.settings, version="1", as_of=AS_OF, now=now)

    def refusal(self, *, hours: float = 0.0) -> str:
        """Try to promote candidate 1; return why it was refused, and see that nothing moved."""
        with pytest.raises(PromotionRefused) as caught:
            self.promote(hours=hours)
        with pytest.raises(ChampionUnresolved, match="no candidate was promoted yet"):
            champion_version(self.use_case, self.settings)
        assert not {"promoting", "promoted"} & set(self.kinds())
        return str(caught.value).replace(self.digest[:12], "<digest>")

    def kinds(self) -> list[str]:
        return [entry.decision.kind for entry in decisions.read_all(self.settings)]


def tag(settings: Settings, name: str, value: str) -> None:
    client = MlflowClient(settings.mlflow_uri)
    client.set_model_version_tag("machines-candidates", "1", name, value)


def record(
    home: Home, actor: str, answer: Literal["approved", "rejected"], digest: str = ""
) -> None:
    """Write an answer down as the task ``approve`` does, in a run that sam started."""
    given = Approval(
        actor=actor, answer=answer, evidence_digest=digest or home.digest, reason="looked"
    )
    record_answer(
        home.use_case, home.settings, version="1", as_of=AS_OF, asked_for_by="sam", approval=given
    )


@pytest.fixture
def home(governed_template: Path, tmp_path: Path, stable_code: None) -> Iterator[Home]:
    settings = machines.copy_template(governed_template, tmp_path / "governed")
    with airflow_of(settings) as airflow:
        yield Home(settings, airflow)


def test_an_approval_in_airflow_makes_the_champion_and_is_written_once(home: Home) -> None:
    home.airflow.answered(home.digest)
    home.promote()
    home.promote()
    told = [entry.decision for entry in decisions.read_all(home.settings)]
    found = [(d.kind, d.actor, d.reason) for d in told if d.kind not in ("requested", "evaluated")]
    assert found == [
        ("approved", "ann", "looked at it"),
        ("promoting", "ann", ""),
        ("promoted", "ann", ""),
    ]
    assert champion_version(home.use_case, home.settings) == "1"
    assert set(home.airflow.asked_as) == {"headframe"}, "the platform's own user, who may only read"


def test_without_an_answer_nothing_is_promoted(home: Home) -> None:
    home.airflow.answered(home.digest, at=None)
    assert_golden("stages/approval_no_answer", home.refusal())


def test_attack_who_asked_for_the_training_approves_it(home: Home) -> None:
    home.airflow.answered(home.digest, by="sam", started_by="bob")
    assert_golden("stages/approval_requester", home.refusal())


def test_attack_who_started_the_run_that_asks_approves_it(home: Home) -> None:
    """The candidate had been trained by another one before."""
    home.airflow.answered(home.digest, by="ann", started_by="ann")
    assert "expected someone other than ann and sam, who asked" in home.refusal()


def test_attack_the_requester_is_taken_off_the_version_in_mlflow(home: Home) -> None:
    """The ledger knows who asked, though another one started the run that asks."""
    tag(home.settings, "headframe.requester", "nobody")
    home.airflow.answered(home.digest, by="sam", started_by="bob")
    assert "someone other than bob and nobody and sam, who asked" in home.refusal()


def test_a_version_that_does_not_say_who_asked_is_refused(home: Home) -> None:
    client = MlflowClient(home.settings.mlflow_uri)
    client.delete_model_version_tag("machines-candidates", "1", "headframe.requester")
    home.airflow.answered(home.digest)
    assert_golden("stages/approval_no_requester", home.refusal())


def test_attack_another_declaration_is_named_in_mlflow(home: Home) -> None:
    """Ann accepted the declaration of a training that started itself; sam had accepted another."""
    users = USERS.replace('ann = ["approver"]', 'ann = ["approver", "data_scientist"]')
    home.settings.users_file.write_text(users)
    other = machines.declare(home.settings, Variant(tier="governed", margin=0.02))
    accept(other, home.settings, actor="sam", as_of=AS_OF)
    accept(home.use_case, home.settings, actor="ann", as_of=AS_OF)
    tag(home.settings, "headframe.declaration", other.digest())
    home.airflow.answered(home.digest, by="ann", started_by=None)
    assert "someone other than ann and sam, who asked" in home.refusal()


def test_attack_another_declaration_is_named_in_mlflow_before_the_gates_judge(
    machines_settings: Settings,
) -> None:
    use_case = machines.declare(machines_settings, Variant(tier="governed"))
    train(use_case, machines_settings, as_of=AS_OF, run="test", requester="sam")
    tag(machines_settings, "headframe.declaration", "0" * 64)
    found = evaluate(use_case, machines_settings, version="1")
    assert found.evidence.declaration_digest == use_case.digest()


def test_attack_a_yes_to_evidence_of_before(home: Home) -> None:
    now = decisions.evaluation(home.settings, "machines", "1")
    assert now is not None
    for judged in (replace(now, evidence_digest="0" * 64), now):
        decisions.append(home.settings, lambda _, judged=judged: judged)  # type: ignore[misc]
    home.airflow.answered("0" * 64)
    assert_golden("stages/approval_stale_evidence", home.refusal())


def test_an_answer_about_another_candidate_is_none(home: Home) -> None:
    home.airflow.answered("1" * 64)
    assert "found no answer yet in Airflow" in home.refusal()


def test_attack_a_form_that_names_other_evidence_than_was_shown(home: Home) -> None:
    home.airflow.answered(home.digest, form={"why": "", "evidence": "0" * 64})
    assert_golden("stages/approval_other_evidence", home.refusal())


@pytest.mark.parametrize(("name", "actor"), [("wrong_role", "bob"), ("stranger", "eve")])
def test_attack_an_answer_by_somebody_without_the_role(name: str, actor: str, home: Home) -> None:
    home.airflow.answered(home.digest, by=actor)
    assert_golden(f"stages/approval_{name}", home.refusal())


def test_attack_an_approver_whose_role_was_taken_away_since(home: Home) -> None:
    home.airflow.answered(home.digest)
    home.settings.users_file.write_text('[users]\nann = []\nbob = ["approver"]\n')
    assert "expected a user with role 'approver' (bob); found ann" in home.refusal()


def test_attack_a_new_user_with_the_name_of_an_earlier_one(home: Home) -> None:
    home.airflow.answered(home.digest, user_id="17")
    assert "found one by an earlier user of that name" in home.refusal()


def test_attack_an_answer_that_has_expired(home: Home) -> None:
    home.airflow.answered(home.digest)
    week = 7 * 24
    assert_golden("stages/approval_expired", home.refusal(hours=week))
    home.promote(hours=week - 1.01)
    assert champion_version(home.use_case, home.settings) == "1"


def test_attack_an_approved_row_in_the_ledger_alone(home: Home) -> None:
    """A row that is appended by the platform's own function is chained as it should be."""
    judged = decisions.evaluation(home.settings, "machines", "1")
    assert judged is not None
    forged = replace(judged, kind="approved", actor="ann", reason="forged")
    decisions.append(home.settings, lambda _: forged)
    assert "found no answer yet in Airflow" in home.refusal()


def test_the_answer_given_last_counts(home: Home) -> None:
    home.airflow.answered(home.digest)
    later = ANSWERED_AT + timedelta(minutes=1)
    home.airflow.answered(home.digest, by="ann", chosen="Reject", at=later, run_id="manual__2")
    assert_golden("stages/approval_rejected", home.refusal())
    latest = later + timedelta(minutes=1)
    home.airflow.answered(home.digest, at=latest, run_id="manual__3")
    home.promote()
    assert champion_version(home.use_case, home.settings) == "1"


def test_attack_clearing_a_task_takes_a_rejection_back(home: Home) -> None:
    """Ann said yes in a run whose promotion failed; bob's no in another is gone from Airflow."""
    record(home, "ann", "approved")
    home.settings.users_file.write_text(USERS.replace('"operator"', '"approver"'))
    record(home, "bob", "rejected")
    home.airflow.answered(home.digest)
    assert_golden("stages/approval_rejected_before", home.refusal())
    record(home, "ann", "approved")
    home.promote()
    assert champion_version(home.use_case, home.settings) == "1"


def test_an_option_that_is_not_approve_is_no_yes(home: Home) -> None:
    home.airflow.answered(home.digest, chosen="Perhaps")
    assert "a rejection by ann" in home.refusal()


def test_attack_everybody_is_an_administrator(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.airflow.answered(home.digest)
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    with pytest.raises(SettingsError) as caught:
        home.promote()
    assert_golden("stages/approval_all_admins", str(caught.value))
    assert home.kinds()[-1] == "evaluated"


def test_without_airflow_nothing_is_promoted(
    governed_template: Path, tmp_path: Path, stable_code: None
) -> None:
    settings = machines.copy_template(governed_template, tmp_path / "governed")
    with airflow_of(settings) as airflow:
        home = Home(settings, airflow)
        home.airflow.answered(home.digest)
    with pytest.raises(ServiceUnavailable, match="start it with `headframe up`"):
        home.promote()
    assert home.kinds()[-1] == "evaluated"


def test_an_approval_does_not_carry_a_failed_gate(machines_settings: Settings) -> None:
    machines_settings.users_file.write_text(USERS)
    judged(machines_settings, margin=0.6)
    with airflow_of(machines_settings) as airflow:
        home = Home(machines_settings, airflow)
        home.airflow.answered(home.digest)
        assert "gate BeatsBaseline" in home.refusal()


def test_a_training_that_started_itself_is_asked_for_by_who_accepted_the_declaration(
    home: Home,
) -> None:
    home.airflow.answered(home.digest, by="ann", started_by=None)
    assert_golden(
        "stages/approval_not_accepted",
        home.refusal().replace(home.use_case.digest()[:12], "<declaration>"),
    )
    users = USERS.replace('ann = ["approver"]', 'ann = ["approver", "data_scientist"]')
    home.settings.users_file.write_text(users)
    for actor in ("sam", "ann"):
        accept(home.use_case, home.settings, actor=actor, as_of=AS_OF)
    assert "someone other than ann and sam, who asked" in home.refusal()
    accept(home.use_case, home.settings, actor="sam", as_of=AS_OF)
    home.promote()
    assert champion_version(home.use_case, home.settings) == "1"


def test_a_declaration_is_accepted_once_by_somebody_who_works_on_it(home: Home) -> None:
    def accepted() -> list[tuple[str, str]]:
        found = [entry.decision for entry in decisions.read_all(home.settings)]
        return [(d.actor, d.evidence_digest) for d in found if d.kind == "accepted"]

    digest = home.use_case.digest()
    for changed in (True, False):
        done = accept(home.use_case, home.settings, actor="sam", as_of=AS_OF, reason="reviewed")
        assert done.changed is changed
    assert accepted() == [("sam", digest)]
    with pytest.raises(
        PromotionRefused, match=r"role data_scientist or data_engineer \(sam\); found bob"
    ):
        accept(home.use_case, home.settings, actor="bob", as_of=AS_OF)
    changed_since = machines.declare(home.settings, Variant(tier="governed", margin=0.02))
    accept(changed_since, home.settings, actor="sam", as_of=AS_OF)
    assert accepted() == [("sam", digest), ("sam", changed_since.digest())]


def test_an_answer_that_may_not_count_is_not_written_to_the_ledger(home: Home) -> None:
    for actor, digest in (("sam", home.digest), ("eve", home.digest), ("ann", "0" * 64)):
        with pytest.raises(PromotionRefused):
            record(home, actor, "approved", digest)
    assert home.kinds()[-1] == "evaluated"
    for _ in range(2):
        record(home, "ann", "approved")
    assert home.kinds()[-2:] == ["evaluated", "approved"]


def test_a_promotion_that_waited_for_its_answer_is_of_the_moment_it_was_made(home: Home) -> None:
    home.airflow.answered(home.digest)
    made = AS_OF + timedelta(days=3)
    promote(home.use_case, home.settings, version="1", as_of=made, now=NOW)
    told = [entry.decision for entry in decisions.read_all(home.settings)]
    assert [d.as_of for d in told if d.kind in ("approved", "promoting", "promoted")] == [made] * 3
    days = {1: "", 3: "1"}
    for day, version in days.items():
        at_that_time = AS_OF + timedelta(days=day)
        found = in_production(home.settings, "machines", at=at_that_time)
        assert found.version == version
