"""Machines: a small made-up use case whose signal is strong enough to pass the gates."""

import json
import math
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.promote import promote
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests.empty_databases import place_mlflow

NAME = "machines"
FIRST = date(2026, 1, 1)
DAYS = 50
"""26 training blocks, 2 in the gap and 20 held out; the rest is for scoring."""
MACHINES = 40

DAG = '''"""Machines: which of today's shifts will stop for more than ten minutes?"""

from datetime import UTC, datetime, time, timedelta

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline, BeatsChampion, Candidate, Column, Files, ForwardTime, Label, Monitoring,
    Scoring, Table, Training, UseCase, features,
)

KEY = ("day", "machine")
plan = Table(
    name="plan",
    source=Files(pattern="plan/*.csv"),
    columns=[
        Column("day", "date"), Column("machine", "string"), Column("load", "double"),
        Column("shift_at", "timestamp[UTC]"),
    ],
    key=KEY,
    event_time="shift_at",
    arrives_every=timedelta(hours=24),
)
outcome = Table(
    name="outcome",
    source=Files(pattern="outcome/*.csv"),
    columns=[
        Column("day", "date"), Column("machine", "string"),
        Column("stop_minutes", "int64", nullable=True),
    ],
    key=KEY,
    arrives_every=timedelta(hours=24),
)


@features(entity=plan, reads=[outcome])
def machine_features(known):
    return known.sql("""
        with rates as (select machine, avg(stopped::int) as rate from labels group by machine)
        select a.day, a.machine, a.load, a.machine[1:1] as family,
               coalesce(r.rate, 0.5) as past_rate{more_features}
        from asked a left join rates r using (machine)
    """)


def logistic(columns, seed):
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    return make_pipeline(
        ColumnTransformer([
            ("numbers", "passthrough", list(columns.numeric)),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(columns.categorical)),
        ]),
        LogisticRegression(C={strength}, random_state=seed),
    )


machines = UseCase(
    name="machines",
    owner="plant",
    tier="{tier}",
    tables=[plan, outcome],
    features=machine_features,
    label=Label(
        name="stopped", table=outcome, rule="stop_minutes > 10",
        expected_after=timedelta(hours=24), final_after=timedelta(hours=48),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=20),
        candidates=[Candidate("logistic", logistic)],
        seed={seed},
    ),
    gates=[BeatsBaseline("log_loss", margin={margin}), BeatsChampion("log_loss", confidence=0.95)],
    scoring=Scoring(at=time(5), timezone="Europe/Berlin", on_stale="{on_stale}", parts={parts}{more_scoring}),
    monitoring=Monitoring(minimum_labels={minimum_labels}{more_monitoring}),
)
build_dags(machines)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tests change in the declaration."""

    tier: str = "scheduled"
    on_stale: str = "score_and_flag"
    margin: float = 0.01
    seed: int = 7
    minimum_labels: int = 30
    more_features: str = ""
    strength: float = 1.0
    parts: int = 1
    more_scoring: str = ""
    more_monitoring: str = ""


WEAK = Variant(strength=0.002)
"""A model so regularized that the usual one beats it."""

WEEKLY = Variant(more_scoring=', weekday="monday"', more_monitoring=', block="week"')
"""Scored on Mondays, for the week."""


def declare(settings: Settings, variant: Variant | None = None) -> UseCase:
    """Write the DAG file of a variant into the home's dags folder, and load it."""
    chosen = variant or Variant()
    text = DAG
    for name in Variant.__slots__:
        text = text.replace("{" + name + "}", str(getattr(chosen, name)))
    path = settings.dags / f"{NAME}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return load(path)


def settings_in(folder: Path) -> Settings:
    """Return settings whose every path lies below ``folder``."""
    return Settings(
        home=folder / "home", dags=folder / "dags", expectations=folder / "expectations"
    )


def land(settings: Settings, name: str, header: str, rows: list[str], at: datetime) -> None:
    """Deliver one CSV file with its sidecar."""
    path = local(settings.landing) / NAME / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    told = json.dumps({"delivered_at": at.isoformat()})
    path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")


def deliver(settings: Settings, *, first: int = 0, until: int = DAYS, turned: bool = False) -> None:
    """Deliver plan and outcome of days [first, until), counted from FIRST.

    Machines stop under a high load; where the world has ``turned``, under a low one.

    A plan lands at 20:00 UTC the evening before, an outcome at 06:00 UTC the morning after. One
    outcome in forty is empty.
    """
    for number in range(first, until):
        day = FIRST + timedelta(days=number)
        chance = random.Random(number)  # noqa: S311 - made-up data, the same each time
        plan, outcome = [], []
        for machine in range(MACHINES):
            name = f"{'AB'[machine % 2]}{machine:02}"
            load_share = chance.random()
            strain = 0.4 - load_share if turned else load_share - 0.6
            stops = chance.random() < 1 / (1 + math.exp(-8 * strain))
            known = chance.random() >= 1 / 40
            shift_at = datetime.combine(day, time(7 + machine % 12), tzinfo=UTC)
            plan.append(f"{day},{name},{load_share:.4f},{shift_at:%Y-%m-%dT%H:%M:%SZ}")
            outcome.append(f"{day},{name},{(30 if stops else 2) if known else ''}")
        evening = datetime.combine(day - timedelta(days=1), time(20), tzinfo=UTC)
        morning = datetime.combine(day + timedelta(days=1), time(6), tzinfo=UTC)
        land(settings, f"plan/{day}.csv", "day,machine,load,shift_at", plan, evening)
        land(settings, f"outcome/{day}.csv", "day,machine,stop_minutes", outcome, morning)


def take_in(use_case: UseCase, settings: Settings) -> None:
    """Ingest everything that was delivered."""
    ingest(use_case, settings, as_of=at(400), run="test")


def at(day: int, hour: int = 12) -> datetime:
    """Return ``hour`` UTC of a day counted from FIRST."""
    return datetime.combine(FIRST + timedelta(days=day), time(hour), tzinfo=UTC)


def build_template(folder: Path) -> Path:
    """Prepare a home to copy: everything delivered and ingested, MLflow's database made."""
    settings = settings_in(folder)
    deliver(settings)
    take_in(declare(settings), settings)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    return folder


def build_promoted(template: Path, folder: Path) -> Path:
    """Prepare a home in which candidate 1 was promoted, and candidate 2 passed the gates."""
    settings = copy_template(template, folder)
    weak = declare(settings, WEAK)
    train(weak, settings, as_of=at(50), run="test", requester="sam")
    evaluate(weak, settings, version="1")
    promote(weak, settings, version="1", as_of=at(50))
    usual = declare(settings)
    train(usual, settings, as_of=at(50), run="test", requester="sam")
    evaluate(usual, settings, version="2")
    return folder


MLFLOW_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Table -> columns in which MLflow keeps absolute paths."""


def copy_template(template: Path, target: Path) -> Settings:
    """Return the settings of a fresh copy that names its own paths, no more the template's."""
    from mlflow.tracking._tracking_service import utils

    # MLflow remembers where a run's files are, by its id, which the copy has in common.
    utils._artifact_repos_cache.clear()
    shutil.copytree(template, target, dirs_exist_ok=True)
    settings = settings_in(target)
    with closing(sqlite3.connect(settings.root / "mlflow" / "mlflow.db")) as database:
        for table, columns in MLFLOW_PATHS.items():
            for column in columns:
                statement = f"update {table} set {column} = replace({column}, ?, ?)"
                database.execute(statement, (f"{template}/", f"{target}/"))
        database.commit()
    return settings
