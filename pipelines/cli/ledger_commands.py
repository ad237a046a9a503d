"""Ledger commands: `headframe history`, `rollback`, `reconcile` and `ledger verify`."""

import getpass
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.adapters.models import decisions, published_ledger
from pipelines.adapters.platform import acting_users
from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.stage_runs import moment
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import DeclarationError, HeadframeError
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.domain.reconciliation import Extent

UseCaseName = Annotated[str, typer.Argument(metavar="USE_CASE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
User = Annotated[str, typer.Option("--user", help="Who does it. Default: the terminal's user.")]
DecidedAt = Annotated[
    str,
    typer.Option("--as-of", help="When it is, for a simulation: ISO date or time. Default: now."),
]
Reason = Annotated[str, typer.Option(help="Why, in a sentence; kept in the ledger.")]

ledger = typer.Typer(help="The decisions ledger: is it whole?", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(history)
    app.command()(rollback)
    app.command()(reconcile)
    ledger.command()(verify)
    app.add_typer(ledger, name="ledger")


@ledger.callback()
def _ledger() -> None:
    """Keep `verify` a word of its own, though it is the only one."""


def history(
    use_case: UseCaseName,
    *,
    at: Annotated[str, typer.Option(help="What was in production then: ISO date or time.")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell what was decided about a use case, or what was in production at a moment."""
    from pipelines.stages.history import history as stage
    from pipelines.stages.history import in_production

    settings = Settings()
    with fail_on(HeadframeError):
        declared = _declared_or_decided(settings, use_case)
        if at:
            found = in_production(settings, use_case, at=moment(at, declared))
            _say(found.describe(), asdict(found), as_json=as_json)
            return
        told = stage(settings, use_case)
    text = "\n".join(line.describe() for line in told) or "Nothing was decided yet."
    _say(text, [asdict(line) for line in told], as_json=as_json)


def rollback(
    use_case: UseCaseName,
    *,
    reason: Reason,
    to: Annotated[
        str, typer.Option(help="A version that was champion. Default: the one before.")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="The champion that is meant. Another one stays.")
    ] = "",
    user: User = "",
    as_of: DecidedAt = "",
    as_json: AsJson = False,
) -> None:
    """Make the champion before the champion again; the present one is not promoted any more."""
    from pipelines.stages.rollback import rollback as stage

    settings = Settings()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        done = stage(
            declared,
            settings,
            actor=user or getpass.getuser(),
            reason=reason,
            as_of=_decided_at(as_of, declared),
            to=to or None,
            away_from=from_ or None,
        )
    _say(done.describe(), asdict(done), as_json=as_json)


def reconcile(
    use_case: UseCaseName,
    *,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what is known, freeze a champion that is not sound."),
    ] = False,
    retire: Annotated[
        bool,
        typer.Option("--retire", help="End the reign of a lost champion without a successor."),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is retired; kept in the ledger.")] = "",
    user: User = "",
    as_of: DecidedAt = "",
    as_json: AsJson = False,
) -> None:
    """Hold ledger, alias and artifacts against each other; status 1 while they disagree."""
    from pipelines.stages.reconcile import reconcile as stage
    from pipelines.stages.reconcile import retire as end_reign

    settings, actor = Settings(), user or getpass.getuser()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        extent: Extent = "look"
        if repair:
            roles = (declared.roles.operator, declared.roles.approver)
            acting_users.refuse_other(settings, roles, actor, where=f"repair of {use_case}")
            extent = "repair"
        when = _decided_at(as_of, declared)
        if retire:
            found = end_reign(declared, settings, as_of=when, actor=actor, reason=reason)
        else:
            found = stage(use_case, settings, actor=actor, as_of=when, extent=extent)
    _say(found.describe(), asdict(found), as_json=as_json)
    if not found.agrees:
        raise typer.Exit(1)


def verify(*, as_json: AsJson = False) -> None:
    """Check every entry of the decisions ledger, and what was published of it in MLflow."""
    settings = Settings()
    with fail_on(HeadframeError):
        checked = published_ledger.verified(settings)
    _say(checked.describe(), asdict(checked), as_json=as_json)


def _declared_or_decided(settings: Settings, use_case: str) -> UseCase | None:
    """Return the use case; None for one whose file is broken or gone, of which decisions are known."""
    try:
        return declared_use_case(settings, use_case)
    except DeclarationError:
        if not decisions.read_all(settings, use_case):
            raise
    return None


def _decided_at(as_of: str, declared: UseCase) -> datetime:
    return moment(as_of, declared) if as_of else datetime.now(UTC)


def _say(text: str, content: object, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(content, default=str) + "\n")
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
