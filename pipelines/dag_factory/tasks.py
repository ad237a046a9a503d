"""Tasks: what each task of a use case's DAGs does, a stage called with the run's own facts."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from pipelines.adapters.databases.connections import resolver
from pipelines.adapters.settings import Settings
from pipelines.dag_factory import airflow_connections, alarms, assets, runs
from pipelines.dag_factory.run_code import refuse_changed_code
from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.stage_task import FAILURE, say
from pipelines.use_case import UseCase

REFUSED_BY_GATES = "The gates refused the challenger; the log of evaluate says why."
NOT_MONITORED = "Monitor failed: the page of its last run stays."
NO_PAGES = "The pages could not be written; the next run writes them."

TOLD_AGAIN_AFTER = timedelta(days=1)
"""Time in which the same late windows are announced once: the run that it started may have failed."""

logger = logging.getLogger(__name__)


def ingest(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Take landed files in and announce each table that is newer than what was last announced.

    Raises FileRefused after everything else was committed; those tables are announced by the next
    run that succeeds, since a failed task announces nothing. What is wrong with a feed is said in the
    log and is an incident; it does not fail the task. Windows that were scored without what has come
    now are announced, too, and scored again.
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
    said = say(stage.describe(results))
    feed = [found for result in results for found in result.feed]
    alarms.feeds(use_case, settings, feed, as_of=as_of)
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
    late = _announce_late(use_case, settings, context, as_of)
    versions = {result.table: result.version for result in results}
    rows = sum(result.law.landed for result in results)
    return {"says": said, "versions": versions, "late": late, "rows": rows}


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
    return {"says": say(made.describe()), "written": made.written}


def evaluate(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Judge the challenger, and keep the page and the card that say so with its run.

    A refusal by the gates is an answer, not a failure.
    """
    from pipelines.stages.card import card
    from pipelines.stages.evaluate import evaluate as stage
    from pipelines.stages.evidence import evidence

    trained, settings = context["ti"].xcom_pull(task_ids="train"), Settings()
    refuse_changed_code(settings, use_case, trained)
    evaluated = stage(use_case, settings, version=trained["version"])
    paged = evidence(use_case, settings, version=trained["version"], attach=True)
    card(use_case, settings, version=trained["version"], attach=True)
    verdicts, as_of = evaluated.evidence.verdicts, runs.as_of(context)
    alarms.gates(use_case, settings, trained["version"], verdicts, as_of=as_of)
    said = say(evaluated.describe())
    if not evaluated.promotable:
        said += "\n" + say("The gates refused it: the champion stays, and nothing is promoted.")
    return {
        "says": said,
        "promotable": evaluated.promotable,
        "evidence_digest": evaluated.evidence.digest,
        "version": trained["version"],
        "run_id": trained["run_id"],
        "page": paged.address,
        "run_page": paged.run_page,
    }


def promote(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Make the challenger the champion, once an approver's answer counts where one is needed.

    Skips itself when the gates refused the challenger.
    """
    from pipelines.stages.card import card
    from pipelines.stages.promote import promote as stage

    trained = context["ti"].xcom_pull(task_ids="train")
    if not context["ti"].xcom_pull(task_ids="evaluate")["promotable"]:
        raise AirflowSkipException(REFUSED_BY_GATES)
    settings = Settings()
    refuse_changed_code(settings, use_case, trained)
    now = datetime.now(UTC)
    promoted = stage(
        use_case,
        settings,
        version=trained["version"],
        as_of=runs.decided_at(context, now),
        now=now,
    )
    card(use_case, settings, version=trained["version"], attach=True)
    return {"says": say(promoted.describe()), "version": promoted.version}


def reference(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Make what the new champion's blocks are held against; monitor makes it where this failed."""
    from pipelines.stages.profile_reference import profile_reference as stage

    made = stage(use_case, Settings(), as_of=runs.as_of(context), run=context["run_id"])
    return {"says": say(made.describe() if made else "There is no champion.")}


def monitor(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Settle labels, measure performance and judge drift; what was found is an incident."""
    from pipelines.stages.monitor import monitor as stage

    settings, as_of = Settings(), runs.as_of(context)
    monitored = stage(use_case, settings, as_of=as_of, run=context["run_id"])
    said = say(monitored.describe())
    alarms.feeds(use_case, settings, monitored.feed, as_of=as_of)
    alarms.watched(use_case, settings, monitored.watched, as_of=as_of)
    fell = [found.text for found in monitored.findings if found.kind == "volume"]
    alarms.volume(use_case, settings, "; ".join(fell) or None, as_of=as_of)
    return {
        "says": said,
        "as_of": as_of.isoformat(),
        "level": monitored.watched.level,
        "findings": len(monitored.findings),
        "rows": sum(block.predictions for block in monitored.blocks),
    }


def report(use_case: UseCase, context: Context) -> dict[str, Any]:
    """Write the page of what monitor found; skipped when it failed, whose message is the one to read."""
    from pipelines.stages.report import report as stage

    if context["ti"].xcom_pull(task_ids="monitor") is None:
        raise AirflowSkipException(NOT_MONITORED)
    reported = stage(use_case, Settings(), as_of=runs.as_of(context))
    return {"says": say(reported.describe()), "page": f"{use_case.name}/{reported.page.name}"}


def _announce_late(
    use_case: UseCase, settings: Settings, context: Context, as_of: datetime
) -> list[str]:
    """Announce late windows, and return their scoring times; those of the last event only after a day.

    Every ingest finds them until they are scored again, and one run of score is enough for that.
    """
    from pipelines.stages.late import describe, late_windows

    found = late_windows(use_case, settings, as_of=as_of)
    windows = [window.scored_for.isoformat() for window in found]
    if not found:
        return windows
    say(describe(found))
    asset = assets.late(settings, use_case)
    extra = {"windows": windows, "reasons": [window.reason for window in found]}
    last = runs.last_event(context, asset)
    told = {name: last.get(name) for name in extra} == extra
    if not told or as_of - datetime.fromisoformat(last["as_of"]) >= TOLD_AGAIN_AFTER:
        news = {**extra, "as_of": as_of.isoformat()}
        context["outlet_events"][assets.silver_news(use_case)].add(asset, extra=news)
    return windows


def _announced_version(context: Context, asset: Any) -> int:  # noqa: ANN401 - untyped library
    """Return the table version in the asset's last event; -1 when it has none.

    The last event, not the files of this try, says what consumers know: a try may have died between
    its commit and its success, and the command line announces nothing.
    """
    return int(runs.last_event(context, asset).get("version", -1))
