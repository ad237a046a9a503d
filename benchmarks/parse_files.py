"""Parse files: use-case declarations by the hundred, and bare Airflow files with the same DAGs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

OURS, BARE = "headframe", "bare Airflow"

DECLARATION = '''"""Returns {number:03d}: which of shop {number:03d}'s orders will come back?"""

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline, BeatsChampion, Calibrated, Candidate, Column, CompatibleSignature, CsvFile,
    FeatureColumns, Files, ForwardTime, FreshData, KnownTables, Label, Monitoring, NoLeakage,
    NoWorseOnSegment, Reproducible, Retraining, Scoring, StableAcrossSeeds, Table, TopN, Training,
    UseCase, WithinBudget, features,
)

if TYPE_CHECKING:
    import duckdb

orders = Table(
    name="orders",
    source=Files(pattern="orders/*.csv.gz"),
    columns=[
        Column("order_id", "int64"),
        Column("customer", "string"),
        Column("shop", "string"),
        Column("ordered_at", "timestamp[UTC]"),
        Column("amount", "double"),
        Column("items", "int64"),
        Column("channel", "string", nullable=True),
        Column("voucher", "bool", nullable=True),
    ],
    key=("order_id",),
    event_time="ordered_at",
    arrives_by=time({hour}, 30),
    arrives_timezone="Europe/Berlin",
)
refunds = Table(
    name="refunds",
    source=Files(pattern="refunds/*.csv"),
    columns=[
        Column("order_id", "int64"),
        Column("refunded_at", "timestamp[UTC]", nullable=True),
        Column("amount", "double", nullable=True),
        Column("reason", "string", nullable=True),
    ],
    key=("order_id",),
    arrives_by=time(6),
)
customers = Table(
    name="customers",
    source=Files(pattern="customers/*.csv"),
    columns=[
        Column("customer", "string"),
        Column("since", "date"),
        Column("country", "string"),
        Column("segment", "string", nullable=True),
        Column("score", "int64", nullable=True),
    ],
    key=("customer",),
)


@features(entity=orders, reads=[refunds, customers])
def order_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    """Describe each order: its size, its customer, and how often orders of its shop came back."""
    return known.sql("""
        with recent as (
            select l.returned::int as returned, o.shop, o.channel
            from labels l join orders o using (order_id)
            where l.event_time >= (select max(event_time) from labels) - interval {days} days
        ),
        by_shop as (select shop, avg(returned) as rate from recent group by shop),
        by_channel as (select channel, avg(returned) as rate from recent group by channel)
        select a.order_id, a.amount, a.items, a.channel, a.voucher, a.amount / a.items as each,
               c.country, c.segment, c.score, date_diff('day', c.since, a.ordered_at) as age_days,
               by_shop.rate as shop_rate, by_channel.rate as channel_rate
        from asked a
        left join customers c using (customer)
        left join by_shop using (shop)
        left join by_channel using (channel)
    """)


def trees(columns: FeatureColumns, seed: int) -> Any:
    """Build gradient-boosted trees over numbers and categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    parts = [
        ("numbers", "passthrough", list(columns.numeric)),
        ("categories", OrdinalEncoder(), list(columns.categorical)),
    ]
    return make_pipeline(ColumnTransformer(parts), HistGradientBoostingClassifier(random_state=seed))


{name} = UseCase(
    name="{name}",
    owner="shop",
    purpose="Tell the desk which orders will come back.",
    tier="governed",
    tables=[orders, refunds, customers],
    features=order_features,
    label=Label(
        name="returned", table=refunds, rule="amount > 0",
        expected_after=timedelta(days=7), final_after=timedelta(days=30),
    ),
    training=Training(
        start=datetime(2025, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=28),
        candidates=[Candidate("trees", trees)],
        seed={number},
    ),
    gates=[
        BeatsBaseline("log_loss", margin=0.01),
        BeatsChampion("log_loss", confidence=0.95),
        NoWorseOnSegment("country", 0.02),
        Calibrated(0.1),
        StableAcrossSeeds(0.005),
        FreshData(10),
        NoLeakage(),
        WithinBudget(milliseconds_per_1000=50, megabytes=5),
        CompatibleSignature(),
        Reproducible(),
    ],
    scoring=Scoring(
        at=time({hour}),
        timezone="Europe/Berlin",
        outputs=[
            TopN(10, name="watch_list", consumer="desk", by="p_returned", per="channel"),
            CsvFile(name="all_orders", consumer="desk"),
        ],
    ),
    monitoring=Monitoring(block="day", alarms_per_quarter=1, segments=["country"]),
    retraining=Retraining(schedule="@monthly"),
)
build_dags({name})
'''

PLAIN = '''"""Returns {number:03d}: the DAGs of shop {number:03d}, and nothing in their tasks."""

from datetime import datetime, timedelta, timezone

from airflow.sdk import (
    DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable, Param,
)


class Nothing(BaseOperator):
    def execute(self, context):
        return None


def moment():
    return Param(None, type=["null", "string"], format="date-time", title="Moment")


def number():
    return Param(None, type=["null", "integer"], minimum=0, title="Number")


def dag(purpose, schedule, params):
    return DAG(
        dag_id="{name}__" + purpose,
        description="What " + purpose + " does for {name}.",
        schedule=schedule,
        start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        tags=["{name}", "shop", "governed"],
        params=params,
        default_args={{"owner": "shop", "retries": 2, "retry_delay": timedelta(seconds=30)}},
    )


tables = {{
    table: Asset(name="{name}." + table, uri="file:///lake/{name}/" + table)
    for table in ("orders", "refunds", "customers", "late", "news", "predictions", "retrain")
}}
schedules = {{
    "ingest": "*/15 * * * *",
    "train": "@monthly",
    "score": AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 {hour} * * *", timezone="Europe/Berlin"),
        assets=tables["late"],
    ),
    "monitor": tables["predictions"] | tables["refunds"],
}}
forms = {{
    "ingest": {{"as_of": moment()}},
    "train": {{
        "as_of": moment(),
        "reason": Param("", type="string", title="Reason"),
        "window_days": number(),
        "dry_run": Param(False, type="boolean", title="Dry run"),
    }},
    "score": {{
        "as_of": moment(),
        "until": moment(),
        "late": Param(False, type="boolean", title="Late data only"),
    }},
    "monitor": {{"as_of": moment()}},
}}
outlets = {{
    "ingest": [tables["news"]], "score": [tables["predictions"]], "retrain": [tables["retrain"]],
}}
'''

PLAIN_DAG = """
with dag("{purpose}", schedules["{purpose}"], forms["{purpose}"]):
    tasks = {{name: Nothing(task_id=name, outlets=outlets.get(name)) for name in {tasks}}}
"""
Shape = Mapping[str, Mapping[str, Sequence[str]]]
"""Purpose of a DAG -> task -> the tasks after it."""


def write_ours(folder: Path, count: int) -> None:
    """Write ``count`` declarations of tier "governed" into a new folder."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{_name(number)}.py").write_text(_filled(DECLARATION, number), "utf-8")


def write_bare(folder: Path, count: int, shape: Shape) -> None:
    """Write as many bare files, each with the DAGs, tasks and edges of ``shape``."""
    folder.mkdir(parents=True)
    for number in range(count):
        text = _filled(PLAIN, number)
        for purpose, tasks in shape.items():
            text += PLAIN_DAG.format(purpose=purpose, tasks=tuple(tasks))
            for task, after in tasks.items():
                text += "".join(f'    tasks["{task}"] >> tasks["{one}"]\n' for one in after)
        (folder / f"{_name(number)}.py").write_text(text, "utf-8")


def _filled(text: str, number: int) -> str:
    name, hour, days = _name(number), number % 24, 14 + number % 28
    return text.format(name=name, number=number, hour=hour, days=days)


def _name(number: int) -> str:
    return f"returns_{number:03d}"
