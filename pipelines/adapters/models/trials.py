"""Trials: made one after another on a shared study, each judged fold by fold."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.adapters.models.studies import OpenTrial, Study
from pipelines.domain.search import FoldRows, running_loss, shown
from pipelines.domain.training import FeatureColumns

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What every trial of a search fits, and the loss it is judged by."""

    columns: FeatureColumns
    seed: int
    loss: str


def make(
    study: Study,
    folds: Callable[[], Sequence[FoldRows]],
    subject: Subject,
    *,
    tuner: int,
    only: bool,
    told: Callable[[str], object],
) -> None:
    """Make trials until none waits or the search's CPU seconds are spent; tell a line of each.

    What the last process of ``tuner`` left running is begun anew first; ``only`` says that no other
    process makes trials, so that whatever is running was left. ``folds`` are asked for when there is
    a trial to make.
    """
    if adopted := study.adopt(None if only else tuner):
        told(f"{adopted} begun anew: the process that made them is gone")
    while (begun := study.next(tuner)) is not None:
        _try(begun, folds(), subject)
        told(_progress(study, begun))


def _try(begun: OpenTrial, folds: Sequence[FoldRows], subject: Subject) -> None:
    """Judge one trial on every fold, as long as it is no worse than most."""
    losses = running_loss(
        begun.candidate,
        begun.parameters,
        folds,
        columns=subject.columns,
        seed=subject.seed,
        loss=subject.loss,
    )
    loss = float("nan")
    for fold in range(len(folds)):
        try:
            loss = next(losses)
        except Exception as error:
            # Parameters that do not go together are an answer, too: the others go on.
            logger.exception("A trial of %s failed.", begun.candidate.name)
            begun.fail(type(error).__name__)
            return
        if begun.report(fold, loss, last=fold + 1 == len(folds)):
            begun.prune()
            return
    begun.finish(loss)


def _progress(study: Study, begun: OpenTrial) -> str:
    """Return what has just been tried, and how far the search is."""
    trials = study.trials()
    mine = [t for t in trials if (t.candidate, t.place) == (begun.candidate.name, begun.place)]
    last = mine[-1]
    ended = sum(trial.state in ("finished", "pruned", "failed") for trial in trials)
    finished = [t.loss for t in trials if t.state == "finished" and t.loss is not None]
    spent = sum(trial.cpu_seconds for trial in trials)
    return (
        f"trial {ended} of {study.plan.trials}: {last.state}"
        + (f" {last.loss:.4f}" if last.loss is not None else "")
        + (" on the folds so far" if last.state == "pruned" else "")
        + (f", best {min(finished):.4f}" if finished else "")
        + f", {spent:.1f} of {study.plan.cpu_seconds:g} CPU s: "
        + f"{begun.candidate.name} {shown(begun.parameters)}".rstrip()
    )
