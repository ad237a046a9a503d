"""Incidents: alarms about one cause grouped into one story, with its times and what was done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["WARN", "PAGE"]
"""Of an alarm: a consequence, or harm and broken promises. What is merely real (INFO) is no alarm."""

State: TypeAlias = Literal["open", "acknowledged", "mitigated", "resolved"]

EventKind: TypeAlias = Literal[
    "opened", "signal", "cleared", "acknowledged", "mitigated", "resolved", "told"
]

PLATFORM = "headframe"
"""Actor of what no person did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing that is wrong: what ``kind`` of alarm, about what, since when, seen when.

    ``about`` names what it concerns, the first being its own subject: ``table:schedule``,
    ``dag:flight_delays__score``, ``model``. Signals of a use case that share a subject are one
    incident. ``since`` is when the fault began, where that is known, and ``at`` when it was seen
    (both UTC).
    """

    use_case: str
    kind: str
    about: tuple[str, ...]
    severity: Severity
    owner: str
    text: str
    at: datetime
    since: datetime | None = None
    details: tuple[str, ...] = ()
    which: str = ""
    runbook: str = ""

    @property
    def area(self) -> str:
        """Where it was looked for: whoever looks there again sees whether it still holds."""
        return f"{self.use_case}/{self.kind}:{self.about[0]}"

    @property
    def key(self) -> str:
        """What is the same when the same thing is seen again."""
        return f"{self.area}:{self.which}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of an incident's story: what happened, when (UTC), by whom, in which words."""

    incident: int
    kind: EventKind
    at: datetime
    actor: str
    text: str
    signal: Signal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What its events amount to. ``standing`` holds the signals that were not cleared.

    ``severity`` is the worst there ever was, ``now`` the worst since it began, or last came back after
    it was over; ``told`` is how grave it was when somebody was told of that last, None where nobody was.
    """

    number: int
    use_case: str
    owner: str
    severity: Severity
    state: State
    title: str
    began_at: datetime
    detected_at: datetime
    acknowledged_at: datetime | None = None
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    now: Severity = "WARN"
    told: Severity | None = None
    standing: tuple[Signal, ...] = ()
    seen: tuple[Signal, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def subjects(self) -> frozenset[str]:
        """Everything its signals are about."""
        return frozenset(name for signal in self.seen for name in signal.about)

    @property
    def time_to_detect(self) -> timedelta:
        """From the fault's beginning until it was seen."""
        return self.detected_at - self.began_at

    @property
    def time_to_acknowledge(self) -> timedelta | None:
        """From when it was seen until a person took it."""
        if self.acknowledged_at is None:
            return None
        return self.acknowledged_at - self.detected_at

    @property
    def time_to_recover(self) -> timedelta | None:
        """From the fault's beginning until it did no more harm: mitigated, or else resolved."""
        ended = self.mitigated_at or self.resolved_at
        return None if ended is None else ended - self.began_at


def stories(events: Iterable[Event]) -> dict[int, Incident]:
    """Return every incident that the events, in their order, tell of, by number."""
    found: dict[int, Incident] = {}
    for event in events:
        before = found.get(event.incident)
        found[event.incident] = _opened(event) if before is None else _after(before, event)
    return found


def events_of(
    signals: Sequence[Signal],
    looked_at: Sequence[str],
    incidents: Sequence[Incident],
    *,
    at: datetime,
) -> list[Event]:
    """Return what the signals found in the areas looked at add to the incidents; often nothing.

    A signal joins the unresolved incident of its use case that shares a subject with it, first the
    one in which it stands already, or opens one. Seen again unchanged, it adds nothing. A signal that stood in one of the areas and is not
    among ``signals`` is cleared. An incident whose last signal is cleared is mitigated, and resolved
    as well when it never was more than a warning: a person closes only what paged one.
    """
    numbered = {incident.number: incident for incident in incidents}
    present = {signal.key for signal in signals}
    added: list[Event] = []

    def tell(event: Event) -> None:
        added.append(event)
        before = numbered.get(event.incident)
        numbered[event.incident] = _opened(event) if before is None else _after(before, event)

    for signal in signals:
        same = sorted(
            (i for i in numbered.values() if _joins(signal, i)),
            key=lambda i: signal.key not in {standing.key for standing in i.standing},
        )
        number = same[0].number if same else max(numbered, default=0) + 1
        if same and any(_repeats(signal, standing) for standing in same[0].standing):
            continue
        tell(
            Event(
                incident=number,
                kind="signal" if same else "opened",
                at=signal.at,
                actor=PLATFORM,
                text=signal.text,
                signal=signal,
            )
        )
    for incident in list(numbered.values()):
        over = [
            signal
            for signal in incident.standing
            if signal.area in looked_at and signal.key not in present and signal.at < at
        ]
        for signal in over:
            tell(
                Event(
                    incident=incident.number,
                    kind="cleared",
                    at=at,
                    actor=PLATFORM,
                    text=f"no longer: {signal.text}",
                    signal=signal,
                )
            )
        left = numbered[incident.number]
        if over and not left.standing and left.state != "resolved":
            for event in _ended(left, at):
                tell(event)
    return added


def untold(incident: Incident) -> bool:
    """Tell whether somebody must be told: it is new, came back, or is worse than what was told."""
    if incident.state == "resolved":
        return False
    return incident.told is None or (incident.told == "WARN" and incident.now == "PAGE")


def _joins(signal: Signal, incident: Incident) -> bool:
    return (
        incident.state != "resolved"
        and incident.use_case == signal.use_case
        and not incident.subjects.isdisjoint(signal.about)
    )


def _repeats(signal: Signal, standing: Signal) -> bool:
    return signal.key == standing.key and not (
        signal.severity == "PAGE" and standing.severity == "WARN"
    )


def _opened(event: Event) -> Incident:
    signal = event.signal
    if signal is None:
        raise ValueError(f"incident {event.incident} begins with {event.kind}, without a signal")
    return Incident(
        number=event.incident,
        use_case=signal.use_case,
        owner=signal.owner,
        severity=signal.severity,
        state="open",
        title=signal.text,
        began_at=signal.since or signal.at,
        detected_at=signal.at,
        now=signal.severity,
        standing=(signal,),
        seen=(signal,),
        events=(event,),
    )


def _after(incident: Incident, event: Event) -> Incident:
    incident = replace(incident, events=(*incident.events, event))
    match event.kind:
        case "opened" | "signal":
            return _with_signal(incident, event)
        case "cleared":
            key = event.signal.key if event.signal else ""
            left = tuple(signal for signal in incident.standing if signal.key != key)
            return replace(incident, standing=left)
        case "told":
            return replace(incident, told=incident.now)
        case "acknowledged":
            first = incident.acknowledged_at or event.at
            return replace(incident, state="acknowledged", acknowledged_at=first)
        case "mitigated":
            return replace(incident, state="mitigated", mitigated_at=event.at)
        case "resolved":
            return replace(incident, state="resolved", resolved_at=event.at)


def _with_signal(incident: Incident, event: Event) -> Incident:
    signal = event.signal
    if signal is None:
        return incident
    others = tuple(standing for standing in incident.standing if standing.key != signal.key)
    back = incident.state == "mitigated"
    return replace(
        incident,
        severity=_worse(incident.severity, signal.severity),
        now=signal.severity if back else _worse(incident.now, signal.severity),
        told=None if back else incident.told,
        began_at=min(incident.began_at, signal.since or signal.at),
        standing=(*others, signal),
        seen=(*incident.seen, signal),
        # What comes back was not over; whoever had taken it still has it.
        state=("acknowledged" if incident.acknowledged_at else "open") if back else incident.state,
        mitigated_at=None if back else incident.mitigated_at,
    )


def _worse(one: Severity, other: Severity) -> Severity:
    return "PAGE" if "PAGE" in (one, other) else "WARN"


def _ended(incident: Incident, at: datetime) -> list[Event]:
    def event(kind: EventKind, text: str) -> Event:
        return Event(incident=incident.number, kind=kind, at=at, actor=PLATFORM, text=text)

    ended = []
    if incident.state != "mitigated":
        ended.append(event("mitigated", "nothing of it stands any more"))
    if incident.severity == "WARN":
        ended.append(event("resolved", "a warning that ended by itself"))
    return ended
