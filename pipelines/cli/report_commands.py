"""Report command: `headframe report`, the page of what monitor knows about a champion."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.stage_runs import moment
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the command ``report``."""
    app.command()(report)


def report(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE")],
    *,
    as_of: Annotated[
        str, typer.Option("--as-of", help="Blocks scored up to this moment (ISO). Default: now.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write the page about drift and performance, and print its verdict; status 1 on an alarm."""
    from pipelines.stages.report import report as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        at = moment(as_of, declared) if as_of else datetime.now(UTC)
        made = stage(declared, settings, as_of=at)
    if as_json:
        sys.stdout.write(json.dumps(asdict(made), default=str) + "\n")
    else:
        console.print(made.describe(), markup=False, highlight=False, soft_wrap=True)
    if made.level in {"WARN", "PAGE"}:
        raise typer.Exit(1)
