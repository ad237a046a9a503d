"""Parcels: a made-up use case watched in every way, another team's beside it, and a world that delivers them."""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.use_case import UseCase, load

NAME = "parcels"
OWNER = "dispatch"
FIRST = date(2026, 1, 1)
PARCELS = 100
TRAINED = 50
"""Day on which the champion was trained: 26 training blocks, 2 in the gap, 20 held out."""
TODAY = 62
"""First day that a test scripts; the blocks before it were scored and judged."""

DAG = '''"""Parcels: which of today's parcels will come late?"""

from datetime import UTC, datetime, time, timedelta

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline, Candidate, Column, CsvFile, Files, ForwardTime, Label, Monitoring,
    PredictionRange, Scoring, Table, Training, UseCase, features,
)

KEY = ("day", "parcel")
plan = Table(
    name="plan", source=Files(pattern="plan/*.csv"), key=KEY, event_time="leaves_at",
    arrives_by=time(20), grace=timedelta(hours=2),
    columns=[
        Column("day", "date"), Column("parcel", "string"), Column("depot", "string"),
        Column("miles", "double", nullable=True), Column("minutes", "double", nullable=True),
        Column("leaves_at", "timestamp[UTC]"),
    ],
)
outcome = Table(
    name="outcome", source=Files(pattern="outcome/*.csv"), key=KEY,
    arrives_by=time(6), grace=timedelta(hours=2),
    columns=[
        Column("day", "date"), Column("parcel", "string"),
        Column("late_minutes", "int64", nullable=True),
    ],
)


@features(entity=plan, reads=[outcome])
def parcel_features(known):
    return known.sql("select day, parcel, depot, miles, minutes from asked")


def trees(columns, seed):
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_pipeline(
        ColumnTransformer([
            ("numbers", "passthrough", list(columns.numeric)),
            ("categories", codes, list(columns.categorical)),
        ]),
        HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, learning_rate={rate}, early_stopping=False,
            random_state=seed,
        ),
    )


parcels = UseCase(
    name="parcels",
    owner="dispatch",
    tier="scheduled",
    tables=[plan, outcome],
    features=parcel_features,
    label=Label(
        name="late", table=outcome, rule="late_minutes > 0",
        expected_after=timedelta(hours=24), final_after=timedelta(hours=48),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC), split=ForwardTime(test_days=22),
        candidates=[Candidate("trees", trees)], seed=7,
    ),
    gates=[BeatsBaseline("log_loss", margin=0.01)],
    scoring=Scoring(
        at=time(5), on_stale="{on_stale}", outputs=[CsvFile(name="list", consumer="drivers")],
        promises=[PredictionRange(0.0, {highest})],
    ),
    monitoring=Monitoring(alarms_per_quarter=1, tolerance=0.05, segments=["depot"]),
)
build_dags(parcels)
'''

RETURNS, OWNER_OF_RETURNS = "returns", "customer care"

DAG_OF_RETURNS = '''"""Returns: which parcels are to come back today? Taken in and checked, for another team."""

from datetime import time, timedelta

from pipelines.dag_factory import build_dags
from pipelines.use_case import Column, Files, Table, UseCase

plan = Table(
    name="plan", source=Files(pattern="plan/*.csv"), key=("day", "parcel"), event_time="leaves_at",
    arrives_by=time(20), grace=timedelta(hours=2),
    columns=[
        Column("day", "date"), Column("parcel", "string"), Column("depot", "string"),
        Column("miles", "double", nullable=True), Column("minutes", "double", nullable=True),
        Column("leaves_at", "timestamp[UTC]"),
    ],
)
returns = UseCase(name="returns", owner="customer care", tables=[plan])
build_dags(returns)
'''

SUITE = {
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "miles", "min_value": 0, "max_value": 100_000},
            "severity": "critical",
        }
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tests change in the declaration."""

    rate: float = 0.1
    on_stale: str = "score_and_flag"
    highest: float = 1.0


def expect(settings: Settings, use_case: str = NAME) -> None:
    """Write the suite of a use case's table plan."""
    suite = settings.expectations / use_case / "plan.json"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(json.dumps({"name": f"{use_case}.plan", **SUITE}), "utf-8")


Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]
"""What a fault makes of the rows of a day before they are delivered."""


def settings_in(folder: Path) -> Settings:
    """Return settings whose every path lies below ``folder``."""
    return Settings(
        home=folder / "home", dags=folder / "dags", expectations=folder / "expectations"
    )


def declare(settings: Settings, variant: Variant | None = None) -> UseCase:
    """Write the DAG file of a variant, and load it."""
    text = DAG
    for name in Variant.__slots__:
        text = text.replace("{" + name + "}", str(getattr(variant or Variant(), name)))
    return _load(settings, NAME, text)


def declare_returns(settings: Settings) -> UseCase:
    """Write the DAG file of the other team, and load it."""
    return _load(settings, RETURNS, DAG_OF_RETURNS)


def _load(settings: Settings, name: str, text: str) -> UseCase:
    path = settings.dags / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return load(path)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """Return a moment (UTC) of a day counted from FIRST."""
    return datetime.combine(FIRST + timedelta(days=day), time(hour, minute), tzinfo=UTC)


def plan_of(day: int) -> list[Row]:
    """Return the parcels of a day, the same each time; minutes go with miles, and decide."""
    chance = random.Random(day)  # noqa: S311 - made-up data, the same each time
    rows = []
    for parcel in range(PARCELS):
        miles = round(20 + 60 * chance.random(), 1)
        rows.append(
            {
                "day": FIRST + timedelta(days=day),
                "parcel": f"p{parcel:03}",
                "depot": "NES"[int(3 * chance.random())],
                "miles": miles,
                "minutes": round(2 * miles + chance.gauss(0, 10), 1),
                "leaves_at": f"{at(day, 7 + parcel % 12):%Y-%m-%dT%H:%M:%SZ}",
            }
        )
    return rows


def outcome_of(day: int) -> list[Row]:
    """Return what became of the parcels of a day: slow ones, for their miles, come late."""
    chance = random.Random(10_000 + day)  # noqa: S311 - made-up data, the same each time
    rows = []
    for row in plan_of(day):
        worse = 0.6 * (row["minutes"] - 2 * row["miles"]) + 0.05 * (row["miles"] - 50)
        late = chance.random() < 1 / (1 + math.exp(-worse - (1.0 if row["depot"] == "N" else 0)))
        rows.append({"day": row["day"], "parcel": row["parcel"], "late_minutes": 15 if late else 0})
    return rows


def unchanged(rows: list[Row]) -> list[Row]:
    return rows


def land_plan(
    settings: Settings,
    day: int,
    change: Change = unchanged,
    *,
    hour: int = 20,
    name: str = "",
    use_case: str = NAME,
) -> Path:
    """Deliver the plan of a day, the evening before."""
    file, moment = f"plan/{name or FIRST + timedelta(days=day)}.csv", at(day - 1, hour)
    rows, header = change(plan_of(day)), list(plan_of(day)[0])
    return land(settings, file, rows, moment, header, use_case=use_case)


def land_outcome(settings: Settings, day: int, change: Change = unchanged, hour: int = 6) -> Path:
    """Deliver the outcome of a day, the morning after."""
    name, moment = f"outcome/{FIRST + timedelta(days=day)}.csv", at(day + 1, hour)
    return land(settings, name, change(outcome_of(day)), moment, list(outcome_of(day)[0]))


def land(
    settings: Settings,
    name: str,
    rows: Sequence[Row],
    moment: datetime,
    header: Sequence[str],
    *,
    use_case: str = NAME,
) -> Path:
    """Deliver one CSV file with its sidecar."""
    path = local(settings.landing) / use_case / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join("" if row[n] is None else str(row[n]) for n in header) for row in rows]
    told = json.dumps({"delivered_at": moment.isoformat()})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")
    path.write_text("\n".join([",".join(header), *lines]) + "\n", "utf-8")
    return path
