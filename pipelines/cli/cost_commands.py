"""Cost commands: `headframe costs`."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table as Grid

from pipelines.adapters.settings import Settings
from pipelines.cli.tables import use_cases
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.cost_report import CostReport, StageCosts
from pipelines.errors import HeadframeError, Problem, SettingsError

FIRST_YEAR = 1970
"""Nothing was run before it."""

USUAL_DAYS = 30
"""Length of the period that is told unless another is asked for."""


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(costs)


def costs(
    use_case: Annotated[str, typer.Argument(metavar="[USE_CASE]")] = "",
    *,
    since: Annotated[str, typer.Option(help="ISO date or time (UTC). Default: 30 days ago.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Tell what each stage cost: CPU seconds, memory, rows, and what 1,000 predictions cost."""
    from pipelines.stages.costs import costs as stage

    settings, now = Settings(), datetime.now(UTC)
    with fail_on(HeadframeError):
        first = _moment(since, now) if since else now - timedelta(days=USUAL_DAYS)
        is_gone = use_case and not (settings.dags / f"{use_case}.py").exists()
        declared = [] if is_gone else use_cases(settings, use_case)
        told = stage(settings, since=first, now=now, use_case=use_case, declared=declared)
        if is_gone and not told.reports:
            use_cases(settings, use_case)  # which says that there is none
    if as_json:
        budgets = {
            name: {**asdict(found), "level": found.level} for name, found in told.budgets.items()
        }
        content = {
            "reports": [asdict(report) for report in told.reports],
            "budgets": budgets,
            "lost": told.lost,
        }
        sys.stdout.write(json.dumps(content, default=str) + "\n")
        return
    for report in told.reports:
        _show(report)
    if not told.reports:
        console.print("No stage was run in this period.")
    for name, found in told.budgets.items():
        console.print(f"budget of {name}: {found.describe()}", markup=False, highlight=False)
    if told.lost:
        console.print(f"{told.lost} runs on this machine could not be noted: costs_lost.log")


def _show(report: CostReport) -> None:
    title = f"{report.use_case}, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d} (UTC)"
    console.print(title, style="bold", markup=False, highlight=False)
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("stage")
    for name in ("runs", "failed", "CPU s", "wall s", "peak MiB", "rows", "trend"):
        grid.add_column(name, justify="right")
    for stage in report.stages:
        grid.add_row(*_row(stage))
    console.print(grid)
    per = report.per_1000_predictions
    serving = (
        "nothing was scored"
        if per is None
        else f"{per:.3f} CPU s per 1,000 of {report.predictions:,} predictions, delivery included"
    )
    before = f"{report.before:,.1f} in the {(report.until - report.since).days} days before"
    console.print(f"{report.cpu_seconds:,.1f} CPU s ({before}); {serving}", highlight=False)


def _row(stage: StageCosts) -> list[str]:
    return [
        stage.stage,
        f"{stage.runs:,}",
        f"{stage.failed:,}",
        f"{stage.cpu_seconds:,.2f}",
        f"{stage.seconds:,.1f}",
        f"{stage.peak_mib:,.0f}",
        f"{stage.rows:,}",
        "-" if stage.trend is None else f"{stage.trend:+.0%}",
    ]


def _moment(text: str, now: datetime) -> datetime:
    """Read an ISO date or time, UTC without an offset. Raises SettingsError unless it has passed.

    A year before FIRST_YEAR is none: of the period before there would be no beginning.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = now
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found >= now or found.year < FIRST_YEAR:
        raise SettingsError(
            Problem(
                where="headframe costs, --since",
                expected="an ISO date or time that has passed, such as 2026-03-01",
                found=repr(text),
                fix="Correct the option.",
            )
        )
    return found.astimezone(UTC)
