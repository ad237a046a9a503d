"""Tasks: what each task of a use case's DAGs does, a stage called with the run's own facts."""

import logging
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.landing import feed_ledger
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import airflow_connections, assets, runs
from pipelines.dag_factory.run_code import refuse_changed_code, remember_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import FAILURE
from pipelines.domain.windows import scoring_times
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import TrainedUseCase, UseCase

REFUSED_BY_GATES = "The gates refused the challenger; the log of evaluate says why."
NO_PAGES = "The pages could not be written; the next run writes them."

logger = logging.getLogger(__name__)


def ingest(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Take landed files in and announce each table that is newer than what was last announced.

    Raises FileRefused after everything else was committed; those tables are announced by the next
    run that succeeds, since a failed task announces nothing. What is wrong with a feed is said in the
    log and told once; it does not fail the task.
    """
    from pipelines.stages import ingest as stage

    settings, as_of = Settings(), runs.as_of(context)
    results = stage.ingest(
        use_case,
        settings,
        as_of=as_of,
        run=context["run_id"],
        connections=resolver(airflow_connections.look_up),
    )
    said = _say(stage.describe(results))
    feed = [found for result in results for found in result.feed]
    feed_ledger.tell(settings, use_case.name, feed, as_of=as_of)
    if (refused := stage.refusals(results)) is not None:
        raise refused
    for result in results:
        asset = assets.silver(settings, use_case, use_case.table(result.table))
        if result.version > _announced_version(context, asset):
            extra = {
                "table": result.table,
                "version": result.version,
                "rows": result.law.accepted,
                "as_of": as_of.isoformat(),
            }
            context["outlet_events"][assets.silver_news(use_case)].add(asset, extra=extra)
    return {"says": said, "versions": {result.table: result.version for result in results}}


def docs(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Write the pages of checks that have none yet, those of ingests that were refused included.

    Beside a failed ingest it is skipped rather than failed when it cannot: the message about a run
    names the task that failed last.
    """
    from pipelines.stages.quality_docs import quality_docs

    try:
        made = quality_docs(Settings(), use_case.name)
    except Exception as error:
        if context["ti"].xcom_pull(task_ids="ingest", key=FAILURE) is None:
            raise
        logger.exception("The pages could not be written.")
        raise AirflowSkipException(NO_PAGES) from error
    return {"says": _say(made.describe()), "written": made.written}


def train(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Fit and register a challenger; a retry goes on only with the code of the first try."""
    from pipelines.stages.train import train as stage

    settings = Settings()
    code = remember_code(settings, use_case, context)
    trained = stage(
        use_case,
        settings,
        as_of=runs.as_of(context),
        run=context["run_id"],
        requester=runs.requester(context, use_case),
    )
    return {
        "says": _say(trained.describe()),
        "version": trained.version,
        "run_id": trained.run_id,
        "code": code,
    }


def evaluate(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Judge the challenger; a refusal by the gates is an answer, not a failure."""
    from pipelines.stages.evaluate import evaluate as stage

    trained, settings = context["ti"].xcom_pull(task_ids="train"), Settings()
    refuse_changed_code(settings, use_case, trained)
    evaluated = stage(use_case, settings, version=trained["version"])
    said = _say(evaluated.describe())
    if not evaluated.promotable:
        said += "\n" + _say("The gates refused it: the champion stays, and nothing is promoted.")
    return {
        "says": said,
        "promotable": evaluated.promotable,
        "evidence_digest": evaluated.evidence.digest,
        "version": trained["version"],
        "run_id": trained["run_id"],
    }


def promote(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Make the challenger the champion, with the answer of the approver where one is needed.

    Skips itself when the gates refused the challenger.
    """
    from pipelines.stages.promote import Approval
    from pipelines.stages.promote import promote as stage

    trained = context["ti"].xcom_pull(task_ids="train")
    if not context["ti"].xcom_pull(task_ids="evaluate")["promotable"]:
        raise AirflowSkipException(REFUSED_BY_GATES)
    settings = Settings()
    refuse_changed_code(settings, use_case, trained)
    answer = context["ti"].xcom_pull(task_ids="approve") if use_case.tier == "governed" else None
    promoted = stage(
        use_case,
        settings,
        version=trained["version"],
        as_of=runs.as_of(context),
        approval=Approval(**answer) if answer else None,
    )
    return {"says": _say(promoted.describe()), "version": promoted.version}


def champion(use_case: UseCase, context: Context) -> str:
    """Return the version of the champion, which every try of the run then scores with."""
    del context
    from pipelines.stages.score import champion_version

    version = champion_version(use_case, Settings())
    _say(f"champion is version {version}")
    return version


def score(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Score the run's scoring times with the pinned champion, and announce the predictions."""
    from pipelines.stages.score import score as stage

    settings = Settings()
    since, until = _window(use_case, context)
    scored = stage(
        use_case,
        settings,
        since=since,
        until=until or since + timedelta(minutes=1),
        run=context["run_id"],
        model_version=context["ti"].xcom_pull(task_ids="champion"),
    )
    said = _say(scored.describe())
    times = [window.scored_for for window in scored.windows]
    extra = {
        "rows": scored.rows,
        "version": max((window.version for window in scored.windows), default=-1),
        "model_version": scored.model_version,
        "scored_for_first": times[0].isoformat() if times else None,
        "scored_for_last": times[-1].isoformat() if times else None,
        "as_of": (until or (times[-1] if times else since)).isoformat(),
    }
    context["outlet_events"][assets.predictions(settings, use_case)].extra = extra
    return {"says": said, **extra}


def monitor(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Settle labels and measure performance; what was found goes out, of feeds what is new."""
    from pipelines.stages.monitor import monitor as stage

    settings, as_of = Settings(), runs.as_of(context)
    monitored = stage(use_case, settings, as_of=as_of, run=context["run_id"])
    said = _say(monitored.describe())
    feed_ledger.tell(settings, use_case.name, monitored.feed, as_of=as_of)
    others = [finding for finding in monitored.findings if finding.kind != "feed"]
    if others:
        count = len(others)
        title = f"{use_case.name}: monitor found {count} thing{'s' if count > 1 else ''}"
        lines = [f"{finding.kind}: {finding.text}" for finding in others]
        notifications.notify(settings, title, "\n".join([f"as of {as_of.isoformat()}", *lines]))
    return {"says": said, "as_of": as_of.isoformat(), "findings": len(monitored.findings)}


def _window(use_case: UseCase, context: Context) -> tuple[datetime, datetime | None]:
    """Return the first moment to score and the end the form asks for.

    Without an end, the first moment is the last scoring time up to the run's as_of.
    """
    as_of, until = runs.as_of(context), runs.until(context)
    if until is None:
        scoring = TrainedUseCase.of(use_case).scoring
        past = scoring_times(
            scoring.at,
            scoring.timezone,
            since=as_of - timedelta(days=2),
            until=as_of + timedelta(microseconds=1),
        )
        return past[-1], None
    if until <= as_of:
        raise SettingsError(
            Problem(
                where=f"scoring of {use_case.name}",
                expected="an until after as_of",
                found=f"{until.isoformat()}, and as_of {as_of.isoformat()}",
                fix="Start the run again with a window that ends after it begins.",
            )
        )
    return as_of, until


def _announced_version(context: Context, asset: Any) -> int:  # noqa: ANN401 - untyped library
    """Return the table version in the asset's last event; -1 when it has none.

    The last event, not the files of this try, says what consumers know: a try may have died between
    its commit and its success, and the command line announces nothing.
    """
    events = list(context["inlet_events"][asset].ascending(False).limit(1))  # noqa: FBT003 - Airflow's
    return int(events[0].extra.get("version", -1)) if events else -1


def _say(text: str) -> str:
    """Log ``text``, a line each, and return it."""
    for line in text.splitlines():
        logger.info("%s", line)
    return text
