"""The evidence page: what an approver reads of an examination, and of evidence without one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.dag_factory import page_addresses
from pipelines.dag_factory.evidence_page import evidence_page
from pipelines.domain.decision import Decision
from pipelines.domain.examination import ChampionDifference, CurvePoint
from pipelines.domain.verdict import Verdict
from tests.examined import evidence_with

EXAMINED = evidence_with(
    importance={"age": 0.25, "load": 0.7, "family": 0.05},
    learning_curve=(
        CurvePoint(blocks=14, rows=900, loss=0.52),
        CurvePoint(blocks=55, rows=3_600, loss=0.5),
    ),
    difference=ChampionDifference(
        improvements={}, moved=0.0123, features_added=("wind",), features_removed=("age",)
    ),
)

BESIDE = """Beside the gates:

- most important: load 70%, age 25%, family 5%
- log loss when taught the last days only: 0.5200 (14 days), 0.5000 (55 days)
- calibration: +0.004 overall, slope 0.97
- against the champion: probabilities move by 0.012 on average; features +wind, -age

Evidence `"""


def test_the_approver_reads_what_no_gate_asked_about() -> None:
    page = evidence_page(EXAMINED, run_id="r", requester="sam", reason="")
    assert BESIDE in page.body


def test_the_approver_is_led_to_the_whole_page_or_told_the_command() -> None:
    there = evidence_page(EXAMINED, run_id="r", requester="sam", reason="", address="https://x/y")
    assert "[Calibration, segments and all else](https://x/y) on one page" in there.body
    none = evidence_page(EXAMINED, run_id="r", requester="sam", reason="")
    assert (
        "Calibration, segments and all else: `headframe evidence flight_delays --version 7`"
        in none.body
    )


JUDGED = {"page": "flights/evidence/version_7.html", "run_page": "#/experiments/1/runs/r/a"}


@pytest.mark.parametrize(
    ("set_to", "address"),
    [
        ({}, ""),
        ({"HEADFRAME_MLFLOW": "sqlite:////tmp/mlflow.db"}, ""),
        (
            {"HEADFRAME_MLFLOW": "http://127.0.0.1:5000/"},
            "http://127.0.0.1:5000/#/experiments/1/runs/r/a",
        ),
        (
            {"HEADFRAME_MLFLOW": "http://mlflow:5000", "HEADFRAME_MLFLOW_UI": "https://m.example"},
            "https://m.example/#/experiments/1/runs/r/a",
        ),
        (
            {
                "HEADFRAME_MLFLOW": "http://mlflow:5000",
                "HEADFRAME_REPORTS_UI": "https://r.example/",
            },
            "https://r.example/flights/evidence/version_7.html",
        ),
    ],
)
def test_the_page_is_where_a_server_gives_it_out(
    set_to: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HEADFRAME_MLFLOW", "HEADFRAME_MLFLOW_UI", "HEADFRAME_REPORTS_UI"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in set_to.items():
        monkeypatch.setenv(variable, value)
    assert page_addresses.evidence(JUDGED) == address
    assert page_addresses.evidence({"version": "7"}) == "", "of a task of an earlier release"


def test_evidence_of_an_older_release_has_nothing_beside_the_gates() -> None:
    older = replace(EXAMINED, examination=None)
    page = evidence_page(older, run_id="r", requester="sam", reason="")
    assert "Beside the gates" not in page.body
    assert f"Evidence `{older.digest}`" in page.body


def test_words_of_data_and_of_people_are_no_markdown() -> None:
    link = "[EWR](https://evil.example)"
    verdict = Verdict(gate="NoWorse", outcome="passed", reason=f"{link} is worse", figures={})
    rejected = Decision(
        use_case="flight_delays",
        kind="rejected",
        version="7",
        actor="bob",
        as_of=datetime(2013, 6, 1, tzinfo=UTC),
        reason=f"not yet\n{link}",
        artifact_sha256="",
        evidence_digest="",
    )
    judged = evidence_with(importance={link: 1.0})
    page = evidence_page(
        replace(judged, verdicts=(verdict,)),
        run_id="r",
        requester="sam",
        reason=link,
        rejections=(rejected,),
    )
    shown = r"\[EWR\]\(https://evil.example\)"
    for line in (
        f"**sam** asked for it: {shown}",
        f"**Rejected before** by **bob**: not yet {shown}",
        f"- **passed** NoWorse: {shown} is worse",
        f"- most important: {shown} 100%",
    ):
        assert line in page.body.split("\n")
