"""The metrics known by name: direction, unit, and what kind of mean each is."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

LABELS_UNIT = "label's unit"
"""Stands in the unit of a metric for the unit that a use case declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What judges a model: its direction, its unit, and whether it is a mean over rows."""

    name: str
    better: Literal["lower", "higher"]
    unit: str
    per_row: bool

    @property
    def words(self) -> str:
        """The name as a sentence has it.

        >>> METRICS["log_loss"].words
        'log loss'
        """
        return self.name.replace("_", " ")

    def of(self, unit: str) -> "Metric":
        """Return the metric with the unit that the label has.

        >>> METRICS["squared_error"].of("minutes").unit
        'squared minutes'
        """
        return replace(self, unit=self.unit.replace(LABELS_UNIT, unit or LABELS_UNIT))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(name="log_loss", better="lower", unit="nats", per_row=True),
            Metric(name="brier", better="lower", unit="squared probability", per_row=True),
            Metric(name="auc", better="higher", unit="share of pairs in [0, 1]", per_row=False),
            Metric(
                name="missed_value",
                better="lower",
                unit="share of the best list's value in [0, 1]",
                per_row=False,
            ),
            Metric(
                name="captured_value",
                better="higher",
                unit="share of the best lists' value in [0, 1]",
                per_row=False,
            ),
            Metric(name="absolute_error", better="lower", unit=LABELS_UNIT, per_row=True),
            Metric(
                name="squared_error", better="lower", unit=f"squared {LABELS_UNIT}", per_row=True
            ),
        )
    }
)
"""Every metric known by name. Those ``per_row`` are losses: means over rows that blocks add up."""

LOSSES = tuple(metric.name for metric in METRICS.values() if metric.better == "lower")
"""Names of the metrics that gates compare block by block."""


def loss_problem(metric: str, among: tuple[str, ...] = LOSSES) -> str | None:
    """Say why ``metric`` does not name a loss of ``among``; None when it does."""
    if metric in among:
        return None
    if metric in METRICS and metric not in LOSSES:
        return f"metric {metric!r} is no loss of a block; use one of {', '.join(among)}"
    near = difflib.get_close_matches(metric, among, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(among)}"
    if metric in LOSSES:
        return f"metric {metric!r} is a loss of another kind of prediction; {meant}"
    return f"metric {metric!r} is unknown; {meant}"
