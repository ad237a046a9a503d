"""Upkeep commands: `headframe maintain`, `backup` and `upgrade`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.platform import process_state, processes
from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError, PlatformError, Problem

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
LogDays = Annotated[
    int | None,
    typer.Option(
        min=30,
        help="Also remove log entries older than this, and with them the record of old runs.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(maintain)
    app.command()(backup)
    app.command()(upgrade)


def maintain(*, dry_run: DryRun = False, log_days: LogDays = None, as_json: AsJson = False) -> None:
    """Compact every table and remove what no version needs, as platform__maintenance does daily."""
    from pipelines.stages.maintain import Retention
    from pipelines.stages.maintain import maintain as stage

    settings, now = Settings(), datetime.now(UTC)
    with fail_on(HeadframeError):
        maintained = stage(
            settings,
            now=now,
            run=f"cli__{now.isoformat()}",
            retention=Retention(log_days=log_days),
            dry_run=dry_run,
        )
    _say(maintained.describe(), asdict(maintained), as_json=as_json)
    if maintained.problems:
        raise typer.Exit(1)


def backup(
    destination: Annotated[Path, typer.Argument(help="An empty or absent folder.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy this home, which may be in use, to DESTINATION: a home of its own, checked."""
    from pipelines.adapters.stores import backups

    with fail_on(HeadframeError):
        taken = backups.backup(Settings(), destination, now=datetime.now(UTC))
    _say(taken.describe(), asdict(taken), as_json=as_json)


def upgrade(*, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bring every table to this release's format; the platform must be stopped."""
    from pipelines.adapters.delta import table_formats

    settings = Settings()
    with fail_on(HeadframeError), _stopped(settings, wanted=not dry_run):
        tables = {
            name: path
            for name, path in lake.table_paths(settings).items()
            if delta_tables.exists(path)
        }
        steps = table_formats.planned(tables) if dry_run else table_formats.upgrade(tables)
    done = "to do" if dry_run else "done"
    count = f"{len(tables):,} tables, {len(steps):,} steps {done}"
    text = "\n".join([*(step.describe() for step in steps), count])
    _say(text, {"tables": len(tables), "steps": [asdict(s) for s in steps]}, as_json=as_json)


@contextmanager
def _stopped(settings: Settings, *, wanted: bool) -> Iterator[None]:
    """Keep the platform from being started meanwhile; raises PlatformError when it is."""
    if not wanted:
        yield
        return
    # The lock of `headframe up`.
    with processes.only_one(settings.root / "run" / "up.lock", what="`headframe up`"):
        if process_state.running(settings.root) or process_state.owned(settings.root):
            raise PlatformError(
                Problem(
                    where="headframe upgrade",
                    expected="a platform that is stopped",
                    found="processes of this home at work",
                    fix="Run `headframe down` first: a table must not be written while it changes.",
                )
            )
        yield


def _say(text: str, content: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(content, default=str) + "\n")
    else:
        console.print(text, markup=False, highlight=False)
