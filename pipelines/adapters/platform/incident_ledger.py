"""The incident ledger: every event of every incident, in order; what was told of it, told once."""

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.domain.incidents import (
    PLATFORM,
    Event,
    Incident,
    Signal,
    events_of,
    stories,
    untold,
)

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "incidents"

TITLE_CHARACTERS = 100
"""Of what a message's title says; its body says all."""


def incidents(settings: Settings) -> dict[int, Incident]:
    """Return every incident by number, oldest first."""
    return stories(_events(settings))


def report(
    settings: Settings,
    *,
    at: datetime,
    signals: Sequence[Signal] = (),
    looked_at: Sequence[str] = (),
) -> list[Incident]:
    """Record what is wrong and what no longer is; return the incidents that this changed.

    ``looked_at`` holds areas (``Signal.area``) that were looked at as a whole: what was wrong there
    and is not among ``signals`` is over. ``at`` (UTC) is when that was seen. What was recorded
    before is not recorded again. One message goes out for each incident that is new, came back after
    it was over, or became worse, after it is in the ledger; one that a kill kept back goes out with
    the next report, and a kill between message and note sends it twice rather than never. Processes of
    one home tell in turn.
    """

    def decide(so_far: dict[int, Incident]) -> list[Event]:
        return events_of(signals, looked_at, list(so_far.values()), at=at)

    added = append(settings, decide) if signals or looked_at else []
    if any(untold(incident) for incident in incidents(settings).values()):
        with _alone(settings):
            # Another process may have told them while this one waited.
            for incident in incidents(settings).values():
                if untold(incident):
                    _tell(settings, incident, at)
    changed = {event.incident for event in added}
    if not changed:
        return []
    return [found for number, found in incidents(settings).items() if number in changed]


def append(
    settings: Settings, decide: Callable[[dict[int, Incident]], Sequence[Event]]
) -> Sequence[Event]:
    """Append the events that ``decide`` makes of the incidents so far, and return them.

    ``decide`` is asked again when another process wrote first, so what it saw still holds when
    its events are written.
    """
    import pyarrow as pa

    written: list[Event] = []

    def make(number: int) -> delta_tables.Change | None:
        so_far = _events(settings) if number else []
        written[:] = decide(stories(so_far))
        rows = [_row(event, len(so_far) + place) for place, event in enumerate(written, start=1)]
        if not rows:
            return None
        metadata = {"events": len(rows)}
        changed = pa.Table.from_pylist(rows, schema=_schema())
        return delta_tables.Change(rows=changed, metadata=metadata)

    delta_tables.commit_next(lake.ledger(settings, "incidents"), _schema(), SEQUENCE, make)
    return written


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let no other process of this home tell meanwhile; the lock of a killed one is free."""
    path = settings.root / "incidents.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tell(settings: Settings, incident: Incident, at: datetime) -> None:
    severity, again = incident.now, any(event.kind == "told" for event in incident.events)
    how = " now" if incident.told else " again" if again else ""
    # What came back may be something else than what it began with.
    title = incident.seen[-1].text if how == " again" else incident.title
    failpoint("incident.before_message")
    notifications.notify(
        settings,
        f"{severity}{how}, incident {incident.number}: "
        + shorten(title, TITLE_CHARACTERS, placeholder=" ..."),
        _message(incident),
    )
    failpoint("incident.between_message_and_note")

    def note(so_far: dict[int, Incident]) -> list[Event]:
        if not untold(so_far[incident.number]):
            return []
        text = f"{incident.owner} was told, as {severity}"
        return [Event(incident=incident.number, kind="told", at=at, actor=PLATFORM, text=text)]

    append(settings, note)


def _message(incident: Incident) -> str:
    first, *others = incident.seen
    lines = [
        f"use case {incident.use_case}, owner {incident.owner}",
        first.text,
        *first.details,
        # Once each: what comes and goes is seen often.
        *dict.fromkeys(
            line for signal in others for line in (f"also: {signal.text}", *signal.details)
        ),
        f"began {incident.began_at:%Y-%m-%d %H:%M} UTC, "
        f"seen {incident.detected_at:%Y-%m-%d %H:%M} UTC",
        *dict.fromkeys(f"Runbook: {s.runbook}" for s in incident.seen if s.runbook),
        f"headframe incident show {incident.number}",
    ]
    return "\n".join(lines)


def _events(settings: Settings) -> list[Event]:
    table = lake.ledger(settings, "incidents")
    if not delta_tables.exists(table):
        return []
    rows = sorted(delta_tables.read(table).to_pylist(), key=lambda row: row["sequence"])
    return [_event(row) for row in rows]


def _row(event: Event, sequence: int) -> dict[str, Any]:
    plain = asdict(event)
    signal = plain.pop("signal")
    told = None if signal is None else json.dumps(signal, default=lambda moment: moment.isoformat())
    return {**plain, "sequence": sequence, "signal": told}


def _event(row: dict[str, Any]) -> Event:
    signal = None
    if row["signal"] is not None:
        plain = json.loads(row["signal"])
        plain |= {name: tuple(plain[name]) for name in ("about", "details")}
        for name in ("at", "since"):
            plain[name] = plain[name] and datetime.fromisoformat(plain[name])
        signal = Signal(**plain)
    return Event(
        incident=row["incident"],
        kind=row["kind"],
        at=row["at"].astimezone(UTC),
        actor=row["actor"],
        text=row["text"],
        signal=signal,
    )


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("sequence", pa.int64()),
            ("incident", pa.int64()),
            ("kind", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("actor", pa.string()),
            ("text", pa.string()),
            ("signal", pa.string()),
        ]
    )
