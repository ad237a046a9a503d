"""Replay stages: one step of a replay, by the stages that Airflow runs, and what came of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from pipelines.adapters.models import mlflow_registry, retraining_ledger, search_record
from pipelines.adapters.replay_journal import ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.cli.replay_costs import StepCosts
from pipelines.domain.replay_steps import Step
from pipelines.domain.retraining import CauseKind
from pipelines.domain.scoring import LateWindow
from pipelines.domain.training import Asked
from pipelines.domain.verdict import promotable
from pipelines.errors import WINDOW_REFUSALS, NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

REQUESTER = "replay"

STOPS = ("failed", "too_few")
"""Outcomes of a gate that stop a candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStages:
    """The stages of one step, each with what it costs."""

    use_case: UseCase
    settings: Settings
    fixed: bool
    journal: ReplayJournal
    costs: StepCosts

    def do(self, step: Step) -> dict[str, Any]:
        """Return what came of a step, as plain values."""
        does: Mapping[str, Callable[[Step], dict[str, Any]]] = {
            "first": self._first,
            "train": self._on_schedule,
            "score": self._scored,
            "late": self._scored_again,
            "monitor": self._monitored,
            "probation": self._on_probation,
            "retrain": self._decided,
            "asked": self._as_asked,
            "settle": self._monitored,
        }
        return does[step.kind](step)

    def _first(self, step: Step) -> dict[str, Any]:
        found = self._trained(step.at, f"first__{step.at.isoformat()}", "by hand")
        if not found["promoted"]:
            times = TrainedUseCase.of(self.use_case).scoring.times
            stopped = [
                f"{gate} {outcome}" for gate, outcome in found["verdicts"] if outcome in STOPS
            ]
            raise NotEnoughData(
                Problem(
                    where=f"replay of {self.use_case.name}",
                    expected=f"a first champion, trained as of {times.block_name(step.at)}",
                    found=", ".join(stopped) or found["failure"].removesuffix("."),
                    fix="Begin later (--from), when there are more final labels to learn from.",
                )
            )
        return found

    def _on_schedule(self, step: Step) -> dict[str, Any]:
        return self._trained(step.at, f"scheduled__{step.at.isoformat()}", "schedule")

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
            "promoted": False, "failure": "", "cut_short": False,
        }  # fmt: skip
        with self.costs.counted("train"):
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
        with self.costs.counted("evaluate"):
            try:
                judged = evaluate(use_case, settings, version=made.version, spare=True)
            except NotEnoughData as error:
                return told | {"failure": self._failed(error, run, at), "version": made.version}
        verdicts = [[verdict.gate, verdict.outcome] for verdict in judged.evidence.verdicts]
        if promotable(judged.evidence.verdicts):
            with self.costs.counted("promote"):
                promote(use_case, settings, version=made.version, as_of=at)
        return told | {
            "version": made.version,
            "verdicts": verdicts,
            "promoted": judged.promotable,
            "cut_short": self._is_cut_short(made.version),
        }

    def _is_cut_short(self, version: str) -> bool:
        """Tell whether a search ended with trials left, its CPU seconds spent: another may find more."""
        if self.fixed:
            return False
        model = mlflow_registry.candidate(self.settings, self.use_case.name, version)
        return search_record.LEFT in model.tags

    def _failed(self, error: NotEnoughData, run: str, at: datetime) -> str:
        reason = str(error).splitlines()[0]
        retraining_ledger.failed(
            self.settings, self.use_case.name, run=run, reason=reason, as_of=at
        )
        return reason

    def _scored(self, step: Step) -> dict[str, Any]:
        """Score what is due, and with it the version that probation compares with; find what came late."""
        from pipelines.stages.late import late_windows

        assert self.use_case.scoring is not None  # noqa: S101 - narrows the type
        due = self.use_case.scoring.times.between(step.since, step.at)
        refused: list[str] = []
        run = f"score__{step.since.isoformat()}"
        if due and not self._scores(since=step.since, until=step.at, run=run):
            refused = [moment.isoformat() for moment in due if not self._alone(moment)]
        with self.costs.counted("score"):
            late = late_windows(self.use_case, self.settings, as_of=step.at)
        return {
            "windows": len(due),
            "refused": refused,
            "late": [
                [*(at.isoformat() for at in (one.scored_for, one.as_of, one.until)), one.reason]
                for one in late
            ],
        }

    def _scored_again(self, step: Step) -> dict[str, Any]:
        """Score what was found late, by the journal: once scored, it is late no more.

        Predictions of a window lie on one another, so what is late of one is scored together; what of
        it breaks a promise keeps no other from being scored.
        """
        late = [
            LateWindow(
                scored_for=datetime.fromisoformat(scored_for),
                as_of=datetime.fromisoformat(as_of),
                until=datetime.fromisoformat(until),
                reason=reason,
            )
            for scored_for, as_of, until, reason in self.journal.found(
                replace(step, kind="score").name
            )["late"]
        ]
        if not late:
            return {}
        windows = [tuple(own) for _, own in groupby(late, key=lambda one: one.scored_for)]
        if self._again(step, late):
            refused = []
        else:
            refused = [own[0].scored_for for own in windows if not self._again(step, own)]
        made = [own[0].scored_for for own in windows if own[0].scored_for not in refused]
        return {
            "again": [moment.isoformat() for moment in made],
            "refused_again": [moment.isoformat() for moment in refused],
        }

    def _again(self, step: Step, late: Sequence[LateWindow]) -> bool:
        """Score late windows, all or none of them; tell whether they were."""
        run = f"late__{step.at.isoformat()}"
        return self._scores(since=step.at, until=step.at, run=run, late=late)

    def _alone(self, moment: datetime) -> bool:
        """Score one moment by itself, where not all of a step may be; tell whether it was."""
        assert self.use_case.scoring is not None  # noqa: S101 - narrows the type
        until = self.use_case.scoring.times.after(moment)
        return self._scores(since=moment, until=until, run=f"score__{moment.isoformat()}")

    def _scores(self, **asked: Any) -> bool:  # noqa: ANN401 - what the stage is asked
        """Score what is asked for, all or nothing of it; tell whether it was."""
        try:
            self._score(**asked)
        except WINDOW_REFUSALS:
            return False
        return True

    def _score(self, **asked: Any) -> None:  # noqa: ANN401 - what the stage is asked
        from pipelines.stages.score import score
        from pipelines.stages.shadow import asked as windows_asked
        from pipelines.stages.shadow import shadow

        with self.costs.counted("score"):
            scored = score(self.use_case, self.settings, **asked)
        if self.use_case.probation_rule is None:
            return
        with self.costs.counted("shadow"):
            windows = windows_asked(self.use_case, self.settings, scored)
            shadow(self.use_case, self.settings, windows=windows, run=asked["run"])

    def _monitored(self, step: Step) -> dict[str, Any]:
        from pipelines.stages.monitor import monitor

        with self.costs.counted("monitor"):
            watched = monitor(self.use_case, self.settings, as_of=step.at, run=step.name).watched
        return {"level": watched.level}

    def _on_probation(self, step: Step) -> dict[str, Any]:
        from pipelines.stages.probation import probation

        with self.costs.counted("probation"):
            return {"outcome": probation(self.use_case, self.settings, as_of=step.at).outcome}

    def _decided(self, step: Step) -> dict[str, Any]:
        from pipelines.stages.retrain import retrain

        with self.costs.counted("retrain"):
            asked = retrain(self.use_case, self.settings, as_of=step.at).asked
        if asked is None:
            return {}
        return {"cause": asked.cause, "reason": asked.reason, "decision": asked.sequence}

    def _as_asked(self, step: Step) -> dict[str, Any]:
        """Train what the decision before it asked for, by the journal: once begun, nobody asks again."""
        asked = self.journal.found(replace(step, kind="retrain").name)
        if not asked:
            return {}
        run = f"asked__{step.at.isoformat()}"
        return self._trained(step.at, run, asked["cause"], asked["reason"], asked["decision"])


def unscored(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the scoring times (ISO) that were refused and not scored since, by what came of each step."""
    missing: dict[str, None] = {}
    for one in found:
        missing |= dict.fromkeys(one.get("refused", ()))
        for moment in one.get("again", ()):
            missing.pop(moment, None)
    return list(missing)


def cut_short(found: Iterable[Mapping[str, Any]]) -> int:
    """Return how many searches their CPU budget ended."""
    return sum(one.get("cut_short", False) for one in found)
