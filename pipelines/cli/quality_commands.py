"""Quality commands: `headframe profile`, `suggest` and `try`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters.landing import unlanded
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.adapters.suites import profiles, suggested_suite
from pipelines.cli import profile_grid
from pipelines.cli.stage_runs import moment
from pipelines.cli.tables import find_table
from pipelines.cli.terminal import console, errors, fail_on
from pipelines.domain import trial as outcome
from pipelines.domain.contract import Table
from pipelines.domain.profile import Profile
from pipelines.domain.suggestions import Suggestions
from pipelines.errors import HeadframeError, NotEnoughData, Problem, SettingsError
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.adapters.suites.gx_suites import Suite
    from pipelines.adapters.suites.trials import FailingRow, Trial

STYLES = {"holds": "green", "flag": "yellow", "quarantine": "yellow", "refuse": "bold red"}
"""How each consequence of a rule is shown."""

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A table of a use case.")]
Named = Annotated[
    str, typer.Option("--use-case", help="Whose table it is, where several have one of that name.")
]
AsOf = Annotated[str, typer.Option("--as-of", help="Only rows known at this ISO date or time.")]
LocalFile = Annotated[
    Path | None, typer.Option("--file", help="This file, read as the table's files are.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(profile)
    app.command()(suggest)
    app.command("try")(try_suite)


def profile(
    table: TableName,
    *,
    use_case: Named = "",
    as_of: AsOf = "",
    file: LocalFile = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also write one HTML page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the columns of a table hold: every accepted version of its rows, or one file."""
    settings = Settings()
    with fail_on(HeadframeError):
        found = _profile(settings, *find_table(settings, table, use_case), as_of, file)
        if page is not None:
            from pipelines.adapters.suites import profile_page

            _write(page, profile_page.render(found))
    if as_json:
        sys.stdout.write(json.dumps(found.as_json()) + "\n")
    else:
        profile_grid.show(found)
        if page is not None:
            console.print(f"Page written to {page}.", markup=False, highlight=False)


def suggest(
    table: TableName,
    *,
    use_case: Named = "",
    as_of: AsOf = "",
    file: LocalFile = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write expectations/<use case>/<table>.json.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a suite.")] = False,
) -> None:
    """Suggest a starting suite for a table from its profile, with the evidence of each rule."""
    from pipelines.domain import suggestions

    settings = Settings()
    with fail_on(HeadframeError):
        owner, declared = find_table(settings, table, use_case)
        path = settings.expectations.absolute() / owner.name / f"{declared.name}.json"
        if write and path.exists() and not force:
            raise SettingsError(_suite_exists(owner, declared))
        found = suggestions.suggest(_profile(settings, owner, declared, as_of, file), declared)
        text = _checked(found, declared)
        if write:
            write_whole(path, text)
    if not write:
        sys.stdout.write(text)
    for column in found.left_out:
        errors.print(f"{column.column}: no rule; {column.reason}", markup=False, highlight=False)
    if write:
        rules = (
            f"{len(found.expectations):,} rules written to expectations/{owner.name}/{path.name}"
        )
        console.print(f"{rules}; review them, then deploy.", markup=False, highlight=False)


def try_suite(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A suite in GX's JSON form.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file as it would be delivered.")],
    *,
    use_case: Named = "",
    table: Annotated[str, typer.Option(help="Its table; default: the suite's name.")] = "",
    rows: Annotated[int, typer.Option(min=0, help="Failing rows shown of each rule.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Try a suite on a file before either is deployed; nothing is landed or written to the lake.

    Exit status 1 when ingest would refuse the file.
    """
    from pipelines.adapters.suites import gx_suites, trials

    settings = Settings()
    with fail_on(HeadframeError):
        _, declared = find_table(
            settings, table or suite.stem, use_case or _folder_of(suite, settings)
        )
        asked = gx_suites.load_suite(suite, declared.types)
        with unlanded.staged(file, declared) as staged:
            found = trials.trial(asked, staged, declared, rows_shown=rows)
            if as_json:
                _print_json(found, staged)
            else:
                _print_trial(found, asked, staged, rows)
    if found.result.verdict == "refuse":
        raise typer.Exit(1)


def _profile(
    settings: Settings, owner: UseCase, table: Table, as_of: str, file: Path | None
) -> Profile:
    if file is None:
        known = moment(as_of, owner) if as_of else None
        return profiles.of_silver(settings, owner.name, table, as_of=known)
    with unlanded.staged(file, table) as staged:
        law = staged.law
        aside = law.quarantined + law.unparsed
        source = f"{staged.name}: {law.landed:,} rows, of which {aside:,} break the contract and"
        source += f" {law.repeated:,} repeat another"
        names = [str(path) for path in staged.files]
        return profiles.of_files(names, owner.name, table, source=source)


def _checked(found: Suggestions, table: Table) -> str:
    """Return the suggested suite as a file's text, after GX accepted every rule of it."""
    if not found.expectations:
        reasons = "; ".join(f"{column.column}: {column.reason}" for column in found.left_out)
        raise NotEnoughData(
            Problem(
                where=f"suggestions for {found.name}",
                expected="a column that a rule can be learned from",
                found=reasons or "no column",
                fix="Ingest more deliveries first, or write the suite by hand.",
            )
        )
    return suggested_suite.checked(found, table)


def _folder_of(suite: Path, settings: Settings) -> str:
    """Return the use case that the suite lies in the folder of; "" where it lies elsewhere."""
    name = suite.absolute().parent.name
    return name if (settings.dags.absolute() / f"{name}.py").is_file() else ""


def _write(page: Path, text: str) -> None:
    try:
        write_whole(page, text)
    except OSError as error:
        problem = Problem(
            where="--page",
            expected="a file that can be written",
            found=f"{page.name} ({error.strerror})",
            fix="Name another file.",
        )
        raise SettingsError(problem) from error


def _suite_exists(owner: UseCase, table: Table) -> Problem:
    return Problem(
        where=f"expectations/{owner.name}/{table.name}.json",
        expected="no suite yet",
        found="one",
        fix="Without --write the suggestions are printed; --force replaces the suite by them.",
    )


def _print_trial(found: "Trial", suite: "Suite", staged: unlanded.Staged, rows_shown: int) -> None:
    law = staged.law
    console.print(
        f"{staged.name}: {law.landed:,} rows = {law.accepted:,} conform + {law.repeated:,} repeat"
        f" another + {law.quarantined:,} break the contract + {law.unparsed:,} unparsed",
        markup=False,
        highlight=False,
    )
    if staged.ignored_columns:
        names = ", ".join(staged.ignored_columns)
        console.print(f"ignored columns: {names}", markup=False, highlight=False)
    for row in staged.aside.slice(0, rows_shown).to_pylist():
        reasons = ", ".join(row["_failed"])
        console.print(
            f"  row {row['_row']}: {reasons}: {row['_payload']}", markup=False, highlight=False
        )
    grid = Grid(box=None, pad_edge=False)
    for name in ("outcome", "rule", "severity", "judged", "failed", "seen"):
        grid.add_column(name, overflow="fold")
    for result in found.result.results:
        what = outcome.consequence(result)
        counts = (f"{result.rows_evaluated:,}", f"{result.unexpected_count:,}")
        counted = f"{result.unexpected_count} of {result.rows_evaluated} rows failed"
        seen = result.observed.removeprefix(counted).removeprefix("; ")
        cells = (result.rule, result.severity, *counts, seen)
        grid.add_row(Text(what, STYLES[what]), *(Text(cell) for cell in cells))
    console.print(grid)
    for rule, failing in found.failing.items():
        _print_rows(rule, failing)
    for rule in found.not_told:
        console.print(f"{rule}: its failing rows cannot be told", markup=False, highlight=False)
    aside = found.result.failed_rows.num_rows
    told = {
        "publish": f"ingest would publish all {law.accepted:,} rows that conform",
        "publish_and_flag": f"ingest would publish {law.accepted - aside:,} rows, flagged,"
        f" and set {aside:,} aside",
        "refuse": "ingest would refuse: nothing would be published",
    }[found.result.verdict]
    console.print(f"{suite.name} on {staged.name}: {told}.", markup=False, highlight=False)


def _print_rows(rule: str, failing: "Sequence[FailingRow]") -> None:
    console.print(f"\n{rule}, failing rows (1 is the first record):", markup=False, highlight=False)
    grid = Grid("row", box=None, pad_edge=False)
    for name in failing[0].cells:
        grid.add_column(Text(name))
    for row in failing:
        values = ("" if cell is None else str(cell) for cell in row.cells.values())
        grid.add_row(f"{row.row:,}", *(Text(value) for value in values))
    console.print(grid)


def _print_json(found: "Trial", staged: unlanded.Staged) -> None:
    rules = []
    for result in found.result.results:
        failing = found.failing.get(result.rule, ())
        rules.append(
            {
                **asdict(result),
                "outcome": outcome.consequence(result),
                "failing": [{"row": row.row, "cells": dict(row.cells)} for row in failing],
            }
        )
    content = {
        "file": staged.name,
        "verdict": found.result.verdict,
        "rows": staged.law.as_json(),
        "rules": rules,
    }
    sys.stdout.write(json.dumps(content, default=str) + "\n")
