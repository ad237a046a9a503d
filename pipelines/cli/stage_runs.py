"""Stage runs: `headframe run STAGE USE_CASE`, the same stages as Airflow runs, without it."""

import getpass
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import first_look
from pipelines.cli.declared import declared_use_case
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.training import AS_DECLARED, Asked
from pipelines.errors import HeadframeError, Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.scoring import Scored

Stage = Literal[
    "ingest", "train", "evaluate", "promote", "score", "deliver", "monitor", "probation"
]

AsOf = Annotated[
    str, typer.Option("--as-of", help="The moment to run at: ISO date or time. Default: now.")
]
From = Annotated[str, typer.Option("--from", help="First scoring day (ISO date or time).")]
Until = Annotated[str, typer.Option(help="Day or time up to which is scored, exclusive.")]
Version = Annotated[str, typer.Option(help="Candidate version (evaluate, promote).")]
Late = Annotated[
    bool, typer.Option("--late", help="Score again the windows that late data concerns (score).")
]
Candidates = Annotated[
    list[str] | None, typer.Option("--candidate", help="Try this candidate; repeatable (train).")
]
WindowDays = Annotated[
    int | None,
    typer.Option(help="Learn from the last so many days (weekly scoring: weeks) alone (train)."),
]
Trials = Annotated[int | None, typer.Option(help="Trials of the search; 0: no search (train).")]
Reason = Annotated[str, typer.Option(help="Why, for whoever approves it (train).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done (train).")]


def register(app: typer.Typer) -> None:
    """Add the command ``run``."""
    app.command("run")(run)


def run(
    stage: Stage,
    use_case: str,
    *,
    as_of: AsOf = "",
    from_: From = "",
    until: Until = "",
    version: Version = "",
    late: Late = False,
    candidate: Candidates = None,
    window_days: WindowDays = None,
    trials: Trials = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Run one stage of a use case here and now, without Airflow."""
    settings = Settings()
    started = clock.perf_counter()
    with fail_on(HeadframeError):
        declared = declared_use_case(settings, use_case)
        chosen = _Run(
            use_case=declared,
            settings=settings,
            as_of=moment(as_of, declared) if as_of else _now(stage, declared, settings),
            version=version,
            asked=Asked(
                candidates=tuple(candidate or ()),
                window_days=window_days,
                trials=trials,
                reason=reason,
                dry_run=dry_run,
            ),
        )
        if chosen.asked != AS_DECLARED and stage != "train":
            raise _only_train(stage)
        if late:
            text = _late(chosen, stage)
        elif stage in WINDOWED:
            text = WINDOWED[stage](chosen, *_window(declared, from_ or as_of, until, chosen.as_of))
        else:
            text = RUNS[stage](chosen)
        seconds = clock.perf_counter() - started
        console.print(
            f"[bold]{stage}[/bold] {escape(text)} [dim]({seconds:.1f} s)[/dim]", highlight=False
        )


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


def _now(stage: Stage, use_case: UseCase, settings: Settings) -> datetime:
    """Return the present; of an ingest, after it gave the files that it finds their moment."""
    if stage == "ingest":
        first_look.look(settings, use_case.name, use_case.tables)
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the options ask for."""

    use_case: UseCase
    settings: Settings
    as_of: datetime
    version: str
    asked: Asked

    @property
    def id(self) -> str:
        return f"cli__{self.as_of.isoformat()}"

    def candidate(self) -> str:
        """Return the version asked for. Raises SettingsError without one."""
        if not self.version:
            raise SettingsError(
                Problem(
                    where="headframe run",
                    expected="--version, the candidate to look at",
                    found="none",
                    fix="`headframe run train` prints the version it made.",
                )
            )
        return self.version


def _only_train(stage: Stage) -> SettingsError:
    return SettingsError(
        Problem(
            where="headframe run, --candidate, --window-days, --trials, --reason or --dry-run",
            expected="stage train",
            found=f"stage {stage}",
            fix="Leave the option out: it says what a training should try.",
        )
    )


def _window(use_case: UseCase, since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the scoring times asked for, [since, until): a whole day where only a date is given.

    Without any option it is the last scoring time up to ``now``.
    """
    if not since:
        last = TrainedUseCase.of(use_case).scoring.times.last(now)
        return last, moment(until, use_case) if until else last + timedelta(minutes=1)
    start = moment(since, use_case)
    if until:
        return start, moment(until, use_case)
    whole_day = len(since) == len("2013-04-01")
    return start, start + (timedelta(days=1) if whole_day else timedelta(minutes=1))


def _ingest(run: _Run) -> str:
    from pipelines.stages.ingest import describe, ingest, refusals

    results = ingest(run.use_case, run.settings, as_of=run.as_of, run=run.id)
    if (refused := refusals(results)) is not None:
        console.print(describe(results), markup=False, highlight=False)
        raise refused
    return describe(results)


def _train(run: _Run) -> str:
    from pipelines.stages.train import plan, train

    if run.asked.dry_run:
        planned = plan(run.use_case, run.settings, as_of=run.as_of, asked=run.asked)
        return f"would learn from {planned.says}"
    return train(
        run.use_case,
        run.settings,
        as_of=run.as_of,
        run=run.id,
        requester=getpass.getuser(),
        asked=run.asked,
        told=lambda line: console.print(line, markup=False, highlight=False),
    ).describe()


def _evaluate(run: _Run) -> str:
    from pipelines.stages.card import card
    from pipelines.stages.evaluate import evaluate
    from pipelines.stages.evidence import evidence

    judged = evaluate(run.use_case, run.settings, version=run.candidate())
    paged = evidence(run.use_case, run.settings, version=judged.version, attach=True)
    card(run.use_case, run.settings, version=judged.version, attach=True)
    return f"{judged.describe()}\npage: {paged.page}"


def _promote(run: _Run) -> str:
    from pipelines.stages.card import card
    from pipelines.stages.promote import promote

    version = run.candidate()
    promoted = promote(
        run.use_case, run.settings, version=version, as_of=run.as_of, now=datetime.now(UTC)
    )
    card(run.use_case, run.settings, version=version, attach=True)
    return promoted.describe()


def _score(run: _Run, since: datetime, until: datetime) -> str:
    from pipelines.stages.score import score

    run_id = f"cli__{since.isoformat()}"
    scored = score(run.use_case, run.settings, since=since, until=until, run=run_id)
    return f"{scored.describe()}{_shadowed(run, scored, run_id)}"


def _shadowed(run: _Run, scored: "Scored", run_id: str) -> str:
    """Let the shadow score what the champion on probation did; return a line, if there was any."""
    from pipelines.stages.shadow import asked, shadow

    windows = asked(run.use_case, run.settings, scored)
    found = shadow(run.use_case, run.settings, windows=windows, run=run_id)
    return f"\nshadow, {found.describe()}" if found else ""


def _late(run: _Run, stage: Stage) -> str:
    """Score what is late at the run's as_of, and nothing else; give it to its consumers."""
    from pipelines.stages.late import describe, late_windows
    from pipelines.stages.score import score

    if stage != "score":
        raise SettingsError(
            Problem(
                where="headframe run, --late",
                expected="stage score",
                found=f"stage {stage}",
                fix=f"Run `headframe run score {run.use_case.name} --late`.",
            )
        )
    found = late_windows(run.use_case, run.settings, as_of=run.as_of)
    if not found:
        return "nothing is late"
    console.print(describe(found), markup=False, highlight=False)
    at, run_id = run.as_of, f"cli__late__{run.as_of.isoformat()}"
    scored = score(run.use_case, run.settings, since=at, until=at, run=run_id, late=found)
    if not TrainedUseCase.of(run.use_case).scoring.outputs:
        return f"{scored.describe()}{_shadowed(run, scored, run_id)}"
    # Told before, since an output that cannot be delivered takes nothing of it back.
    console.print(scored.describe(), markup=False, highlight=False)
    times = [window.scored_for for window in scored.windows]
    # Consumers first: whatever is wrong with the shadow keeps nothing from them.
    delivered = _delivered(run, times, run_id)
    return f"delivered {delivered}{_shadowed(run, scored, run_id)}"


def _deliver(run: _Run, since: datetime, until: datetime) -> str:
    times = TrainedUseCase.of(run.use_case).scoring.times.between(since, until)
    return _delivered(run, times, f"cli__{since.isoformat()}")


def _delivered(run: _Run, times: Sequence[datetime], run_id: str) -> str:
    from pipelines.stages.deliver import deliver

    return deliver(
        run.use_case, run.settings, scored_for=times, run=run_id, connections=resolver()
    ).describe()


def _monitor(run: _Run) -> str:
    from pipelines.stages.monitor import monitor

    return monitor(run.use_case, run.settings, as_of=run.as_of, run=run.id).describe()


def _probation(run: _Run) -> str:
    from pipelines.stages.probation import probation

    return probation(run.use_case, run.settings, as_of=run.as_of).describe()


RUNS: dict[str, Callable[[_Run], str]] = {
    "ingest": _ingest,
    "train": _train,
    "evaluate": _evaluate,
    "promote": _promote,
    "monitor": _monitor,
    "probation": _probation,
}
"""Every stage that runs at one moment."""

WINDOWED: dict[str, Callable[[_Run, datetime, datetime], str]] = {
    "score": _score,
    "deliver": _deliver,
}
"""Every stage that runs over scoring times [since, until)."""
