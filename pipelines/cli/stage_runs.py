"""Stage runs: `headframe run STAGE USE_CASE`, the same stages as Airflow runs, without it."""

import getpass
import time as clock
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import console, fail_on
from pipelines.errors import HeadframeError, Problem, SettingsError
from pipelines.use_case import UseCase, load

Stage = Literal["ingest", "train", "evaluate", "promote", "score", "monitor"]

AsOf = Annotated[
    str, typer.Option("--as-of", help="The moment to run at: ISO date or time. Default: now.")
]
From = Annotated[str, typer.Option("--from", help="First scoring day (ISO date or time).")]
Until = Annotated[str, typer.Option(help="Day or time up to which is scored, exclusive.")]
Version = Annotated[str, typer.Option(help="Candidate version (evaluate, promote).")]
ApprovedBy = Annotated[str, typer.Option(help="Who approved the evidence (promote).")]


def register(app: typer.Typer) -> None:
    """Add the command ``run``."""
    app.command("run")(run)


def run(
    stage: Stage,
    use_case: str,
    as_of: AsOf = "",
    from_: From = "",
    until: Until = "",
    version: Version = "",
    approved_by: ApprovedBy = "",
) -> None:
    """Run one stage of a use case here and now, without Airflow."""
    settings = Settings()
    started = clock.perf_counter()
    with fail_on(HeadframeError):
        declared = load(settings.dags.absolute() / f"{use_case}.py")
        now = moment(as_of, declared) if as_of else datetime.now(UTC)
        if stage == "score":
            since = moment(from_ or as_of, declared) if from_ or as_of else now
            end = moment(until, declared) if until else None
            text = _score(declared, settings, since, end)
        else:
            text = _other(stage, declared, settings, now, version, approved_by)
        seconds = clock.perf_counter() - started
        console.print(f"[bold]{stage}[/bold] {text} [dim]({seconds:.1f} s)[/dim]", highlight=False)


def moment(text: str, use_case: UseCase) -> datetime:
    """Read an ISO date or time; without an offset it is local to the use case's time zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            Problem(
                where="--as-of, --from or --until",
                expected="an ISO date or time such as 2013-04-01 or 2013-04-01T09:00:00Z",
                found=repr(text),
                fix="Correct the option.",
            )
        ) from error
    zone = ZoneInfo(use_case.scoring.timezone) if use_case.scoring else UTC
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def _score(use_case: UseCase, settings: Settings, since: datetime, until: datetime | None) -> str:
    from pipelines.stages.score import score

    end = until or since + timedelta(minutes=1)
    run_id = f"cli__{since.isoformat()}"
    return score(use_case, settings, since=since, until=end, run=run_id).describe()


def _other(
    stage: Stage,
    use_case: UseCase,
    settings: Settings,
    as_of: datetime,
    version: str,
    approved_by: str,
) -> str:
    run_id = f"cli__{as_of.isoformat()}"
    if stage == "ingest":
        from pipelines.stages.ingest import describe, ingest, refusals

        results = ingest(use_case, settings, as_of=as_of, run=run_id)
        if (refused := refusals(results)) is not None:
            console.print(describe(results), highlight=False)
            raise refused
        return describe(results)
    if stage == "train":
        from pipelines.stages.train import train

        requester = getpass.getuser()
        return train(use_case, settings, as_of=as_of, run=run_id, requester=requester).describe()
    if stage == "monitor":
        from pipelines.stages.monitor import monitor

        return monitor(use_case, settings, as_of=as_of, run=run_id).describe()
    if not version:
        raise SettingsError(
            Problem(
                where=f"headframe run {stage}",
                expected="--version, the candidate to look at",
                found="none",
                fix="`headframe run train` prints the version it made.",
            )
        )
    if stage == "evaluate":
        from pipelines.stages.evaluate import evaluate

        return evaluate(use_case, settings, version=version).describe()
    return _promote(use_case, settings, version, as_of, approved_by)


def _promote(
    use_case: UseCase, settings: Settings, version: str, as_of: datetime, approved_by: str
) -> str:
    from pipelines.stages.evaluate import evaluate
    from pipelines.stages.promote import Approval, promote

    approval = None
    if approved_by:
        digest = evaluate(use_case, settings, version=version).evidence.digest
        approval = Approval(
            actor=approved_by, answer="approved", evidence_digest=digest, reason="command line"
        )
    promoted = promote(use_case, settings, version=version, as_of=as_of, approval=approval)
    return promoted.describe()
