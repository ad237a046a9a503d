"""SVG charts: values turned into the paths and boxes of inline drawings."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where values lie in a drawing: ``low`` at its bottom, ``high`` at its top.

    Values beyond are drawn at the edge. ``width`` and ``height`` are in units of the drawing, whose
    y grows downwards.
    """

    low: float
    high: float
    width: float
    height: float

    def y(self, value: float) -> float:
        """Return the height at which a value is drawn.

        >>> Scale(low=0, high=2, width=100, height=50).y(0.5)
        37.5
        """
        span = (self.high - self.low) or 1.0
        part = min(1.0, max(0.0, (value - self.low) / span))
        return round(self.height * (1 - part), 1)

    def x(self, place: float, places: int) -> float:
        """Return the middle of column number ``place`` of ``places``."""
        return round(self.width * (place + 0.5) / max(1, places), 1)


def line(values: Sequence[float | None], scale: Scale) -> str:
    """Return the path through the values, one per column, with a gap where there is none.

    A value without neighbours is a short dash, so that it is seen.

    >>> line([0, None, 1, 1], Scale(low=0, high=1, width=40, height=10))
    'M3 10h4M25 0L35 0'
    """
    found, drawing = [], False
    for place, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x, y = scale.x(place, len(values)), scale.y(value)
        after = values[place + 1] if place + 1 < len(values) else None
        if not drawing and after is None:
            found.append(f"M{x - 2:g} {y:g}h4")
        else:
            found.append(f"{'L' if drawing else 'M'}{x:g} {y:g}")
        drawing = True
    return "".join(found)


def steps(shares: Sequence[float], scale: Scale) -> str:
    """Return the outline of bars of one width, from the ground up and back to it.

    >>> steps([1.0, 0.5], Scale(low=0, high=1, width=20, height=10))
    'M0 10V0H10V5H20V10'
    """
    wide = scale.width / max(1, len(shares))
    found = [f"M0 {scale.height:g}"]
    for place, share in enumerate(shares, start=1):
        found.append(f"V{scale.y(share):g}H{round(place * wide, 1):g}")
    return "".join([*found, f"V{scale.height:g}"])


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round values between two different ones, ascending.

    >>> ticks(0.31, 0.58)
    [0.35, 0.4, 0.45, 0.5, 0.55]
    """
    from math import ceil, floor, log10

    rough = (high - low) / 4
    unit = 10 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.7)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
