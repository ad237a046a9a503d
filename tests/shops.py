"""Shops: two use cases over tables of the same contracts, which share a view of the orders."""

from pathlib import Path

SHARED = '''"""Orders, and how often their item was visited."""

from pipelines.use_case import Column, Files, Table, features

HOURS = 24
SECONDS = 60

orders = Table(
    name="orders",
    source=Files(pattern="orders/*.csv"),
    columns=[Column("item", "string"), Column("sold_at", "timestamp[UTC]"), Column("price", "int64")],
    key=("item",),
    event_time="sold_at",
)
visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[Column("item", "string"), Column("visit", "int64"), Column("seconds", "int64")],
    key=("item", "visit"),
)


def counted(name):
    return f"count({name}) filter (seconds < {SECONDS})"


@features(entity=orders, reads=[visits])
def interest(known):
    return known.sql(f"""
        select a.item, {counted("v.visit")} as visits, sum(v.seconds)::bigint as seconds
        from asked a left join visits v using (item) group by a.item
    """)


@features(entity=orders)
def unrelated(known):
    return known.sql(f"select item, price + {HOURS} as dearer from asked")
'''

USE_CASE = '''"""Orders of {name}."""

from datetime import UTC, datetime, time, timedelta

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline, Candidate, Column, Files, ForwardTime, Label, Scoring, Table, Training, UseCase,
    features,
)
from shared.orders import interest, orders, visits

returns = Table(
    name="returns",
    source=Files(pattern="returns/*.csv"),
    columns=[Column("item", "string"), Column("days", "int64")],
    key=("item",),
)


@features(entity=orders, reads=[returns], uses=[interest])
def {name}_features(known):
    return known.sql("""
        select a.item, a.price, i.visits, i.seconds > {least} as long,
               (select count(*) from labels) as labelled
        from asked a join interest i using (item)
    """)


def tree(columns, seed):
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed)


{name} = UseCase(
    name="{name}",
    owner="shop",
    tier="scheduled",
    tables=[orders, visits, returns],
    features={name}_features,
    label=Label(
        name="late", table=returns, rule="days > {days}",
        expected_after=timedelta(hours=1), final_after=timedelta(hours=2),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=28),
        candidates=[Candidate("tree", tree)],
    ),
    gates=[BeatsBaseline("log_loss", margin=0.01)],
    scoring=Scoring(at=time(5)),
)
build_dags({name})
'''

NAMES = ("books", "shoes")


def declare(dags: Path, shared: str = SHARED) -> None:
    """Write the two use cases, and what they share, into a folder of use cases."""
    (dags / "shared").mkdir(parents=True, exist_ok=True)
    (dags / "shared" / "orders.py").write_text(shared, "utf-8")
    for number, name in enumerate(NAMES):
        text = USE_CASE.format(name=name, least=10 * number, days=3 + number)
        (dags / f"{name}.py").write_text(text, "utf-8")
