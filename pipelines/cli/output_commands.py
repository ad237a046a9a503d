"""Output commands: `headframe outputs`, what was delivered to whom, and the newest top lists."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

import typer
from rich.table import Table as Grid
from rich.text import Text

from pipelines.adapters.outputs import output_ledger, placed_files, top_list
from pipelines.adapters.outputs.output_ledger import Recorded
from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.stage_runs import period
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.outputs import TopN
from pipelines.errors import HeadframeError, NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

BESIDE = ("raw_prediction", "rule")
"""Columns of a list that are shown only where a business rule changed a row."""

TopList = Mapping[str, Any]
"""A top list as it was delivered."""


def register(app: typer.Typer) -> None:
    """Add the command ``outputs``."""
    app.command()(outputs)


def outputs(
    use_case: str,
    *,
    window: Annotated[
        str, typer.Option(help="Scoring day or time (ISO). Default: the newest of each output.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Show what was delivered of a use case, to whom and where, and its newest top lists.

    Exit status 1 when nothing was delivered.
    """
    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        found = newest(settings, declared, window)
        lists = top_lists(settings, declared, found)
    if as_json:
        plain = [{**asdict(item), "is_late": item.is_late} for item in found]
        told = {"use_case": use_case, "outputs": plain, "lists": lists}
        sys.stdout.write(json.dumps(told, default=_json) + "\n")
        return
    grid = Grid("output", "consumer", "scoring time", "generation", "rows", "in time", box=None)
    grid.add_column("place", overflow="fold")
    for item in found:
        cells = (item.output, item.consumer, _local(item.scored_for), str(item.generation))
        grid.add_row(*map(Text, (*cells, f"{item.rows:,}", _in_time(item), item.place)))
    console.print(grid)
    for listed in lists:
        show(listed)


def newest(settings: Settings, use_case: UseCase, window: str = "") -> list[Recorded]:
    """Return the last delivery of each output, of a scoring day or time where one is given.

    Raises NotEnoughData when there is none.
    """
    recorded = output_ledger.read(settings, use_case.name)
    if window:
        since, until = period(window, use_case)
        recorded = [item for item in recorded if since <= item.scored_for < until]
    if not recorded:
        raise NotEnoughData(
            Problem(
                where=f"outputs of {use_case.name}",
                expected=f"a delivery{f' for {window}' if window else ''}",
                found="none",
                fix=f"Score first: trigger {use_case.name}__score, or declare outputs "
                f"in dags/{use_case.name}.py.",
            )
        )
    last = {item.output: item for item in recorded}  # in the order of windows and generations
    return list(last.values())


def top_lists(settings: Settings, use_case: UseCase, recorded: Sequence[Recorded]) -> list[TopList]:
    """Return the top lists among deliveries, as they lie there now; one that is gone is left out."""
    declared = {output.name for output in TrainedUseCase.of(use_case).scoring.outputs}
    lists = []
    for item in recorded:
        if item.kind == TopN.__name__ and item.output in declared:
            place = placed_files.folder(settings, use_case.name, item.output)
            name = placed_files.file_name(item.scored_for, top_list.ENDING)
            try:
                lists.append(json.loads(placed_files.read(place, name)))
            except FileNotFoundError:
                continue
    return lists


def show(listed: TopList, *, most: int | None = None) -> None:
    """Print a top list for a person, of each group the first ``most`` rows."""
    scored_for = _local(datetime.fromisoformat(listed["scored_for"]))
    title = f"{listed['output']} for {listed['consumer']}, scoring time {scored_for}"
    console.print(f"\n[bold]{title}[/bold]", highlight=False)
    rows = listed["rows"]
    is_ruled = any(row.get("rule") for row in rows)
    columns = [
        name
        for name in listed["columns"]
        if name not in listed["per"] and (is_ruled or name not in BESIDE)
    ]
    grid = Grid("", *columns, box=None, pad_edge=False, header_style="bold")
    if listed.get("about_reasons"):
        grid.add_column("why", overflow="fold")
    for group, members in groupby(rows, key=lambda row: [row[name] for name in listed["per"]]):
        if group:
            grid.add_row(Text(", ".join(str(value) for value in group), "bold cyan"))
        for row in list(members)[:most]:
            cells = [str(row["rank"]), *(_cell(row[name], name, listed) for name in columns)]
            cells += ["; ".join(reason["text"] for reason in row.get("reasons", ()))]
            grid.add_row(*(Text(cell) for cell in cells[: len(grid.columns)]))
    console.print(grid)
    if listed.get("without_reasons"):
        text = f"Some rows have no reasons: {listed['without_reasons']}."
        console.print(text, markup=False, highlight=False)
    if listed.get("about_reasons"):
        console.print(Text(listed["about_reasons"], "dim"))


def _cell(value: object, name: str, listed: TopList) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        prediction = listed["prediction"]
        is_probability = name in (prediction, "raw_prediction") and prediction.startswith("p_")
        return f"{value:.1%}" if is_probability else f"{value:.4g}"
    return str(value)


def _in_time(item: Recorded) -> str:
    if item.delivered_at is None or item.due_at is None:
        return "-"
    return "LATE" if item.is_late else "yes"


def _local(scored_for: datetime) -> str:
    return f"{scored_for:%Y-%m-%d %H:%M} UTC"


def _json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
