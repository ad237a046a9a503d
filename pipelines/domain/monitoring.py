"""Monitoring: what a use case declares about watching its model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.domain.block_length import BLOCKS_PER_QUARTER, BlockLength
from pipelines.domain.drift.drift_result import MINIMUM_BLOCKS
from pipelines.errors import Problem

SOUND = (
    "A sound declaration is Monitoring(block='day', alarms_per_quarter=1, reference='trailing')."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How inputs, predictions and performance are watched.

    Blocks with fewer final labels than ``minimum_labels`` are "too few"; a block smaller than all of
    the seven before by more than the share ``volume_drop`` in [0, 1] is reported. The rows of a
    ``block`` are the unit of all statistics: a "day", or a "week" where scoring is weekly. On data
    that does not drift WARN and PAGE alarms together are expected at most ``alarms_per_quarter`` times in a
    quarter, of 90 days or 13 weeks. ``reference`` chooses what the
    newest blocks are compared with: the blocks just before them ("trailing"), the same weeks of
    earlier years ("season"), or the first ones after the training window ("frozen"); with fewer than
    ``minimum_reference_blocks`` a test says "learning". ``tolerance`` is the increase of the mean
    log loss (nats) above that of the held-out window from which a model does harm. ``segments``
    names text features whose levels are watched one by one.
    """

    minimum_labels: int = 30
    volume_drop: float = 0.5
    block: BlockLength = "day"
    alarms_per_quarter: float = 1.0
    reference: Literal["trailing", "season", "frozen"] = "trailing"
    minimum_reference_blocks: int = MINIMUM_BLOCKS
    tolerance: float = 0.02
    segments: Sequence[str] = ()

    @property
    def blocks_per_quarter(self) -> int:
        """How many blocks the alarm budget of a quarter is about."""
        return BLOCKS_PER_QUARTER[self.block]

    def problems(self, where: str) -> list[Problem]:
        """Return what is wrong; whether features have these names is known when there are any."""
        # Another block is reported as a choice that does not exist.
        most = BLOCKS_PER_QUARTER.get(self.block, BLOCKS_PER_QUARTER["day"])
        found = (
            (
                self.minimum_labels >= 1 and 0 < self.volume_drop < 1,
                "minimum_labels of at least 1, volume_drop between 0 and 1",
                f"{self.minimum_labels} and {self.volume_drop}",
                "0.5 reports a block of less than half the usual size.",
            ),
            (
                math.isfinite(self.alarms_per_quarter) and 0 < self.alarms_per_quarter <= most,
                f"alarms_per_quarter above 0 and at most {most}, one for each block",
                f"{self.alarms_per_quarter}",
                SOUND,
            ),
            (
                self.minimum_reference_blocks >= MINIMUM_BLOCKS,
                f"minimum_reference_blocks of at least {MINIMUM_BLOCKS}",
                f"{self.minimum_reference_blocks}",
                "With fewer no arrangement of the blocks is rare enough to tell anything.",
            ),
            (
                math.isfinite(self.tolerance) and self.tolerance >= 0,
                "a tolerance of 0 nats or more",
                f"{self.tolerance}",
                "0.02 tolerates an increase of the mean log loss by 0.02.",
            ),
            (
                len(set(self.segments)) == len(self.segments),
                "each of segments once",
                f"{list(self.segments)}",
                "Name each feature once.",
            ),
        )
        return [
            Problem(where=where, expected=expected, found=seen, fix=fix)
            for sound, expected, seen, fix in found
            if not sound
        ]
