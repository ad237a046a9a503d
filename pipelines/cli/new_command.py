"""New command: `headframe new`, from sample files to a use case that can be checked and run."""

import re
import sys
from collections.abc import Sequence
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import console, errors, fail_on
from pipelines.domain.contract_problems import timezone_problems
from pipelines.domain.drafting import Wishes
from pipelines.errors import HeadframeError, Problem, SettingsError
from pipelines.stages import new as stage

UNITS = {"d": "days", "h": "hours", "m": "minutes"}
"""Letters of a duration such as 3d."""


def register(app: typer.Typer) -> None:
    """Add the command ``new``."""
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the use case.")],
    *,
    entities: Annotated[
        str,
        typer.Option(metavar="[TABLE=]FILE", help="CSV of what is predicted about, with its time."),
    ] = "",
    outcomes: Annotated[
        str,
        typer.Option(metavar="[TABLE=]FILE", help="CSV of what happened; none: tables only."),
    ] = "",
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="[TABLE=]FILE", help="CSV of one more table; repeatable."),
    ] = None,
    label: Annotated[
        str,
        typer.Option(
            metavar="NAME:RULE", help="What to predict: 'late: minutes > 15', or a bool column."
        ),
    ] = "",
    label_after: Annotated[
        str, typer.Option(metavar="3d", help="When most outcomes are known after the event.")
    ] = "",
    key: Annotated[
        list[str] | None, typer.Option(help="A column that identifies a row; repeatable.")
    ] = None,
    event_time: Annotated[
        str, typer.Option(metavar="COLUMN", help="When what is predicted about happens.")
    ] = "",
    known_at: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=COLUMN", help="When a table's rows were known; repeatable."),
    ] = None,
    at: Annotated[str, typer.Option(metavar="HH:MM", help="Time of day of scoring.")] = "06:00",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Its IANA time zone.")] = "UTC",
    owner: Annotated[str, typer.Option(help="The team that answers for it.")] = "",
    tier: Annotated[
        Literal["scheduled", "governed"],
        typer.Option(help="Promoted by the gates alone, or by a person too."),
    ] = "scheduled",
) -> None:
    """Draft a use case from sample files: its DAG file, suites and tests; nothing is overwritten."""
    settings = Settings()
    with fail_on(HeadframeError):
        entities = entities or _asked("CSV file of what is predicted about", "--entities")
        if not outcomes and not label and sys.stdin.isatty():
            outcomes = typer.prompt("CSV file of what happened (empty: tables only)", default="")
        if outcomes and not label:
            label = _asked("What to predict, such as 'late: minutes > 15'", "--label")
        owner = owner or _asked("Owning team", "--owner")
        made = stage.new(
            settings,
            Wishes(
                name=name,
                owner=owner,
                tier=tier,
                key=tuple(key or ()),
                event_time=event_time,
                known_at=dict(_pair("--known-at", text) for text in known_at or ()),
                label=label,
                label_after=_duration(label_after) if label_after else None,
                at=_time(at),
                timezone=_zone(timezone),
            ),
            entities=_sample(entities),
            outcomes=_sample(outcomes) if outcomes else None,
            others=[_sample(text) for text in table or ()],
        )
    _tell(made, settings)


def _asked(question: str, option: str) -> str:
    """Ask on a terminal; elsewhere raise SettingsError for the option that is missing."""
    if sys.stdin.isatty():
        answer: str = typer.prompt(question)
        return answer
    raise SettingsError(_problem(option, "a value", "none", f"{question}: give {option}."))


def _sample(text: str) -> stage.Sample:
    """Read ``TABLE=FILE``, or a file alone, which may have an equals sign behind a slash."""
    name, equals, file = text.partition("=")
    if equals and "/" not in name:
        return stage.Sample(path=Path(file), name=name)
    return stage.Sample(path=Path(text))


def _pair(option: str, text: str) -> tuple[str, str]:
    table, equals, column = text.partition("=")
    if not (equals and table and column):
        raise SettingsError(
            _problem(option, "TABLE=COLUMN", repr(text), "Name the table and its column.")
        )
    return table, column


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]*)([dhm])", text.strip())
    if not found:
        fix = "3d means three days, 12h twelve hours, 90m ninety minutes."
        raise SettingsError(_problem("--label-after", "a duration such as 3d", repr(text), fix))
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _time(text: str) -> time:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise SettingsError(
            _problem("--at", "a time of day such as 06:00", repr(text), "Write HH:MM.")
        )
    return time.fromisoformat(text)


def _zone(name: str) -> str:
    if problems := list(timezone_problems(name, "--timezone")):
        raise SettingsError(*problems)
    return name


def _tell(made: stage.Made, settings: Settings) -> None:
    """Say what was written, what was guessed and what to look at next."""
    for file in made.files:
        _print(f"wrote {file}")
    rows = ", ".join(f"{table} {count:,}" for table, count in made.rows.items())
    _print(f"\nLearned from the rows of {rows}.")
    if made.guesses:
        _print("Guessed, and marked in the file:")
        _list(made.guesses)
    if made.without_rules:
        names = ", ".join(made.without_rules)
        errors.print(f"no suite: too few rows of {names} for a rule", markup=False, highlight=False)
    _print("Next:")
    _list(_next(made, settings))


def _next(made: stage.Made, settings: Settings) -> list[str]:
    name, drafted = made.use_case.name, made.drafted
    found = [
        f"read dags/{name}.py: what is marked as a guess, and what the features leave out",
        f"look at tests/use_cases/{name}/: rows of your files, to be kept only if others may see them",
        f"headframe check {name}",
        f"deliver files into {_landing(settings)}/{name}/ ("
        + ", ".join(table.files.pattern for table in made.use_case.tables)
        + f"), then: headframe run ingest {name}",
    ]
    timed = drafted.label is not None
    late = [table.name for table in drafted.tables if timed and table.known_at is None]
    if late:
        found.append(
            f"say when the rows of {', '.join(late)} were known: a time before their delivery knows"
            " nothing of them (docs/tutorial.md#when-was-it-known)"
        )
    found.append("say when files are due, and a missing one is told: docs/feeds.md")
    return found


def _landing(settings: Settings) -> str:
    """Return the landing folder as a shell here would name it."""
    folder, here = settings.landing, Path.cwd()
    if isinstance(folder, Path) and folder.is_relative_to(here):
        return str(folder.relative_to(here))
    return str(folder)


def _list(lines: Sequence[str]) -> None:
    for line in lines:
        _print(f"  - {line}")


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _problem(where: str, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=where, expected=expected, found=found, fix=fix)
