"""Retrain causes: which alarms call for a training, and when data counts as broken."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from pipelines.domain.drift.drift_result import DriftResult
from pipelines.domain.drift.severity import Alarm
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.incidents import Event as IncidentEvent
from pipelines.domain.incidents import Incident, Signal, State, stories
from pipelines.domain.monitored import HARD_RULES, HARM, Judged, Standing
from pipelines.domain.retrain_causes import broken_data, causes_of
from pipelines.domain.signals import of_feed, of_run

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
MISSING = FeedFinding(
    table="plan", kind="missing", slot="2026-03-08", since=NOW, text="MISSING 2026-03-08."
)
RULE = Signal(
    use_case="parcels", kind="rule", about=("inputs",), severity="PAGE", owner="x",
    text="miles looks converted.", at=NOW,
)  # fmt: skip


def alarm(test: str, block: str, level: Literal["WARN", "PAGE"] = "WARN") -> Standing:
    result = DriftResult(
        test=test, outcome="drifted", alpha=0.01, window_blocks=7, reference_blocks=60,
        reason="Miles looks converted.", figures={"target": 0.7, "target_at_least": 0.6, "source": 0.4, "tolerance": 0.02},
    )  # fmt: skip
    told = Alarm(level=level, test=test, reason=result.reason, shifts=())
    judged = Judged(name=test, block=block, result=result, alarm=told)
    return Standing(last=replace(judged, block="2026-03-08"), first=judged)


def incident(signal: Signal, state: State = "open", number: int = 4) -> Incident:
    opened = IncidentEvent(
        incident=number, kind="opened", at=NOW, actor="headframe", text="", signal=signal
    )
    return replace(stories([opened])[number], state=state)


def feed(kind: Literal["missing", "empty", "volume"] = "missing") -> Signal:
    (found,) = of_feed(
        "parcels", [replace(MISSING, kind=kind)], owner="x", at=NOW, paging=True, runbook=""
    )
    return found


def failed(stage: str) -> Signal:
    return of_run(
        "parcels", f"parcels__{stage}", about=(), owner="x", at=NOW, reason="no", runbook=""
    )


def test_harm_comes_before_drift_and_a_broken_rule_is_no_cause() -> None:
    standing = [
        alarm("BlockPermutation 7", "2026-03-01"),
        alarm(HARD_RULES, "2026-03-02", "PAGE"),
        alarm("SegmentContrast", "2026-03-03"),
        alarm(HARM, "2026-03-04", "PAGE"),
    ]
    assert [(cause.kind, cause.since) for cause in causes_of(standing)] == [
        ("harm", "2026-03-04"),
        ("drift", "2026-03-01"),
        ("drift", "2026-03-03"),
    ]


@pytest.mark.parametrize(
    ("signal", "state", "expected"),
    [
        (RULE, "open", ("data is broken, incident 4: miles looks converted",)),
        (RULE, "acknowledged", ("data is broken, incident 4: miles looks converted",)),
        (RULE, "mitigated", ()),
        (RULE, "resolved", ()),
        (replace(RULE, kind="drift"), "open", ()),
        (replace(RULE, use_case="machines"), "open", ()),
        (feed(), "open", ("data is broken, incident 4: plan: MISSING 2026-03-08",)),
        (feed("empty"), "open", ("data is broken, incident 4: plan: MISSING 2026-03-08",)),
        (feed("volume"), "open", ()),
        (failed("ingest"), "open", ("data is broken, incident 4: parcels__ingest failed: no",)),
        (failed("train"), "open", ()),
        (failed("score"), "open", ()),
    ],
)
def test_data_is_broken_while_an_incident_says_so_that_nobody_mitigated(
    signal: Signal, state: State, expected: tuple[str, ...]
) -> None:
    assert broken_data("parcels", [incident(signal, state)], []) == expected


def test_what_no_incident_tells_of_is_broken_too() -> None:
    rule = [alarm(HARD_RULES, "2026-03-08", "PAGE")]
    assert broken_data("parcels", [], rule, [MISSING]) == (
        "data is broken: miles looks converted",
        "data is broken: plan: MISSING 2026-03-08",
    )
    unusual = replace(MISSING, kind="volume")
    assert broken_data("parcels", [], [alarm(HARM, "2026-03-08")], [unusual]) == ()


def test_what_a_person_mitigated_does_not_come_back_by_another_way() -> None:
    mitigated = [incident(RULE, "mitigated", 4), incident(feed(), "mitigated", 5)]
    rule = [alarm(HARD_RULES, "2026-03-08", "PAGE")]
    assert broken_data("parcels", mitigated, rule, [MISSING]) == ()
    later = replace(MISSING, slot="2026-03-09")
    assert broken_data("parcels", mitigated, rule, [later]) == (
        "data is broken: plan: MISSING 2026-03-08",
    )
