"""Docs commands: `headframe docs`, pages of what the checks found."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the command ``docs``."""
    app.command()(docs)


def docs(use_case: Annotated[str, typer.Argument()] = "", *, as_json: AsJson = False) -> None:
    """Write a page for each of the last checks, and lists of them; they open without a server."""
    from pipelines.stages.quality_docs import quality_docs

    settings = Settings()
    with fail_on(HeadframeError):
        if use_case:
            declared_use_case(settings, use_case)  # names the nearest one for a typo
        made = quality_docs(settings, use_case)
    if as_json:
        sys.stdout.write(json.dumps(asdict(made), default=str) + "\n")
    else:
        console.print(made.describe(), markup=False, highlight=False, soft_wrap=True)
