"""Replay loop: the declared loop over history in this process, with the stages that Airflow runs."""

import dataclasses
import time as clock
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.adapters.models import retraining_ledger
from pipelines.adapters.replay_journal import Done, ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.domain.examine import FOOTPRINT, REPRODUCTION
from pipelines.domain.replay_steps import RetrainPolicy, Step, retraining_of
from pipelines.domain.retraining import CauseKind
from pipelines.domain.training import Asked
from pipelines.domain.verdict import promotable
from pipelines.errors import NotEnoughData, Problem, PromiseBroken
from pipelines.use_case import UseCase

REQUESTER = "replay"

Told = Callable[[Step], object]
"""What is called when a step is done, or was done before."""


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
    cpu_s: dict[str, float] = field(default_factory=dict)

    def run(self, steps: list[Step], told: Told) -> None:
        """Do what is not done yet, in order; a step that a kill cut off is done again.

        Stages write once however often they run, so the result is that of a replay nobody cut off.
        Raises NotEnoughData where there is no first champion to go on with.
        """
        for step in steps:
            if step.name not in self.journal:
                self.cpu_s, began = {}, clock.perf_counter()
                found = self._do(step)
                wall_s = clock.perf_counter() - began
                self.journal.add(Done(step=step.name, cpu_s=self.cpu_s, wall_s=wall_s, found=found))
            told(step)

    def _do(self, step: Step) -> dict[str, Any]:
        match step.kind:
            case "first":
                return self._first(step)
            case "train":
                return self._trained(step.at, f"scheduled__{step.at.isoformat()}", "schedule")
            case "score":
                return self._scored(step)
            case "monitor":
                return self._monitored(step)
            case "settle":
                return self._settled(step)

    def _first(self, step: Step) -> dict[str, Any]:
        found = self._trained(step.at, f"first__{step.at.isoformat()}", "by hand")
        if not found["promoted"]:
            stopped = [
                f"{gate} {outcome}" for gate, outcome in found["verdicts"] if outcome in STOPS
            ]
            raise NotEnoughData(
                Problem(
                    where=f"replay of {self.use_case.name}",
                    expected=f"a first champion, trained as of {step.at:%Y-%m-%d}",
                    found=", ".join(stopped) or found["failure"],
                    fix="Begin later (--from), when there are more final labels to learn from.",
                )
            )
        return found

    def _trained(
        self, at: datetime, run: str, cause: CauseKind, reason: str = "", decision: int = 0
    ) -> dict[str, Any]:
        """Train, judge and promote as the DAG does; return what came of it."""
        from pipelines.stages.begin_training import begin_training
        from pipelines.stages.evaluate import evaluate
        from pipelines.stages.promote import promote
        from pipelines.stages.train import train

        use_case, settings = self.use_case, self.settings
        told: dict[str, Any] = {
            "at": at.isoformat(), "cause": cause, "reason": reason, "version": "", "verdicts": [],
            "promoted": False, "failure": "",
        }  # fmt: skip
        with self._counted("train"):
            begun = begin_training(
                use_case, settings, as_of=at, run=run, cause=cause, reason=reason, decision=decision
            )
            if not begun.goes_on:
                return told | {"failure": begun.reason}
            asked = Asked(cause=cause, reason=reason, trials=0 if self.fixed else None)
            try:
                made = train(
                    use_case, settings, as_of=at, run=run, requester=REQUESTER, asked=asked,
                    told=lambda _: None,
                )  # fmt: skip
            except NotEnoughData as error:
                return told | {"failure": self._failed(error, run, at)}
        with self._counted("evaluate"):
            try:
                judged = evaluate(use_case, settings, version=made.version, spare=True)
            except NotEnoughData as error:
                return told | {"failure": self._failed(error, run, at), "version": made.version}
        verdicts = [[verdict.gate, verdict.outcome] for verdict in judged.evidence.verdicts]
        if promotable(judged.evidence.verdicts):
            with self._counted("promote"):
                promote(use_case, settings, version=made.version, as_of=at)
        return told | {
            "version": made.version,
            "verdicts": verdicts,
            "promoted": judged.promotable,
        }

    def _failed(self, error: NotEnoughData, run: str, at: datetime) -> str:
        reason = str(error).splitlines()[0]
        retraining_ledger.failed(
            self.settings, self.use_case.name, run=run, reason=reason, as_of=at
        )
        return reason

    def _scored(self, step: Step) -> dict[str, Any]:
        """Score what is due, what came late, and with it the version that probation compares with."""
        from pipelines.stages.late import late_windows

        assert self.use_case.scoring is not None  # noqa: S101 - narrows the type
        due = self.use_case.scoring.times.between(step.since, step.at)
        refused: list[str] = []
        run = f"score__{step.since.isoformat()}"
        if due:
            try:
                self._score(since=step.since, until=step.at, run=run)
            except (NotEnoughData, PromiseBroken):
                refused = [moment.isoformat() for moment in due if not self._alone(moment)]
        with self._counted("score"):
            late = late_windows(self.use_case, self.settings, as_of=step.at)
        if late:
            run = f"late__{step.at.isoformat()}"
            self._score(since=step.at, until=step.at, run=run, late=late)
        return {"windows": len(due), "refused": refused, "late": len(late)}

    def _alone(self, moment: datetime) -> bool:
        """Score one moment by itself, where not all of a step may be; tell whether it was."""
        assert self.use_case.scoring is not None  # noqa: S101 - narrows the type
        until = self.use_case.scoring.times.after(moment)
        try:
            self._score(since=moment, until=until, run=f"score__{moment.isoformat()}")
        except (NotEnoughData, PromiseBroken):
            return False
        return True

    def _score(self, **asked: Any) -> None:  # noqa: ANN401 - what the stage is asked
        from pipelines.stages.score import score
        from pipelines.stages.shadow import asked as windows_asked
        from pipelines.stages.shadow import shadow

        with self._counted("score"):
            scored = score(self.use_case, self.settings, **asked)
        if self.use_case.probation_rule is None:
            return
        with self._counted("shadow"):
            windows = windows_asked(self.use_case, self.settings, scored)
            shadow(self.use_case, self.settings, windows=windows, run=asked["run"])

    def _monitored(self, step: Step) -> dict[str, Any]:
        from pipelines.stages.monitor import monitor
        from pipelines.stages.probation import probation
        from pipelines.stages.retrain import retrain

        use_case, settings, at = self.use_case, self.settings, step.at
        with self._counted("monitor"):
            watched = monitor(use_case, settings, as_of=at, run=step.name).watched
            found: dict[str, Any] = {"level": watched.level}
        if use_case.probation_rule is not None:
            with self._counted("probation"):
                found["probation"] = probation(use_case, settings, as_of=at).outcome
        if not use_case.retraining.is_triggered:
            return found
        run = f"asked__{at.isoformat()}"
        with self._counted("retrain"):
            decided = retrain(use_case, settings, as_of=at)
            entries = retraining_ledger.read(settings, use_case.name)
        # A kill may have come after the training began: then nothing is asked for any more.
        begun = [one for one in entries if one.kind == "begun" and one.run == run]
        asked = begun[-1] if begun else decided.asked
        if asked is not None:
            number = asked.decision if begun else asked.sequence
            found["training"] = self._trained(at, run, asked.cause, asked.reason, number)
        return found

    def _settled(self, step: Step) -> dict[str, Any]:
        from pipelines.stages.monitor import monitor

        with self._counted("monitor"):
            watched = monitor(self.use_case, self.settings, as_of=step.at, run=step.name).watched
        return {"level": watched.level}

    @contextmanager
    def _counted(self, stage: str) -> Iterator[None]:
        """Add the CPU seconds of what happens inside, in all threads of this process."""
        began = clock.process_time()
        try:
            yield
        finally:
            spent = clock.process_time() - began
            self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + spent


STOPS = ("failed", "too_few")
"""Outcomes of a gate that stop a candidate."""


def _measures_the_machine(gate: object) -> bool:
    """Tell whether a gate asks how fast and how large a model is here, or whether it fits alike twice."""
    return not {FOOTPRINT, REPRODUCTION}.isdisjoint(getattr(gate, "needs", ()))


def trainings(done: list[Done]) -> list[Mapping[str, Any]]:
    """Return what came of every training, in order."""
    made = [one.found if "cause" in one.found else one.found.get("training") for one in done]
    return [one for one in made if one]
