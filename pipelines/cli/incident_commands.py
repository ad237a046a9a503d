"""Incident commands: `headframe incident list`, `show`, `acknowledge`, `mitigate`, `resolve`, `postmortem`."""

import getpass
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.incidents import Event, EventKind, Incident
from pipelines.domain.postmortem import draft, shown
from pipelines.errors import HeadframeError, Problem, SettingsError

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The incident's number.")]
By = Annotated[str, typer.Option("--by", help="Who does it. Default: the user of this terminal.")]
At = Annotated[
    str, typer.Option("--at", help="When it was done (ISO time with offset). Default: now.")
]
Note = Annotated[str, typer.Option(help="What was done, in a sentence.")]
Cause = Annotated[str, typer.Option(help="What caused it, in a sentence.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]

COLOURS = {"PAGE": "bold red", "WARN": "yellow"}

incident = typer.Typer(help="Alarms grouped by cause: list, show, take, end.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    incident.command("list")(list_incidents)
    incident.command()(show)
    incident.command()(acknowledge)
    incident.command()(mitigate)
    incident.command()(resolve)
    incident.command()(postmortem)
    app.add_typer(incident, name="incident")


def list_incidents(
    use_case: Annotated[str, typer.Argument()] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List incidents that are not resolved, newest first."""
    with fail_on(HeadframeError):
        found = [
            one
            for one in reversed(incident_ledger.incidents(Settings()).values())
            if use_case in ("", one.use_case) and (everything or one.state != "resolved")
        ]
    if as_json:
        _write([_plain(one) for one in found])
        return
    columns = ("", "severity", "state", "use case", "owner", "began (UTC)", "recovered in", "what")
    grid = Grid(*columns, box=None, pad_edge=False)
    for one in found:
        grid.add_row(
            str(one.number),
            Text(one.severity, style=COLOURS[one.severity]),
            one.state,
            one.use_case,
            one.owner,
            f"{one.began_at:%Y-%m-%d %H:%M}",
            shown(one.time_to_recover),
            Text(one.title, overflow="ellipsis", no_wrap=True),
        )
    console.print(grid if found else "No incident is open.")


def show(number: Number, *, as_json: AsJson = False) -> None:
    """Show an incident's story: what was seen, who did what, and how long it took."""
    with fail_on(HeadframeError):
        one = _find(Settings(), number)
    if as_json:
        _write(_plain(one))
        return
    head = Text(f"{one.severity} ", style=COLOURS[one.severity])
    console.print(head + Text(f"incident {one.number}, {one.state}: {one.title}", style="default"))
    console.print(
        f"use case {one.use_case}, owner {one.owner}; detected in {shown(one.time_to_detect)}, "
        f"acknowledged in {shown(one.time_to_acknowledge)}, "
        f"recovered in {shown(one.time_to_recover)}",
        highlight=False,
    )
    for event in one.events:
        console.print(
            Text(f"  {event.at:%Y-%m-%d %H:%M}  {event.kind:<12} {event.actor}: {event.text}"),
            soft_wrap=True,
        )
    for runbook in dict.fromkeys(signal.runbook for signal in one.seen if signal.runbook):
        console.print(Text(f"  runbook: {runbook}"), soft_wrap=True)


def acknowledge(number: Number, *, by: By = "", at: At = "") -> None:
    """Take an incident: from now on the others know that somebody looks."""
    _tell(number, "acknowledged", "takes it", by=by, at=at)


def mitigate(number: Number, *, note: Note, by: By = "", at: At = "") -> None:
    """Say that it does no more harm, though its cause may remain."""
    _tell(number, "mitigated", note, by=by, at=at)


def resolve(number: Number, *, cause: Cause, by: By = "", at: At = "") -> None:
    """Close an incident with its cause; the same alarm later opens a new one."""
    _tell(number, "resolved", cause, by=by, at=at)


def postmortem(
    number: Number,
    *,
    output: Annotated[Path | None, typer.Option(help="Write it to this new file.")] = None,
) -> None:
    """Print the draft of a blameless post-mortem: the facts filled in, the questions open."""
    with fail_on(HeadframeError):
        text = draft(_find(Settings(), number))
        if output is None:
            sys.stdout.write(text)
            return
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise SettingsError(
                Problem(
                    where="--output",
                    expected="a new file in a folder that exists",
                    found=f"{output} ({error.strerror})",
                    fix="Name another file: a draft that people wrote in is not written over.",
                )
            ) from error
    console.print(f"Written to {output}.", highlight=False)


def _tell(number: int, kind: EventKind, text: str, *, by: str, at: str) -> None:
    settings = Settings()
    with fail_on(HeadframeError):
        moment = _moment(at) if at else datetime.now(UTC)
        event = Event(
            incident=number, kind=kind, at=moment, actor=by or getpass.getuser(), text=text
        )

        def decide(so_far: dict[int, Incident]) -> list[Event]:
            one = so_far.get(number)
            if one is None:
                raise _unknown(number)
            if one.state == "resolved":
                raise SettingsError(
                    Problem(
                        where=f"incident {number}",
                        expected="one that is not resolved",
                        found=f"resolved at {one.resolved_at:%Y-%m-%d %H:%M} UTC",
                        fix="If it is back, its next alarm opens a new incident.",
                    )
                )
            if moment < one.detected_at:
                raise SettingsError(
                    Problem(
                        where="--at",
                        expected=f"a time after it was seen, {one.detected_at.isoformat()}",
                        found=moment.isoformat(),
                        fix="Correct the option, or leave it out for now.",
                    )
                )
            return [event]

        incident_ledger.append(settings, decide)
        one = _find(settings, number)
    console.print(f"Incident {number} is {one.state}.", highlight=False)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise SettingsError(
            Problem(
                where="--at",
                expected="an ISO time with its offset, such as 2013-04-01T09:00:00Z",
                found=repr(text),
                fix="Correct the option.",
            )
        )
    return found.astimezone(UTC)


def _find(settings: Settings, number: int) -> Incident:
    found = incident_ledger.incidents(settings).get(number)
    if found is None:
        raise _unknown(number)
    return found


def _unknown(number: int) -> SettingsError:
    return SettingsError(
        Problem(
            where=f"incident {number}",
            expected="the number of an incident",
            found="none of that number",
            fix="`headframe incident list --all` shows them.",
        )
    )


def _plain(one: Incident) -> dict[str, object]:
    plain = asdict(one)
    for name in ("time_to_detect", "time_to_acknowledge", "time_to_recover"):
        length = getattr(one, name)
        plain[f"{name}_s"] = None if length is None else length.total_seconds()
    return plain


def _write(content: object) -> None:
    sys.stdout.write(json.dumps(content, default=str) + "\n")
