"""Model commands: `headframe evidence`, `card` and `compare`, what is known of registered models."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import champion_version, declared_use_case
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.comparison_text import comparison_text
from pipelines.errors import HeadframeError

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def register(app: typer.Typer) -> None:
    """Add the commands ``evidence``, ``card`` and ``compare``."""
    app.command()(evidence)
    app.command()(card)
    app.command()(compare)


def evidence(
    use_case: UseCaseName,
    *,
    version: Annotated[str, typer.Option(help="The candidate version that was judged.")],
    open_path: Annotated[
        bool, typer.Option("--open-path", help="Print the page's path alone, to open it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the page about a version's frozen evidence; status 1 where it may not be promoted."""
    from pipelines.stages.evidence import evidence as stage

    settings = Settings()
    with fail_on(HeadframeError):
        made = stage(declared_use_case(settings, use_case), settings, version=version, attach=False)
    if as_json:
        sys.stdout.write(json.dumps(asdict(made), default=str) + "\n")
    elif open_path:
        sys.stdout.write(f"{made.page}\n")
    else:
        console.print(made.describe(), markup=False, highlight=False, soft_wrap=True)
    if not made.promotable:
        raise typer.Exit(1)


def card(
    use_case: UseCaseName,
    *,
    version: Annotated[str, typer.Option(help="A candidate version. Default: the champion.")] = "",
) -> None:
    """Print a registered version's model card, in Markdown."""
    from pipelines.stages.card import card as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        wanted = version or champion_version(settings, use_case, command="card")
        sys.stdout.write(stage(declared, settings, version=wanted))


def compare(
    use_case: UseCaseName,
    first: Annotated[str, typer.Argument(metavar="A", help="A candidate version.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show how two registered versions differ, and which is better where that can be told."""
    from pipelines.stages.compare import compare as stage

    settings = Settings()
    with fail_on(HeadframeError):
        found = stage(declared_use_case(settings, use_case), settings, first=first, second=second)
    if as_json:
        sys.stdout.write(json.dumps(found.to_plain()) + "\n")
    else:
        console.print(comparison_text(found), markup=False, highlight=False, soft_wrap=True)
