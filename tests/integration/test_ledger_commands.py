"""Ledger commands: the history of a use case, a roll back, a reconciliation, and is the ledger whole."""

import json
import re

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import decisions, mlflow_registry
from pipelines.adapters.settings import Settings
from pipelines.cli import terminal
from pipelines.use_case import UseCase
from tests.goldens import assert_golden
from tests.integration.test_command_line import headframe_in
from tests.integration.test_decisions import TAMPERINGS
from tests.integration.test_reconcile import move_alias
from tests.integration.test_rollback import kinds, standing

Home = tuple[UseCase, Settings]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


def test_the_history_tells_who_did_what_and_what_was_in_production(replaced: Home) -> None:
    _, settings = replaced
    headframe = headframe_in(settings)
    told = headframe("history", "machines").output
    lines = [re.sub(r"[0-9a-f]{12}.*", "<digest>", line) for line in told.splitlines()]
    assert lines == [
        "   1  2026-02-20 12:00  sam asked for version 1: run test",
        "   2  2026-02-20 12:00  gates judged version 1, evidence <digest>",
        "   4  2026-02-20 12:00  gates made version 1 the champion",
        "   5  2026-02-20 12:00  sam asked for version 2: run test",
        "   6  2026-02-20 12:00  gates judged version 2, evidence <digest>",
        "   8  2026-02-20 12:00  gates made version 2 the champion after version 1",
    ]
    found = json.loads(headframe("history", "machines", "--at", "2026-03-01", "--json").output)
    model = mlflow_registry.candidate(settings, "machines", "2")
    judged = decisions.evaluation(settings, "machines", "2")
    assert judged is not None
    assert (found["version"], found["by"], found["artifact_sha256"]) == (
        "2", "gates", model.artifact_sha256,
    )  # fmt: skip
    assert found["evidence_digest"] == judged.evidence_digest
    assert found["data_versions"] == json.loads(model.tags["headframe.data_versions"])
    sentence = headframe("history", "machines", "--at", "2026-03-01").output
    assert sentence.startswith(
        "At 2026-02-28 23:00 UTC machines was served by version 2, champion since 2026-02-20 12:00"
    )
    assert "had no champion." in headframe("history", "machines", "--at", "2026-01-01").output
    MlflowClient(settings.mlflow_uri).delete_model_version("machines-candidates", "2")
    gone = headframe("history", "machines", "--at", "2026-03-01").output
    assert "trained on data that is no longer known (machines-candidates version 2: none" in gone
    assert "did you mean" in headframe("history", "machine", status=1).output.lower()
    # What was decided is told of a use case that was broken or taken away since; times are UTC.
    file = settings.dags / "machines.py"
    file.write_text("no Python", "utf-8")
    assert headframe("history", "machines").output == told
    file.unlink()
    assert headframe("history", "machines").output == told
    sentence = headframe("history", "machines", "--at", "2026-03-01").output
    assert sentence.startswith("At 2026-03-01 00:00 UTC machines was served by version 2")


def test_a_roll_back_needs_a_role_and_a_reason_and_says_what_it_did(replaced: Home) -> None:
    _, settings = replaced
    headframe = headframe_in(settings)
    before = kinds(settings)
    stranger = ("rollback", "machines", "--reason", "late", "--user", "eve")
    assert "expected a user with role operator or approver (olga); found eve" in (
        headframe(*stranger, status=1).output
    )
    assert headframe("rollback", "machines", status=2).exit_code == 2
    assert kinds(settings) == before
    done = headframe("rollback", "machines", "--reason", "late", "--user", "olga")
    assert done.output == "champion is version 1, back from version 2\n"
    assert standing(settings) == "1"
    assert "olga rolled back to version 1, withdrawing version 2: late" in (
        headframe("history", "machines").output
    )


def test_reconciling_answers_no_until_it_is_repaired_by_somebody_who_may(replaced: Home) -> None:
    _, settings = replaced
    headframe = headframe_in(settings)
    assert headframe("reconcile", "machines").output == (
        "machines: ledger, alias and artifacts agree\n"
    )
    move_alias(settings)
    assert_golden("command_line/reconcile", headframe("reconcile", "machines", status=1).output)
    headframe("reconcile", "machines", "--repair", "--user", "sam", status=1)
    repaired = headframe("reconcile", "machines", "--repair", "--user", "olga", "--json")
    assert json.loads(repaired.output)["left"] == []
    assert standing(settings) == "2"


def test_the_ledger_is_verified_and_its_first_bad_entry_named(replaced: Home) -> None:
    _, settings = replaced
    headframe = headframe_in(settings)
    digest = decisions.read_all(settings)[-1].digest[:12]
    assert headframe("ledger", "verify").output == (
        f"decisions ledger: 8 entries in an unbroken chain that ends in {digest}; 2 digests in "
        "MLflow agree, up to entry 7\n"
    )
    TAMPERINGS["a reason changed"](settings)
    broken = headframe("ledger", "verify", status=1).output
    assert_golden("command_line/ledger_verify", broken)


def test_a_simulated_time_is_given_with_as_of_and_the_champion_that_is_meant_with_from(
    replaced: Home,
) -> None:
    _, settings = replaced
    headframe = headframe_in(settings)
    told = ("--reason", "late", "--user", "olga", "--as-of", "2026-02-24T12:00:00Z")
    assert "expected version 1 to be the champion; found version 2" in (
        headframe("rollback", "machines", "--from", "1", *told, status=1).output
    )
    for already in ("", " (already)"):
        done = headframe("rollback", "machines", "--from", "2", *told)
        assert done.output == f"champion is version 1, back from version 2{already}\n"
    lines = headframe("history", "machines").output.splitlines()
    assert "2026-02-24 12:00  olga rolled back to version 1" in lines[-1]


def test_a_lost_champion_is_retired_by_somebody_who_says_why(promoted: Home) -> None:
    _, settings = promoted
    settings.users_file.write_text('[users]\nolga = ["operator"]\n')
    headframe = headframe_in(settings)
    MlflowClient(settings.mlflow_uri).delete_model_version("machines-candidates", "1")
    told = ("--retire", "--user", "olga", "--as-of", "2026-02-24T12:00:00Z")
    assert "expected a reason" in headframe("reconcile", "machines", *told, status=1).output
    done = headframe("reconcile", "machines", *told, "--reason", "its disk burnt")
    assert done.output == (
        "machines: version 1 is retired; there is no champion\n"
        "machines: the champion alias is taken away, as the ledger says\n"
    )
    assert (
        headframe("history", "machines")
        .output.splitlines()[-1]
        .endswith(
            "2026-02-24 12:00  olga retired version 1: no champion follows it: its disk burnt"
        )
    )
    later = headframe("history", "machines", "--at", "2026-02-25").output
    assert "machines had no champion." in later
