"""Retraining through the stages: harm asks for one training, harmless change for none; limits hold."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import code_archive, decisions, mlflow_registry, retraining_ledger
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.cli import app, terminal
from pipelines.domain.decision import Decision
from pipelines.domain.incidents import Signal
from pipelines.domain.retrain_attempts import Entry
from pipelines.domain.training import Asked
from pipelines.stages.begin_training import begin_training
from pipelines.stages.card import card
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import monitor
from pipelines.stages.retrain import Decided, retrain
from pipelines.stages.retraining_history import retraining_history
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import Retraining, UseCase, load
from tests import machines
from tests.machines import at

Home = tuple[UseCase, Settings]

CHANGED, LAST = 50, 68
"""Day from which the world is another one, and the first that is not scored any more."""

HARMFUL = 65
"""Day on which the labels that are final show harm beyond doubt."""

TOLD = 58
"""Day on which a change of the inputs is found, which does no harm."""

DECLARED = Retraining(on_harm=True, on_drift=True, cooldown=timedelta(days=2), per_quarter=2)


def scored(settings: Settings) -> None:
    use_case = load(settings.dags / "machines.py")
    ingest(use_case, settings, as_of=at(400), run="test")
    score(use_case, settings, since=at(CHANGED, 0), until=at(LAST, 0), run="test")


@pytest.fixture(scope="module")
def turned_template(replaced_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in whose world low loads stop machines since day 50, monitored as of HARMFUL."""
    settings = machines.copy_template(replaced_template, tmp_path_factory.mktemp("turned"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", settings.home / "no_library")
        machines.deliver(settings, first=CHANGED, until=LAST, turned=True)
        scored(settings)
        watch((declared(settings), settings), HARMFUL)
    return settings.home.parent


@pytest.fixture
def turned(turned_template: Path, tmp_path: Path, stable_code: None) -> Home:
    settings = machines.copy_template(turned_template, tmp_path / "home")
    return declared(settings), settings


def declared(settings: Settings) -> UseCase:
    return replace(load(settings.dags / "machines.py"), retraining=DECLARED)


def watch(home: Home, day: int, hour: int = 8) -> None:
    monitor(*home, as_of=at(day, hour), run="test")


def answer(home: Home, day: int, hour: int = 8) -> Decided:
    return retrain(*home, as_of=at(day, hour))


def made(home: Home, found: Decided, run: str, version: str) -> None:
    """Begin what was asked for, and record a model of it without making one."""
    asked, settings = begun(home, found, run), home[1]
    assert found.asked is not None
    retraining_ledger.trained(
        settings, machines.NAME, run=run, version=version, asked=asked, as_of=found.asked.at
    )


def told(home: Home) -> list[tuple[str, str, str]]:
    """Return what the ledger holds beside the first model: kind, cause, what held it back."""
    entries = retraining_ledger.read(home[1], machines.NAME)
    return [(one.kind, one.cause, one.why) for one in entries if one.run != "test"]


def version(settings: Settings) -> int:
    return delta_tables.version(lake.ledger(settings, "retraining"))


def begun(home: Home, found: Decided, run: str) -> Asked:
    """Begin what was asked for as a run does; return what its training is asked."""
    use_case, settings = home
    assert found.asked is not None
    started = begin_training(
        use_case,
        settings,
        as_of=found.asked.at,
        run=run,
        cause=found.asked.cause,
        reason=found.asked.reason,
        decision=found.asked.sequence,
    )
    assert started.goes_on
    return Asked(cause=started.cause, reason=started.reason)


def trained(home: Home, found: Decided, run: str) -> str:
    """Train what was asked for as a run does; return the version."""
    settings, asked = home[1], begun(home, found, run)
    assert found.asked is not None
    made = train(
        load(settings.dags / "machines.py"),
        settings,
        as_of=found.asked.at,
        run=run,
        requester="sam",
        asked=asked,
    )
    return made.version


def test_harm_asks_for_one_training_however_often_it_is_asked(turned: Home) -> None:
    found = answer(turned, HARMFUL)
    assert (found.answer.action, found.asked and found.asked.cause) == ("train", "harm")
    assert "the mean log loss over 13 labelled blocks is 1.69" in found.answer.reason
    before = version(turned[1])
    assert answer(turned, HARMFUL) == found
    # The same newest block, by another run, later that day.
    assert answer(turned, HARMFUL, 20) == found
    assert version(turned[1]) == before
    assert told(turned) == [("asked", "harm", "")]


def test_the_training_that_was_asked_for_begins_once_and_its_model_says_why(turned: Home) -> None:
    use_case, settings = turned
    found = answer(turned, HARMFUL)
    version_made = trained(turned, found, "run a")
    trained(turned, found, "run a")  # a retry
    assert found.asked is not None
    again = begin_training(
        use_case, settings, as_of=at(HARMFUL, 9), run="run b", cause="harm",
        decision=found.asked.sequence,
    )  # fmt: skip
    assert again.describe() == "no training for harm: run run a has begun what was asked for"
    assert answer(turned, HARMFUL).asked is None
    assert told(turned) == [("asked", "harm", ""), ("begun", "harm", ""), ("trained", "harm", "")]
    tags = mlflow_registry.candidate(settings, machines.NAME, version_made).tags
    assert tags["headframe.cause"] == "harm"
    assert tags["headframe.reason"] == found.answer.reason
    asked = [e.decision for e in decisions.read_all(settings) if e.decision.kind == "requested"]
    assert asked[-1].reason == f"harm: {found.answer.reason} (run run a)"
    assert "| Cause | harm |" in card(use_case, settings, version=version_made)


def test_cooldown_and_giving_up_hold_each_later_block_back_once(turned: Home) -> None:
    use_case, settings = turned
    version_made = trained(turned, answer(turned, HARMFUL), "run a")
    evaluate(load(settings.dags / "machines.py"), settings, version=version_made)
    watch(turned, HARMFUL + 1)
    cooled = answer(turned, HARMFUL + 1)
    assert (cooled.answer.action, cooled.answer.why, cooled.asked) == ("hold", "cooldown", None)
    assert "cooldown until 2026-03-09 08:00 UTC" in cooled.answer.reason
    assert f"did not help: version {version_made} did not pass" in cooled.answer.reason
    assert answer(turned, HARMFUL + 1, 9).answer.why == "cooldown"
    watch(turned, HARMFUL + 2)
    one_try = replace(use_case, retraining=replace(DECLARED, give_up_after=1))
    given_up = answer((one_try, settings), HARMFUL + 2)
    assert given_up.answer.why == "gave_up"
    assert given_up.given_up == given_up.answer.reason
    assert (
        "retraining did not help: 1 trainings for harm since block 2026-03-04" in given_up.given_up
    )
    second = answer(turned, HARMFUL + 2)
    assert (second.answer.action, second.given_up) == ("train", "")
    assert told(turned)[3:] == [
        ("held", "harm", "cooldown"),
        ("held", "harm", "gave_up"),
        ("asked", "harm", ""),
    ]


def test_a_spent_budget_holds_back_and_history_says_what_is_left(
    turned: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_case, settings = turned
    made(turned, answer(turned, HARMFUL), "run a", "3")
    watch(turned, HARMFUL + 2)
    frugal = replace(use_case, retraining=replace(DECLARED, per_quarter=1))
    held = answer((frugal, settings), HARMFUL + 2)
    assert held.answer.reason == (
        "budget spent: 1 of 1 early trainings in 90 days, the next from 2026-06-05 on"
    )
    history = retraining_history(use_case, settings, as_of=at(HARMFUL + 2, 9))
    assert [(line.decision, line.cause, line.version) for line in history.lines] == [
        ("train", "by hand", "1"), ("train", "by hand", "2"), ("train", "harm", "3"), ("held", "harm", ""),
    ]  # fmt: skip
    assert history.describe() == "1 of 2 early trainings left in 90 days; no cooldown"
    monkeypatch.setattr(terminal.console, "width", 300)
    folder = settings.home.parent
    environment = {"HEADFRAME_HOME": str(settings.home), "HEADFRAME_DAGS": str(folder / "dags")}
    shown = CliRunner(env=environment).invoke(app, ["retraining", machines.NAME])
    assert "harm" in shown.stdout
    assert "version 3, not judged yet" in shown.stdout
    assert "held back: budget spent: 1 of 1" in shown.stdout
    plain = CliRunner(env=environment).invoke(app, ["retraining", machines.NAME, "--json"])
    assert [line["cause"] for line in json.loads(plain.stdout)["lines"]] == [
        "by hand", "by hand", "harm", "harm",
    ]  # fmt: skip


def test_what_broken_data_stopped_is_asked_for_anew_for_the_same_block(turned: Home) -> None:
    use_case, settings = turned
    first = answer(turned, HARMFUL)
    assert first.asked is not None
    refused(settings, HARMFUL - 1)
    again = partial(
        begin_training, use_case, settings, as_of=first.asked.at, run="run a", cause="harm",
        decision=first.asked.sequence,
    )  # fmt: skip
    assert "plan refused" in again().describe()
    still = answer(turned, HARMFUL, 9)
    assert (still.answer.why, still.asked) == ("obstacle", None)
    mended(settings, HARMFUL)
    second = answer(turned, HARMFUL, 11)
    assert (second.answer.action, answer(turned, HARMFUL, 12)) == ("train", second)
    assert second.asked is not None
    assert second.asked.sequence > first.asked.sequence
    assert second.asked.block == first.asked.block
    begun(turned, second, "run b")
    # Cleared by an operator, the run that was held back finds that another trains.
    assert "began after it was asked for" in again().describe()
    assert told(turned) == [
        ("asked", "harm", ""), ("held", "harm", "obstacle"), ("held", "harm", "obstacle"),
        ("asked", "harm", ""), ("begun", "harm", ""),
    ]  # fmt: skip


def test_what_was_decided_later_is_not_told_of_an_earlier_moment(turned: Home) -> None:
    use_case, settings = turned
    made(turned, answer(turned, HARMFUL), "run a", "3")
    watch(turned, HARMFUL + 1)
    evaluated = Decision(
        use_case=machines.NAME, kind="evaluated", version="3", actor="headframe",
        as_of=at(HARMFUL + 5), reason="BeatsChampion failed: no better", artifact_sha256="",
        evidence_digest="",
    )  # fmt: skip
    decisions.append(settings, lambda _: evaluated)
    assert "(harm; version 3, not judged yet)" in answer(turned, HARMFUL + 1).answer.reason
    outcomes = {
        day: retraining_history(use_case, settings, as_of=at(day)).lines[2].outcome
        for day in (HARMFUL + 4, HARMFUL + 5)
    }
    assert outcomes == {
        HARMFUL + 4: "version 3, not judged yet",
        HARMFUL + 5: "did not help: version 3 did not pass BeatsChampion",
    }


def mended(settings: Settings, day: int) -> None:
    """Report that the next ingest went well."""
    area = f"{machines.NAME}/run:dag:{machines.NAME}__ingest"
    incident_ledger.report(settings, at=at(day, 9), looked_at=[area])


def refused(settings: Settings, day: int) -> None:
    """Report that an ingest failed, as its run does."""
    signal = Signal(
        use_case=machines.NAME, kind="run", about=(f"dag:{machines.NAME}__ingest",),
        severity="PAGE", owner="plant", text="machines__ingest failed: plan refused", at=at(day),
    )  # fmt: skip
    incident_ledger.report(settings, at=at(day), signals=[signal])


def test_broken_data_holds_back_what_nobody_started_until_it_is_mended(turned: Home) -> None:
    use_case, settings = turned
    refused(settings, HARMFUL - 1)
    held = answer(turned, HARMFUL)
    broken = "data is broken, incident 1: machines__ingest failed: plan refused"
    assert (held.answer.why, held.answer.reason, held.asked) == ("obstacle", broken, None)
    scheduled = begin_training(
        use_case, settings, as_of=at(HARMFUL, 8), run="monthly", cause="schedule"
    )
    assert scheduled.describe() == f"no training for schedule: {broken}"
    by_hand = begin_training(
        use_case, settings, as_of=at(HARMFUL, 8), run="manual", cause="by hand", reason="it stays"
    )
    assert by_hand.describe().splitlines() == [
        "cause of this training, by hand: it stays",
        f"in spite of it: {broken}",
    ]
    assert told(turned) == [
        ("held", "harm", "obstacle"),
        ("held", "schedule", "obstacle"),
        ("begun", "by hand", ""),
    ]
    mended(settings, HARMFUL)
    later = begin_training(
        use_case, settings, as_of=at(HARMFUL, 10), run="monthly 2", cause="schedule"
    )
    assert later.goes_on


def test_a_feed_that_is_missing_and_a_frozen_champion_hold_back(turned: Home) -> None:
    _, settings = turned
    for name in ("outcome", "plan"):
        shutil.rmtree(local(settings.landing) / machines.NAME / name)

    def freeze(so_far: object) -> Decision:
        return Decision(
            use_case=machines.NAME, kind="frozen", version="2", actor="op", as_of=at(HARMFUL),
            reason="files are gone", artifact_sha256="", evidence_digest="",
        )  # fmt: skip

    decisions.append(settings, freeze)
    reason = answer(turned, LAST + 9).answer.reason
    assert "data is broken: outcome: " in reason
    assert "the champion is not sound: champion of machines: expected" in reason


def test_a_change_that_does_no_harm_asks_for_nothing(
    replaced_template: Path, tmp_path: Path, stable_code: None
) -> None:
    settings = machines.copy_template(replaced_template, tmp_path / "home")
    machines.deliver(settings, first=CHANGED, until=LAST)
    for path in (local(settings.landing) / machines.NAME).rglob("*.csv"):
        if path.stem >= f"{at(CHANGED):%Y-%m-%d}":  # no machine is of family B any more
            path.write_text(path.read_text("utf-8").replace(",B", ",A"), "utf-8")
    scored(settings)
    home = declared(settings), settings
    found = monitor(*home, as_of=at(TOLD, 8), run="test")
    assert found.watched.level == "INFO"
    assert "family has another mix of values" in found.watched.verdict
    decided = answer(home, TOLD)
    assert decided.answer.action == "nothing"
    assert told(home) == []


def test_new_final_labels_ask_for_a_training_since_the_last_one(turned: Home) -> None:
    use_case, settings = turned

    def told_of(wanted: int) -> Decided:
        labels = Retraining(on_labels=wanted, cooldown=timedelta(days=1))
        return answer((replace(use_case, retraining=labels), settings), HARMFUL)

    # Outcomes of days 48 to 62 became final since day 50: of 40 machines, less one in 40.
    assert told_of(571).answer.action == "nothing"
    assert told_of(570).answer.reason == (
        "570 labels became final since the training of 2026-02-20, 570 call for one"
    )
    made(turned, told_of(570), "run a", "3")
    watch(turned, HARMFUL + 1)
    later = replace(use_case, retraining=Retraining(on_labels=100, cooldown=timedelta(days=1)))
    assert answer((later, settings), HARMFUL + 1).answer.action == "nothing"


def test_two_that_decide_at_once_ask_for_one_training(tmp_path: Path) -> None:
    settings = machines.settings_in(tmp_path)
    entry = Entry(
        use_case=machines.NAME, kind="asked", at=at(HARMFUL), cause="harm", reason="the loss rose"
    )  # fmt: skip
    seen: list[int] = []

    def decide(so_far: Sequence[Entry]) -> Entry | None:
        seen.append(len(so_far))
        if len(seen) == 1:  # another monitor is faster
            retraining_ledger.append(settings, machines.NAME, lambda _: entry)
        return None if so_far else entry

    assert retraining_ledger.append(settings, machines.NAME, decide) is None
    assert seen == [0, 1]
    assert retraining_ledger.read(settings, machines.NAME) == [replace(entry, sequence=1)]
    assert retraining_ledger.read(settings, "parcels") == []


def test_a_use_case_tells_what_is_contradictory_about_its_retraining(turned: Home) -> None:
    use_case = turned[0]

    def wrong(declared: Retraining, **options: Any) -> list[str]:  # noqa: ANN401 - any field
        found = replace(use_case, retraining=declared, **options).problems()
        return [f"{one.where}: {one.found}" for one in found]

    harm = Retraining(on_harm=True)
    assert wrong(harm) == []
    assert wrong(replace(harm, schedule="@weekly")) == [
        "use case 'machines', retraining, cooldown: 14 days"
    ]
    waits = timedelta(days=15)
    assert wrong(harm, approval_expires=waits) == []
    assert wrong(harm, approval_expires=waits, tier="governed") == [
        "use case 'machines', retraining, cooldown: 14 days"
    ]
    nothing = dict.fromkeys(("features", "label", "training", "scoring"))
    assert wrong(harm, tier="explore", gates=(), **nothing) == [
        "use case 'machines', retraining: something"
    ]
