"""Training by hand: a terminal and a notebook are refused, and told, the same."""

import pytest

import headframe
from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import Signal
from pipelines.errors import BudgetSpent, DeclarationError, SettingsError
from tests import machines
from tests.integration.test_command_line import (
    headframe_in,
    wide_terminal,  # noqa: F401 - a fixture for every test here
)
from tests.machines import at

AS_OF = at(50).isoformat()
IN_SPITE = "training goes on in spite of this:"

BUDGET = """
from dataclasses import replace
from pipelines.use_case import Budget
machines = replace(machines, budget=Budget(cpu_seconds_per_month={}, on_exceeded="{}"))
"""


@pytest.fixture
def settings(machines_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a home that a notebook finds by its environment."""
    machines.declare(machines_settings)
    for name in ("home", "dags", "expectations"):
        monkeypatch.setenv(f"HEADFRAME_{name.upper()}", str(getattr(machines_settings, name)))
    return machines_settings


def declare_budget(settings: Settings, cpu_seconds: float, on_exceeded: str) -> None:
    path = settings.dags / "machines.py"
    path.write_text(path.read_text("utf-8") + BUDGET.format(cpu_seconds, on_exceeded), "utf-8")


def test_a_notebook_is_refused_by_a_spent_budget_as_the_terminal_is(settings: Settings) -> None:
    headframe_in(settings)("run", "ingest", "machines", "--as-of", "2026-03-01")
    declare_budget(settings, 0.001, "refuse")
    with pytest.raises(BudgetSpent, match=r"training of machines: .* of 0\.001 CPU s"):
        headframe.train("machines", as_of=AS_OF)
    assert retraining_ledger.read(settings, "machines") == []
    said = headframe_in(settings)("run", "train", "machines", "--as-of", AS_OF, status=1).stderr
    assert said.startswith("BudgetSpent\ntraining of machines: ")


def test_a_notebook_is_told_of_a_spent_budget_that_only_warns(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    headframe_in(settings)("run", "ingest", "machines", "--as-of", "2026-03-01")
    declare_budget(settings, 0.001, "warn")
    assert headframe.train("machines", as_of=AS_OF).version == "1"
    assert "of 0.001 CPU s of" in capsys.readouterr().out


def test_a_notebook_learns_as_of_no_moment_to_come(settings: Settings) -> None:
    for call in (headframe.train, headframe.training_rows):
        with pytest.raises(SettingsError) as caught:
            call("machines", as_of="2926-02-01")
        said = str(caught.value)
        assert f"headframe.{call.__name__}, as_of: expected a moment that has come; now is" in said
        assert "found 2926-01-31 23:00 UTC" in said


def test_who_trains_by_hand_is_told_what_stands_against_it_and_goes_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    signal = Signal(
        use_case=machines.NAME, kind="run", about=(f"dag:{machines.NAME}__ingest",),
        severity="PAGE", owner="plant", text="machines__ingest failed: plan refused", at=at(49),
    )  # fmt: skip
    incident_ledger.report(settings, at=at(49), signals=[signal])
    told = (
        f"{IN_SPITE} data is broken, incident 1: machines__ingest failed: plan refused",
        f"{IN_SPITE} data is broken: plan: MISSING 2026-02-19",
    )
    # However often: what is told again of the same time is told whole.
    for _ in range(2):
        said = headframe_in(settings)("run", "train", "machines", "--as-of", AS_OF).stdout
        assert all(line in said for line in told)
        assert "candidate 1: " in said
    assert headframe.train("machines", as_of=AS_OF).version == "1"
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(start) for line, start in zip(lines, told, strict=True)] == [True, True]
    entries = retraining_ledger.read(settings, "machines")
    assert {(one.kind, one.cause) for one in entries} == {("trained", "by hand")}


def test_options_that_a_training_would_take_no_notice_of_are_refused(settings: Settings) -> None:
    run = headframe_in(settings)
    train = ("run", "train", "machines", "--as-of", AS_OF)
    idle = "trials: expected 0, since no candidate that is tried has a space to search; found 10."
    for dry in ((), ("--dry-run",)):
        assert idle in run(*train, "--trials", "10", *dry, status=1).stderr
    with pytest.raises(DeclarationError, match=idle):
        headframe.train("machines", as_of=AS_OF, trials=10)
    said = run(*train, "--version", "7", status=1).stderr
    assert "run, --version: expected stage evaluate, promote or score; found stage train" in said
    said = run(*train, "--candidate", "logistc", status=1).stderr
    assert "expected some of logistic; found logistc (did you mean 'logistic'?)" in said
    assert retraining_ledger.read(settings, "machines") == []
    assert "candidate 1: " in run(*train, "--trials", "0", "--candidate", "logistic").stdout
