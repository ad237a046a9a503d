"""Studies: the trials of a search, kept where every process of it can read and add to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.platform.process_usage import cpu_seconds
from pipelines.adapters.settings import Settings
from pipelines.domain.search import SearchPlan, State, Trial
from pipelines.domain.search_space import Parameters, defaults
from pipelines.domain.training import Candidate
from pipelines.errors import PlanOvertaken, Problem, ServiceUnavailable

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

PLACE = "place"
"""User attribute of a trial: its number among those of its candidate, from 0."""

TUNER, CPU, ENDED = "tuner", "cpu_seconds", "ended"
"""Others: who made it, what it cost so far, and the error that ended it. A failed trial without the
last one was left by a process that is gone."""

FIRST_TRIALS = 4
"""Finished trials of a candidate before the median of their losses may end another one early."""


@dataclass(frozen=True, slots=True)
class Study:
    """A search on its storage: one Optuna study a candidate, whose trials wait from the start.

    The storage hands each waiting trial to one process, so that there are never more than planned.
    """

    plan: SearchPlan
    _storage: "BaseStorage"
    _studies: "dict[str, optuna.Study]"

    def adopt(self, tuner: int | None) -> int:
        """Begin anew, from their own parameters, the trials that a dead process left running.

        Those of ``tuner``, which must not be running elsewhere; of anybody when it is None. Returns
        how many. What they cost stays counted, as far as they had told it.
        """
        from optuna.trial import TrialState

        adopted = 0
        with _answering():
            for study in self._studies.values():
                for trial in study.get_trials(states=(TrialState.RUNNING,)):
                    if tuner is not None and trial.user_attrs.get(TUNER) != tuner:
                        continue
                    place = trial.user_attrs[PLACE]
                    # Waiting again first: killed in between, the next one finds both.
                    if not _stands_in(study, place, trial.number):
                        study.enqueue_trial(trial.params, user_attrs={PLACE: place})
                        adopted += 1
                    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return adopted

    def next(self, tuner: int) -> "OpenTrial | None":
        """Begin the next trial; None when none waits, or the CPU seconds are spent."""
        with _answering():
            if sum(trial.cpu_seconds for trial in self.trials()) >= self.plan.cpu_seconds:
                return None
            for name in self._by_progress():
                if (begun := self._begin(name, tuner)) is not None:
                    return begun
        return None

    def trials(self) -> tuple[Trial, ...]:
        """Return every trial, by candidate as declared, place and age."""
        with _answering():
            return tuple(
                _trial(name, found)
                for name, study in self._studies.items()
                for found in sorted(
                    study.get_trials(deepcopy=False),
                    key=lambda trial: (trial.user_attrs[PLACE], trial.number),
                )
            )

    def _begin(self, name: str, tuner: int) -> "OpenTrial | None":
        """Begin the candidate's first waiting trial; None when others have taken the last one."""
        import optuna
        from optuna.trial import TrialState

        from pipelines.adapters.models.optuna_storage import suggest

        candidate = next(one for one in self.plan.candidates if one.name == name)
        study, storage = self._studies[name], self._storage
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        # By place, so that a trial that is begun anew comes when it would have come.
        for found in sorted(waiting, key=lambda trial: int(trial.user_attrs[PLACE])):
            study_id = storage.get_study_id_from_name(study.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, found.number)
            if not _taken(storage, trial_id):
                continue
            trial = optuna.Trial(study, trial_id)
            trial.set_user_attr(TUNER, tuner)
            failpoint("tune.after_begin")
            drawn = {key: suggest(trial, key, space) for key, space in candidate.space.items()}
            return OpenTrial(candidate, found.user_attrs[PLACE], drawn, study, trial, cpu_seconds())
        return None

    def _by_progress(self) -> list[str]:
        """Return the candidates, the one with the least of its trials begun first."""
        from optuna.trial import TrialState

        waiting = {
            name: len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
            for name, study in self._studies.items()
        }
        shares = self.plan.allotment()
        left = [name for name, count in waiting.items() if count]
        return sorted(left, key=lambda name: -waiting[name] / shares[name])


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial that this process has begun, and what it may say of it.

    Once another process has taken it for dead and begun it anew, all raises PlanOvertaken.
    """

    candidate: Candidate
    place: int
    parameters: Parameters
    _study: "optuna.Study"
    _trial: "optuna.Trial"
    _began_at: float

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of this process and all it started since the trial began."""
        return cpu_seconds() - self._began_at

    def report(self, fold: int, loss: float, *, last: bool) -> bool:
        """Keep the loss after a fold; return whether the trial is worse than half of those before.

        After the last fold it never is.
        """
        with _answering():
            self._trial.report(loss, step=fold)
            self._trial.set_user_attr(CPU, self.cpu_seconds)
            failpoint("tune.after_fold")
            return not last and self._trial.should_prune()

    def finish(self, loss: float) -> None:
        """Keep the loss of all folds."""
        self._close("COMPLETE", loss)

    def prune(self) -> None:
        """End the trial early: the loss so far is what is known of it."""
        self._close("PRUNED")

    def fail(self, reason: str) -> None:
        """End the trial without a loss; ``reason`` is the type of the error."""
        with _answering():
            self._trial.set_user_attr(ENDED, reason)
        self._close("FAIL")

    def _close(self, state: str, loss: float | None = None) -> None:
        from optuna.trial import TrialState

        with _answering():
            self._trial.set_user_attr(CPU, self.cpu_seconds)
            self._study.tell(self._trial, loss, state=TrialState[state])


def opened(settings: Settings, use_case: str, plan: SearchPlan) -> Study:
    """Return the study of a plan with all its trials, made where they are missing.

    Only one process at a time may open a study that is not whole yet. It lies in a journal of the
    home, or in PostgreSQL where tasks run on workers. Raises ServiceUnavailable when that does not
    answer.
    """
    import optuna

    from pipelines.adapters.models import optuna_storage

    with _answering():
        storage = optuna.storages.get_storage(
            optuna_storage.database(settings.database)
            if settings.broker
            else optuna_storage.journal(journal(settings, use_case, plan.key))
        )
        shares, studies = plan.allotment(), {}
        for candidate in plan.candidates:
            study = optuna.create_study(
                storage=storage,
                study_name=f"{use_case}:{plan.key}:{candidate.name}",
                sampler=optuna_storage.PlacedSampler(plan.seed, candidate.name),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS),
                load_if_exists=True,
            )
            there = {trial.user_attrs[PLACE] for trial in study.get_trials(deepcopy=False)}
            for place in range(shares[candidate.name]):
                if place not in there:
                    first = defaults(candidate.build, candidate.space) if place == 0 else {}
                    study.enqueue_trial(first, user_attrs={PLACE: place})
            studies[candidate.name] = study
    return Study(plan, storage, studies)


def journal(settings: Settings, use_case: str, key: str) -> Path:
    """Return where the journal of a study lies on this host."""
    return settings.root / "studies" / use_case / f"{key[:32]}.journal"


def _taken(storage: "BaseStorage", trial_id: int) -> bool:
    """Take a waiting trial; False when another process has, and maybe ended it."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        return storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    except UpdateFinishedTrialError:
        return False


def _stands_in(study: "optuna.Study", place: int, number: int) -> bool:
    """Tell whether another trial has the place of trial ``number`` already."""
    return any(
        trial.user_attrs[PLACE] == place and trial.number > number
        for trial in study.get_trials(deepcopy=False)
    )


def _trial(candidate: str, found: "FrozenTrial") -> Trial:
    from optuna.trial import TrialState

    states: dict[TrialState, State] = {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    ended = found.user_attrs.get(ENDED, "")
    state = states[found.state]
    return Trial(
        candidate=candidate,
        place=found.user_attrs[PLACE],
        state="killed" if state == "failed" and not ended else state,
        parameters=dict(found.params),
        loss=_last_loss(found),
        cpu_seconds=found.user_attrs.get(CPU, 0.0),
        tuner=found.user_attrs.get(TUNER),
        reason=ended,
    )


def _last_loss(found: "FrozenTrial") -> float | None:
    if found.value is not None:
        return float(found.value)
    told = found.intermediate_values
    return float(told[max(told)]) if told else None


@contextmanager
def _answering() -> Iterator[None]:
    """Turn the storage's own errors into ours, without an address in them."""
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except UpdateFinishedTrialError as error:
        raise PlanOvertaken(
            Problem(
                where="the study of a search",
                expected="a trial that this process alone works on",
                found="one that a later process has begun anew",
                fix="This process was taken for dead; the later one goes on in its place.",
            )
        ) from error
    except (OperationalError, StorageInternalError) as error:
        raise ServiceUnavailable(
            Problem(
                where="the study of a search",
                expected="an answer from the storage it is kept in",
                found=type(error).__name__,
                fix="The task tries again and goes on where it stopped. See whether the database "
                "of HEADFRAME_DATABASE runs.",
            )
        ) from error
