"""Replay run: every policy of a replay in its own throw-away home, some of them at the same time."""

import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from rich.progress import Progress

from pipelines.adapters import lake
from pipelines.adapters.models import feature_store, known, mlflow_client
from pipelines.adapters.replay_home import ReplayHome, on_a_full_disk
from pipelines.adapters.replay_journal import steps_done
from pipelines.cli import replay_loop
from pipelines.cli.replay_policy import PolicyReplay
from pipelines.cli.replay_processes import replay_beside
from pipelines.cli.replay_results import compared
from pipelines.domain.digest import digest_of
from pipelines.domain.features import feature_digest
from pipelines.domain.metrics import METRICS
from pipelines.domain.replay_remarks import remarks
from pipelines.domain.replay_result import PolicyResult, ReplayResult
from pipelines.domain.replay_steps import RetrainPolicy, periods
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

NEVER_ENDS = datetime.max.replace(tzinfo=UTC)
"""Later than any row became known."""


def replayed(
    use_case: UseCase,
    home: ReplayHome,
    policies: Sequence[RetrainPolicy],
    progress: Progress,
    *,
    jobs: int = 1,
) -> ReplayResult:
    """Replay every policy in its own throw-away home, ``jobs`` at the same time; return how they fared.

    What was replayed before is not done again. Raises NotEnoughData where nothing is scored in that
    history, silver knows nothing of it, or no first champion comes of the time before; LakeError where
    silver has nothing of a table, or the disk is full; CodeChanged where the code does while it runs.
    """
    parts, asked = TrainedUseCase.of(use_case), home.asked
    features = feature_digest(parts.features, parts.label)
    tables = {table.name: table for table in use_case.tables}
    spans = periods(asked.since, asked.until, asked.every, parts.scoring.timezone)
    due = parts.scoring.times.between(asked.since, asked.until)
    with on_a_full_disk(use_case.name), mlflow_client.quiet():
        shared = progress.add_task("features, once for all policies", total=1)
        pinned = home.pin(tables, features)
        newest = _describe(home, parts, features)
        _refuse_unknown(use_case.name, due, newest)
        progress.update(shared, advance=1)
        replays = [PolicyReplay.of(use_case, home, one, spans, pinned) for one in policies]
        results = _results(replays, pinned, progress, jobs)
    loss = METRICS[parts.label.kind.loss].of(parts.label.unit or "")
    ordered = compared(results)
    return ReplayResult(
        use_case=use_case.name,
        since=asked.since,
        until=asked.until,
        timezone=parts.scoring.timezone,
        every=asked.every,
        loss=METRICS[parts.label.kind.loss].words,
        unit=loss.unit,
        governed=use_case.tier == "governed",
        left_out=tuple(replay_loop.left_out(use_case)),
        silver=pinned,
        stale=tuple(home.moved_on(pinned)),
        remarks=tuple(
            remarks(asked.every, periods=len(spans), due=due, newest=newest, policies=ordered)
        ),
        policies=ordered,
        ledger=digest_of(sorted([one.policy, one.ledger] for one in ordered)),
    )


def _refuse_unknown(name: str, due: Sequence[datetime], newest: datetime | None) -> None:
    """Raise NotEnoughData where nothing is scored, or nothing became known after the first that is."""
    if due and newest is not None and newest > due[0]:
        return
    known_until = "nothing" if newest is None else f"nothing newer than {newest:%Y-%m-%d %H:%M} UTC"
    raise NotEnoughData(
        Problem(
            where=f"replay of {name}",
            expected="scoring times in the history, and rows that became known after the first",
            found=f"silver that knows {known_until}" if due else "not one scoring time",
            fix="Ask for a stretch that is over (--from, --until), or ingest what came since.",
        )
    )


def _describe(home: ReplayHome, parts: TrainedUseCase, features: str) -> datetime | None:
    """Describe every block that any policy scores or learns from; what was described stays.

    Return when (UTC) the newest row of all tables became known; None without any.
    """
    settings = home.settings()
    tables = known.load(settings, parts.name, parts.features, parts.label)
    blocks = parts.scoring.times.blocks(parts.training.start, home.asked.until)
    folder = lake.features(settings, parts.name, features)
    feature_store.describe(folder, parts.features, tables, blocks)
    newest = tables.newest_known(NEVER_ENDS).values()
    return max((moment for moment in newest if moment is not None), default=None)


def _results(
    replays: Sequence[PolicyReplay], pinned: Mapping[str, int], progress: Progress, jobs: int
) -> list[PolicyResult]:
    """Replay what is left of each policy, several at the same time, and return how all of them fared."""
    tasks = {
        one.policy: progress.add_task(
            one.policy, total=len(one.steps), completed=steps_done(one.settings), start=False
        )
        for one in replays
    }

    def told(one: PolicyReplay, done: int) -> None:
        at = f", {one.day(one.steps[done - 1])}" if done else ""
        progress.start_task(tasks[one.policy])
        progress.update(tasks[one.policy], completed=done, description=f"{one.policy}{at}")

    def ended(one: PolicyReplay, status: int) -> None:
        how = f"by {signal.strsignal(-status)}" if status < 0 else "by an error"
        progress.console.print(
            f"{one.policy}: its process was ended {how}. What it had not done is done here.",
            markup=False,
            highlight=False,
        )

    failed = None
    left = [one for one in replays if not one.is_done()]
    if min(jobs, len(left)) > 1:
        failed = replay_beside(left, pinned, jobs=jobs, told=told, ended=ended)
    for one in sorted(replays, key=lambda one: one is not failed):
        one.go_on(partial(told, one))
    return [one.result() for one in replays]
