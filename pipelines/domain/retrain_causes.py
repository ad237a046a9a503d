"""Retrain causes: which standing alarms call for a training, and which say that data is broken."""

from collections.abc import Iterable

from pipelines.domain.change_text import change_text
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.incidents import Incident, Signal
from pipelines.domain.monitored import HARD_RULES, HARM, Standing
from pipelines.domain.retrain_policy import Cause
from pipelines.domain.signals import dag, table

BROKEN = ("rule", "feed")
"""Kinds of alarm about data that a model would learn wrong things from, or miss."""

UNUSUAL = "volume"
"""What is wrong with a feed that only has more or fewer rows than usual: its rows are right."""


def causes_of(
    standing: Iterable[Standing], *, prediction: str = "", loss: str = "log loss"
) -> tuple[Cause, ...]:
    """Return what the alarms that stand call for, the gravest first: harm, then drift.

    Harm is the sequential bound on final labels; what is over calls for nothing. Drift is an alarm that has a consequence: a shift
    of inputs or prediction at WARN or above, or a loss that rose inside a segment. A broken hard rule
    is neither. ``prediction`` and ``loss`` are called so in the reason.
    """
    found = []
    for alarm in standing:
        over = alarm.last.name == HARM and alarm.calm is not None
        if alarm.last.name == HARD_RULES or over:
            continue
        told = change_text(alarm.first, prediction=prediction, loss=loss)
        found.append(
            Cause(
                kind="harm" if alarm.last.name == HARM else "drift",
                reason=f"since block {alarm.first.block}: {told}",
                since=alarm.first.block,
            )
        )
    return tuple(sorted(found, key=lambda cause: (cause.kind != "harm", cause.since)))


def broken_data(
    use_case: str,
    incidents: Iterable[Incident],
    standing: Iterable[Standing],
    findings: Iterable[FeedFinding] = (),
) -> tuple[str, ...]:
    """Return why data is broken now, a sentence each; what a person mitigated does not count.

    It is broken while an incident that nobody mitigated holds a broken hard rule, a delivery that is
    missing or empty, or an ingest that failed (it refused a file, or a critical check did); and while
    a hard rule stands, or a feed is found so, that no incident tells of.
    """
    own = [incident for incident in incidents if incident.use_case == use_case]
    told = {_subject(signal) for incident in own for signal in incident.standing}
    found = [
        f"data is broken, incident {incident.number}: {signal.text.rstrip('.')}"
        for incident in own
        if incident.state in ("open", "acknowledged")
        for signal in incident.standing
        if _is_broken(use_case, signal)
    ]
    if not any(kind == "rule" for kind, *_ in told):
        rules = (alarm for alarm in standing if alarm.last.name == HARD_RULES)
        found += [f"data is broken: {change_text(alarm.last)}" for alarm in rules]
    for finding in findings:
        subject = "feed", table(finding.table), f"{finding.kind} {finding.slot}"
        if finding.kind != UNUSUAL and subject not in told:
            found.append(f"data is broken: {finding.table}: {finding.text.rstrip('.')}")
    return tuple(found)


def _subject(signal: Signal) -> tuple[str, str, str]:
    """Return the kind of a signal, what it is about, and which of these it is."""
    return signal.kind, signal.about[0], signal.which


def _is_broken(use_case: str, signal: Signal) -> bool:
    if signal.kind == "run":
        return dag(f"{use_case}__ingest") in signal.about
    return signal.kind in BROKEN and not signal.which.startswith(UNUSUAL)
