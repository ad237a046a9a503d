"""Retraining commands: `headframe retraining`."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.stage_runs import moment
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.retrain_history import Line
from pipelines.errors import HeadframeError

COLOURS = {"train": "green", "held": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(retraining)


def retraining(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE")],
    *,
    as_of: Annotated[
        str, typer.Option("--as-of", help="What was known then: ISO date or time. Default: now.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Tell which trainings were asked for or held back, why, what came of them, and what is left."""
    from pipelines.stages.retraining_history import retraining_history as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        when = moment(as_of, declared) if as_of else datetime.now(UTC)
        told = stage(declared, settings, as_of=when)
    if as_json:
        sys.stdout.write(json.dumps(asdict(told), default=str) + "\n")
        return
    if told.lines:
        grid = Grid("when (UTC)", "cause", "decision", "outcome", box=None, pad_edge=False)
        for line in told.lines:
            grid.add_row(
                f"{line.at:%Y-%m-%d %H:%M}",
                line.cause,
                Text(_decision(line), style=COLOURS[line.decision]),
                Text(line.outcome, overflow="fold"),
            )
        console.print(grid)
    else:
        console.print("No training was asked for or held back yet.")
    console.print(told.describe(), markup=False, highlight=False, soft_wrap=True)


def _decision(line: Line) -> str:
    if line.times == 1:
        return line.decision
    return f"{line.decision} {line.times} times, until {line.last_at:%Y-%m-%d}"
