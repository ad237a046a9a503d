"""Approval commands: a person stands for a declaration, a consumer agrees to what changed in it."""

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError


def register(app: typer.Typer) -> None:
    """Add the commands ``accept`` and ``consent``."""
    app.command()(accept)
    app.command()(consent)


def accept(
    use_case: str,
    *,
    user: Annotated[
        str, typer.Option(help="The platform's name of who accepts; else that of the login.")
    ] = "",
    reason: Annotated[str, typer.Option(help="What was looked at; kept in the ledger.")] = "",
) -> None:
    """Stand for a use case's declaration as it is now: trainings that start themselves are yours."""
    from pipelines.stages.accept import accept as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        accepted = stage(
            declared,
            settings,
            actor=user or getpass.getuser(),
            as_of=datetime.now(UTC),
            reason=reason,
        )
        console.print(escape(accepted.describe()), highlight=False)


def consent(
    use_case: str,
    *,
    consumer: Annotated[str, typer.Option(help="Who agrees, as `headframe check` names them.")],
    reason: Annotated[str, typer.Option(help="Where they agreed; kept in the ledger.")],
    user: Annotated[
        str, typer.Option(help="The platform's name of who records it; else that of the login.")
    ] = "",
) -> None:
    """Record that a consumer agrees to what changed in a declaration since it was accepted last."""
    from pipelines.stages.consent import consent as stage

    settings = Settings()
    with fail_on(HeadframeError):
        consented = stage(
            declared_use_case(settings, use_case),
            settings,
            consumer=consumer,
            actor=user or getpass.getuser(),
            reason=reason,
            as_of=datetime.now(UTC),
        )
        console.print(escape(consented.describe()), highlight=False)
