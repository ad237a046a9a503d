"""Look ahead: whether a feature view says otherwise because of what became known later."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.domain.contract import KNOWN_AT, Table, silver_schema
from pipelines.domain.feature_differences import alike
from pipelines.domain.feature_view import FeatureView
from pipelines.domain.features import KnownTables, compute_features
from pipelines.domain.labels import Label
from pipelines.domain.rule_problems import kind_of
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""The time as of which made-up rows are described; any would do."""

DAY = timedelta(days=1)

ROWS = 60
"""Made-up rows of each table: enough that most joins find a partner (decision)."""

POOL = 5
"""Different values of a column that some table has in its key: so few that they meet (decision)."""

NUMBERS = (0, 1, 3, 10, 30, 100, 1000)
"""Values of other columns, for the thresholds that rules and queries compare with (decision)."""

SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAhead:
    """How many draws of made-up rows the query ran on, none of them not tested, and what was found.

    ``untested`` says why it did not run on one of the others, without any value.
    """

    draws: int
    problem: Problem | None = None
    untested: str = ""


def look_ahead(view: FeatureView, label: Label | None) -> LookedAhead:
    """Tell whether a view's rows differ without what became known later.

    A metamorphic relation (Chen et al., 2018) on made-up rows of the view's contracts, so it needs
    no data: taking the future away must change nothing but how sums are rounded. A leak that shows
    only in values that no made-up row has is not found.
    """
    import duckdb

    draws, untested = 0, ""
    for seed in SEEDS:
        joined = {name for table in view.tables for name in table.key}
        rows = {table.name: _made_up(table, label, joined, seed) for table in view.tables}
        try:
            whole, past = (_described(view, label, each) for each in (rows, _without_future(rows)))
        # The query or the label's rule was written for other rows than these.
        except DeclarationError as error:
            untested = error.problems[0].found
            continue
        except (duckdb.ProgrammingError, duckdb.DataError) as error:
            untested = f"{kind_of(error)} in DuckDB, in the label's rule"
            continue
        draws += 1
        if not alike(whole, past, view.entity.key):
            problem = Problem(
                where=f"feature function {view.name}{_with(view)}",
                expected="the same rows whatever becomes known later",
                found=f"others, on made-up rows (draw {seed})",
                fix="Read tables by their names, and no clock, chance or file: each table is cut to "
                "what was known at the scoring time.",
            )
            return LookedAhead(draws=draws, problem=problem, untested=untested)
    return LookedAhead(draws=draws, untested=untested)


def _with(view: FeatureView) -> str:
    used = ", ".join(one.name for one in view.uses)
    return f", or {used} that it uses" if used else ""


def _described(
    view: FeatureView, label: Label | None, rows: Mapping[str, "pa.Table"]
) -> "pa.Table":
    known = KnownTables(rows, view.tables, label)
    known.prepare_labels(view.entity)
    return compute_features(known, view, as_of=NOON, until=NOON + DAY)


def _without_future(rows: Mapping[str, "pa.Table"]) -> dict[str, "pa.Table"]:
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.scalar(NOON, pa.timestamp("us", tz="UTC"))
    return {name: each.filter(pc.less_equal(each[KNOWN_AT], moment)) for name, each in rows.items()}


def _made_up(table: Table, label: Label | None, joined: Collection[str], seed: int) -> "pa.Table":
    """Return versions of made-up rows: half known by NOON, half later; the same for the same seed."""
    import pyarrow as pa

    drawn = random.Random(f"{seed} {table.name}")  # noqa: S311 - nothing secret
    back = 3 * DAY + 2 * (label.final_after if label else DAY)
    rows = [
        {
            **{
                column.name: _value(column.type, column.name in joined, drawn, back)
                for column in table.columns
            },
            KNOWN_AT: NOON + drawn.choice([-back, -back / 2, -DAY, timedelta(0), DAY / 24, DAY]),
            "_file": "made up",
            "_row": number,
            "_sha256": f"{number:064d}",
        }
        for number in range(ROWS)
    ]
    return pa.Table.from_pylist(rows, schema=silver_schema(table))


def _value(kind: str, joined: bool, drawn: random.Random, back: timedelta) -> object:  # noqa: FBT001 - of a private function
    place = drawn.randrange(POOL)
    number = place if joined else drawn.choice(NUMBERS)
    moment = NOON + drawn.choice([-back, -back / 2, -DAY, DAY / 24, DAY / 2, DAY / 2])
    values: dict[str, object] = {
        "string": "abcde"[place],
        "int64": number,
        "double": number / 2,
        "bool": place > POOL // 2,
        "date": date(2026, 3, 1) + timedelta(days=place % 2),
    }
    return values.get(kind, moment + timedelta(minutes=place))
