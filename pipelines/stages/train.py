"""Train: find the best parameters, fit one challenger on final labels and register it, once."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.models import (
    challengers,
    code_archive,
    mlflow_registry,
    search_record,
    studies,
    training_requests,
    training_rows,
    trials,
)
from pipelines.adapters.models.training_rows import TrainingRows
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.digest import digest_of
from pipelines.domain.features import rows_digest
from pipelines.domain.row_marks import column_digests
from pipelines.domain.search import FoldRows, Searched, SearchPlan, baseline_loss
from pipelines.domain.search_space import Parameters
from pipelines.domain.training import AS_DECLARED, Asked, Candidate
from pipelines.domain.training_problems import asked_problems
from pipelines.errors import DeclarationError, NotEnoughData, PlanOvertaken, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.models.mlflow_registry import ModelVersion
    from pipelines.adapters.models.studies import Study

logger = logging.getLogger(__name__)

Told = Callable[[str], object]
"""What is called with a line after each trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A registered candidate: its version and run, and the windows and labels it was made from."""

    version: str
    run_id: str
    rows: int
    labels: str
    training_window: tuple[str, str]
    held_out_window: tuple[str, str]
    searched: str = ""

    def describe(self) -> str:
        """Return one line for the log and the terminal, and one about the search if there was one."""
        line = (
            f"candidate {self.version}: {self.rows:,} labelled rows of "
            f"{' to '.join(self.training_window)}, {self.labels}; "
            f"held out {' to '.join(self.held_out_window)}"
        )
        return f"{line}\n{self.searched}" if self.searched else line


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a training would do; ``study`` is its search, None where nothing is left to search."""

    study: str | None
    tuners: int
    says: str


def train(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    run: str,
    requester: str,
    asked: Asked = AS_DECLARED,
    told: Told = logger.info,
) -> Trained:
    """Search and fit in this one process, on rows whose label is final at ``as_of``.

    The same time, rows, declaration and code again return the candidate already registered, and a
    search that was cut off goes on. Raises NotEnoughData when too few blocks have final labels, or
    all labels are the same, or no trial finished; DeclarationError for what cannot be asked;
    PromotionRefused for a candidate whose model cannot be registered, before any trial.
    """
    work = _Work(use_case, settings, as_of, asked)
    found = work.registered
    if found is None and work.plan is not None:
        challengers.refuse_unregistrable(use_case.name, work.chosen, work.training)
        _tune(work, tuner=0, only=True, told=told)
    return _finish(work, found, run=run, requester=requester, told=told)


def plan(use_case: UseCase, settings: Settings, *, as_of: datetime, asked: Asked) -> Planned:
    """Say what a training would do, and lay out its search, unless it is a dry run.

    Raises as ``train`` does.
    """
    work = _Work(use_case, settings, as_of, asked)
    if work.plan is None or work.registered is not None:
        return Planned(study=None, tuners=0, says=work.describe())
    challengers.refuse_unregistrable(use_case.name, work.chosen, work.training)
    if not asked.dry_run:
        studies.opened(settings, use_case.name, work.plan)
    return Planned(study=work.plan.key, tuners=work.training.tuning_tasks, says=work.describe())


def tune(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    asked: Asked,
    study: str,
    tuner: int,
    told: Told = logger.info,
) -> str:
    """Make trials of a planned search until none waits or its CPU seconds are spent.

    Each number of ``tuner`` is one process at a time: what its last process left running is begun
    anew. Raises PlanOvertaken when this is not the search that was planned.
    """
    work = _Work(use_case, settings, as_of, asked)
    if work.plan is None or work.plan.key != study:
        raise PlanOvertaken(
            Problem(
                where=f"search for the parameters of {use_case.name}",
                expected=f"the rows and the declaration it was planned for ({study[:12]})",
                found=f"others ({work.plan.key[:12] if work.plan else 'nothing to search'})",
                fix="Something was taken in or changed in between: start a new run.",
            )
        )
    return _tune(work, tuner=tuner, only=work.training.tuning_tasks == 1, told=told)


def finish(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    run: str,
    requester: str,
    asked: Asked = AS_DECLARED,
    told: Told = logger.info,
) -> Trained:
    """Make the trials that dead tuners left (none may be running), fit the best and register it, as ``train``."""
    work = _Work(use_case, settings, as_of, asked)
    return _finish(work, work.registered, run=run, requester=requester, told=told)


def rows(
    use_case: UseCase, settings: Settings, *, as_of: datetime, asked: Asked = AS_DECLARED
) -> "pa.Table":
    """Return the labelled feature rows that a training learns from. Raises as ``train`` does."""
    return _Work(use_case, settings, as_of, asked).chosen.rows


class _Work:
    """What a training is about: its rows, read once, and the keys that identify it."""

    def __init__(
        self, use_case: UseCase, settings: Settings, as_of: datetime, asked: Asked
    ) -> None:
        self.use_case, self.settings, self.as_of, self.asked = use_case, settings, as_of, asked
        self.parts = TrainedUseCase.of(use_case)
        self.training = asked.of(self.parts.training)
        where = f"training of {use_case.name} that was asked for"
        if problems := list(asked_problems(asked, self.parts.training, where)):
            raise DeclarationError(*problems)
        self.code = code_archive.code_digest(settings, use_case.name)

    @cached_property
    def chosen(self) -> TrainingRows:
        """The rows. Raises NotEnoughData."""
        return training_rows.choose(
            self.settings,
            self.use_case.name,
            view=self.parts.features,
            label=self.parts.label,
            training=self.training,
            times=self.parts.scoring.times,
            as_of=self.as_of,
        )

    @cached_property
    def plan(self) -> SearchPlan | None:
        """The search, None where there is nothing to search."""
        if not self.training.searches:
            return None
        tried = digest_of([rows_digest(self.chosen.labelled), *self._facts, self.training])
        return SearchPlan(
            key=tried,
            candidates=self.training.candidates,
            trials=self.training.trials,
            cpu_seconds=self.training.cpu_seconds,
            seed=self.training.seed,
        )

    @property
    def registered(self) -> "ModelVersion | None":
        """The candidate that came of the same search, or of the same training without one."""
        find, name = mlflow_registry.find_candidate, self.use_case.name
        if self.plan is None:
            return find(self.settings, name, self.train_key(self.training.candidates[0], {}))
        return find(self.settings, name, self.plan.key, tag=search_record.STUDY)

    @property
    def _facts(self) -> list[object]:
        return [self.use_case.digest(), self.code, self.as_of, self.chosen.split.held_out[0]]

    def train_key(self, candidate: Candidate, parameters: Parameters) -> str:
        """Return what identifies a model: where parameters were found, they are part of it."""
        found = [dict(parameters)] if self.plan is not None else []
        return digest_of([[*self.digests.items()], candidate.name, *self._facts, *found])

    @cached_property
    def digests(self) -> dict[str, str]:
        """What identifies the rows to train on: the digest of each column."""
        return column_digests(self.chosen.rows)

    @cached_property
    def folds(self) -> tuple[FoldRows, ...]:
        """What every trial learns from and is judged on."""
        return self.chosen.fold_rows(self.training)

    @property
    def subject(self) -> trials.Subject:
        """What every trial fits."""
        training = self.training
        return trials.Subject(columns=self.chosen.columns, seed=training.seed, loss=training.loss)

    def searched(self, study: "Study") -> Searched:
        """Return what the search has found so far."""
        return Searched(
            plan=study.plan,
            trials=study.trials(),
            baseline=baseline_loss(self.folds, self.training.loss, self.training.baseline),
            loss=self.training.loss,
        )

    def describe(self) -> str:
        """Return what this training is, for a person who only wants to know."""
        chosen, training, times = self.chosen, self.training, self.parts.scoring.times
        lines = [
            f"{chosen.rows.num_rows:,} labelled rows of {' to '.join(chosen.window(times))} "
            f"({len(chosen.split.training)} blocks, {self.parts.label.told(chosen.label)}), "
            f"{len(chosen.columns.all)} features; held out {' to '.join(chosen.held_out_window(times))}",
            f"candidates: {', '.join(one.name for one in training.candidates)}",
        ]
        if (found := self.registered) is not None:
            return "\n".join([*lines, f"candidate {found.version} came of it: nothing to do"])
        if self.plan is not None:
            lines.append(
                f"{self.plan.describe()}, {training.tuning_tasks} at a time; judged by "
                f"{training.loss} on {training.split.validation_days} {times.block}s in "
                f"{training.split.folds} folds"
            )
        return "\n".join(lines)


def _tune(work: _Work, *, tuner: int, only: bool, told: Told) -> str:
    """Make trials; ``only`` says that no other process does, so that all that runs is dead."""
    assert work.plan is not None  # noqa: S101 - narrows the type
    study = studies.opened(work.settings, work.use_case.name, work.plan)
    with one_thread():
        trials.make(study, lambda: work.folds, work.subject, tuner=tuner, only=only, told=told)
    return work.searched(study).describe()


def _finish(
    work: _Work, found: "ModelVersion | None", *, run: str, requester: str, told: Told
) -> Trained:
    searched = None
    if found is None:
        candidate, parameters = work.training.candidates[0], {}
        if work.plan is not None:
            searched = _end_search(work, told)
            assert searched.best is not None  # noqa: S101 - refused otherwise
            candidate = work.training.candidate(searched.best.candidate)
            parameters = dict(searched.best.parameters)
        train_key = work.train_key(candidate, parameters)
        found = mlflow_registry.find_candidate(work.settings, work.use_case.name, train_key)
        if found is None:
            with one_thread():  # so that a rebuilt model has the same predictions
                found = challengers.register(
                    work.settings,
                    work.use_case.name,
                    chosen=work.chosen,
                    training=work.training,
                    label=work.parts.label,
                    choice=challengers.Choice(candidate, parameters, searched),
                    times=work.parts.scoring.times,
                    digests=work.digests,
                    train_key=train_key,
                    tags=_tags(work, run, requester),
                )
    training_requests.record(
        work.settings, found, run=run, by=requester, asked=work.asked, as_of=work.as_of
    )
    chosen, times = work.chosen, work.parts.scoring.times
    return Trained(
        version=found.version,
        run_id=found.run_id,
        rows=chosen.rows.num_rows,
        labels=work.parts.label.told(chosen.label),
        training_window=chosen.window(times),
        held_out_window=chosen.held_out_window(times),
        searched=found.tags.get(search_record.SEARCHED, ""),
    )


def _end_search(work: _Work, told: Told) -> Searched:
    """Make what dead tuners left; raises NotEnoughData when no trial finished."""
    assert work.plan is not None  # noqa: S101 - narrows the type
    _tune(work, tuner=work.training.tuning_tasks, only=True, told=told)
    searched = work.searched(studies.opened(work.settings, work.use_case.name, work.plan))
    if searched.best is None:
        raise NotEnoughData(
            Problem(
                where=f"search for the parameters of {work.use_case.name}",
                expected="at least one trial that finished",
                found=searched.describe(),
                fix="The log says why each trial failed. Correct the candidate's build function or "
                "its space, or raise cpu_seconds.",
            )
        )
    return searched


def _tags(work: _Work, run: str, requester: str) -> dict[str, str]:
    """Return what a model version says of the training that it came of."""
    return {
        "headframe.run": run,
        "headframe.requester": requester,
        "headframe.as_of": work.as_of.isoformat(),
        "headframe.code": work.code,
        "headframe.declaration": work.use_case.digest(),
        "headframe.data_versions": json.dumps(work.chosen.versions),
        "headframe.cause": work.asked.cause,
        **({"headframe.reason": work.asked.reason} if work.asked.reason else {}),
    }
