"""Feature report: what one feature's newest blocks hold beside those they are compared with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.domain.drift.block_profile import BlockProfile, merged
from pipelines.domain.drift.column_edges import CategoryEdges, Edges, NumericEdges
from pipelines.domain.drift.drift_result import ColumnShift
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Judged, Profiled
from pipelines.domain.profile import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_BINS = 25
"""Bars of a number's histogram: two of the profile's bins each, of about 4 % of the training rows."""

MOST_LEVELS = 12
"""Levels of a category with a bar of their own; the others share one."""

EXPECTED_ROWS = 10
"""Rows that a level must be expected to have before its absence is told: by chance it would stay
away with a probability of exp(-10) (Poisson)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBin:
    """One bar: what it stands for, and its share in [0, 1] of all rows on either side."""

    label: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockShift:
    """One block beside the reference: Hellinger distance in [0, 1], and the share missing."""

    block: str
    distance: float
    missing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """One feature, or the prediction (whose ``importance`` is None).

    ``distance`` is the Hellinger distance in [0, 1] of the current rows' bins, missing values
    among them, to the reference's. ``effects`` are those of the newest test of a week, largest
    first. ``level`` is that of the worst that still stands and blames this column. ``missing``,
    ``unseen`` and ``outside`` are shares in [0, 1] of the rows: (reference, current). ``new`` and
    ``vanished`` hold levels with their share on the side that has them; values that training
    never saw have no name, and are counted by ``unseen``. ``unit`` says which conversion explains
    the newest block, where a hard rule told one.
    """

    column: str
    kind: Literal["number", "category"]
    importance: float | None
    distance: float
    level: Literal["PAGE", "WARN", "INFO", "none"]
    bins: tuple[ReportBin, ...]
    timeline: tuple[BlockShift, ...]
    missing: tuple[float, float]
    unseen: tuple[float, float]
    outside: tuple[float, float]
    new: tuple[tuple[str, float], ...]
    vanished: tuple[tuple[str, float], ...]
    effects: tuple[ColumnShift, ...]
    unit: str

    @property
    def weight(self) -> float:
        """Importance times distance, by which features are ordered; the prediction is first."""
        return self.distance if self.importance is None else self.importance * self.distance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The blocks that are compared, and all that are drawn; none of the three may be empty."""

    reference: Sequence[Profiled]
    current: Sequence[Profiled]
    drawn: Sequence[Profiled]


def feature_reports(
    sides: Sides, model: ModelReference, *, newest: Collection[Judged], told: Collection[Judged]
) -> tuple[FeatureReport, ...]:
    """Return one report per column: the prediction, then features by importance times distance.

    ``newest`` holds the newest answer of each test, ``told`` what stands or is a fact of the
    newest block.
    """
    before = merged([one.profile for one in sides.reference], block="reference")
    now = merged([one.profile for one in sides.current], block="current")
    week = [one.result for one in newest if one.name == "BlockPermutation 7"]
    shifts = [shift for result in week for shift in result.per_column]
    levels = _levels(told)
    units = {
        shift.column: shift.unit
        for one in told
        if one.alarm is not None
        for shift in one.alarm.shifts
        if shift.family == "units"
    }
    reports = [
        _report(
            edges,
            before,
            now,
            sides,
            model,
            level=levels.get(edges.column, "none"),
            effects=tuple(shift for shift in shifts if shift.column == edges.column),
            unit=units.get(edges.column, ""),
        )
        for edges in model.edges.columns
    ]
    return tuple(
        sorted(reports, key=lambda one: (one.importance is not None, -one.weight, one.column))
    )


def _levels(told: Collection[Judged]) -> Mapping[str, Literal["PAGE", "WARN", "INFO"]]:
    found: dict[str, Literal["PAGE", "WARN", "INFO"]] = {}
    order = {"INFO": 0, "WARN": 1, "PAGE": 2}
    for one in told:
        if one.alarm is None or one.subject != "inputs":
            continue
        for shift in one.alarm.shifts:
            there = found.get(shift.column)
            if there is None or order[there] < order[one.alarm.level]:
                found[shift.column] = one.alarm.level
    return found


def _report(
    edges: Edges,
    before: BlockProfile,
    now: BlockProfile,
    sides: Sides,
    model: ModelReference,
    *,
    level: Literal["PAGE", "WARN", "INFO", "none"],
    effects: tuple[ColumnShift, ...],
    unit: str,
) -> FeatureReport:
    place = model.edges.places[edges.column]
    number = model.edges.columns.index(edges)
    was, is_now = _shares(before.counts[place]), _shares(now.counts[place])
    category = isinstance(edges, CategoryEdges)
    return FeatureReport(
        column=edges.column,
        kind="category" if category else "number",
        importance=(
            None if edges.column == model.prediction else model.importance.get(edges.column, 0.0)
        ),
        distance=hellinger(was, is_now),
        level=level,
        bins=_bins(edges, was, is_now),
        timeline=tuple(
            BlockShift(
                block=one.block,
                distance=hellinger(was, shares),
                missing=float(shares[-1]),
            )
            for one in sides.drawn
            for shares in [_shares(one.profile.counts[place])]
        ),
        missing=(float(was[-1]), float(is_now[-1])),
        unseen=(float(was[-2]), float(is_now[-2])) if category else (0.0, 0.0),
        outside=(0.0, 0.0) if category else (_outside(before, number), _outside(now, number)),
        new=_only(edges, now, before, place),
        vanished=_only(edges, before, now, place),
        effects=effects,
        unit=unit,
    )


def hellinger(first: "NDArray[np.float64]", second: "NDArray[np.float64]") -> float:
    """Return the Hellinger distance of two distributions: 0 when equal, 1 when nothing is shared.

    >>> import numpy as np
    >>> hellinger(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    import numpy as np

    return float(np.sqrt(min(1.0, 0.5 * float(((np.sqrt(first) - np.sqrt(second)) ** 2).sum()))))


def _shares(counts: "NDArray[np.int64]") -> "NDArray[np.float64]":
    found: NDArray[np.float64] = counts / max(1, int(counts.sum()))
    return found


def _outside(profile: BlockProfile, number: int) -> float:
    return float(profile.outside[number].sum()) / max(1, profile.rows)


def _bins(
    edges: Edges, was: "NDArray[np.float64]", is_now: "NDArray[np.float64]"
) -> tuple[ReportBin, ...]:
    """Return the bars, without that of the missing values; neighbours are added up where many."""
    if isinstance(edges, NumericEdges):
        number = len(edges.cuts) + 1
        step = -(-number // MOST_BINS)
        groups = [range(at, min(at + step, number)) for at in range(0, number, step)]
        named = [_between(edges.cuts, group) for group in groups]
    else:
        labels = [*edges.levels]
        groups = [range(at, at + 1) for at in range(min(len(labels), MOST_LEVELS))]
        named = [labels[group[0]] for group in groups]
        rest = range(min(len(labels), MOST_LEVELS), len(labels) + 1)
        if edges.others or len(rest) > 1:
            groups.append(rest)
            named.append("all others known")
        groups.append(range(len(labels) + 1, len(labels) + 2))
        named.append("never seen in training")
    return tuple(
        ReportBin(
            label=label,
            reference=float(was[group.start : group.stop].sum()),
            current=float(is_now[group.start : group.stop].sum()),
        )
        for label, group in zip(named, groups, strict=True)
    )


def _between(cuts: Sequence[float], group: range) -> str:
    """Name neighbouring bins: bin i holds [cuts[i - 1], cuts[i]).

    >>> _between((1.0, 2.0), range(1)), _between((1.0, 2.0), range(1, 2)), _between((1.0, 2.0), range(1, 3))
    ('below 1', '1 to below 2', '1 and more')
    """
    low = shown(cuts[group.start - 1]) if group.start else None
    high = shown(cuts[group.stop - 1]) if group.stop <= len(cuts) else None
    if low is None:
        return "any value" if high is None else f"below {high}"
    return f"{low} and more" if high is None else f"{low} to below {high}"


def _only(
    edges: Edges, there: BlockProfile, absent: BlockProfile, place: slice
) -> tuple[tuple[str, float], ...]:
    """Return levels that one side has and the other, which was to have EXPECTED_ROWS, has not."""
    if not isinstance(edges, CategoryEdges):
        return ()
    has, has_not = there.counts[place], absent.counts[place]
    shares = _shares(has)
    return tuple(
        (level, float(shares[number]))
        for number, level in enumerate(edges.levels)
        if not has_not[number] and shares[number] * absent.rows >= EXPECTED_ROWS
    )
