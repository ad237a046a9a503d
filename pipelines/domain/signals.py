"""Signals: which findings of the platform are alarms, how grave each is, and what it is about."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pipelines.domain.change_text import change_text
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.incidents import Severity, Signal
from pipelines.domain.monitored import HARD_RULES, Standing
from pipelines.domain.reconciliation import Finding
from pipelines.domain.verdict import Verdict

NO_ALARM = ("BeatsChampion",)
"""Gates whose refusal is an everyday answer: the champion is as good, and stays."""

PAGING_STAGES = ("ingest", "score")
"""DAGs whose failure breaks a promise to somebody outside: rows or predictions are not there."""


def table(name: str) -> str:
    """Return the subject that a table is."""
    return f"table:{name}"


def dag(name: str) -> str:
    """Return the subject that a DAG is."""
    return f"dag:{name}"


def of_feed(
    use_case: str,
    findings: Iterable[FeedFinding],
    *,
    owner: str,
    at: datetime,
    paging: bool,
    runbook: str,
) -> list[Signal]:
    """Return an alarm for each finding about a feed.

    A delivery that is missing or empty pages only where ``paging`` says that nothing is scored
    without it; then it is about scoring, too, whose runs fail for it. An unusual volume never pages.
    """
    return [
        Signal(
            use_case=use_case,
            kind="feed",
            which=f"{finding.kind} {finding.slot}",
            about=(
                table(finding.table),
                *((dag(f"{use_case}__score"),) if paging and finding.kind != "volume" else ()),
            ),
            severity="PAGE" if paging and finding.kind != "volume" else "WARN",
            owner=owner,
            text=f"{finding.table}: {finding.text}",
            at=at,
            since=finding.since,
            runbook=runbook,
        )
        for finding in findings
    ]


def feed_area(use_case: str, name: str) -> str:
    """Return the area of everything about the feed of a table."""
    return f"{use_case}/feed:{table(name)}"


def of_run(
    use_case: str,
    dag_id: str,
    *,
    about: Sequence[str],
    owner: str,
    at: datetime,
    reason: str,
    details: Sequence[str] = (),
    runbook: str,
) -> Signal:
    """Return the alarm of a failed run. ``about`` names what its reason is about, if it says."""
    stage = dag_id.rpartition("__")[2]
    severity: Severity = "PAGE" if stage in PAGING_STAGES else "WARN"
    return Signal(
        use_case=use_case,
        kind="run",
        about=(dag(dag_id), *about),
        severity=severity,
        owner=owner,
        text=f"{dag_id} failed: {reason}",
        at=at,
        details=tuple(details),
        runbook=runbook,
    )


def run_area(use_case: str, dag_id: str) -> str:
    """Return the area of a DAG's runs; one that went well has nothing in it."""
    return f"{use_case}/run:{dag(dag_id)}"


def of_gates(
    use_case: str,
    version: str,
    verdicts: Iterable[Verdict],
    *,
    owner: str,
    at: datetime,
    runbook: str,
) -> Signal | None:
    """Return the alarm of gates that a challenger failed; None when none did that is one."""
    failed = [v for v in verdicts if v.outcome == "failed" and v.gate not in NO_ALARM]
    if not failed:
        return None
    return Signal(
        use_case=use_case,
        kind="gates",
        about=("training",),
        severity="WARN",
        owner=owner,
        text=f"candidate {version} failed {', '.join(v.gate for v in failed)}: {failed[0].reason}",
        at=at,
        runbook=runbook,
    )


def of_probation(
    use_case: str,
    text: str,
    *,
    rolled_back: bool,
    owner: str,
    at: datetime,
    runbook: str,
) -> Signal:
    """Return the alarm of a probation that ended in a roll back, which pages, or without an answer.

    It is about what the model does; a run that finds neither any more ends it.
    """
    return Signal(
        use_case=use_case,
        kind="probation",
        about=("model",),
        severity="PAGE" if rolled_back else "WARN",
        owner=owner,
        text=text,
        at=at,
        runbook=runbook,
    )


def of_given_up(use_case: str, text: str, *, owner: str, at: datetime, runbook: str) -> Signal:
    """Return the alarm of a cause that retraining did not help against: part of its own incident."""
    about = ("model", "inputs")
    return _warning(use_case, "retraining", about, text, owner=owner, at=at, runbook=runbook)


def of_reproduction(use_case: str, text: str, *, owner: str, at: datetime, runbook: str) -> Signal:
    """Return the alarm of a champion that was made again and came out otherwise, or not at all."""
    about = ("reproduction",)
    return _warning(use_case, "reproduction", about, text, owner=owner, at=at, runbook=runbook)


def reproduction_area(use_case: str) -> str:
    """Return the area of the proofs that a champion can be made again."""
    return f"{use_case}/reproduction:reproduction"


def of_registry(
    use_case: str, findings: Iterable[Finding], *, owner: str, at: datetime, runbook: str
) -> list[Signal]:
    """Return an alarm for each way in which ledger, registry and files disagree about a champion.

    What stops scoring pages, and is about the runs that fail for it, too.
    """
    return [
        Signal(
            use_case=use_case,
            kind="registry",
            which=finding.what,
            about=("champion", *((dag(f"{use_case}__score"),) if finding.stops else ())),
            severity="PAGE" if finding.stops else "WARN",
            owner=owner,
            text=f"{finding.problem.where}: expected {finding.problem.expected}; "
            f"found {finding.problem.found}",
            details=(finding.problem.fix,),
            at=at,
            runbook=runbook,
        )
        for finding in findings
    ]


def registry_area(use_case: str) -> str:
    """Return the area of everything that reconciling finds about a use case's champions."""
    return f"{use_case}/registry:champion"


def of_standing(
    use_case: str,
    standing: Iterable[Standing],
    *,
    owner: str,
    at: datetime,
    prediction: str = "",
    loss: str = "log loss",
    runbook: str,
) -> list[Signal]:
    """Return an alarm for each that stands about the champion's inputs or its performance.

    Its text says in words what changed when it began, its details what the test found.
    ``prediction`` names the column of what the model says, ``loss`` how its loss is called.

    All about the inputs are one incident, together with the late tables that may explain them; so is
    what the model does worse while they are open.
    """
    return [
        Signal(
            use_case=use_case,
            kind=WATCHED[alarm.last.name],
            which=_which(alarm),
            about=(
                alarm.last.subject,
                *(("inputs",) if alarm.last.subject == "model" else ()),
                *dict.fromkeys(f"feature:{name}" for name in _blamed(alarm)),
                *alarm.first.about,
            ),
            severity="PAGE" if alarm.last.level == "PAGE" else "WARN",
            owner=owner,
            text=f"{change_text(alarm.first, prediction=prediction, loss=loss)}.",
            details=(alarm.first.result.reason,),
            at=at,
            since=alarm.since,
            runbook=runbook,
        )
        for alarm in standing
    ]


WATCHED = {
    "HardRules": "rule",
    "BlockPermutation 1": "drift",
    "BlockPermutation 7": "drift",
    "SegmentContrast": "performance",
    "Harm": "harm",
}
"""Kind of the alarm of each test."""


def watched_areas(use_case: str) -> list[str]:
    """Return the areas of everything that a run of monitor judges about the champion."""
    return [
        f"{use_case}/{kind}:{subject}"
        for kind, subject in (
            ("rule", "inputs"),
            ("drift", "inputs"),
            ("performance", "model"),
            ("harm", "model"),
        )
    ]


def _blamed(alarm: Standing) -> list[str]:
    """Return the columns that an alarm about inputs names; a segment is no column."""
    told = alarm.last.alarm
    if told is None or alarm.last.subject == "model":
        return []
    return list(dict.fromkeys(shift.column for shift in told.shifts))


def _which(alarm: Standing) -> str:
    """Return what is the same while an alarm stands: another broken column is another alarm."""
    if alarm.last.name != HARD_RULES:
        return alarm.last.name
    return f"{HARD_RULES} {','.join(sorted(_blamed(alarm)))}"


def of_budget(use_case: str, text: str, *, owner: str, at: datetime, runbook: str) -> Signal:
    """Return the alarm of a month that has cost most of what it may, or more."""
    about = ("budget",)
    return _warning(use_case, "budget", about, text, owner=owner, at=at, runbook=runbook)


def gates_area(use_case: str) -> str:
    """Return the area of what the gates say of challengers."""
    return f"{use_case}/gates:training"


def _warning(
    use_case: str,
    kind: str,
    about: tuple[str, ...],
    text: str,
    *,
    owner: str,
    at: datetime,
    runbook: str,
) -> Signal:
    return Signal(
        use_case=use_case,
        kind=kind,
        about=about,
        severity="WARN",
        owner=owner,
        text=text,
        at=at,
        runbook=runbook,
    )
