"""Stage runs: `headframe run STAGE USE_CASE`, the same stages as Airflow runs, without it."""

import time as clock
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import first_look
from pipelines.cli import stage_backfill, stage_work
from pipelines.cli.declared import declared_use_case
from pipelines.cli.measured_runs import Done, measured_run
from pipelines.cli.stage_options import refuse_backwards, refuse_idle, refuse_to_come
from pipelines.cli.stage_work import Run
from pipelines.cli.terminal import console, fail_on
from pipelines.domain.training import AS_DECLARED, Asked
from pipelines.errors import HeadframeError, NotEnoughData, Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

Stage = Literal[
    "ingest", "train", "evaluate", "promote", "score", "deliver", "monitor", "probation"
]

AsOf = Annotated[
    str, typer.Option("--as-of", help="The moment to run at: ISO date or time. Default: now.")
]
From = Annotated[
    str,
    typer.Option(
        "--from", help="First day or time (ISO) of a range: score, deliver, train, monitor."
    ),
]
Until = Annotated[str, typer.Option(help="Day or time up to which, exclusive.")]
Version = Annotated[
    str,
    typer.Option(
        help="Candidate version (evaluate, promote); one that was promoted, to score with (score)."
    ),
]
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


YEARS = range(1900, 3000)
"""Years that an option may name: at the ends of Python's calendar the day before or after is none."""


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
    """Run one stage here and now, without Airflow; evaluate: status 1 where the answer is no."""
    settings = Settings()
    started = clock.perf_counter()
    with fail_on(HeadframeError):
        refuse_idle(stage, as_of=as_of, from_=from_, until=until, late=late, version=version)
        declared = declared_use_case(settings, use_case)
        chosen = Run(
            use_case=declared,
            settings=settings,
            as_of=_moment_of(stage, as_of, declared) if as_of else _now(stage, declared, settings),
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
        if stage in ("train", "monitor") and from_:
            end = moment(until, declared) if until else chosen.as_of
            done = Done(text=_backfill(stage, chosen, moment(from_, declared), end))
        else:
            # A moment of its own is about the last scoring time up to it, as a run in Airflow is.
            window = (from_ or (as_of if until or _day(as_of) else ""), until)
            work = partial(_once, stage, chosen, late=late, window=window, ranged=bool(from_))
            done = measured_run(settings, use_case, stage, work)
        seconds = clock.perf_counter() - started
        console.print(
            f"[bold]{stage}[/bold] {escape(done.text)} [dim]({seconds:.1f} s)[/dim]",
            highlight=False,
        )
    if done.is_no:
        raise typer.Exit(1)


def _once(stage: Stage, run: Run, *, late: bool, window: tuple[str, str], ranged: bool) -> Done:
    if late:
        return stage_work.late(run, stage)
    if stage == "score" and ranged and not run.version:
        from pipelines.cli.score_backfill import fill_in

        return fill_in(run, *_window(run.use_case, *window, run.as_of), told=_told)
    if stage in stage_work.WINDOWED:
        return stage_work.WINDOWED[stage](run, *_window(run.use_case, *window, run.as_of))
    return stage_work.RUNS[stage](run)


def _backfill(
    stage: stage_backfill.BackfilledStage, run: Run, since: datetime, until: datetime
) -> str:
    """Run a stage as of each of its times in [since, until); raises NotEnoughData if one had too few."""

    def at(time: datetime) -> str:
        work = partial(stage_work.RUNS[stage], replace(run, as_of=time, filled_in=True))
        return measured_run(run.settings, run.use_case.name, stage, work).text

    refuse_backwards(since, until, where=stage_backfill.where(run.use_case))
    backfill = stage_backfill.planned(
        stage, run.use_case, run.settings, since=since, until=until, now=datetime.now(UTC)
    )
    refused = stage_backfill.each(backfill, at, told=_told)
    if refused:
        others = "" if len(refused) == len(backfill.times) else "The other times are done. "
        raise NotEnoughData(
            Problem(
                where=f"headframe run {stage} {run.use_case.name}",
                expected="enough data at each time",
                found=f"too little at {len(refused)} of {len(backfill.times)}: {refused[0]}",
                fix=f"{others}Begin the range later, or take in older data.",
            )
        )
    return backfill.describe()


def _told(line: str) -> None:
    console.print(line, markup=False, highlight=False)


def moment(text: str, use_case: UseCase | None) -> datetime:
    """Read an ISO date or time; without an offset it is local to the use case's time zone.

    Without a use case it is UTC. Raises SettingsError for anything else, and for a year outside YEARS.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.year not in YEARS:
        raise SettingsError(
            Problem(
                where="--as-of, --from or --until",
                expected="an ISO date or time such as 2013-04-01 or 2013-04-01T09:00:00Z",
                found=repr(text),
                fix="Correct the option.",
            )
        )
    zone = ZoneInfo(use_case.scoring.timezone) if use_case and use_case.scoring else UTC
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def period(text: str, use_case: UseCase) -> tuple[datetime, datetime]:
    """Return beginning and end (UTC) of the local day that a date names, else a minute from a time on.

    Raises SettingsError as ``moment``.
    """
    start, day = moment(text, use_case), _day(text)
    if day is None:
        return start, start + timedelta(minutes=1)
    # Where the clock is changed a day has another length.
    return start, moment((day + timedelta(days=1)).isoformat(), use_case)


def _moment_of(stage: Stage, as_of: str, use_case: UseCase) -> datetime:
    """Return the moment asked for. Raises SettingsError for one to come, as of which nothing can be said.

    What monitor settles as of next year, it has said of every time until then.
    """
    asked = moment(as_of, use_case)
    if stage in ("train", "monitor"):
        fix = "Correct the year or the day, or leave --as-of out."
        refuse_to_come(asked, where="headframe run, --as-of", fix=fix)
    return asked


def _now(stage: Stage, use_case: UseCase, settings: Settings) -> datetime:
    """Return the present; of an ingest, after it gave the files that it finds their moment."""
    if stage == "ingest":
        first_look.look(settings, use_case.name, use_case.tables)
    return datetime.now(UTC)


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

    Without any it is the last scoring time up to ``now``. Raises SettingsError for a range
    that ends before it begins, or holds no scoring time.
    """
    if not since:
        last = TrainedUseCase.of(use_case).scoring.times.last(now)
        return last, last + timedelta(minutes=1)
    start, end = period(since, use_case)
    window = start, moment(until, use_case) if until else end
    refuse_backwards(*window, where=stage_backfill.where(use_case))
    if not TrainedUseCase.of(use_case).scoring.times.between(*window):
        raise stage_backfill.no_time(use_case, "a time at which is scored", *window)
    return window


def _day(text: str) -> date | None:
    """Return the date that a text is; None for a time, or neither."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
