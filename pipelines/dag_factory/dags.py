"""The four DAGs of a use case: their tasks, schedules, assets, forms and runbooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from pipelines.adapters.settings import Settings, current_settings
from pipelines.dag_factory import (
    assets,
    forms,
    probation_tasks,
    retrain_tasks,
    score_tasks,
    tasks,
    train_tasks,
)
from pipelines.dag_factory.approve import Approve
from pipelines.dag_factory.failure_message import failure_message, success_message
from pipelines.dag_factory.runbook import runbook
from pipelines.dag_factory.runs import FIRST_DAY, Context
from pipelines.dag_factory.stage_task import (
    EvidenceTask,
    ModelTask,
    PartTask,
    PartWork,
    ReportTask,
    StageTask,
)
from pipelines.domain.windows import local_moment
from pipelines.use_case import TrainedUseCase, UseCase

RETRIES = 2
"""Tries after the first, for errors that waiting may mend."""

FIRST_RETRY_AFTER = timedelta(seconds=30)
LONGEST_RETRY_AFTER = timedelta(minutes=10)


def declare_dags(use_case: UseCase, *, only: str | None, now: datetime) -> None:
    """Declare the DAGs of the use case's tier, or the one called ``only``; each registers itself.

    ``now`` decides one thing: whether ``ends_before`` has passed, after which no DAG has a schedule.
    """
    settings = current_settings()
    wanted = {"ingest": _ingest}
    if use_case.tier != "explore":
        wanted |= {"train": _train, "score": _score, "monitor": _monitor}
    for purpose, declare in wanted.items():
        if only in (None, f"{use_case.name}__{purpose}"):
            declare(use_case, settings, now)


def _ingest(use_case: UseCase, settings: Settings, now: datetime) -> None:
    published = [assets.silver(settings, use_case, table) for table in use_case.tables]
    if use_case.scoring and use_case.scoring.on_late == "rescore":
        published.append(assets.late(settings, use_case))
    schedule = _until_end(use_case, now, use_case.ingest_schedule)
    with _dag(use_case, "ingest", **schedule, params=forms.ingest()):
        ingest = StageTask(
            task_id="ingest",
            work=partial(tasks.ingest, use_case),
            inlets=published,
            outlets=[assets.silver_news(use_case)],
        )
        docs = StageTask(
            task_id="docs",
            work=partial(tasks.docs, use_case),
            retries=0,
            on_failure_callback=None,  # a page is no promise to anybody outside
        )
        # It runs however ingest ended; as a teardown it decides nothing about the run's colour.
        ingest >> docs.as_teardown()


def _train(use_case: UseCase, settings: Settings, now: datetime) -> None:
    schedule = _until_end(use_case, now, _retraining(use_case, settings))
    training = TrainedUseCase.of(use_case).training
    with _dag(use_case, "train", **schedule, params=forms.train(training)):
        train = _search_and_train(use_case) if training.searches else _train_alone(use_case)
        evaluate = EvidenceTask(task_id="evaluate", work=partial(tasks.evaluate, use_case))
        promote = StageTask(task_id="promote", work=partial(tasks.promote, use_case))
        train >> evaluate
        if use_case.tier == "governed":
            approve = Approve(
                task_id="approve", use_case=use_case, retry_delay=timedelta(seconds=5)
            )
            evaluate >> approve >> promote
        else:
            evaluate >> promote
        promote >> StageTask(task_id="reference", work=partial(tasks.reference, use_case))


def _retraining(use_case: UseCase, settings: Settings) -> Any:  # noqa: ANN401 - as _dag
    """Return what starts a training: the declared times, and what monitor asks for where it may."""
    declared = use_case.retraining
    if not declared.is_triggered:
        return declared.schedule
    asked = assets.retrain(settings, use_case)
    if declared.schedule is None:
        return asked
    times = CronTriggerTimetable(declared.schedule, timezone="UTC")
    return AssetOrTimeSchedule(timetable=times, assets=asked)


def _train_alone(use_case: UseCase) -> ModelTask:
    return ModelTask(task_id="train", work=partial(train_tasks.train, use_case))


def _search_and_train(use_case: UseCase) -> ModelTask:
    plan = StageTask(task_id="plan", work=partial(train_tasks.plan, use_case))
    tuners = _mapped("tune", partial(train_tasks.tune, use_case), plan, called="tuner")
    train = ModelTask(
        task_id="train",
        work=partial(train_tasks.finish, use_case),
        # A search that was made before has no tuner, and Airflow skips those of none.
        trigger_rule="none_failed",
    )
    plan >> tuners >> train
    return train


def _mapped(
    task_id: str, do: Callable[[Context, int], Any], plan: StageTask, *, called: str
) -> Any:  # noqa: ANN401 - Airflow's mapped operator
    """Map a task over the numbers that ``plan`` returns; the UI shows each as ``called`` and number."""
    work = PartWork(name=task_id, do=do)
    template = f"{called} {{{{ task.part }}}}"
    return PartTask.partial(task_id=task_id, work=work, map_index_template=template).expand(
        part=plan.output
    )


def _score(use_case: UseCase, settings: Settings, now: datetime) -> None:
    scoring = TrainedUseCase.of(use_case).scoring
    timetable = CronTriggerTimetable(scoring.times.cron, timezone=scoring.timezone)
    schedule = _until_end(use_case, now, timetable)
    if scoring.on_late == "rescore":
        late = assets.late(settings, use_case)
        # What comes late has no end: it concerns the days before it.
        ended = schedule["schedule"] is None
        schedule["schedule"] = (
            late if ended else AssetOrTimeSchedule(timetable=timetable, assets=late)
        )
    with _dag(use_case, "score", **schedule, params=forms.score()):
        champion = StageTask(task_id="champion", work=partial(score_tasks.champion, use_case))
        published = [assets.predictions(settings, use_case)]
        if scoring.parts == 1:
            scored = StageTask(
                task_id="score", work=partial(score_tasks.score, use_case), outlets=published
            )
            champion >> scored
        else:
            plan = StageTask(task_id="plan", work=partial(score_tasks.plan, use_case))
            parts = _mapped(
                "score_part", partial(score_tasks.score_part, use_case), plan, called="part"
            )
            scored = StageTask(
                task_id="publish",
                work=partial(score_tasks.publish, use_case),
                outlets=published,
                # A plan whose windows stand unchanged has no part, and Airflow skips those of none.
                trigger_rule="none_failed",
            )
            champion >> plan >> parts >> scored
        if scoring.outputs:
            give = partial(score_tasks.deliver, use_case, after=scored.task_id)
            scored >> StageTask(task_id="deliver", work=give)
        if use_case.probation_rule is not None:
            # Beside what consumers get: they do not wait for it, and it fails alone.
            compare = partial(probation_tasks.shadow, use_case, after=scored.task_id)
            scored >> StageTask(task_id="shadow", work=compare)


def _monitor(use_case: UseCase, settings: Settings, now: datetime) -> None:
    del now  # news has no end
    label = TrainedUseCase.of(use_case).label
    news = assets.predictions(settings, use_case) | assets.silver(settings, use_case, label.table)
    with _dag(use_case, "monitor", schedule=news, params=forms.monitor()):
        monitor = StageTask(task_id="monitor", work=partial(tasks.monitor, use_case))
        page = ReportTask(
            task_id="report",
            on_failure_callback=None,  # as for docs
            work=partial(tasks.report, use_case),
            retries=0,
        )
        judged = monitor
        if use_case.probation_rule is not None:
            judged = StageTask(
                task_id="probation", work=partial(probation_tasks.probation, use_case)
            )
            monitor >> judged
        if use_case.retraining.is_triggered:
            # After a probation, which may put another champion back.
            before = judged
            judged = StageTask(
                task_id="retrain",
                work=partial(retrain_tasks.retrain, use_case),
                inlets=[assets.retrain(settings, use_case)],
                outlets=[assets.retrain_news(use_case)],
            )
            before >> judged
        # A page that cannot be written takes nothing away from what was found: the run stays green.
        judged >> page.as_teardown()


@contextmanager
def _dag(
    use_case: UseCase,
    purpose: str,
    *,
    schedule: Any,  # noqa: ANN401 - a cron expression, a timetable or assets of untyped Airflow
    end_date: datetime | None = None,
    params: dict[str, Any],
) -> Iterator[None]:
    """Open one DAG; entering it is what registers it with the file that Airflow is reading."""
    page = runbook(use_case, purpose)
    with DAG(
        dag_id=f"{use_case.name}__{purpose}",
        description=page.summary,
        doc_md=page.text,
        schedule=schedule,
        start_date=FIRST_DAY,
        end_date=end_date,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        tags=sorted({use_case.name, use_case.owner, use_case.tier}),
        default_args={
            "owner": use_case.owner,
            "retries": RETRIES,
            "retry_delay": FIRST_RETRY_AFTER,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": LONGEST_RETRY_AFTER,
            "on_failure_callback": failure_message(use_case),
        },
        on_failure_callback=failure_message(use_case),
        on_success_callback=success_message(use_case),
    ) as dag:
        # Past the attribute's own setter, which checks the form as the constructor does.
        object.__setattr__(dag, "params", forms.checked(params))
        yield


def _until_end(use_case: UseCase, now: datetime, schedule: Any) -> dict[str, Any]:  # noqa: ANN401 - as _dag
    """Return ``schedule`` with its end date; once ``ends_before`` has passed, neither of them.

    Airflow ends runs by hand too, green and without a task, when their logical date is after the
    end date: so the end date goes when its work is done.
    """
    if use_case.ends_before is None:
        return {"schedule": schedule}
    zone = ZoneInfo(use_case.scoring.timezone if use_case.scoring else "UTC")
    midnight = local_moment(date.fromisoformat(use_case.ends_before), time(0), zone)
    if now >= midnight:
        return {"schedule": None}
    return {"schedule": schedule, "end_date": midnight - timedelta(seconds=1)}
