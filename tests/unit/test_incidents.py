"""Incidents: what becomes one story, what ends it, and its times."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from pipelines.domain.feeds import FeedFinding
from pipelines.domain.incidents import (
    Event,
    EventKind,
    Incident,
    Severity,
    Signal,
    events_of,
    stories,
    untold,
)
from pipelines.domain.postmortem import draft
from pipelines.domain.signals import (
    feed_area,
    gates_area,
    of_feed,
    of_gates,
    of_run,
    run_area,
)
from pipelines.domain.verdict import Outcome, Verdict


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, tzinfo=UTC)


def alarm(
    kind: str,
    *about: str,
    hour: int = 9,
    use_case: str = "till",
    severity: Severity = "WARN",
    since: datetime | None = None,
) -> Signal:
    return Signal(
        use_case=use_case,
        kind=kind,
        about=about,
        severity=severity,
        owner="shop",
        text=kind,
        at=at(hour),
        since=since,
    )


def told(*steps: tuple[list[Signal], list[str], datetime]) -> dict[int, Incident]:
    """Return the incidents after each step reported its signals and the areas it looked at."""
    events: list[Event] = []
    for signals, areas, when in steps:
        events += events_of(signals, areas, list(stories(events).values()), at=when)
    return stories(events)


def by_person(incident: int, kind: EventKind, hour: int, minute: int = 0) -> Event:
    return Event(incident=incident, kind=kind, at=at(hour, minute), actor="ada", text="looks")


def test_alarms_that_share_a_subject_are_one_incident() -> None:
    late = alarm("feed", "table:orders", since=at(6))
    failed = alarm("run", "dag:till__score", "table:orders", hour=10, severity="PAGE")
    (one,) = told(([late], [], at(9)), ([failed], [], at(10))).values()
    assert (one.severity, one.began_at, one.detected_at) == ("PAGE", at(6), at(9))
    assert [event.kind for event in one.events] == ["opened", "signal"]
    assert one.time_to_detect == timedelta(hours=3)


@pytest.mark.parametrize(
    "other",
    [
        alarm("feed", "table:prices"),
        alarm("feed", "table:orders", use_case="bakery"),
    ],
)
def test_another_table_or_use_case_is_another_incident(other: Signal) -> None:
    found = told(([alarm("feed", "table:orders"), other], [], at(9)))
    assert [one.use_case for one in found.values()] == ["till", other.use_case]


def test_the_same_alarm_again_adds_nothing_until_it_is_worse() -> None:
    warned = alarm("volume", "predictions")
    again = alarm("volume", "predictions", hour=10)
    paged = alarm("volume", "predictions", hour=11, severity="PAGE")
    (one,) = told(
        ([warned], [], at(9)), ([again], [], at(10)), ([paged], [], at(11)), ([paged], [], at(12))
    ).values()
    assert [(event.kind, event.at) for event in one.events] == [
        ("opened", at(9)),
        ("signal", at(11)),
    ]
    assert one.severity == "PAGE"


def test_a_warning_ends_by_itself_when_its_last_signal_is_over() -> None:
    late, odd = alarm("feed", "table:orders"), alarm("volume", "predictions", "table:orders")
    (half,) = told(([late, odd], [], at(9)), ([], [late.area], at(10))).values()
    (whole,) = told(
        ([late, odd], [], at(9)), ([], [late.area], at(10)), ([], [odd.area], at(11))
    ).values()
    assert (half.state, half.standing) == ("open", (odd,))
    assert (whole.state, whole.mitigated_at, whole.resolved_at) == ("resolved", at(11), at(11))
    assert whole.time_to_recover == timedelta(hours=2)


def test_what_is_still_found_where_it_was_looked_for_is_not_over() -> None:
    slots = [replace(alarm("feed", "table:orders"), which=slot) for slot in ("03-01", "03-02")]
    (one,) = told((slots, [], at(9)), (slots[1:], [slots[0].area], at(10))).values()
    assert one.standing == (slots[1],)


def test_a_page_that_ended_waits_for_a_person_to_close_it() -> None:
    paged = alarm("run", "dag:till__score", severity="PAGE")
    (one,) = told(([paged], [], at(9)), ([], ["till/run:dag:till__score"], at(11))).values()
    assert (one.state, one.mitigated_at, one.resolved_at) == ("mitigated", at(11), None)


def test_what_comes_back_before_it_was_closed_is_the_same_incident_and_not_over() -> None:
    paged = alarm("run", "dag:till__score", severity="PAGE")
    back = alarm("run", "dag:till__score", severity="PAGE", hour=12)
    cleared = ["till/run:dag:till__score"]
    (one,) = told(([paged], [], at(9)), ([], cleared, at(11)), ([back], [], at(12))).values()
    assert (one.state, one.mitigated_at, one.time_to_recover) == ("open", None, None)


def test_what_comes_back_after_it_was_closed_is_a_new_incident() -> None:
    warned, back = alarm("volume", "predictions"), alarm("volume", "predictions", hour=12)
    found = told(
        ([warned], [], at(9)), ([], ["till/volume:predictions"], at(10)), ([back], [], at(12))
    )
    assert [one.state for one in found.values()] == ["resolved", "open"]


@pytest.mark.parametrize("severity", ["WARN", "PAGE"])
def test_what_a_person_closed_stays_closed_when_its_alarm_is_over(severity: Severity) -> None:
    found = alarm("harm", "model", severity=severity)
    events = [*events_of([found], [], [], at=at(9)), by_person(1, "resolved", 10)]
    after = events_of([], [found.area], [stories(events)[1]], at=at(11))
    (one,) = stories([*events, *after]).values()
    assert [event.kind for event in after] == ["cleared"]
    assert (one.state, one.standing, one.time_to_recover) == ("resolved", (), timedelta(hours=1))


def test_a_signal_is_not_cleared_by_the_run_that_saw_it() -> None:
    warned = alarm("volume", "predictions")
    (one,) = told(([warned], ["till/volume:predictions"], at(9))).values()
    assert one.standing == (warned,)


def test_the_times_of_a_persons_work_are_the_first_ones() -> None:
    events = events_of([alarm("run", "dag:x", since=at(8, 30))], [], [], at=at(9))
    events += [by_person(1, "acknowledged", 9, 10), by_person(1, "acknowledged", 9, 50)]
    events += [by_person(1, "mitigated", 10), by_person(1, "resolved", 12)]
    (one,) = stories(events).values()
    assert one.time_to_detect == timedelta(minutes=30)
    assert one.time_to_acknowledge == timedelta(minutes=10)
    assert one.time_to_recover == timedelta(minutes=90)
    assert one.state == "resolved"


def test_somebody_is_told_once_and_again_only_when_it_becomes_worse() -> None:
    events = events_of([alarm("volume", "predictions")], [], [], at=at(9))
    note = Event(incident=1, kind="told", at=at(9), actor="headframe", text="told")
    worse = alarm("harm", "predictions", hour=10, severity="PAGE")
    before = stories(events)[1]
    after = stories([*events, note])[1]
    raised = events_of([worse], [], [after], at=at(10))
    assert (untold(before), untold(after)) == (True, False)
    assert untold(stories([*events, note, *raised])[1])
    assert not untold(stories([*events, note, *raised, note])[1])


def told_of(*found: Event) -> Event:
    return Event(incident=1, kind="told", at=found[-1].at, actor="headframe", text="told")


@pytest.mark.parametrize(
    ("what", "severity", "worse"),
    [("feature:depot", "PAGE", False), ("feature:miles", "PAGE", False), ("price", "WARN", True)],
)
def test_what_comes_back_after_it_was_over_is_told_again_as_grave_as_it_is_now(
    what: str,
    severity: Severity,
    worse: bool,  # noqa: FBT001 - a table of cases
) -> None:
    paged = alarm("rule", "inputs", "feature:miles", severity="PAGE")
    events = events_of([paged], [], [], at=at(9))
    events += [told_of(*events)]
    events += events_of([], [paged.area], [stories(events)[1]], at=at(11))
    assert (stories(events)[1].state, untold(stories(events)[1])) == ("mitigated", False)
    back = replace(alarm("rule", "inputs", what, hour=15, severity=severity), which=what)
    events += events_of([back], [paged.area], [stories(events)[1]], at=at(15))
    (one,) = stories(events).values()
    assert (one.state, one.severity, one.now) == ("open", "PAGE", severity)
    assert untold(one)
    events += [told_of(*events)]
    assert not untold(stories(events)[1])
    events += events_of([replace(paged, at=at(16))], [], [stories(events)[1]], at=at(16))
    assert untold(stories(events)[1]) is worse


def test_an_alarm_stands_in_one_incident_though_a_later_one_ties_two_together() -> None:
    late, drift = alarm("feed", "table:weather"), alarm("drift", "inputs", "feature:temp", hour=10)
    broken = alarm("rule", "inputs", "table:weather", hour=11)
    looked = [drift.area, broken.area]
    found = told(
        ([late], [], at(9)),
        ([drift], looked, at(10)),
        ([drift, broken], looked, at(11)),
        ([drift, broken], looked, at(12)),
    )
    assert [one.standing for one in found.values()] == [(late, broken), (drift,)]


@pytest.mark.parametrize(
    ("kind", "paging", "severity"),
    [
        ("missing", True, "PAGE"),
        ("empty", True, "PAGE"),
        ("volume", True, "WARN"),
        ("missing", False, "WARN"),
    ],
)
def test_a_missing_delivery_pages_where_nothing_is_scored_without_it(
    kind: Literal["missing", "empty", "volume"],
    paging: bool,  # noqa: FBT001 - a table of cases
    severity: str,
) -> None:
    finding = FeedFinding(table="orders", kind=kind, slot="d", since=at(6), text="t")
    (found,) = of_feed("till", [finding], owner="shop", at=at(9), paging=paging, runbook="r")
    # A run of score that fails for it is the same incident.
    stopped = ("dag:till__score",) if severity == "PAGE" else ()
    assert (found.severity, found.since) == (severity, at(6))
    assert found.about == ("table:orders", *stopped)


def test_a_finding_about_a_feed_lies_in_the_area_of_its_table() -> None:
    finding = FeedFinding(table="orders", kind="missing", slot="d", since=at(6), text="t")
    (found,) = of_feed("till", [finding], owner="shop", at=at(9), paging=False, runbook="r")
    assert found.area == feed_area("till", "orders")


def test_a_failed_run_is_cleared_by_the_next_good_one() -> None:
    failed = of_run(
        "till",
        "till__ingest",
        about=["table:orders"],
        owner="shop",
        at=at(9),
        reason="r",
        runbook="",
    )
    assert failed.severity == "PAGE"
    assert failed.area == run_area("till", "till__ingest")


def verdict(gate: str, outcome: Outcome) -> Verdict:
    return Verdict(gate=gate, outcome=outcome, reason="worse by 0.1", figures={})


def test_a_challenger_that_is_merely_no_better_is_no_alarm() -> None:
    verdicts = [verdict("BeatsBaseline", "passed"), verdict("BeatsChampion", "failed")]
    assert of_gates("till", "7", verdicts, owner="shop", at=at(9), runbook="") is None


def test_any_other_gate_that_failed_is_a_warning() -> None:
    verdicts = [verdict("BeatsBaseline", "failed"), verdict("BeatsChampion", "failed")]
    found = of_gates("till", "7", verdicts, owner="shop", at=at(9), runbook="")
    assert found is not None
    assert found.text == "candidate 7 failed BeatsBaseline: worse by 0.1"
    assert found.area == gates_area("till")


def test_the_draft_of_a_post_mortem_tells_the_facts_and_leaves_the_questions_open() -> None:
    (one,) = told(([alarm("feed", "table:orders", since=at(6))], [], at(9))).values()
    text = draft(one)
    assert "# Incident 1: feed" in text
    assert "| time to detect | 3 h |" in text
    assert "| time to recover | not yet |" in text
    assert "- 2026-03-01 09:00 **opened** by headframe: feed" in text
    assert text.count("<!--") == 4
