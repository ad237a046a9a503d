"""Search space: the values that a search may give each parameter of a candidate."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Parameter: TypeAlias = float | int | str | bool | None
"""The value of one parameter; what JSON can hold, so that a model's tags can tell it."""

Parameters: TypeAlias = Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any number from ``low`` to ``high``, both included."""

    low: float
    high: float

    def holds(self, value: object) -> bool:
        """Tell whether a search could draw ``value``."""
        return isinstance(value, float | int) and self.low <= value <= self.high

    def problem(self) -> str | None:
        """Say what is wrong with the bounds; None when they are sound."""
        return _bounds_problem(self.low, self.high)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Any number from ``low`` to ``high``, each power of ten as likely as the next."""

    low: float
    high: float

    def holds(self, value: object) -> bool:
        """Tell whether a search could draw ``value``."""
        return isinstance(value, float | int) and self.low <= value <= self.high

    def problem(self) -> str | None:
        """Say what is wrong with the bounds; None when they are sound."""
        if not self.low > 0.0:
            return f"low {self.low!r} is not above zero, which has no logarithm"
        return _bounds_problem(self.low, self.high)


@dataclass(frozen=True, slots=True)
class IntUniform:
    """Any whole number from ``low`` to ``high``, both included."""

    low: int
    high: int

    def holds(self, value: object) -> bool:
        """Tell whether a search could draw ``value``."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high  # type: ignore[operator]  # mypy forgets

    def problem(self) -> str | None:
        """Say what is wrong with the bounds; None when they are sound."""
        bounds: tuple[object, object] = (self.low, self.high)  # whatever was declared
        if not all(isinstance(bound, int) for bound in bounds):
            return f"bounds {self.low!r} and {self.high!r} are not whole numbers"
        return _bounds_problem(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``options``, in no order."""

    options: Sequence[Parameter]

    def holds(self, value: object) -> bool:
        """Tell whether a search could draw ``value``."""
        return any(type(value) is type(option) and value == option for option in self.options)

    def problem(self) -> str | None:
        """Say what is wrong with the options; None when they are sound."""
        if len(self.options) < 2:
            return f"{len(self.options)} options leave nothing to choose"
        if wrong := [o for o in self.options if not isinstance(o, float | int | str | None)]:
            return f"an option is a {type(wrong[0]).__name__}: neither number, text, bool nor None"
        return None


Space: TypeAlias = Uniform | LogUniform | IntUniform | Choice


def defaults(build: Callable[..., Any], space: Mapping[str, Space]) -> dict[str, Parameter]:
    """Return what ``build`` itself would use for the parameters of ``space``.

    Empty unless each of them has a default that the search could draw, too.

    >>> def trees(columns, seed, depth=3): ...
    >>> defaults(trees, {"depth": IntUniform(1, 5)})
    {'depth': 3}
    >>> defaults(trees, {"depth": IntUniform(4, 5)})
    {}
    """
    declared = inspect.signature(build).parameters
    own = {name: declared[name].default for name in space if name in declared}
    sound = len(own) == len(space) and all(space[name].holds(own[name]) for name in own)
    return own if sound else {}


def unknown_parameters(build: Callable[..., Any], space: Mapping[str, Space]) -> list[str]:
    """Return the parameters of ``space`` that ``build`` does not take by name, sorted."""
    declared = inspect.signature(build).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in declared.values()):
        return []
    own = list(declared)[2:]  # the first two are the columns and the seed
    named = [name for name in own if declared[name].kind is not inspect.Parameter.VAR_POSITIONAL]
    return sorted(set(space) - set(named))


def _bounds_problem(low: float, high: float) -> str | None:
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return None
    return f"bounds {low!r} and {high!r} are no range"
