"""Weekly losses of a model that never saw the rival, in a sales world of any seed and any rival."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeAlias

from examples.sales_world import OPEN_WEEKS, REPS, UNTIL, WON, World, week_of, world_of
from examples.seeded_draws import Draws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Whole: TypeAlias = NDArray[np.int64]

SERVED_FROM = date(2025, 1, 6)
LABEL_WEEKS, HELD_OUT_WEEKS = 24, 65
"""What the use case declares: weeks until labels are final, and held-out ones."""

FINAL_BEFORE = SERVED_FROM - timedelta(weeks=LABEL_WEEKS + 1)
HELD_OUT = (FINAL_BEFORE - timedelta(weeks=HELD_OUT_WEEKS), FINAL_BEFORE)
LEARNED_UNTIL = HELD_OUT[0] - timedelta(weeks=LABEL_WEEKS)
"""Windows of the model that is trained on SERVED_FROM; ends are exclusive."""

WORK_WEEKS, LATELY = 4, 26
"""Weeks whose work counts, and weeks over which shares of wins are taken, as in the use case."""

IMAGINARY = 10
"""Ends at the overall share that steady small groups, as in the use case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Mean log losses in nats, one a week: held out, and served from SERVED_FROM on."""

    held_out: "Numbers"
    served: "Numbers"


def losses_of(seed: int, *, rival: float) -> Losses:
    """Return the losses of a logistic regression on what the use case's features say, roughly.

    Rows, windows, labels and candidate are the use case's; closings are known at once and without
    faults, and every label is known. ``rival`` is the weight of sensors once the rival is there.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = world_of(seed, rival=rival)
    number, life = _open_rows(found)
    week = found.opportunities.created_week[number] + 1 + life
    described = _described(found, number, life, week, seed)
    won = found.opportunities.path[number, OPEN_WEEKS] == WON
    learned = week < week_of(LEARNED_UNTIL)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    model.fit(described[learned], won[learned])
    chance = model.predict_proba(described)[:, 1]
    loss = -np.log(np.where(won, chance, 1.0 - chance))
    by_week = np.bincount(week, loss) / np.maximum(np.bincount(week), 1)
    first, until = (week_of(day) for day in HELD_OUT)
    return Losses(held_out=by_week[first:until], served=by_week[week_of(SERVED_FROM) :])


def _open_rows(found: World) -> "tuple[Whole, Whole]":
    """Return which opportunity, in which week of its life, each row of a review is about."""
    import numpy as np

    opportunities = found.opportunities
    life = np.arange(OPEN_WEEKS)[None, :]
    reviewed = opportunities.created_week[:, None] + 1 + life < week_of(UNTIL)
    number, of_life = np.nonzero((life < opportunities.open_weeks[:, None]) & reviewed)
    return number, of_life


def _described(found: World, number: "Whole", life: "Whole", week: "Whole", seed: int) -> "Numbers":
    import numpy as np

    opportunities, accounts = found.opportunities, found.accounts
    account, stage = opportunities.account[number], opportunities.path[number, life]
    entered = np.stack([(opportunities.path >= one).argmax(axis=1) for one in range(WON)], axis=1)
    work = np.exp(-0.1 + 0.6 * opportunities.interest) * found.diligence[opportunities.rep]
    touches = Draws("touches", seed).counts(work[number] * np.minimum(life, WORK_WEEKS))
    numbers = (
        np.log(np.maximum(opportunities.amount[number], 1.0)),
        life,
        life - entered[number, stage],
        touches,
        np.log(accounts.employees[account]),
        13 - week % 13,
        _won_lately(found, opportunities.product, 4)[opportunities.product[number], week],
        _won_lately(found, opportunities.rep, REPS)[opportunities.rep[number], week],
    )
    names = (
        *(stage, opportunities.product[number], opportunities.source[number]),
        *(accounts.region[account], accounts.industry[account]),
    )
    return np.column_stack([*numbers, *(np.eye(int(one.max()) + 1)[one] for one in names)])


def _won_lately(found: World, group: "Whole", groups: int) -> "Numbers":
    """Return a group's share of wins less that of all, groups x weeks, over LATELY before each."""
    import numpy as np

    opportunities = found.opportunities
    ended_at = opportunities.created_week + opportunities.open_weeks
    weeks = int(ended_at.max()) + 1
    ended, wins = np.zeros((groups, weeks)), np.zeros((groups, weeks))
    np.add.at(ended, (group, ended_at), 1.0)
    np.add.at(wins, (group, ended_at), opportunities.path[:, OPEN_WEEKS] == WON)
    ended, wins = _of_lately(ended), _of_lately(wins)
    overall = np.where(ended.sum(0) > 0, wins.sum(0) / np.maximum(ended.sum(0), 1.0), 0.25)
    return np.asarray((wins + IMAGINARY * overall) / (ended + IMAGINARY) - overall)


def _of_lately(by_week: "Numbers") -> "Numbers":
    """Return sums over the LATELY weeks before each week."""
    import numpy as np

    before = np.concatenate([np.zeros((len(by_week), 1)), by_week.cumsum(axis=1)], axis=1)[:, :-1]
    earlier = np.pad(before, ((0, 0), (LATELY, 0)))[:, : before.shape[1]]
    return np.asarray(before - earlier)
