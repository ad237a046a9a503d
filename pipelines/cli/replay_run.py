"""Replay run: every policy of a replay in its own throw-away home, one after the other."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from rich.progress import Progress

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_handles
from pipelines.adapters.models import feature_store, kept_models, known, mlflow_client
from pipelines.adapters.replay_home import ReplayHome, on_a_full_disk
from pipelines.adapters.replay_journal import ReplayJournal
from pipelines.cli import replay_loop
from pipelines.cli.replay_loop import ReplayLoop
from pipelines.cli.replay_results import compared, policy_result
from pipelines.domain.digest import digest_of
from pipelines.domain.features import feature_digest
from pipelines.domain.metrics import METRICS
from pipelines.domain.replay_remarks import remarks
from pipelines.domain.replay_result import PolicyResult, ReplayResult
from pipelines.domain.replay_steps import RetrainPolicy, Step, periods, steps
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

Span = tuple[datetime, datetime]

NEVER_ENDS = datetime.max.replace(tzinfo=UTC)
"""Later than any row became known."""


def replayed(
    use_case: UseCase, home: ReplayHome, policies: Sequence[RetrainPolicy], progress: Progress
) -> ReplayResult:
    """Replay every policy in its own throw-away home, and return how they fared.

    What was replayed before is not done again. Raises NotEnoughData where nothing is scored in that
    history, silver knows nothing of it, or no first champion comes of the time before; LakeError where
    silver has nothing of a table, or the disk is full; CodeChanged where the code does while it runs.
    """
    parts, asked = TrainedUseCase.of(use_case), home.asked
    features = feature_digest(parts.features, parts.label)
    tables = {table.name: table for table in use_case.tables}
    spans = periods(asked.since, asked.until, asked.every, parts.scoring.timezone)
    due = parts.scoring.times.between(asked.since, asked.until)
    with on_a_full_disk(use_case.name), known.kept(), kept_models.kept(), mlflow_client.quiet():
        shared = progress.add_task("features, once for all policies", total=1)
        pinned = home.pin(tables, features)
        newest = _describe(home, parts, features)
        _refuse_unknown(use_case.name, due, newest)
        progress.update(shared, advance=1)
        results = [
            _policy(use_case, home, policy, spans, pinned, progress=progress) for policy in policies
        ]
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


def _policy(
    use_case: UseCase,
    home: ReplayHome,
    policy: RetrainPolicy,
    spans: list[Span],
    pinned: Mapping[str, int],
    *,
    progress: Progress,
) -> PolicyResult:
    parts = TrainedUseCase.of(use_case)
    features = feature_digest(parts.features, parts.label)
    settings = home.policy(policy, pinned, features)
    simulated = replay_loop.simulated(use_case, policy)
    last = parts.scoring.times.between(home.asked.since, home.asked.until)[-1:]
    ends = parts.scoring.times.after(last[0]) if last else home.asked.until
    wanted = steps(
        spans,
        schedule=simulated.retraining.schedule,
        settled_at=ends + parts.label.final_after,
        longest=timedelta(days=max(1, parts.scoring.rescore_days)),
        late=parts.scoring.on_late != "keep",
        probation=simulated.probation_rule is not None,
        triggered=simulated.retraining.is_triggered,
    )
    loop = ReplayLoop(
        use_case=simulated,
        settings=settings,
        fixed=home.asked.fixed,
        journal=ReplayJournal(settings),
    )
    task = progress.add_task(policy, total=len(wanted))

    def told(step: Step) -> None:
        day = parts.scoring.times.block_name(step.at)
        progress.update(task, advance=1, description=f"{policy}, {day}")

    with delta_handles.kept():
        loop.run(wanted, told, home.refuse_changed_code)
    return policy_result(simulated, settings, policy, loop.journal.entries, spans)
