"""Offers: a made-up use case of two other kinds - which to work on first, and how long each takes."""

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

NAME = "offers"
FIRST = date(2026, 1, 1)
OFFERS = 30
"""Offers of a day."""

DAG = '''"""Offers: {question}"""

from datetime import UTC, datetime, time, timedelta

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline, BeatsChampion, BusinessRule, Calibrated, Candidate, Column, CsvFile, Files,
    ForwardTime, IntUniform, Label, Monitoring, NoLeakage, PredictionRange,
    Reproducible, Scoring, StableAcrossSeeds, Table, TopN, Training, UseCase, Value, WithinBudget,
    features,
)

KEY = ("day", "offer")
plan = Table(
    name="plan", source=Files(pattern="plan/*.csv"), key=KEY, event_time="made_at",
    columns=[
        Column("day", "date"), Column("offer", "string"), Column("region", "string"),
        Column("amount", "double", nullable=True), Column("contacts", "int64"),
        Column("made_at", "timestamp[UTC]"),
    ],
)
outcome = Table(
    name="outcome", source=Files(pattern="outcome/*.csv"), key=KEY,
    columns=[
        Column("day", "date"), Column("offer", "string"),
        Column("result", "string", nullable=True), Column("minutes", "double", nullable=True),
    ],
)


@features(entity=plan, reads=[outcome])
def offer_features(known):
    return known.sql("select day, offer, region, amount, contacts from asked")


def trees(columns, seed, leaves=8):
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import {estimator}
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_pipeline(
        ColumnTransformer([
            ("numbers", "passthrough", list(columns.numeric)),
            ("categories", codes, list(columns.categorical)),
        ]),
        {estimator}(
            max_iter=30, max_leaf_nodes=leaves, early_stopping=False, random_state=seed,
            categorical_features=[len(columns.numeric)],
        ),
    )


offers = UseCase(
    name="offers",
    owner="sales",
    tier="scheduled",
    tables=[plan, outcome],
    features=offer_features,
    label=Label(
        name="{label}", table=outcome, rule="{rule}", {label_more}
        expected_after=timedelta(hours=24), final_after=timedelta(hours=48),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC), split=ForwardTime(test_days=20{validation}),
        candidates=[Candidate("trees", trees{space})], seed=7, {training_more}
    ),
    gates=[{gates}],
    scoring=Scoring(at=time(5), rules=[{rules}], outputs=[{outputs}], promises=[{promises}]),
    monitoring=Monitoring(minimum_labels=20, tolerance=0.05),
)
build_dags(offers)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What makes one kind of the declaration, and what tests change in it."""

    question: str
    estimator: str
    label: str
    rule: str
    gates: str
    outputs: str
    label_more: str = ""
    training_more: str = ""
    validation: str = ""
    space: str = ""
    rules: str = ""
    promises: str = ""


RANKING = Variant(
    question="which of today's are worth most, by probability and amount?",
    estimator="HistGradientBoostingClassifier",
    label="won",
    rule="result = 'won'",
    label_more='value=Value("amount", "USD"),',
    gates='BeatsBaseline("missed_value", margin=0.02), BeatsBaseline("log_loss", margin=0.0), '
    'BeatsChampion("missed_value", confidence=0.6)',
    outputs='TopN(5, name="first", consumer="sales", by="expected_value"), '
    'CsvFile(name="all", consumer="finance")',
    rules='BusinessRule(name="no_north", owner="law", when="region = \'N\' and contacts > 8", '
    'then="0.0", reason="nobody may be contacted that often")',
)
REGRESSION = Variant(
    question="how many minutes will each take?",
    estimator="HistGradientBoostingRegressor",
    label="handling",
    rule="minutes",
    label_more='unit="minutes",',
    training_more='baseline="median", loss="absolute_error",',
    gates='BeatsBaseline("absolute_error", margin=0.5), '
    'BeatsChampion("squared_error", confidence=0.6), NoLeakage(), StableAcrossSeeds(5.0), '
    "Reproducible(), WithinBudget(milliseconds_per_1000=500)",
    outputs='TopN(3, name="longest", consumer="sales", by="predicted_handling"), '
    'CsvFile(name="all", consumer="finance")',
    promises="PredictionRange(-100.0, 500.0)",
    rules='BusinessRule(name="never_negative", owner="sales", when="prediction < 0", then="0.0", '
    'reason="no work takes less than no time")',
)

Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]


def settings_in(folder: Path) -> Settings:
    """Return settings whose every path lies below ``folder``."""
    return Settings(
        home=folder / "home", dags=folder / "dags", expectations=folder / "expectations"
    )


def declare(settings: Settings, variant: Variant) -> UseCase:
    """Write the DAG file of a variant, and load it."""
    text = DAG
    for name in Variant.__slots__:
        text = text.replace("{" + name + "}", str(getattr(variant, name)))
    path = settings.dags / f"{NAME}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return load(path)


def at(day: int, hour: int = 0) -> datetime:
    """Return an hour (UTC) of a day counted from FIRST."""
    return datetime.combine(FIRST + timedelta(days=day), time(hour), tzinfo=UTC)


def plan_of(day: int) -> list[Row]:
    """Return the offers of a day, the same each time; what is dear is seldom won."""
    chance = random.Random(day)  # noqa: S311 - made-up data, the same each time
    return [
        {
            "day": FIRST + timedelta(days=day),
            "offer": f"o{number:03}",
            "region": "NES"[int(3 * chance.random())],
            "amount": round(math.exp(5 + 1.2 * chance.gauss(0, 1)), 2),
            "contacts": int(10 * chance.random()),
            "made_at": f"{at(day, 7 + number % 12):%Y-%m-%dT%H:%M:%SZ}",
        }
        for number in range(OFFERS)
    ]


def outcome_of(day: int) -> list[Row]:
    """Return what became of the offers of a day: contacts win them, and take time."""
    chance = random.Random(10_000 + day)  # noqa: S311 - made-up data, the same each time
    rows = []
    for row in plan_of(day):
        odds = -3.0 + 0.7 * row["contacts"] - 0.8 * (math.log(row["amount"]) - 5)
        won = chance.random() < 1 / (1 + math.exp(-odds))
        slow = 30 if row["region"] == "N" else 0
        rows.append(
            {
                "day": row["day"],
                "offer": row["offer"],
                "result": "won" if won else "lost",
                "minutes": round(10 + 12 * row["contacts"] + slow + 25 * chance.gauss(0, 1), 1),
            }
        )
    return rows


def unchanged(rows: list[Row]) -> list[Row]:
    return rows


def land(settings: Settings, first: int, until: int, change: Change = unchanged) -> None:
    """Deliver the plans of days [first, until), the evening before, and what became of them."""
    for day in range(first, until):
        told = outcome_of(day)
        name = f"{FIRST + timedelta(days=day)}.csv"
        _write(settings, f"plan/{name}", change(plan_of(day)), at(day - 1, 20))
        _write(settings, f"outcome/{name}", told, at(day + 1, 4))


def _write(settings: Settings, name: str, rows: Sequence[Row], moment: datetime) -> None:
    path = local(settings.landing) / NAME / name
    path.parent.mkdir(parents=True, exist_ok=True)
    header = list(rows[0])
    lines = [",".join("" if row[n] is None else str(row[n]) for n in header) for row in rows]
    told = json.dumps({"delivered_at": moment.isoformat()})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")
    path.write_text("\n".join([",".join(header), *lines]) + "\n", "utf-8")
