"""Search: trials of candidates, judged on validation folds; which were made and which is best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipelines.domain.metrics import row_losses
from pipelines.domain.prediction_kinds import BINARY, KINDS, Answer
from pipelines.domain.search_space import Parameters
from pipelines.domain.training import (
    Baseline,
    Candidate,
    FeatureColumns,
    fit_frame,
    frame_answers,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

State = Literal["waiting", "running", "finished", "pruned", "failed", "killed"]
"""A failed trial raised an error; a killed one ended with its process, and was begun anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set of parameters of one candidate, and what came of it.

    ``place`` counts a candidate's trials from 0; a killed trial and the one in its stead share it.
    ``loss`` is that of the folds judged so far; ``reason`` is the type of the error that ended it.
    """

    candidate: str
    place: int
    state: State
    parameters: Parameters
    loss: float | None = None
    cpu_seconds: float = 0.0
    tuner: int | None = None
    reason: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "candidate": self.candidate,
            "place": self.place,
            "state": self.state,
            "parameters": dict(self.parameters),
            "loss": self.loss,
            "cpu_seconds": self.cpu_seconds,
            "tuner": self.tuner,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """What a search may try: it is the same search as long as its ``key`` is the same."""

    key: str
    candidates: Sequence[Candidate]
    trials: int
    cpu_seconds: float
    seed: int

    def allotment(self) -> dict[str, int]:
        """Return how many trials each candidate gets, in the order declared.

        One that has nothing to vary gets one; the others share the rest evenly, the first of them
        what cannot be shared. There are at least as many trials as candidates.

        >>> from pipelines.domain.search_space import IntUniform
        >>> build = print
        >>> some = {"depth": IntUniform(1, 5)}
        >>> SearchPlan(key="", trials=8, cpu_seconds=1.0, seed=7, candidates=[
        ...     Candidate("a", build, some), Candidate("b", build), Candidate("c", build, some),
        ... ]).allotment()
        {'a': 4, 'b': 1, 'c': 3}
        """
        varied = [one.name for one in self.candidates if one.space]
        left = self.trials - (len(self.candidates) - len(varied))
        shares = {
            name: left // len(varied) + (place < left % len(varied))
            for place, name in enumerate(varied)
        }
        return {one.name: shares.get(one.name, 1) for one in self.candidates}

    def describe(self) -> str:
        """Return what may be tried and spent, for the log and the terminal."""
        shares = ", ".join(f"{count} of {name}" for name, count in self.allotment().items())
        return f"search {self.key[:12]}: trials {shares}; {self.cpu_seconds:g} CPU s"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRows:
    """The rows that a trial learns from and is judged on, as estimators see them."""

    learned: "pd.DataFrame"
    label: "np.ndarray"
    weight: "np.ndarray | None"
    judged: "pd.DataFrame"
    happened: "np.ndarray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Every trial of a search so far, and the baseline's loss on the same rows."""

    plan: SearchPlan
    trials: tuple[Trial, ...]
    baseline: float
    loss: str

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all trials together, killed ones included as far as they told."""
        return sum(trial.cpu_seconds for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial of least loss, the first of equals; None when none has finished."""
        order = [one.name for one in self.plan.candidates]
        return min(
            (trial for trial in self.trials if trial.state == "finished"),
            key=lambda trial: (trial.loss, order.index(trial.candidate), trial.place),
            default=None,
        )

    def count(self, *states: State) -> int:
        """Return how many trials are in one of ``states``."""
        return sum(trial.state in states for trial in self.trials)

    def describe(self) -> str:
        """Return what was tried, spent and found, for the log and the terminal."""
        told = [f"{self.count('finished')} of {self.plan.trials} trials finished"]
        told += [
            f"{count} {state}"
            for state in ("pruned", "failed", "killed", "waiting")
            if (count := self.count(state))
        ]
        reasons = sorted({trial.reason for trial in self.trials if trial.state == "failed"})
        spent = f"{self.cpu_seconds:.1f} of {self.plan.cpu_seconds:g} CPU s"
        why = f" ({', '.join(reasons)})" if reasons else ""
        line = f"{', '.join(told)}{why}; {spent}"
        if self.best is None or self.best.loss is None:
            return line
        chosen = f"{self.best.candidate} {shown(self.best.parameters)}".rstrip()
        better = "" if self.best.loss < self.baseline else ": no trial beats the baseline"
        return (
            f"{line}; best {self.loss} {self.best.loss:.4f} on the validation blocks "
            f"(baseline {self.baseline:.4f}{better}): {chosen}"
        )


def shown(parameters: Parameters) -> str:
    """Return parameters as a reader wants them: numbers to four digits."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in parameters.items()
    )


def running_loss(
    candidate: Candidate,
    parameters: Parameters,
    folds: Sequence[FoldRows],
    *,
    columns: FeatureColumns,
    seed: int,
    loss: str,
) -> Iterator[float]:
    """Fit and judge fold after fold; yield the mean loss over all rows judged so far."""
    answer = answer_judged_by(loss)
    total, rows = 0.0, 0
    for fold in folds:
        model = fit_frame(
            candidate,
            fold.learned,
            fold.label,
            columns,
            seed,
            parameters=parameters,
            weight=fold.weight,
        )
        losses = row_losses(loss, fold.happened, frame_answers(model, fold.judged, answer))
        total, rows = total + float(losses.sum()), rows + len(losses)
        yield total / rows


def answer_judged_by(loss: str) -> Answer:
    """Return what a model must say for a row loss to judge it.

    >>> answer_judged_by("brier"), answer_judged_by("squared_error")
    ('probability', 'number')
    """
    return next((kind.answer for kind in KINDS.values() if loss in kind.losses), BINARY.answer)


def baseline_loss(folds: Sequence[FoldRows], loss: str, baseline: str = "prior_rate") -> float:
    """Return the mean loss of what each fold's training rows make of the baseline of that name."""
    import numpy as np

    losses = [
        row_losses(
            loss, fold.happened, Baseline.of(baseline, fold.label).predict(len(fold.happened))
        )
        for fold in folds
    ]
    return float(np.concatenate(losses).mean())
