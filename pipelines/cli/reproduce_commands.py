"""Reproduction commands: `headframe reproduce` makes a model again, `pins` tells what that needs."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from pipelines.adapters.models import data_pins
from pipelines.adapters.settings import Settings
from pipelines.cli.declared import champion_version
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the commands ``reproduce`` and ``pins``."""
    app.command()(reproduce)
    app.command()(pins)


def reproduce(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE")],
    *,
    version: Annotated[str, typer.Option(help="A candidate version. Default: the champion.")] = "",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the fit. Default: as recorded.")
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild-environment", help="Fit with the packages of the recorded lock."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a registered model again and compare it bit for bit; status 0 only where it is the same."""
    from pipelines.stages.reproduce import reproduce as stage

    settings, now = Settings(), datetime.now(UTC)
    with fail_on(HeadframeError):
        found = stage(
            use_case,
            settings,
            version=version or champion_version(settings, use_case, command="reproduce"),
            as_of=now,
            run=f"cli__{now.isoformat()}",
            threads=threads,
            rebuild=rebuild,
        )
    if as_json:
        plain = {**asdict(found), "reason": found.reason}
        sys.stdout.write(json.dumps(plain, default=str) + "\n")
    else:
        console.print(found.describe(), markup=False, highlight=False, soft_wrap=True)
    if found.outcome != "identical":
        raise typer.Exit(1)


def pins(*, as_json: AsJson = False) -> None:
    """Show which table versions each registered model needs, and the bytes that it keeps."""
    with fail_on(HeadframeError):
        found = data_pins.kept_bytes(Settings())
    if as_json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
    else:
        console.print(found.describe(), markup=False, highlight=False, soft_wrap=True)
