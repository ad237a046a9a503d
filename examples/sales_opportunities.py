"""sales_opportunities: what the sales team's system of record exports, with the faults it has.

What lands when, all times London's:

| table | files | delivered |
|---|---|---|
| accounts | new ones of the week; the whole list on the first Monday of a quarter | Monday 04:00 |
| opportunities | every open one, as it stands for the week's review | Monday 05:00 |
| activities | calls, mails, meetings and demonstrations of the week before (JSON lines) | Monday 04:00 |
| stage_changes | moves from stage to stage of the week before | Monday 04:00 |
| closings | what was entered that day as won or lost | on working days, 22:00 |

Faults: an amount with a comma for its point, or below zero, now and then; a representative who is
not named; a closing entered as the opposite of what happened, and corrected within four weeks; an
export sent twice under another name; one week's activities three days late; from 2024 on one more
column. What changes in the world itself stands in ``sales_world``.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from examples.sales_world import (
    FIRST_DAY,
    INDUSTRIES,
    LOST,
    NORTH_SLOWS,
    OPEN_WEEKS,
    PARTS,
    PRODUCTS,
    REGIONS,
    SEED,
    SOURCES,
    STAGES,
    TIMEZONE,
    UNTIL,
    WON,
    World,
    moment,
    monday,
    week_of,
    world,
)
from examples.seeded_draws import Draws
from pipelines.adapters.example_files import (
    Delivered,
    Delivery,
    Demonstration,
    csv_text,
    require_days,
    utc_text,
    write,
)

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "sales_opportunities"
DEMO = Demonstration(
    history=(FIRST_DAY, date(2025, 1, 6)), rounds=4, round_days=28, settling_days=175
)
"""Three years of history, sixteen weeks in which a rival enters, and the half year until it is known how
all of that ended."""
EARLY, REVIEW, EVENING = time(4), time(5), time(22)
MEETING = time(9)
"""When the team meets on Monday: the time that a row of the review is about."""

CAMPAIGNS_FROM = date(2024, 1, 1)
"""From here an opportunity carries the campaign it came from: a new column."""
LATE_ACTIVITIES = date(2024, 5, 6)
"""The Monday whose activities come three days late."""
COMMA_AMOUNTS, NEGATIVE_AMOUNTS, UNNAMED_REPS = 0.002, 0.001, 0.01
"""Shares of the rows of a review."""
CORRECTED = 0.025
"""Share of closings that are first entered as their opposite."""
DAYS_TO_ENTER = 2.5
"""Mean of the days from the end of an opportunity to its entry, exponentially distributed."""
NORTH_DAYS = 28
"""Further days that the north takes from NORTH_SLOWS on."""
SENT_AGAIN = 0.03
"""Share of days whose closings are exported again under another name."""

QUARTERS = (1, 4, 7, 10)
"""Months that begin one."""

REVIEW_COLUMNS = (
    *("review_date", "opportunity_id", "account_id", "product", "source", "stage"),
    *("amount", "owner", "created_at", "review_at"),
)


def deliver(landing: Path, *, first_day: date, until: date) -> Delivered:
    """Write the files that are delivered on the local days in [first_day, until).

    Raises SettingsError for days outside [FIRST_DAY, UNTIL), and as ``example_files.write`` does.
    """
    require_days(NAME, first_day, until, within=(FIRST_DAY, UNTIL))
    wanted = (
        delivery
        for delivery in _all_deliveries()
        if first_day <= delivery.delivered_at.astimezone(TIMEZONE).date() < until
    )
    return write(landing / NAME, wanted)


def truth() -> "pa.Table":
    """Return what only the world knows of every row of every review.

    Columns: review_date (date32), opportunity_id, stage, amount (pounds, as it is), win_probability
    (that it is won in the end, given all that the world knows that morning), won (bool: how it
    ended).
    """
    import numpy as np
    import pyarrow as pa

    found = world()
    opportunities, rows = found.opportunities, []
    for week in range(1, week_of(UNTIL)):
        for number in _open_at(week):
            life = week - 1 - int(opportunities.created_week[number])
            stage = int(opportunities.path[number, life])
            rows.append((week, number, stage, float(opportunities.wins[number, life, stage])))
    weeks, numbers, stages, wins = (np.asarray(column) for column in zip(*rows, strict=True))
    return pa.table(
        {
            "review_date": pa.array([monday(int(week)) for week in weeks], pa.date32()),
            "opportunity_id": [_opportunity(int(number)) for number in numbers],
            "stage": [STAGES[int(stage)] for stage in stages],
            "amount": opportunities.amount[numbers],
            "win_probability": wins,
            "won": opportunities.path[numbers, OPEN_WEEKS] == WON,
        }
    )


@cache
def _all_deliveries() -> tuple[Delivery, ...]:
    found = world()
    every = [
        *_accounts(found),
        *_reviews(found),
        *_activities(found),
        *_stage_changes(found),
        *_closings(found),
    ]
    return tuple(sorted(every, key=lambda one: (one.delivered_at, one.table, one.name)))


def _accounts(found: World) -> Iterator[Delivery]:
    accounts = found.accounts
    columns = ("account_id", "region", "industry", "employees", "since")
    rows = [
        (
            _account(number),
            REGIONS[accounts.region[number]],
            INDUSTRIES[accounts.industry[number]],
            str(accounts.employees[number]),
            str(monday(int(accounts.created_week[number]))),
        )
        for number in range(len(accounts.region))
    ]
    for week in range(week_of(UNTIL)):
        day = monday(week)
        whole = week == 0 or (day.month in QUARTERS and day.day <= 7)
        chosen = [
            row
            for row, created in zip(rows, accounts.created_week, strict=True)
            if (created <= week if whole else created == week)
        ]
        if chosen:
            yield _csv("accounts", f"{day}.csv", _on_monday(week, EARLY), columns, chosen)


def _reviews(found: World) -> Iterator[Delivery]:
    opportunities, draws = found.opportunities, Draws("review faults", SEED)
    for week in range(1, week_of(UNTIL)):
        day, campaigns = monday(week), monday(week) >= CAMPAIGNS_FROM
        rows = []
        for number in _open_at(week):
            fault = float(draws.uniform(1)[0])
            amount = f"{opportunities.amount[number]:.2f}"
            if fault < COMMA_AMOUNTS:
                amount = amount.replace(".", ",")
            elif fault < COMMA_AMOUNTS + NEGATIVE_AMOUNTS:
                amount = f"-{amount}"
            life = week - 1 - int(opportunities.created_week[number])
            row = [
                str(day),
                _opportunity(number),
                _account(int(opportunities.account[number])),
                PRODUCTS[opportunities.product[number]],
                SOURCES[opportunities.source[number]],
                STAGES[opportunities.path[number, life]],
                amount,
                "" if fault > 1 - UNNAMED_REPS else f"rep-{opportunities.rep[number]:02}",
                utc_text(opportunities.created_at[number]),
                utc_text(_on_monday(week, MEETING)),
            ]
            rows.append([*row, f"campaign-{number % 7}"] if campaigns else row)
        columns = (*REVIEW_COLUMNS, "campaign") if campaigns else REVIEW_COLUMNS
        yield _csv("opportunities", f"{day}.csv", _on_monday(week, REVIEW), columns, rows)


def _activities(found: World) -> Iterator[Delivery]:
    """Yield each week's work: more of it where interest and diligence are greater."""
    import numpy as np

    opportunities, draws = found.opportunities, Draws("activities", SEED)
    rates = np.exp(-0.1 + 0.6 * opportunities.interest) * found.diligence[opportunities.rep]
    kinds = ("call", "mail", "meeting", "demonstration")
    for week in range(1, week_of(UNTIL) - 1):
        numbers = np.asarray(_open_at(week), np.int64)
        lines: list[str] = []
        for number, count in zip(numbers, draws.counts(rates[numbers]), strict=True):
            for place, (when, kind, minutes) in enumerate(draws.uniform(int(count), 3)):
                record = {
                    "activity_id": f"{_opportunity(int(number))}-{week:03}-{place:02}",
                    "opportunity_id": _opportunity(int(number)),
                    "kind": kinds[min(int(kind**1.5 * 4), 3)],
                    "happened_at": utc_text(moment(monday(week), float(when))),
                    "minutes": None if minutes > 0.95 else int(5 + 55 * minutes),
                }
                lines.append(json.dumps(record))
        late = timedelta(days=3) if monday(week + 1) == LATE_ACTIVITIES else timedelta()
        yield Delivery(
            table="activities",
            name=f"{monday(week)}.jsonl",
            delivered_at=_on_monday(week + 1, EARLY) + late,
            text="".join(f"{line}\n" for line in lines),
            rows=len(lines),
        )


def _stage_changes(found: World) -> Iterator[Delivery]:
    opportunities = found.opportunities
    columns = ("opportunity_id", "changed_at", "from_stage", "to_stage")
    for week in range(1, week_of(UNTIL) - 1):
        rows = []
        for number in _open_at(week):
            life = week - 1 - int(opportunities.created_week[number])
            before, after = (int(opportunities.path[number, at]) for at in (life, life + 1))
            if before != after:
                changed_at = utc_text(_changed_at(number, week))
                rows.append((_opportunity(number), changed_at, STAGES[before], _stage(after)))
        at = _on_monday(week + 1, EARLY)
        yield _csv("stage_changes", f"{monday(week)}.csv", at, columns, rows)


def _closings(found: World) -> Iterator[Delivery]:
    """Yield the entries of each working day, wrong ones and their corrections included."""
    import numpy as np

    opportunities, draws = found.opportunities, [part.draws("closings", SEED) for part in PARTS]
    columns = ("opportunity_id", "closed_at", "outcome", "final_amount")
    entered: dict[date, list[tuple[str, str, str, str]]] = {}
    counts = [int(np.isin(opportunities.created_week, part.weeks()).sum()) for part in PARTS]
    drawn = [(of.uniform(n, 3), of.normal(n)) for of, n in zip(draws, counts, strict=True)]
    uniform = np.concatenate([of_part for of_part, _ in drawn])
    agreed = np.exp(0.08 * np.concatenate([of_part for _, of_part in drawn]))
    for number, (delay, wrong, until_corrected) in enumerate(uniform):
        week = int(opportunities.created_week[number] + opportunities.open_weeks[number])
        if week >= week_of(UNTIL):
            continue
        closed_at = _changed_at(number, week)
        region = REGIONS[found.accounts.region[opportunities.account[number]]]
        slow = NORTH_DAYS if region == "north" and closed_at.date() >= NORTH_SLOWS else 0
        day = closed_at.date() + timedelta(days=slow + int(-DAYS_TO_ENTER * np.log1p(-delay)))
        won = int(opportunities.path[number, OPEN_WEEKS]) == WON
        amount = round(float(opportunities.amount[number] * agreed[number]), -1)
        entries = [(day, won)]
        if wrong < CORRECTED:
            entries = [(day, not won), (day + timedelta(days=3 + int(25 * until_corrected)), won)]
        for entry, outcome in entries:
            row = (
                _opportunity(number),
                utc_text(closed_at),
                "won" if outcome else "lost",
                f"{amount:.2f}" if outcome else "",
            )
            entered.setdefault(_working_day(entry), []).append(row)
    for day, rows in sorted(entered.items()):
        at = datetime.combine(day, EVENING, tzinfo=TIMEZONE)
        text = csv_text(columns, sorted(rows))
        names = [f"{day}.csv"]
        if float(draws[0].uniform(1)[0]) < SENT_AGAIN:
            names.append(f"{day}-again.csv")
        for later, name in enumerate(names):
            yield Delivery(
                table="closings",
                name=name,
                delivered_at=at + timedelta(hours=later),
                text=text,
                rows=len(rows),
            )


@cache
def _open_at(week: int) -> tuple[int, ...]:
    """Return the opportunities that are open when a week begins."""
    import numpy as np

    opportunities = world().opportunities
    life = week - 1 - opportunities.created_week
    alive = (life >= 0) & (life < opportunities.open_weeks)
    return tuple(int(number) for number in np.flatnonzero(alive))


def _changed_at(number: int, week: int) -> datetime:
    """Return when an opportunity moved in a week: any working time, the same whenever asked."""
    return moment(monday(week), (number * 0.618034 + week * 0.414214) % 1.0)


def _working_day(day: date) -> date:
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() >= 5 else 0)


def _csv(
    table: str,
    name: str,
    delivered_at: datetime,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Delivery:
    """Return the delivery of a CSV file."""
    return Delivery(
        table=table,
        name=name,
        delivered_at=delivered_at,
        text=csv_text(columns, rows),
        rows=len(rows),
    )


def _on_monday(week: int, at: time) -> datetime:
    return datetime.combine(monday(week), at, tzinfo=TIMEZONE)


def _stage(stage: int) -> str:
    return {WON: "won", LOST: "lost"}.get(stage) or STAGES[stage]


def _opportunity(number: int) -> str:
    return f"OP-{number + 1:05}"


def _account(number: int) -> str:
    return f"AC-{number + 1:04}"
