"""Score tasks: the champion and the work pinned, each part scored, all published at once, delivered."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import airflow_connections, assets, probation_tasks, runs
from pipelines.dag_factory.run_code import refuse_changed_code, remember_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import say
from pipelines.domain import plain_values
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.scoring import Asked, LateWindow, Scored

PLAN = "plan"
"""XCom key of the plan: the return value of that task is the numbers of its parts."""

LATE = "late"
"""Key under which the task that asks keeps the late windows of its run, for every later try."""

NOTHING_LATE = "No window that was scored lacks anything that has come since."


def champion(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Pin the version of the champion and the code, which every try of the run then scores with.

    A backfill scores with the champion of its time, as a live run would have.
    """
    from pipelines.stages.reigns import stretches
    from pipelines.stages.score import champion_version

    settings, beside = Settings(), ""
    code = remember_code(settings, use_case, context)
    if runs.is_backfill(context):
        since = TrainedUseCase.of(use_case).scoring.times.last(runs.as_of(context))
        until = since + timedelta(minutes=1)
        (stretch,) = stretches(use_case, settings, since=since, until=until)
        version = stretch.version
        beside = stretch.describe() or f" at {since.isoformat()}"
    else:
        version = champion_version(use_case, settings)
    said = say(f"champion is version {version}{beside}")
    return {"says": said, "version": version, "code": code}


def score(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Score what the run asks for in this one task, and announce the predictions."""
    from pipelines.stages.score import score as stage

    settings = Settings()
    asked, known_until = _asked(use_case, settings, context)
    scored = stage(use_case, settings, **asked)
    probation_tasks.remember(use_case, context, scored)
    return _announce(use_case, settings, context, scored, known_until=known_until)


def plan(use_case: UseCase, context: Context) -> list[int]:
    """Pin what the run scores and who does which part of it; return the numbers of the parts."""
    from pipelines.stages.score import plan as stage

    settings = Settings()
    asked, known_until = _asked(use_case, settings, context)
    planned = stage(use_case, settings, **asked)
    say(planned.describe())
    known = known_until and known_until.isoformat()
    context["ti"].xcom_push(PLAN, {"plan": planned.to_plain(), "known_until": known})
    return list(range(len(planned.parts)))


def score_part(use_case: UseCase, context: Context, part: int) -> dict[str, Any]:
    """Score one part of the plan; nobody sees its rows before they are published."""
    from pipelines.domain.scoring import ScorePlan
    from pipelines.stages.score import score_part as stage

    _pinned(use_case, context)
    planned = ScorePlan.from_plain(context["ti"].xcom_pull(task_ids="plan", key=PLAN)["plan"])
    scored = stage(use_case, Settings(), planned, part)
    worker = runs.worker()
    said = say(f"{scored.describe()}, by {worker}")
    plain = scored.to_plain()
    rows = sum(share.scored for share in scored.shares)
    return {"says": said, "worker": worker, "rows": rows, "scored": plain}


def publish(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Publish every part at once, when no row of the plan is missing, and announce the predictions."""
    from pipelines.domain.scoring import ScoredPart, ScorePlan
    from pipelines.stages.score import publish as stage

    pulled = context["ti"].xcom_pull(task_ids="plan", key=PLAN)
    if pulled is None:
        raise AirflowSkipException(NOTHING_LATE)
    settings = Settings()
    _pinned(use_case, context)
    planned = ScorePlan.from_plain(pulled["plan"])
    # One index at a time: without any, Airflow would give a single part not as a list of one.
    told = [
        context["ti"].xcom_pull(task_ids="score_part", map_indexes=part)
        for part in range(len(planned.parts))
    ]
    parts = [ScoredPart.from_plain(part["scored"]) for part in told if part is not None]
    scored = stage(use_case, settings, planned, parts)
    probation_tasks.remember(use_case, context, scored)
    known = pulled["known_until"] and datetime.fromisoformat(pulled["known_until"])
    return _announce(use_case, settings, context, scored, known_until=known)


def deliver(use_case: UseCase, context: Context, *, after: str) -> dict[str, Any]:
    """Give consumers the windows that the task ``after`` scored; what they have is left alone."""
    from pipelines.stages.deliver import deliver as stage

    _pinned(use_case, context)
    scored = context["ti"].xcom_pull(task_ids=after)
    delivered = stage(
        use_case,
        Settings(),
        scored_for=[datetime.fromisoformat(text) for text in scored["scored_for"]],
        run=context["run_id"],
        connections=resolver(airflow_connections.look_up),
        delivered_at=_now_in_run(context),
    )
    rows = sum(output.rows for output in delivered.outputs)
    return {"says": say(delivered.describe()), "rows": rows}


def _asked(
    use_case: UseCase, settings: Settings, context: Context
) -> "tuple[Asked, datetime | None]":
    """Return what the run is about: its late windows when late data started it, else its times.

    Then the time until which predictions are known with it, None for that of the last window.
    Raises AirflowSkipException for a run about late data when nothing is or was late, and CodeChanged
    when this process has other code than the run's first task.
    """
    version = _pinned(use_case, context)["version"]
    as_of, until = runs.as_of(context), runs.until(context)
    run = context["run_id"]
    asked: Asked = {"since": as_of, "until": as_of, "run": run, "model_version": version}
    if runs.is_about_late_data(context):
        from pipelines.stages.late import describe

        asked["late"] = _late(use_case, settings, context)
        if not asked["late"]:
            raise AirflowSkipException(NOTHING_LATE)
        say(describe(asked["late"]))
        return asked, as_of
    if until is None:
        asked["since"] = TrainedUseCase.of(use_case).scoring.times.last(as_of)
        asked["until"] = asked["since"] + timedelta(minutes=1)
        return asked, None
    if until <= as_of:
        raise SettingsError(
            Problem(
                where=f"scoring of {use_case.name}",
                expected="an until after as_of",
                found=f"{until.isoformat()}, and as_of {as_of.isoformat()}",
                fix="Start the run again with a window that ends after it begins.",
            )
        )
    asked["until"] = until
    return asked, until


def _late(use_case: UseCase, settings: Settings, context: Context) -> "tuple[LateWindow, ...]":
    """Return the run's late windows: those of the task's earlier tries, and what is late now.

    What an earlier try committed is late no more, but nobody may have been given it: asked for again,
    it stays as it is, and is delivered. That holds for a task that a person clears, too.
    """
    from pipelines.domain.scoring import LateWindow
    from pipelines.stages.late import late_windows

    kept = context["task_state_store"].get(LATE) or ()
    before = [plain_values.from_plain(LateWindow, plain) for plain in kept]
    now = late_windows(use_case, settings, as_of=runs.as_of(context))
    asked = {(window.scored_for, window.as_of): window for window in (*before, *now)}
    windows = tuple(asked[which] for which in sorted(asked))
    context["task_state_store"].set(LATE, plain_values.to_plain(windows))
    return windows


def _pinned(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Return what the first task pinned. Raises CodeChanged when this process has other code."""
    first: dict[str, Any] = context["ti"].xcom_pull(task_ids="champion")
    refuse_changed_code(Settings(), use_case, first, purpose="score")
    return first


def _announce(
    use_case: UseCase,
    settings: Settings,
    context: Context,
    scored: "Scored",
    *,
    known_until: datetime | None,
) -> dict[str, Any]:
    times = sorted({window.scored_for for window in scored.windows})
    extra = {
        "rows": scored.rows,
        "version": max((window.version for window in scored.windows), default=-1),
        "model_version": scored.model_version,
        "scored_for_first": times[0].isoformat() if times else None,
        "scored_for_last": times[-1].isoformat() if times else None,
        "as_of": (known_until or max(times, default=runs.as_of(context))).isoformat(),
    }
    context["outlet_events"][assets.predictions(settings, use_case)].extra = extra
    told = [moment.isoformat() for moment in times]
    return {"says": say(scored.describe()), "scored_for": told, **extra}


def _now_in_run(context: Context) -> datetime | None:
    """Return the present moment on the run's own clock, which may stand in another year.

    None for a window of many scoring times: nobody waited for those.
    """
    if runs.until(context) is not None:
        return None
    return runs.now_in_run(context, datetime.now(UTC))
