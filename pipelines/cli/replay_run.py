"""Replay run: every policy of a replay in its own throw-away home, one after the other."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.progress import Progress

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles
from pipelines.adapters.models import feature_store, kept_models, known, mlflow_client
from pipelines.adapters.replay_home import ReplayHome
from pipelines.adapters.replay_journal import ReplayJournal
from pipelines.cli import replay_loop
from pipelines.cli.replay_loop import ReplayLoop
from pipelines.cli.replay_results import compared, policy_result
from pipelines.domain.digest import digest_of
from pipelines.domain.features import feature_digest
from pipelines.domain.metrics import METRICS
from pipelines.domain.replay_result import PolicyResult, ReplayResult
from pipelines.domain.replay_steps import RetrainPolicy, Step, periods, steps
from pipelines.use_case import TrainedUseCase, UseCase

Span = tuple[datetime, datetime]


def replayed(
    use_case: UseCase, home: ReplayHome, policies: Sequence[RetrainPolicy], progress: Progress
) -> ReplayResult:
    """Replay every policy in its own throw-away home, and return how they fared.

    What was replayed before is not done again. Raises NotEnoughData where no first champion comes of
    the history before, LakeError where silver has nothing of a table.
    """
    parts, asked = TrainedUseCase.of(use_case), home.asked
    features = feature_digest(parts.features, parts.label)
    tables = {table.name: table for table in use_case.tables}
    spans = periods(asked.since, asked.until, asked.every, parts.scoring.timezone)
    with known.kept(), kept_models.kept(), mlflow_client.quiet():
        shared = progress.add_task("features, once for all policies", total=1)
        pinned = home.pin(tables, features)
        _describe(home, parts, features)
        progress.update(shared, advance=1)
        results = [_policy(use_case, home, policy, spans, progress) for policy in policies]
    loss = METRICS[parts.label.kind.loss].of(parts.label.unit or "")
    ordered = compared(results)
    return ReplayResult(
        use_case=use_case.name,
        since=asked.since,
        until=asked.until,
        every=asked.every,
        loss=METRICS[parts.label.kind.loss].words,
        unit=loss.unit,
        governed=use_case.tier == "governed",
        left_out=tuple(replay_loop.left_out(use_case)),
        silver=pinned,
        stale=tuple(home.moved_on(pinned)),
        policies=ordered,
        ledger=digest_of([[one.policy, one.ledger] for one in ordered]),
        folder=str(home.folder),
    )


def _describe(home: ReplayHome, parts: TrainedUseCase, features: str) -> None:
    """Describe every block that any policy scores or learns from; what was described stays."""
    settings = home.settings()
    tables = known.load(settings, parts.name, parts.features, parts.label)
    blocks = parts.scoring.times.blocks(parts.training.start, home.asked.until)
    folder = lake.features(settings, parts.name, features)
    feature_store.describe(folder, parts.features, tables, blocks)


def _policy(
    use_case: UseCase,
    home: ReplayHome,
    policy: RetrainPolicy,
    spans: list[Span],
    progress: Progress,
) -> PolicyResult:
    parts = TrainedUseCase.of(use_case)
    features = feature_digest(parts.features, parts.label)
    settings = home.policy(policy, {table.name: table for table in use_case.tables}, features)
    simulated = replay_loop.simulated(use_case, policy)
    last = parts.scoring.times.between(home.asked.since, home.asked.until)[-1:]
    ends = parts.scoring.times.after(last[0]) if last else home.asked.until
    wanted = steps(
        spans,
        schedule=simulated.retraining.schedule,
        settled_at=ends + parts.label.final_after,
        longest=timedelta(days=max(1, parts.scoring.rescore_days)),
    )
    loop = ReplayLoop(
        use_case=simulated,
        settings=settings,
        fixed=home.asked.fixed,
        journal=ReplayJournal(settings.root),
    )
    task = progress.add_task(policy, total=len(wanted))

    def told(step: Step) -> None:
        progress.update(task, advance=1, description=f"{policy}, {step.at:%Y-%m-%d}")

    with delta_handles.kept():
        loop.run(wanted, told)
    return policy_result(simulated, settings, policy, loop.journal.entries, spans)
