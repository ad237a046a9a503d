"""Evidence charts: intervals, blocks, calibration and learning of an evidence as inline drawings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.adapters.reports.svg_charts import Scale, ticks
from pipelines.domain.evidence_report import BlockImprovement, Bounded
from pipelines.domain.examination import CurvePoint, ReliabilityBin

STRIP = (260, 18)
BLOCKS = (960, 130)
SQUARE = 300
CURVE = (460, 150)
"""Units of the drawings: width and height; both of the calibration plot."""

MARGIN = 0.06
"""Share of the range that is left free at both ends of an axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A range of values from left to right, ``width`` units wide."""

    low: float
    high: float
    width: float = STRIP[0]

    @classmethod
    def over(cls, figures: Iterable[Bounded], *, zero: bool = False) -> "Axis":
        """Return an axis that every interval fits on, and 0 where that is asked."""
        known = [
            value
            for one in figures
            for value in (one.estimate, one.low, one.high)
            if value is not None
        ] + ([0.0] if zero else [])
        low, high = min(known, default=0.0), max(known, default=1.0)
        room = MARGIN * (high - low) or 0.5
        return cls(low=low - room, high=high + room)

    def x(self, value: float) -> float:
        """Return where a value is drawn.

        >>> Axis(low=0.0, high=2.0, width=100).x(0.5)
        25.0
        """
        return round(self.width * (value - self.low) / (self.high - self.low), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One block's improvement: up is better; and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    better: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChart:
    """Improvements block by block in units of BLOCKS."""

    bars: tuple[Bar, ...]
    zero: float
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str
    better: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point of a plot, and what it stands for."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PointChart:
    """Points joined by a line; ticks are (place, text), of the calibration plot on both axes."""

    path: str
    dots: tuple[Dot, ...]
    ticks: tuple[tuple[float, str], ...]


def block_chart(blocks: Sequence[BlockImprovement], unit: str = "nats") -> BlockChart | None:
    """Return the bars of the blocks, improvements in ``unit``; None without any."""
    if not blocks:
        return None
    values = [one.improvement for one in blocks]
    low, high = min(0.0, *values), max(0.0, *values)
    room = MARGIN * (high - low) or 0.01
    width, height = BLOCKS
    scale = Scale(low=low - room, high=high + room, width=width, height=height)
    wide, zero = width / len(blocks), scale.y(0.0)
    return BlockChart(
        bars=tuple(
            Bar(
                x=round(place * wide + wide * 0.12, 1),
                y=min(zero, scale.y(one.improvement)),
                width=round(wide * 0.76, 1),
                height=round(max(0.8, abs(scale.y(one.improvement) - zero)), 1),
                better=one.improvement > 0,
                title=f"{one.block}: {one.improvement:+.4f} {unit} over {one.rows:,} rows",
            )
            for place, one in enumerate(blocks)
        ),
        zero=zero,
        ticks=tuple(
            (scale.y(value), f"{value:+g}" if value else "0")
            for value in ticks(scale.low, scale.high)
        ),
        first=blocks[0].block,
        last=blocks[-1].block,
        better=sum(value > 0 for value in values),
    )


def calibration_chart(bins: Sequence[ReliabilityBin]) -> PointChart | None:
    """Return the bins in a square whose sides both go from 0 to the greatest share; None without any."""
    if not bins:
        return None
    top = max(max(one.predicted, one.observed) for one in bins) * (1 + MARGIN)
    top = min(1.0, top) or 1.0
    dots = tuple(
        Dot(
            x=round(SQUARE * one.predicted / top, 1),
            y=round(SQUARE * (1 - one.observed / top), 1),
            title=f"predicted {one.predicted:.4f}, observed {one.observed:.4f}, {one.rows:,} rows",
        )
        for one in bins
    )
    places = [(value, f"{value:g}") for value in ticks(0.0, top)]
    return PointChart(
        path=_joined(dots),
        dots=dots,
        ticks=tuple((round(SQUARE * value / top, 1), text) for value, text in places),
    )


def learning_chart(points: Sequence[CurvePoint], unit: str = "nats") -> PointChart | None:
    """Return held-out loss, in ``unit``, against the number of blocks learned from; None without two points."""
    if len(points) < 2:
        return None
    losses = [one.loss for one in points]
    room = 0.15 * (max(losses) - min(losses)) or 0.01
    width, height = CURVE
    scale = Scale(low=min(losses) - room, high=max(losses) + room, width=width, height=height)
    most = max(one.blocks for one in points)
    dots = tuple(
        Dot(
            x=round(width * one.blocks / most, 1),
            y=scale.y(one.loss),
            title=f"{one.blocks:,} blocks, {one.rows:,} rows: {one.loss:.4f} {unit}",
        )
        for one in points
    )
    marks = [(scale.y(value), f"{value:g}") for value in ticks(scale.low, scale.high)]
    return PointChart(path=_joined(dots), dots=dots, ticks=tuple(marks))


def _joined(dots: Sequence[Dot]) -> str:
    return "".join(f"{'L' if place else 'M'}{dot.x:g} {dot.y:g}" for place, dot in enumerate(dots))
