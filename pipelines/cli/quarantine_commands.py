"""Quarantine commands: `headframe quarantine list`, `show` and `replay`, and `headframe reingest`."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import quarantined
from pipelines.cli.stage_runs import moment
from pipelines.cli.tables import find_table, use_cases
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import FileRefused, HeadframeError

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A table of a use case.")]
Named = Annotated[
    str, typer.Option("--use-case", help="Whose table it is, where several have one of that name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
From = Annotated[
    str, typer.Option("--from", help="Only files delivered at or after this ISO date or time.")
]

quarantine = typer.Typer(help="Rows that were set aside: list, show, replay.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    quarantine.command("list")(list_reasons)
    quarantine.command()(show)
    quarantine.command()(replay)
    app.add_typer(quarantine, name="quarantine")
    app.command()(reingest)


def list_reasons(
    use_case: Annotated[str, typer.Argument()] = "", *, as_json: AsJson = False
) -> None:
    """List, per table and reason, how many rows are set aside and since when."""
    settings = Settings()
    with fail_on(HeadframeError):
        found = [
            {"use_case": declared.name, "table": table.name, **row}
            for declared in use_cases(settings, use_case)
            for table in declared.tables
            for row in quarantined.counted(
                lake.quarantine(settings, declared.name, table.name)
            ).to_pylist()
        ]
    if as_json:
        _write(found)
        return
    grid = Grid("table", "reason", "rows", "files", "oldest", "newest", box=None, pad_edge=False)
    for row in found:
        counts = (f"{row['rows']:,}", f"{row['files']:,}")
        name = f"{row['use_case']}.{row['table']}"
        moments = (_shown(row["oldest"]), _shown(row["newest"]))
        grid.add_row(*(Text(str(cell)) for cell in (name, row["reason"], *counts, *moments)))
    console.print(grid if found else "Nothing is quarantined.")


def show(
    table: TableName,
    *,
    use_case: Named = "",
    file: Annotated[str, typer.Option(help="Only rows of this landed file.")] = "",
    reason: Annotated[str, typer.Option(help="Only rows set aside for this reason.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most rows printed.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show quarantined rows with what they said: on this terminal, and nowhere else."""
    settings = Settings()
    with fail_on(HeadframeError):
        declared, _ = find_table(settings, table, use_case)
        folder = lake.quarantine(settings, declared.name, table)
        rows = quarantined.shown(folder, file=file, reason=reason, limit=limit).to_pylist()
    if as_json:
        _write([{**row, "_payload": json.loads(row["_payload"])} for row in rows])
        return
    for row in rows:
        console.print(Text(f"{row['_file']} row {row['_row']}: {', '.join(row['_failed'])}"))
        console.print(Text(f"  {row['_payload']}"), soft_wrap=True)
    if not rows:
        console.print("No such row is quarantined.")


def replay(
    table: TableName, *, use_case: Named = "", dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Read quarantined rows again with today's contract and suite, and take in those that keep it."""
    from pipelines.stages.replay import replay as stage

    settings, now = Settings(), datetime.now(UTC)
    with fail_on(HeadframeError):
        declared, _ = find_table(settings, table, use_case)
        run = f"cli__{now.isoformat()}"
        result = stage(declared, settings, table=table, as_of=now, run=run, dry_run=dry_run)
    if as_json:
        counts = ("rows", "files", "accepted", "repeated", "mended", "remaining", "unfinished")
        told: dict[str, Any] = {name: getattr(result, name) for name in counts}
        refused = [str(error) for error in result.refused]
        _write({"table": table, **told, "reasons": dict(result.reasons), "refused": refused})
    else:
        console.print(result.describe(), markup=False, highlight=False)
    _refuse(result.refused)


def reingest(
    table: TableName,
    *,
    use_case: Named = "",
    from_: From = "",
    dry_run: DryRun = False,
) -> None:
    """Rebuild a table from its landed files with today's contract and suite."""
    from pipelines.stages.reingest import reingest as stage

    settings, now = Settings(), datetime.now(UTC)
    with fail_on(HeadframeError):
        declared, _ = find_table(settings, table, use_case)
        result = stage(
            declared,
            settings,
            table=table,
            since=moment(from_, declared) if from_ else None,
            as_of=now,
            run=f"cli__{now.isoformat()}",
            dry_run=dry_run,
        )
    console.print(result.describe(), markup=False, highlight=False)


def _refuse(refused: tuple[FileRefused, ...]) -> None:
    if refused:
        with fail_on(HeadframeError):
            raise FileRefused(*(problem for error in refused for problem in error.problems))


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _write(content: object) -> None:
    sys.stdout.write(json.dumps(content, default=str) + "\n")
