"""Broken blocks: those that a hard rule told, and when later ones are compared with them again."""

import math
from collections.abc import Collection
from datetime import date

from pipelines.domain.block_length import BLOCKS_PER_QUARTER, BlockLength
from pipelines.domain.drift.severity import DAY_SHARE
from pipelines.domain.monitored import EPISODE_BLOCKS, blocks_apart


def known_breaks(
    broken: Collection[str],
    *,
    upto: str,
    blocks: int,
    length: BlockLength,
    alarms_per_quarter: float,
) -> frozenset[str]:
    """Return the broken ones of the last ``blocks`` that block ``upto`` must be worse than to be told.

    What broke is nobody's reference, so that the next break is told however small it is beside the
    last one. But leaving out the worst blocks for ever would lower the bar with each alarm, and a
    source that breaks by itself would alarm more and more often. So they count again once more
    breaks ended in this time than the budget of single blocks pays for: then this is how the
    source is. A break lasts while no EPISODE_BLOCKS pass without it; the one that still does never counts.

    >>> sorted(known_breaks({"2013-01-05", "2013-02-01"}, upto="2013-03-01", blocks=180,
    ...                     length="day", alarms_per_quarter=1.0))
    ['2013-01-05', '2013-02-01']
    >>> known_breaks({"2013-01-05"}, upto="2013-03-01", blocks=180, length="day",
    ...              alarms_per_quarter=1.0)
    frozenset()
    """
    last = date.fromisoformat(upto)
    breaks: list[list[date]] = []
    for day in sorted(date.fromisoformat(block) for block in broken):
        if day >= last or blocks_apart(day, last, length) > blocks:
            continue
        if breaks and blocks_apart(breaks[-1][-1], day, length) <= EPISODE_BLOCKS:
            breaks[-1].append(day)
        else:
            breaks.append([day])
    if breaks and blocks_apart(breaks[-1][-1], last, length) <= EPISODE_BLOCKS:
        breaks.pop()
    quarters = blocks / BLOCKS_PER_QUARTER[length]
    paid_for = math.floor(DAY_SHARE * alarms_per_quarter * quarters + 1e-9)
    if len(breaks) <= paid_for:
        return frozenset()
    return frozenset(day.isoformat() for of_break in breaks for day in of_break)
