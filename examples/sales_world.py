"""A sales team's world: accounts, and opportunities that are worked on, won or lost, from a seed.

Each week an open opportunity moves one stage on, is lost, or stays, with probabilities that follow
from what it is (a logistic model of a competing-risks chain); so the true probability of winning is
known at every moment. What changes in this world changes at the dates below.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from examples.seeded_draws import Draws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]

FIRST_DAY = date(2022, 1, 3)
UNTIL = date(2026, 10, 5)
"""The world holds the weeks, Monday to Sunday, in [FIRST_DAY, UNTIL): its last three quarters are there
so that how the opportunities of 2025 ended is known, and what came of it."""
TIMEZONE = ZoneInfo("Europe/London")
SEED = 20230102

PARTNERS_GROW = date(2024, 9, 2)
"""From here a third of the opportunities comes from partners, before it was a tenth: harmless, as an
opportunity from a partner is won as often as before."""
RIVAL_ENTERS = date(2025, 3, 3)
"""From here sensors, the product that was easiest to sell, is the hardest: harmful."""
NORTH_SLOWS = date(2025, 6, 2)
"""From here the north enters how an opportunity ended four weeks late: labels come late, and only
that."""

REGIONS = ("north", "south", "east", "west")
INDUSTRIES = ("chemicals", "food", "logistics", "machines", "mining", "paper", "utilities")
PRODUCTS = ("sensors", "pumps", "service", "software")
SOURCES = ("inbound", "outbound", "partner", "referral")
STAGES = ("qualified", "proposed", "negotiating")
OPEN_WEEKS = 20
"""An opportunity that is still open then is closed as lost."""
WON, LOST = len(STAGES), -1
"""Where a path ends."""

REPS = 24
CREATED_A_WEEK = 40.0

SOURCE_SHARES = (0.45, 0.30, 0.10, 0.15)
SHARES_WITH_PARTNERS = (0.30, 0.22, 0.35, 0.13)
SOURCE_WEIGHTS = (0.1, -0.6, 0.3, 0.7)
PRODUCT_WEIGHTS = (0.8, 0.0, 0.3, -0.4)
RIVAL_WEIGHT = -1.0
"""Of sensors, from RIVAL_ENTERS on."""
MOVES_ON = (-2.0, -1.9, -1.5)
IS_LOST = (-2.2, -2.3, -2.2)
"""By stage, in logits a week, of an opportunity of no particular weight."""
QUARTER_PUSH = 0.5
"""Logits by which the last two weeks of a quarter hasten everything that moves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Weeks of the world, [first_day, until), whose numbers are drawn by themselves.

    So a part can be added at the end, and nothing before it changes. ``accounts`` come in its weeks,
    ``at_first`` of them in the first one.
    """

    name: str
    first_day: date
    until: date
    accounts: int
    at_first: int = 0

    def draws(self, purpose: str, seed: int) -> Draws:
        """Return the random numbers of a purpose in this part."""
        return Draws(f"{purpose}{self.name}", seed)

    def weeks(self) -> "Whole":
        """Return the numbers of its weeks."""
        import numpy as np

        return np.arange(week_of(self.first_day), week_of(self.until))


ADDED = date(2026, 1, 5)
PARTS = (
    Part(name="", first_day=FIRST_DAY, until=ADDED, accounts=600, at_first=300),
    Part(name=" of 2026", first_day=ADDED, until=UNTIL, accounts=56),
)
"""The parts of the world, one after another; accounts come as often in the second as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Every account that there ever will be, by number."""

    region: "Whole"
    industry: "Whole"
    employees: "Whole"
    created_week: "Whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunities:
    """Every opportunity, by number, in the order of creation; weeks count from FIRST_DAY.

    ``path`` (opportunities x OPEN_WEEKS + 1) is the stage at the end of each week of its life, WON
    and LOST included; ``wins`` (opportunities x OPEN_WEEKS) is the probability of winning in the
    end, at the beginning of each week of it, given that it is open and all that the world knows.
    """

    account: "Whole"
    rep: "Whole"
    product: "Whole"
    source: "Whole"
    amount: "Numbers"
    created_at: "NDArray[np.object_]"
    created_week: "Whole"
    interest: "Numbers"
    path: "Whole"
    wins: "Numbers"

    @property
    def open_weeks(self) -> "Whole":
        """Weeks from creation to the end of each, whole."""
        import numpy as np

        ended = (self.path == WON) | (self.path == LOST)
        return np.asarray(ended.argmax(axis=1), np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Accounts, their opportunities, and how much each sales representative does."""

    accounts: Accounts
    opportunities: Opportunities
    diligence: "Numbers"


Rows = TypeVar("Rows", Accounts, Opportunities)


def monday(week: int) -> date:
    """Return the first day of a week."""
    return FIRST_DAY + timedelta(weeks=week)


def week_of(day: date) -> int:
    """Return the number of the week that a day lies in."""
    return (day - FIRST_DAY).days // 7


def moment(day: date, share_of_week: float) -> datetime:
    """Return a time of the five working days from a Monday on, 08:00 to 18:00 local."""
    minutes = int(share_of_week * 5 * 600)
    days, minute = divmod(minutes, 600)
    begins = datetime.combine(day + timedelta(days=days), time(8), tzinfo=TIMEZONE)
    return begins + timedelta(minutes=minute)


@cache
def world() -> World:
    """Return the whole world of SEED."""
    return world_of(SEED)


def world_of(seed: int, *, rival: float = RIVAL_WEIGHT) -> World:
    """Return the whole world of a seed; ``rival`` is the weight of sensors once a rival is there."""
    import numpy as np

    accounts = _joined(Accounts, [_accounts(part, seed) for part in PARTS])
    reps = Draws("reps", seed)
    skill, diligence = 0.5 * reps.normal(REPS), np.exp(0.3 * reps.normal(REPS))
    opportunities = _joined(
        Opportunities, [_opportunities(accounts, skill, part, seed, rival) for part in PARTS]
    )
    return World(accounts=accounts, opportunities=opportunities, diligence=diligence)


def _accounts(part: Part, seed: int) -> Accounts:
    import numpy as np

    draws, count = part.draws("accounts", seed), part.accounts
    weeks = part.weeks()
    came = weeks[0] + np.sort(draws.uniform(count)) * len(weeks)
    return Accounts(
        region=(draws.uniform(count) * len(REGIONS)).astype(np.int64),
        industry=(draws.uniform(count) ** 1.3 * len(INDUSTRIES)).astype(np.int64),
        employees=np.exp(5.0 + 1.2 * draws.normal(count)).astype(np.int64) + 5,
        created_week=np.where(np.arange(count) < part.at_first, 0, came).astype(np.int64),
    )


def _opportunities(
    accounts: Accounts, skill: "Numbers", part: Part, seed: int, rival: float
) -> Opportunities:
    import numpy as np

    draws = part.draws("opportunities", seed)
    number = part.weeks()
    busy = CREATED_A_WEEK * (1.0 + 0.2 * np.sin(2 * np.pi * (number - 6) / 52))
    created_week = np.repeat(number, draws.counts(busy, most=90))
    count = len(created_week)
    share = draws.uniform(count)
    order = np.lexsort((share, created_week))
    share = share[order]
    known = np.searchsorted(accounts.created_week, created_week, side="right")
    account = (draws.uniform(count) * known).astype(np.int64)
    partners = created_week >= week_of(PARTNERS_GROW)
    source = draws.one_of(np.where(partners[:, None], SHARES_WITH_PARTNERS, SOURCE_SHARES))
    product = draws.one_of(np.tile((0.3, 0.3, 0.25, 0.15), (count, 1)))
    employees = accounts.employees[account]
    amount = np.exp(9.0 + 0.35 * np.log(employees / 150) + 0.8 * draws.normal(count))
    rep = (draws.uniform(count) * REPS).astype(np.int64)
    interest = draws.normal(count)
    weight = (
        0.7 * interest
        + skill[rep]
        + np.asarray(SOURCE_WEIGHTS)[source]
        - 0.3 * np.log(amount / 9_000)
        + np.where(accounts.region[account] == REGIONS.index("west"), 0.3, 0.0)
    )
    moves, loses = _chances(weight, product, created_week, rival)
    return Opportunities(
        account=account,
        rep=rep,
        product=product,
        source=source,
        amount=np.asarray(np.round(amount, -1), np.float64),
        created_at=np.array(
            [
                moment(monday(int(week)), float(of_week))
                for week, of_week in zip(created_week, share, strict=True)
            ],
            dtype=object,
        ),
        created_week=created_week,
        interest=interest,
        path=_paths(moves, loses, part.draws("paths", seed)),
        wins=_wins(moves, loses),
    )


def _chances(
    weight: "Numbers", product: "Whole", created_week: "Whole", rival: float
) -> tuple["Numbers", "Numbers"]:
    """Return the chances of moving on and of being lost: opportunities x weeks of life x stages."""
    import numpy as np

    week = created_week[:, None] + 1 + np.arange(OPEN_WEEKS)[None, :]
    of_product = np.broadcast_to(np.asarray(PRODUCT_WEIGHTS)[product][:, None], week.shape)
    entered = (week >= week_of(RIVAL_ENTERS)) & (product == PRODUCTS.index("sensors"))[:, None]
    of_product = np.where(entered, rival, of_product)
    pushed = np.where(week % 13 >= 11, QUARTER_PUSH, 0.0)
    total = weight[:, None] + of_product
    moves = _logistic(np.asarray(MOVES_ON) + 0.5 * total[:, :, None] + pushed[:, :, None])
    loses = _logistic(np.asarray(IS_LOST) - 0.8 * total[:, :, None])
    # What moves on cannot be lost in the same week.
    return moves, (1.0 - moves) * loses


def _paths(moves: "Numbers", loses: "Numbers", draws: Draws) -> "Whole":
    import numpy as np

    count, weeks, _ = moves.shape
    path = np.zeros((count, weeks + 1), np.int64)
    uniform, number = draws.uniform(count, weeks), np.arange(count)
    for week in range(weeks):
        stage = path[:, week]
        still = (stage != WON) & (stage != LOST)
        at = np.where(still, stage, 0)
        moved = uniform[:, week] < moves[number, week, at]
        lost = ~moved & (uniform[:, week] < (moves + loses)[number, week, at])
        path[:, week + 1] = np.where(still, np.where(lost, LOST, stage + moved), stage)
    last = path[:, weeks]
    path[:, weeks] = np.where((last != WON) & (last != LOST), LOST, last)
    return path


def _wins(moves: "Numbers", loses: "Numbers") -> "Numbers":
    """Return the probability of winning in the end by week of life and stage, from the end back."""
    import numpy as np

    count, weeks, stages = moves.shape
    wins = np.zeros((count, weeks, stages))
    later = np.zeros((count, stages + 1))
    later[:, WON] = 1.0
    for week in reversed(range(weeks)):
        stay = 1.0 - moves[:, week] - loses[:, week]
        # Still open at the very end is lost.
        stayed = later[:, :stages] if week < weeks - 1 else 0.0
        wins[:, week] = moves[:, week] * later[:, 1:] + stay * stayed
        later[:, :stages] = wins[:, week]
    return wins


def _joined(kind: type["Rows"], parts: Sequence["Rows"]) -> "Rows":
    """Return the rows of all parts, in their order."""
    import numpy as np

    names = [one.name for one in fields(kind)]
    return kind(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def _logistic(logits: "Numbers") -> "Numbers":
    import numpy as np

    return np.asarray(1.0 / (1.0 + np.exp(-logits)))
