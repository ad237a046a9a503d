"""Prediction kinds: what a model answers for a row, what judges it, and what it has to beat."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Answer = Literal["probability", "number"]
"""What a model says of one row: the probability that the label is true, or the label itself."""

KindName = Literal["binary", "ranking", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of prediction: everything that depends on it is decided by these fields.

    ``losses`` are means over rows and may be searched by. ``of_lists`` are losses of a list: one
    figure a block. ``loss`` is the one that segments, importances, refits and monitoring look at.
    ``baselines`` are what may be declared as the model that everything must beat.
    """

    name: KindName
    answer: Answer
    losses: tuple[str, ...]
    loss: str
    baselines: tuple[str, ...]
    of_lists: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[str, ...]:
        """Every loss that blocks have, and that gates may compare by."""
        return (*self.losses, *self.of_lists)


BINARY = Kind(
    name="binary",
    answer="probability",
    losses=("log_loss", "brier"),
    loss="log_loss",
    baselines=("prior_rate",),
)
"""Whether something happens: a condition."""

RANKING = Kind(
    name="ranking",
    answer="probability",
    losses=("log_loss", "brier"),
    loss="log_loss",
    baselines=("prior_rate",),
    of_lists=("missed_value",),
)
"""What to look at first: a condition, and what a row is worth where it is true."""

REGRESSION = Kind(
    name="regression",
    answer="number",
    losses=("absolute_error", "squared_error"),
    loss="absolute_error",
    baselines=("mean", "median"),
)
"""How much: a number with a unit."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (BINARY, RANKING, REGRESSION)}
)
"""Every kind by its name. A further one, such as several classes, is a row here and an ``Answer``."""
