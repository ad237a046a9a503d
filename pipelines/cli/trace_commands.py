"""Trace commands: `headframe trace`, what a prediction rests on, and `headframe impact`, the reverse."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress as Bar
from rich.tree import Tree

from pipelines.adapters.lineage import lineage_pages
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.cli import impact_tree, trace_tree
from pipelines.cli.declared import declared_use_case
from pipelines.cli.stage_runs import period
from pipelines.cli.tables import find_table
from pipelines.cli.terminal import console, errors, fail_on
from pipelines.domain.impact import Impact
from pipelines.domain.provenance import Progress
from pipelines.domain.trace import as_json as plain
from pipelines.errors import HeadframeError, Problem, SettingsError

Told = TypeVar("Told")

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Page = Annotated[
    Path | None, typer.Option("--page", help="Also write it as one HTML file that opens by itself.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(trace)
    app.command()(impact)


def trace(
    use_case: UseCaseName,
    *,
    key: Annotated[
        str, typer.Option(help="The entity's key: column=value, separated by commas.")
    ] = "",
    first: Annotated[bool, typer.Option("--first", help="Any one of the newest window.")] = False,
    scored_for: Annotated[
        str, typer.Option(help="Scoring day or time (ISO). Default: the newest of the key.")
    ] = "",
    generation: Annotated[
        int | None, typer.Option(help="A generation, also a replaced one. Default: the current.")
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Leave out which landed files it comes from.")
    ] = False,
    page: Page = None,
    as_json: AsJson = False,
) -> None:
    """Show what one prediction rests on: model, approval, training data, features, landed rows."""
    from pipelines.stages.trace import trace as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        if first == bool(key):
            raise _wrong("--key or --first", "one of them", "both" if first else "neither")
        with _shown("landed files taken away", quiet=as_json) as progress:
            found = stage(
                declared,
                settings,
                key=None if first else split_key(key),
                scored_for=period(scored_for, declared) if scored_for else None,
                generation=generation,
                brief=brief,
                progress=progress,
            )
        _write_page(page, lineage_pages.trace_page, found)
    _show(plain(found) if as_json else trace_tree.tree(found), page, found.broken)


def impact(
    use_case: UseCaseName,
    *,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", help="A landed file, such as arrivals/2013-04-01.csv.gz; several "
                     "are taken away together."),
    ] = None,
    table: Annotated[str, typer.Option(help="A table; with --version, what that commit brought.")] = "",
    version: Annotated[int | None, typer.Option(help="A version of --table.")] = None,
    model: Annotated[str, typer.Option(help="A model version: every prediction it made.")] = "",
    page: Page = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show every prediction, model and consumer that a bad file, table version or model reached."""
    from pipelines.stages import impact as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        asked = [bool(file), bool(table) or version is not None, bool(model)]
        if sum(asked) != 1 or bool(table) != (version is not None):
            expected = "--file, or --table with --version, or --model"
            raise _wrong("headframe impact", expected, f"{sum(asked)} of them" if sum(asked) != 1
                         else "one of --table and --version alone")  # fmt: skip
        with _shown("generations compared", quiet=as_json) as progress:
            if file:
                found = stage.impact_of_files(declared, settings, names=file, progress=progress)
            elif table and version is not None:
                _, chosen = find_table(settings, table, use_case)
                found = stage.impact_of_version(
                    declared, settings, table=chosen, version=version, progress=progress
                )
            else:
                found = stage.impact_of_model(declared, settings, version=model)
        _write_page(page, lineage_pages.impact_page, found)
    _show(_impact_as_json(found) if as_json else impact_tree.tree(found), page, found.broken)


def split_key(text: str) -> dict[str, str]:
    """Return ``column=value`` pairs by column; a comma inside a value stays.

    Raises SettingsError for a part that is no pair; what it says is not repeated.

    >>> split_key("day=2026-02-01,machine=A,1")
    {'day': '2026-02-01', 'machine': 'A,1'}
    """
    found = {}
    for part in re.split(r",(?=\s*[A-Za-z_]\w*\s*=)", text):
        name, equals, value = part.partition("=")
        if not equals:
            raise _wrong("--key", "column=value, separated by commas", "a part without '='")
        found[name.strip()] = value.strip()
    return found


@contextmanager
def _shown(what: str, *, quiet: bool) -> Iterator[Progress]:
    """Lend something to tell progress to: a bar on a terminal, beside what is printed."""
    with Bar(console=errors, transient=True, disable=quiet or not errors.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _impact_as_json(found: Impact) -> dict[str, Any]:
    told: dict[str, Any] = plain(found)
    return {**told, "predictions": found.predictions, "predictions_current": found.current}


def _write_page(page: Path | None, template: Callable[[Told], str], found: Told) -> None:
    if page is not None:
        write_whole(page, template(found))


def _show(told: Tree | dict[str, Any], page: Path | None, broken: tuple[Problem, ...]) -> None:
    """Print a tree, or JSON for a script; end with status 1 where a link does not hold."""
    if isinstance(told, Tree):
        console.print(told)
        if page is not None:
            console.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
    for problem in broken:
        errors.print(str(problem), markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)


def _wrong(where: str, expected: str, found: str) -> SettingsError:
    return SettingsError(
        Problem(where=where, expected=expected, found=found, fix="See the command's --help.")
    )
