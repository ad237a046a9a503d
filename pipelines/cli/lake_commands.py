"""Lake commands: `headframe check`, `sql` and `example`."""

import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters import lake, lake_sql
from pipelines.adapters.models import accepted_declarations, known
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import lake_audit, stale_results
from pipelines.adapters.stores import object_store
from pipelines.cli.terminal import console, errors, fail_on
from pipelines.domain.consent import consent_problem
from pipelines.domain.declaration_changes import Change, gravest
from pipelines.domain.digest import canonical
from pipelines.domain.feature_view import feature_digest
from pipelines.domain.look_ahead import look_ahead
from pipelines.errors import DeclarationError, HeadframeError, Problem, SettingsError, SuiteError
from pipelines.use_case import UseCase, load, load_all

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS_SHOWN = 100
"""Rows `headframe sql` prints; --json prints all."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
From = Annotated[str, typer.Option("--from", help="First day, ISO date; else the world's first.")]
Until = Annotated[str, typer.Option(help="Day after the last, ISO date; else the world's end.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(check)
    app.command()(sql)
    app.command()(example)


def check(
    use_case: Annotated[str, typer.Argument()] = "",
    *,
    verify_lake: Annotated[
        bool, typer.Option("--lake", help="Also verify every table against its whole history.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every declaration and suite, or those of one use case, and report all their problems."""
    settings = Settings()
    sound, broken = _load(settings.dags.absolute(), use_case)
    problems = [problem for error in broken for problem in error.problems]
    warnings: list[str] = []
    for declared in sound.values():
        problems += _query_problems(declared, warnings)
        problems += _suite_problems(declared, settings.expectations.absolute() / declared.name)
    audited: list[lake_audit.TableAudit] = []
    if verify_lake:
        with fail_on(HeadframeError):
            for declared in sound.values():
                audited += lake_audit.audit(settings, declared.name, declared.tables).tables
                read = declared.features.tables if declared.features else ()
                warnings += stale_results.warnings(settings, declared.name, declared.tables, read)
    problems += [problem for table in audited for problem in table.problems]
    warnings += [warning for table in audited for warning in table.warnings]
    changed: dict[str, tuple[Change, ...]] = {}
    for name, declared in sound.items():
        with fail_on(HeadframeError):
            changed[name], needed = accepted_declarations.compared(
                settings, name, canonical(declared)
            )
        problems += [consent_problem(name, one) for one in needed if not one.given]
    if as_json:
        found = [
            {"where": p.where, "expected": p.expected, "found": p.found, "fix": p.fix}
            for p in problems
        ]
        told: dict[str, object] = {"use_cases": sorted(sound), "problems": found}
        told["changes"] = {name: [asdict(one) for one in changed[name]] for name in changed}
        told["warnings"] = warnings
        if verify_lake:
            told["lake"] = [_audited(table) for table in audited]
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for problem in problems:
            errors.print(str(problem), markup=False, highlight=False)
        for name, declared in sound.items():
            console.print(f"{name}: declaration {declared.digest()[:12]}, tier {declared.tier}")
            _show_changes(changed[name])
        for table in audited:
            console.print(table.describe(), markup=False, highlight=False)
        for warning in warnings:
            errors.print(f"warning: {warning}", markup=False, highlight=False)
    if problems:
        raise typer.Exit(1)


def _show_changes(changes: Sequence[Change]) -> None:
    """Show what differs from the declaration that was accepted last."""
    if not changes:
        return
    console.print(f"  changed since it was accepted: {gravest(changes)}", highlight=False)
    for change in changes:
        line = f"  {change.verdict:<10}  {change.describe()}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def sql(query: str, *, as_json: AsJson = False) -> None:
    """Answer a query over every lake table, such as "select * from silver.flight_delays.weather"."""
    settings = Settings()
    with fail_on(HeadframeError):
        found = lake_sql.query(lake.table_paths(settings), query)
        if as_json:
            rows = found.to_pylist()
            sys.stdout.write(json.dumps(rows, default=str) + "\n")
        else:
            _show(found)


def example(name: str, from_: From = "", until: Until = "") -> None:
    """Deliver the files of an example into landing, as its world would."""
    settings = Settings()
    with fail_on(HeadframeError):
        from pipelines.adapters import example_files

        found = example_files.example(example_files.FOLDER.absolute(), name)
        delivered = found.deliver(
            object_store.local(settings.landing),
            first_day=_day(from_) if from_ else found.FIRST_DAY,
            until=_day(until) if until else found.UNTIL,
        )
        rows = ", ".join(f"{table} {count:,}" for table, count in delivered.rows.items())
        console.print(
            f"delivered {delivered.files_written:,} files ({delivered.files_present:,} were "
            f"already there); rows: {rows}",
            highlight=False,
        )


def _load(folder: Path, name: str) -> tuple[dict[str, UseCase], list[HeadframeError]]:
    """Return the sound use cases, or the one called ``name``, and the errors of the others."""
    if not name:
        return load_all(folder)
    try:
        return {name: load(folder / f"{name}.py")}, []
    except HeadframeError as error:
        return {}, [error]


def _query_problems(use_case: UseCase, warnings: list[str]) -> list[Problem]:
    """Return what is wrong with feature function, label's rule, business rules and outputs, if any."""
    if use_case.features is None or use_case.label is None:
        return []
    try:
        feature_digest(use_case.features, use_case.label)
    except DeclarationError as error:
        return list(error.problems)
    scoring = use_case.scoring
    found = known.rehearse(
        use_case.features,
        use_case.label,
        rules=scoring.rules if scoring else (),
        outputs=scoring.outputs if scoring else (),
    )
    if found:
        return found
    ahead = look_ahead(use_case.features, use_case.label)
    if not ahead.draws:
        told = "its query runs on no made-up rows, so nothing tells here whether it looks ahead"
        warnings.append(f"{use_case.name}: {told} ({ahead.untested})")
    return [ahead.problem] if ahead.problem else []


def _suite_problems(use_case: UseCase, folder: Path) -> list[Problem]:
    """Return every problem of the use case's suites, with GX's own opinion of each expectation."""
    from pipelines.adapters.suites import gx_suites

    problems = []
    tables = {table.name: table for table in use_case.tables}
    for path in sorted(folder.glob("*.json")):
        if path.stem not in tables:
            near = difflib.get_close_matches(path.stem, tables, n=1)
            hint = f" (did you mean {near[0]}.json?)" if near else ""
            where = f"expectations/{use_case.name}/{path.name}"
            expected = f"a suite named after a table: {', '.join(tables)}"
            fix = "Rename the file; until then nothing checks it."
            found = f"{path.stem}{hint}"
            problems.append(Problem(where=where, expected=expected, found=found, fix=fix))
            continue
        try:
            gx_suites.verify(gx_suites.load_suite(path, tables[path.stem].types))
        except SuiteError as error:
            problems += error.problems
    return problems


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            Problem(
                where="--from or --until",
                expected="an ISO date such as 2013-01-01",
                found=repr(text),
                fix="Correct the option.",
            )
        ) from error


def _audited(table: lake_audit.TableAudit) -> dict[str, object]:
    return {
        "table": table.table,
        "rows": table.rows,
        "quarantined": table.quarantined,
        "commits": table.commits,
        "problems": len(table.problems),
    }


def _show(found: "pa.Table") -> None:
    # Text, because a cell may hold what rich would read as markup.
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in found.column_names:
        grid.add_column(Text(name))
    shown = found.slice(0, MOST_ROWS_SHOWN)
    for row in zip(*(column.to_pylist() for column in shown.columns), strict=True):
        grid.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(grid)
    if found.num_rows > MOST_ROWS_SHOWN:
        console.print(f"... {found.num_rows - MOST_ROWS_SHOWN:,} more rows; --json prints all")
