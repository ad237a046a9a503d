"""What is written about a model: page and card beside its evidence, and two versions side by side."""

import json
from pathlib import Path

import pytest

from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.reports.evidence_page import render
from pipelines.adapters.settings import Settings
from pipelines.errors import NotEnoughData, PromotionRefused
from pipelines.stages.card import CARD_FILE, card
from pipelines.stages.evidence import PAGE_FILE, evidence
from pipelines.stages.train import train
from pipelines.use_case import UseCase
from tests import machines
from tests.integration.test_command_line import (
    Headframe,
    headframe_in,
    wide_terminal,  # noqa: F401 - a fixture for every test here
)
from tests.machines import Variant, at

Home = tuple[UseCase, Settings]


@pytest.fixture
def headframe(promoted: Home) -> Headframe:
    """Return the command line of a home in which 1 is the champion and 2 passed the gates."""
    return headframe_in(promoted[1])


def kept(settings: Settings, version: str, path: str) -> str:
    """Return a text that the run of a version has."""
    run_id = mlflow_registry.candidate(settings, machines.NAME, version).run_id
    return mlflow_registry.artifact(settings, run_id, path).decode("utf-8")


def test_the_page_is_that_of_the_frozen_evidence_and_hangs_on_its_run(promoted: Home) -> None:
    use_case, settings = promoted
    first = evidence(use_case, settings, version="2", attach=True)
    run_id = mlflow_registry.candidate(settings, "machines", "2").run_id
    frozen = mlflow_registry.read_evidence(settings, run_id, first.evidence_digest)
    html = render(frozen)
    assert first.page == settings.root / "reports" / "machines" / "evidence" / "version_2.html"
    assert first.page.read_text("utf-8") == html == kept(settings, "2", PAGE_FILE)
    assert first.address == "machines/evidence/version_2.html"
    experiment = mlflow_registry.experiment_id(settings, run_id)
    assert first.run_page == (
        f"#/experiments/{experiment}/runs/{run_id}/artifacts/evidence/evidence.html"
    )
    assert evidence(use_case, settings, version="2", attach=True) == first
    assert first.page.read_text("utf-8") == html


def test_there_is_no_page_without_evidence_or_with_another_one(promoted: Home) -> None:
    use_case, settings = promoted
    other = machines.declare(settings, Variant(seed=8))
    train(other, settings, as_of=at(50), run="test", requester="sam")
    with pytest.raises(NotEnoughData, match="expected an evaluation in the decisions ledger"):
        evidence(other, settings, version="3", attach=False)
    assert "No evidence: the gates have not judged" in card(other, settings, version="3")
    one, _ = sorted(settings.mlflow_artifacts.glob("**/evidence.json"))
    one.write_text(one.read_text().replace("2026-02-17", "2026-02-18"))
    broken = "1" if _run(settings, "1") in str(one) else "2"
    with pytest.raises(PromotionRefused, match="expected the evidence bundle with digest"):
        evidence(use_case, settings, version=broken, attach=False)
    assert not (settings.root / "reports").exists()


def test_the_card_follows_the_decisions_and_says_what_was_declared_then(
    promoted: Home, headframe: Headframe
) -> None:
    use_case, settings = promoted
    headframe("run", "evaluate", "machines", "--version", "2")
    before = kept(settings, "2", CARD_FILE)
    assert "| evaluated | gates |" in before
    assert "| promoted |" not in before
    assert "stopped is the truth of `stop_minutes > 10` on table outcome, final 48 hours" in before
    assert "| past_rate | number |" in before
    assert "- scikit-learn==" in before
    headframe("run", "promote", "machines", "--version", "2")
    after = kept(settings, "2", CARD_FILE)
    assert "| promoted | gates |" in after
    assert headframe("card", "machines").stdout == after, "of the champion, unless one is named"
    path = settings.dags / "machines.py"
    path.write_text(path.read_text().replace("stop_minutes > 10", "stop_minutes > 20"))
    changed = headframe("card", "machines", "--version", "2").stdout
    assert "stopped, declared otherwise today" in changed
    assert "stop_minutes" not in changed
    assert card(use_case, settings, version="2") == after


def test_the_command_line_tells_verdict_page_and_differences(
    promoted: Home, headframe: Headframe
) -> None:
    _, settings = promoted
    page = settings.root / "reports" / "machines" / "evidence" / "version_2.html"
    told = headframe("evidence", "machines", "--version", "2").stdout
    assert told == f"Version 2 may be promoted: 2 gates passed.\npage: {page}\n"
    assert headframe("evidence", "machines", "--version", "2", "--open-path").stdout == f"{page}\n"
    found = json.loads(headframe("evidence", "machines", "--version", "2", "--json").stdout)
    assert Path(found["page"]) == page
    text = headframe("compare", "machines", "1", "2").stdout
    assert "on the same rows: the 20 held-out blocks of version 2, which was judged" in text
    assert "version 2 is better" in text
    plain = json.loads(headframe("compare", "machines", "1", "2", "--json").stdout)
    assert [one["metric"] for one in plain["paired"]] == ["log_loss", "brier"]
    assert plain["paired"][0]["improvement"]["low"] > 0


def test_an_unknown_version_is_answered_with_those_there_are(
    promoted: Home, headframe: Headframe
) -> None:
    for version in ("9", "0", "nine", "2147483648", "99999999999999999999", "9" * 5000):
        for command in (
            ("compare", "machines", "1", version),
            ("card", "machines", "--version", version),
            ("run", "evaluate", "machines", "--version", version),
        ):
            told = headframe(*command, status=1).stderr
            assert told.replace("\n", "").endswith(
                f"machines-candidates version {version}: expected a registered model version; found "
                "none in MLflow.  Name another (newest first: 2, 1), or train again; a version "
                "that was deleted by hand cannot be used."
            ), command


def test_a_version_that_may_not_be_promoted_is_a_no(machines_settings: Settings) -> None:
    machines.declare(machines_settings, Variant(margin=0.6))
    headframe = headframe_in(machines_settings)
    headframe("run", "train", "machines", "--as-of", "2026-02-20T12:00:00Z")
    for _ in ("judged", "read back"):
        told = headframe("run", "evaluate", "machines", "--version", "1", status=1).stdout
        assert told.startswith("evaluate candidate 1: may not be promoted\n")
        assert "\npage: " in told
    (report,) = json.loads(headframe("costs", "machines", "--json").stdout)["reports"]
    failed = {one["stage"]: one["failed"] for one in report["stages"]}
    assert failed == {"train": 0, "train.evaluate": 0}, "an answer is no failure"
    told = headframe("evidence", "machines", "--version", "1", status=1).stdout
    assert told.startswith("Version 1 may not be promoted: BeatsBaseline failed.")
    assert "no version that was promoted" in headframe("card", "machines", status=1).stderr


def _run(settings: Settings, version: str) -> str:
    return mlflow_registry.candidate(settings, machines.NAME, version).run_id
