"""Replay policy: one policy of a replay, its steps, its throw-away home and how far it got."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.adapters.delta import delta_handles
from pipelines.adapters.models import kept_models, known
from pipelines.adapters.replay_home import ReplayHome
from pipelines.adapters.replay_journal import ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.cli import replay_loop
from pipelines.cli.replay_loop import ReplayLoop, Told
from pipelines.cli.replay_results import policy_result
from pipelines.domain.features import feature_digest
from pipelines.domain.replay_result import PolicyResult
from pipelines.domain.replay_steps import RetrainPolicy, Step, steps
from pipelines.use_case import TrainedUseCase, UseCase

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReplay:
    """A policy's replay: the use case as it is simulated, the home it is replayed in, and its steps."""

    policy: RetrainPolicy
    use_case: UseCase
    home: ReplayHome
    settings: Settings
    spans: Sequence[Span]
    steps: Sequence[Step]

    @classmethod
    def of(
        cls,
        use_case: UseCase,
        home: ReplayHome,
        policy: RetrainPolicy,
        spans: Sequence[Span],
        pinned: Mapping[str, int],
    ) -> "PolicyReplay":
        """Return the replay of a policy, in a home that is made where it is not there.

        Raises LakeError where that home does not hold silver at the versions that are ``pinned``.
        """
        parts, asked = TrainedUseCase.of(use_case), home.asked
        simulated = replay_loop.simulated(use_case, policy)
        times = parts.scoring.times
        last = times.between(asked.since, asked.until)[-1:]
        ends = times.after(last[0]) if last else asked.until
        wanted = steps(
            list(spans),
            schedule=simulated.retraining.schedule,
            settled_at=ends + parts.label.final_after,
            longest=timedelta(days=max(1, parts.scoring.rescore_days)),
            late=parts.scoring.on_late != "keep",
            probation=simulated.probation_rule is not None,
            triggered=simulated.retraining.is_triggered,
        )
        return cls(
            policy=policy,
            use_case=simulated,
            home=home,
            settings=home.policy(policy, pinned, feature_digest(parts.features, parts.label)),
            spans=spans,
            steps=wanted,
        )

    def day(self, step: Step) -> str:
        """Return the name of the block that a step is in."""
        return TrainedUseCase.of(self.use_case).scoring.times.block_name(step.at)

    def is_done(self) -> bool:
        """Tell whether every step is in the journal. Raises LakeError as ``ReplayJournal``."""
        journal = ReplayJournal(self.settings)
        return all(step.name in journal for step in self.steps)

    def go_on(self, told: Told) -> None:
        """Do what is not done yet; raises as ``ReplayLoop.run``."""
        loop = ReplayLoop(
            use_case=self.use_case,
            settings=self.settings,
            fixed=self.home.asked.fixed,
            journal=ReplayJournal(self.settings),
        )
        with known.kept(), kept_models.kept(), delta_handles.kept():
            loop.run(self.steps, told, self.home.refuse_changed_code)

    def result(self) -> PolicyResult:
        """Return how the policy fared, all of its steps done."""
        done = ReplayJournal(self.settings).entries
        with delta_handles.kept():
            return policy_result(self.use_case, self.settings, self.policy, done, self.spans)
