"""Examine: look at a challenger from every side that gates and approvers ask about."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.block_estimate import BlockEstimate, mean_estimate
from pipelines.domain.examination import (
    ChampionDifference,
    Examination,
    Footprint,
    Leakage,
    Reproduction,
    SegmentDifference,
)
from pipelines.domain.metrics import block_means, row_losses
from pipelines.domain.model_reference import Predicts, importances
from pipelines.domain.prediction_kinds import BINARY, Kind
from pipelines.domain.refits import (
    Lesson,
    learning_curve,
    ranked_alone,
    reproduced,
    seed_losses,
    shuffled_skill,
)
from pipelines.domain.reliability import reliability
from pipelines.domain.segment_differences import segment_differences
from pipelines.domain.training import Baseline, FeatureColumns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipelines.domain.refits import Teach

SEEDS, LEAKAGE, FOOTPRINT, REPRODUCTION = "seeds", "leakage", "footprint", "reproduction"
"""What costs refits or passes, and is looked at only when a gate names it in ``needs``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A challenger to look at: what it was taught, what it is judged on, and how it is taught.

    ``predictions`` is role -> prediction of every held-out row. ``taught`` returns what it was taught,
    which is read for refits alone. ``teach`` fits the candidate as training did; ``seed`` is the one it
    was trained with. ``champion_columns`` is None without one.
    """

    model: Predicts
    columns: FeatureColumns
    champion_columns: FeatureColumns | None
    taught: Callable[[], Lesson]
    held_out: Lesson
    predictions: "Mapping[str, np.ndarray]"
    teach: "Teach"
    seed: int
    kind: Kind = BINARY

    @property
    def training(self) -> Lesson:
        """The labelled rows that it was taught."""
        return self.taught()

    @property
    def rival(self) -> str:
        """The role that the challenger must not be worse than."""
        return "baseline" if self.champion_columns is None else "champion"

    def gained(self, metric: str, over: str) -> "np.ndarray":
        """Return the loss of the role ``over`` less the challenger's, one per held-out row."""
        label, said = self.held_out.label, self.predictions
        found: np.ndarray = row_losses(metric, label, said[over]) - row_losses(
            metric, label, said["challenger"]
        )
        return found


def examine(
    subject: Subject,
    *,
    segments: Sequence[str],
    needs: Set[str],
    described: tuple[int, int] = (0, 0),
    footprint: Footprint | None = None,
    probed: "tuple[pa.Table, np.ndarray] | None" = None,
    spare: bool = False,
) -> Examination:
    """Return the examination; refits happen only for what ``needs`` names.

    ``spare`` leaves out what no gate asks for: the importances and the learning curve.

    ``described`` are held-out rows that were described again and those that came out otherwise.
    ``probed`` is the probe set and what the model said of it when it was registered.
    """
    held_out, columns = subject.held_out, subject.columns
    said, seed, kind = subject.predictions["challenger"], subject.seed, subject.kind
    reproduction = None
    if REPRODUCTION in needs and probed is not None:
        reproduction = _reproduced(subject, *probed)
    return Examination(
        rival="baseline" if subject.champion_columns is None else "champion",
        segments={name: _segment(subject, name) for name in segments},
        reliability=(
            reliability(held_out.label, said, held_out.blocks)
            if kind.answer == "probability"
            else None
        ),
        importance=(
            {}
            if spare
            else importances(
                subject.model,
                held_out.rows,
                held_out.label,
                columns=columns.all,
                seed=seed,
                loss=kind.loss,
            )
        ),
        learning_curve=(
            ()
            if spare
            else learning_curve(
                subject.teach,
                subject.training,
                held_out,
                columns,
                seed=seed,
                said=said,
                kind=kind,
            )
        ),
        seeds=(
            seed_losses(subject.teach, subject.training, held_out, columns, seed=seed, kind=kind)
            if SEEDS in needs
            else ()
        ),
        leakage=_leakage(subject, described) if LEAKAGE in needs else None,
        footprint=footprint,
        inputs=_inputs(subject),
        reproduction=reproduction,
        difference=_difference(subject),
    )


def _segment(subject: Subject, name: str) -> tuple[SegmentDifference, ...]:
    held_out = subject.held_out
    levels = held_out.rows[name].to_pylist()
    return segment_differences(
        levels, -subject.gained(subject.kind.loss, subject.rival), held_out.blocks
    )


def _reproduced(subject: Subject, probe: "pa.Table", expected: "np.ndarray") -> Reproduction:
    return reproduced(
        subject.teach,
        subject.training,
        subject.columns,
        seed=subject.seed,
        probe=probe,
        expected=expected,
        kind=subject.kind,
    )


def _leakage(subject: Subject, described: tuple[int, int]) -> Leakage | None:
    shuffled, shuffles = shuffled_skill(
        subject.teach,
        subject.training,
        subject.held_out,
        subject.columns,
        seed=subject.seed,
        baseline=_unskilled(subject),
        kind=subject.kind,
    )
    if shuffled is None:
        return None
    return Leakage(
        shuffled=shuffled,
        shuffles=shuffles,
        alone=ranked_alone(subject.held_out, subject.training, subject.columns, subject.kind),
        described=described[0],
        differing=described[1],
    )


def _unskilled(subject: Subject) -> "np.ndarray":
    """Return what a model without skill is held against: the constant that is best by the loss.

    A mean that was declared as baseline is worse by the absolute error than any model that learned
    the median of shuffled numbers, and would make leakage of that.
    """
    if subject.kind.answer == "probability":
        return subject.predictions["baseline"]
    best = Baseline.of("median", subject.training.label)
    return best.predict(len(subject.held_out.label))


def _inputs(subject: Subject) -> dict[str, dict[str, str]]:
    roles = {"challenger": subject.columns, "champion": subject.champion_columns}
    return {
        role: {
            **dict.fromkeys(columns.numeric, "number"),
            **dict.fromkeys(columns.categorical, "text"),
        }
        for role, columns in roles.items()
        if columns is not None
    }


def _difference(subject: Subject) -> ChampionDifference | None:
    """Return how the challenger differs from the champion; None without one."""
    if subject.champion_columns is None:
        return None
    said, before, after = subject.predictions, subject.champion_columns, subject.columns
    return ChampionDifference(
        improvements={metric: _improvement(subject, metric) for metric in subject.kind.losses},
        moved=float(abs(said["challenger"] - said["champion"]).mean()),
        features_added=tuple(name for name in after.all if name not in before.all),
        features_removed=tuple(name for name in before.all if name not in after.all),
    )


def _improvement(subject: Subject, metric: str) -> BlockEstimate | None:
    gained = subject.gained(metric, "champion")
    _, rows, means = block_means(gained, subject.held_out.blocks)
    return mean_estimate(means, rows)
