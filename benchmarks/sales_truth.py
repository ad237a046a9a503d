"""Sales truth: the ten opportunities of each week beside simple lists, by what the world knows."""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.report import leave, load_at_start
from examples import sales_opportunities as example
from examples.sales_world import FIRST_DAY, RIVAL_ENTERS
from pipelines.adapters import lake, lake_sql
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.block_estimate import mean_estimate
from pipelines.use_case import load

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

NAME = "sales_truth"
DECLARED = Path("dags") / f"{example.NAME}.py"
TRAINED_AT = datetime(2025, 1, 6, tzinfo=UTC)
"""When the one model is trained: it serves the year that follows."""
ENDS = datetime(2026, 1, 5, tzinfo=UTC)
LIST = 10
LEAST_COVERED = 0.99
INTERVAL = 0.975
"""One-sided confidence of either end of an interval: 95 % together."""
TENTHS = 10

LARGEST = "largest amount"
ORDERS: Mapping[str, str] = {
    "true expected value": "win_probability * amount",
    "ours": "expected_value",
    LARGEST: "amount",
    "most recent activity": "last_touch",
    "likeliest, whatever it is worth": "prediction",
}
"""What a list is ordered by, greatest first."""

YEAR, BEFORE, AFTER = "the year", "before the rival", "after the rival"
WEEKS: Mapping[str, str] = {
    YEAR: "true",
    BEFORE: f"review_date < date '{RIVAL_ENTERS}'",
    AFTER: f"review_date >= date '{RIVAL_ENTERS}'",
}
"""Weeks that are judged together: a rival takes the product that was easiest to sell."""

ROWS = f"""
    with touches as (  -- by what was known when the team met
        select p.review_date, p.opportunity_id, epoch(max(a.happened_at)) as last_touch
        from predictions.{example.NAME} p
        left join silver.{example.NAME}.activities a
            on a.opportunity_id = p.opportunity_id and a.known_at <= p.scored_for
        group by all
    )
    select p.review_date, p.opportunity_id, p.prediction, p.expected_value,
           coalesce(t.last_touch, 0) as last_touch
    from predictions.{example.NAME} p join touches t using (review_date, opportunity_id)
    where p.slot = 'champion'
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """How an order's lists did over some weeks, as [estimate, low, high] at 95 %.

    ``value`` is the true expected value of a week's ten in thousand pounds, ``gain`` how much more
    that is than of the ten largest, ``share`` its share of the best ten's; ``precision`` is the share
    of the ten that are among the best ten.
    """

    weeks: str
    count: int
    order: str
    value: tuple[float, float, float]
    gain: tuple[float, float, float]
    share: tuple[float, float, float]
    precision: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenth:
    """A tenth of the predictions: their mean, the mean true probability, and the share won."""

    weeks: str
    tenth: int
    predictions: int
    predicted: float
    true: float
    won: float


def main() -> int:
    """Train one model, score the year after it, and hold its lists and probabilities to the truth."""
    argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__).parse_args()
    console, load_then = Console(soft_wrap=True, width=160), load_at_start()
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        scored = _scored(Path(name), console)
    listed, tenths, covered = judged(scored)
    console.print(_lists(listed))
    console.print(_calibration(tenths))
    rows = [{"kind": "lists", **asdict(one)} for one in listed]
    rows += [{"kind": "calibration", **asdict(one)} for one in tenths]
    leave(
        NAME,
        f"make bench NAME={NAME}",
        rows,
        [],
        notes=[load_then, f"{covered:.4f} of the open opportunities were scored"],
    )
    console.print(f"{covered:.2%} of the open opportunities were scored; the rest was set aside")
    return 0 if covered >= LEAST_COVERED else 1


def _scored(home: Path, console: Console) -> "pa.Table":
    """Return the predictions of the year with what simple lists are ordered by, from an empty home."""
    from pipelines.stages.evaluate import evaluate
    from pipelines.stages.ingest import ingest, refusals
    from pipelines.stages.promote import promote
    from pipelines.stages.score import score
    from pipelines.stages.train import train

    settings = Settings(home=home / "home", dags=Path("dags"), expectations=Path("expectations"))
    # The gates alone decide here: whoever would approve has no Airflow to say so in.
    use_case = dataclasses.replace(load(DECLARED), tier="scheduled", probation=None)
    console.print("Ingesting four years of sales ...")
    example.deliver(local(settings.landing), first_day=FIRST_DAY, until=ENDS.date())
    if refused := refusals(ingest(use_case, settings, as_of=ENDS, run=NAME)):
        raise refused
    console.print("Training, judging and promoting a model ...")
    trained = train(use_case, settings, as_of=TRAINED_AT, run=NAME, requester=NAME)
    evaluate(use_case, settings, version=trained.version)
    promote(use_case, settings, version=trained.version, as_of=TRAINED_AT)
    console.print("Scoring the year after it ...")
    score(use_case, settings, run=NAME, since=TRAINED_AT, until=ENDS)
    return lake_sql.query(lake.table_paths(settings), ROWS)


def judged(scored: "pa.Table") -> tuple[list[Listed], list[Tenth], float]:
    """Hold the predictions to the truth, before the rival entered and after.

    With the share in [0, 1] of the opportunities open in those weeks that have a prediction.
    """
    import duckdb

    truth = example.truth()
    with duckdb.connect() as connection:
        connection.register("scored", scored)
        connection.register("truth", truth)
        # What was not scored is the world's all the same: no list of ours can hold it.
        connection.execute("""
            create table rows as
            select * from truth left join scored using (review_date, opportunity_id)
            where review_date in (select review_date from scored)
        """)
        listed: list[Listed] = []
        tenths: list[Tenth] = []
        for weeks, when in WEEKS.items():
            connection.execute(f"create or replace temp view chosen as from rows where {when}")
            # Few weeks, each of which shares opportunities with the next, tell nothing of lists.
            listed += _judged_lists(connection, weeks) if weeks != BEFORE else []
            tenths += _judged_tenths(connection, weeks)
        (counted,) = connection.execute("select count(prediction) / count(*) from rows").fetchall()
    return listed, tenths, float(counted[0])


def _judged_lists(connection: "duckdb.DuckDBPyConnection", weeks: str) -> list[Listed]:
    found = {name: _by_week(connection, order) for name, order in ORDERS.items()}
    return [
        Listed(
            weeks=weeks,
            count=len(by_week["value"]),
            order=name,
            value=_interval(by_week["value"]),
            gain=_interval(by_week["value"] - found[LARGEST]["value"]),
            share=_interval(by_week["share"]),
            precision=_interval(by_week["precision"]),
        )
        for name, by_week in found.items()
    ]


def _by_week(connection: "duckdb.DuckDBPyConnection", order: str) -> "dict[str, np.ndarray]":
    """Return the figures of an order's lists, a number for each week."""
    return connection.execute(f"""
        with ranked as (
            select review_date, win_probability * amount as value,
                   row_number() over (partition by review_date
                       order by {order} desc nulls last, opportunity_id) as place,
                   row_number() over (partition by review_date
                       order by win_probability * amount desc, opportunity_id) as best
            from chosen
        )
        select sum(value) filter (where place <= {LIST}) / 1000 as value,
               sum(value) filter (where place <= {LIST})
                   / sum(value) filter (where best <= {LIST}) as share,
               count(*) filter (where place <= {LIST} and best <= {LIST}) / {LIST} as precision
        from ranked group by review_date order by review_date
    """).fetchnumpy()  # noqa: S608 - of constants


def _judged_tenths(connection: "duckdb.DuckDBPyConnection", weeks: str) -> list[Tenth]:
    rows = connection.execute(f"""
        with placed as (
            select *, ntile({TENTHS}) over (order by prediction, review_date, opportunity_id) as tenth
            from chosen where prediction is not null
        )
        select tenth, count(*), avg(prediction), avg(win_probability), avg(won::int)
        from placed group by tenth order by tenth
    """).fetchall()  # noqa: S608 - of constants
    return [
        Tenth(weeks=weeks, tenth=tenth, predictions=count, predicted=said, true=true, won=won)
        for tenth, count, said, true, won in rows
    ]


def _interval(weeks: "np.ndarray") -> tuple[float, float, float]:
    """Return the mean over weeks with its interval; neighbouring weeks share opportunities."""
    import numpy as np

    found = mean_estimate(weeks, np.ones(len(weeks)))
    if not np.ptp(weeks):  # of the truth beside itself
        return float(weeks[0]), float(weeks[0]), float(weeks[0])
    assert found is not None  # noqa: S101 - a year has many weeks
    return found.estimate, found.at_least(INTERVAL), found.at_most(INTERVAL)


def _lists(listed: list[Listed]) -> Table:
    table = Table(
        "weeks",
        "ten by",
        "true value (kGBP a week)",
        "more than the largest ten",
        "of the best ten's",
        "among the best ten",
    )
    for one in listed:
        figures = [
            _shown(one.value, "{:.0f}"), _shown(one.gain, "{:.0f}"), _shown(one.share, "{:.0%}"), _shown(one.precision, "{:.0%}")
        ]  # fmt: skip
        table.add_row(f"{one.count}, {one.weeks}", one.order, *figures)
    return table


def _calibration(tenths: list[Tenth]) -> Table:
    table = Table("weeks", "tenth", "predictions", "predicted", "true", "won")
    for one in tenths:
        cells = (f"{figure:.3f}" for figure in (one.predicted, one.true, one.won))
        table.add_row(one.weeks, str(one.tenth), f"{one.predictions:,}", *cells)
    return table


def _shown(found: tuple[float, float, float], form: str) -> str:
    estimate, low, high = (form.format(number) for number in found)
    return f"{estimate} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
