"""References: which earlier blocks the newest ones are compared with, and what that assumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

DAYS_OF_A_YEAR = 365.2425
WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Row numbers of the blocks of a reference and of the window, oldest first, and their seasons.

    ``kind`` is what they were chosen by; ``assumes`` says in a sentence when the p-value is exact.
    ``seasons`` is None or the season of every block that was given, by row number.
    """

    kind: Literal["trailing", "season_matched", "frozen"]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    assumes: str
    seasons: tuple[int, ...] | None = None


def trailing(
    days: Sequence[date], *, window: int, blocks: int = 150, weekdays: bool = True
) -> Reference:
    """Choose the ``blocks`` blocks just before the window of the last ``window``; days ascend.

    Exact when these blocks and the window's are exchangeable: no trend over a reference's length,
    and (unless ``weekdays``, which exchanges Mondays with Mondays only) no weekly rhythm. A yearly
    season moves away from a trailing reference and is found as drift.
    """
    current = tuple(range(max(0, len(days) - window), len(days)))
    first = current[0] if current else 0
    return Reference(
        kind="trailing",
        reference=tuple(range(max(0, first - blocks), first)),
        current=current,
        seasons=_weekdays(days) if weekdays else None,
        assumes="the last blocks would look alike in any order" + _within(weekdays=weekdays),
    )


def season_matched(
    days: Sequence[date],
    *,
    window: int,
    reach_days: int = 30,
    years: int = 3,
    weekdays: bool = True,
) -> Reference:
    """Choose the blocks of earlier years within ``reach_days`` of the window's own time of year.

    Both sides are of one season, so what returns every year is no drift. Exact when the blocks of
    this time of year are exchangeable over the years: no trend from year to year. Blocks that are
    less than half a year old are left out: they are neighbours, not another year. Where the history
    begins within ``reach_days`` of that time, as many days after it are left out as there are not
    before it: the season of one side is another. With no year of history the reference is empty,
    and a test says "learning".
    """
    current = tuple(range(max(0, len(days) - window), len(days)))
    if not current:
        return Reference(kind="season_matched", reference=(), current=(), assumes="")
    middle = days[current[len(current) // 2]]
    anniversaries = [
        middle - timedelta(days=round(DAYS_OF_A_YEAR * back)) for back in range(1, years + 1)
    ]
    reaches = [
        (anniversary, min(reach_days, (anniversary - days[0]).days))
        for anniversary in anniversaries
    ]
    chosen = tuple(
        row
        for row, day in enumerate(days)
        if any(abs((day - anniversary).days) <= reach for anniversary, reach in reaches)
    )
    return Reference(
        kind="season_matched",
        reference=chosen,
        current=current,
        seasons=_weekdays(days) if weekdays else None,
        assumes="the same weeks of other years would look alike in any order"
        + _within(weekdays=weekdays),
    )


def frozen(
    days: Sequence[date], *, window: int, first: date, until: date, weekdays: bool = True
) -> Reference:
    """Choose the blocks of days in [first, until): the training window of the model in service.

    It answers "is this still what the model learned from?": the effect on the model, not the
    alarm's level. Exact when nothing at all has changed since training, seasons included.
    """
    current = tuple(range(max(0, len(days) - window), len(days)))
    begins = current[0] if current else 0
    return Reference(
        kind="frozen",
        reference=tuple(
            row for row, day in enumerate(days) if first <= day < until and row < begins
        ),
        current=current,
        seasons=_weekdays(days) if weekdays else None,
        assumes="nothing changed since training, seasons included" + _within(weekdays=weekdays),
    )


def _weekdays(days: Sequence[date]) -> tuple[int, ...]:
    return tuple(day.weekday() for day in days)


def _within(*, weekdays: bool) -> str:
    return ", each weekday among its own kind" if weekdays else ""
