"""Replay loop: the declared loop over history in this process, with the stages that Airflow runs."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import known
from pipelines.adapters.replay_journal import Done, ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.cli.replay_costs import StepCosts, warm_up
from pipelines.cli.replay_stages import StepStages
from pipelines.domain.examine import FOOTPRINT, REPRODUCTION
from pipelines.domain.replay_steps import RetrainPolicy, Step, retraining_of
from pipelines.use_case import TrainedUseCase, UseCase

Told = Callable[[int], object]
"""What is called with how many steps are done, those done before included."""


def simulated(use_case: UseCase, policy: RetrainPolicy) -> UseCase:
    """Return a use case as a replay runs it: its policy, and nobody to ask.

    The simulated approver says yes to what the gates let through, so a governed use case has its
    probation and no question. A gate that measures this machine is left out: it says nothing of a
    policy, and asked again it may answer otherwise.
    """
    return dataclasses.replace(
        use_case,
        tier="scheduled" if use_case.tier == "governed" else use_case.tier,
        probation=use_case.probation_rule,
        gates=[gate for gate in use_case.gates if not _measures_the_machine(gate)],
        retraining=retraining_of(policy, use_case.retraining),
    )


def left_out(use_case: UseCase) -> list[str]:
    """Return the names of the gates that a replay leaves out."""
    return [type(gate).__name__ for gate in use_case.gates if _measures_the_machine(gate)]


@dataclass(slots=True)
class ReplayLoop:
    """One policy's replay under way: the use case as simulated, and its throw-away home."""

    use_case: UseCase
    settings: Settings
    fixed: bool
    journal: ReplayJournal

    def run(self, steps: Sequence[Step], told: Told, same_code: Callable[[], object]) -> None:
        """Do what is not done yet, in order; a step that a kill cut off is done again.

        A step reads only what steps before it wrote, and a stage writes once however often it runs, so
        the result is that of a replay nobody cut off. ``same_code`` raises where the code is not any
        more what the replay began with: nothing is begun with other code, and a step during which it
        changed is not noted.
        Raises NotEnoughData where there is no first champion to go on with.
        """
        if any(step.name not in self.journal for step in steps):
            warm_up()
            # Read before the first stage, which is not to be charged with it.
            parts = TrainedUseCase.of(self.use_case)
            known.load(self.settings, parts.name, parts.features, parts.label)
            same_code()
        for done, step in enumerate(steps, start=1):
            if step.name not in self.journal:
                costs = StepCosts.of(self.journal, step.name)
                found = StepStages(
                    use_case=self.use_case,
                    settings=self.settings,
                    fixed=self.fixed,
                    journal=self.journal,
                    costs=costs,
                ).do(step)
                same_code()
                failpoint(f"replay.before_journal.{step.name}")
                self.journal.add(
                    Done(step=step.name, cpu_s=costs.cpu_s, wall_s=costs.wall_s, found=found)
                )
            told(done)


def _measures_the_machine(gate: object) -> bool:
    """Tell whether a gate asks how fast and how large a model is here, or whether it fits alike twice."""
    return not {FOOTPRINT, REPRODUCTION}.isdisjoint(getattr(gate, "needs", ()))
