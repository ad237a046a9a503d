"""Flights: thirteen numbers and three texts of each; which of them will be late?

The use case of the benchmark of scoring. A home gets a copy of this file with its number of trees.
"""  # noqa: D400 - it is a question

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline,
    Candidate,
    Column,
    FeatureColumns,
    Files,
    ForwardTime,
    KnownTables,
    Label,
    Monitoring,
    Scoring,
    Table,
    Training,
    UseCase,
    features,
)

if TYPE_CHECKING:
    import duckdb

TREES = 100

flights = Table(
    name="flights",
    source=Files(pattern="flights/*.csv"),
    columns=[
        Column("flight_id", "int64"),
        Column("departs_at", "timestamp[UTC]"),
        *(Column(name, "string", nullable=True) for name in ("airline", "airport", "maker")),
        *(
            Column(name, "int64", nullable=True)
            for name in ("departs_minute", "arrives_minute", "distance", "weekday", "leg", "seats")
        ),
        *(
            Column(name, "double", nullable=True)
            for name in ("plane_age", "visibility", "wind", "rain", "carrier_late", "route_late")
        ),
        Column("holiday", "bool"),
    ],
    key=("flight_id",),
    event_time="departs_at",
)
arrivals = Table(
    name="arrivals",
    source=Files(pattern="arrivals/*.csv"),
    columns=[Column("flight_id", "int64"), Column("delay", "int64", nullable=True)],
    key=("flight_id",),
)


@features(entity=flights, reads=[arrivals])
def flight_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    """Describe each asked flight by all that is known of it."""
    return known.sql("select * exclude (departs_at) from asked")


def trees(columns: FeatureColumns, seed: int) -> Any:  # noqa: ANN401 - sklearn
    """Build gradient-boosted trees that take missing numbers and categories as they are."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", "passthrough", list(columns.numeric)),
                ("categories", categories, list(columns.categorical)),
            ]
        ),
        HistGradientBoostingClassifier(
            max_iter=TREES,
            early_stopping=False,
            categorical_features=[name in columns.categorical for name in columns.all],
            random_state=seed,
        ),
    )


bench = UseCase(
    name="bench",
    owner="benchmarks",
    tier="scheduled",
    tables=[flights, arrivals],
    features=flight_features,
    label=Label(
        name="late",
        table=arrivals,
        rule="delay > 15",
        expected_after=timedelta(hours=24),
        final_after=timedelta(hours=48),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=20),
        candidates=[Candidate("trees", trees)],
    ),
    gates=[BeatsBaseline("log_loss", margin=0.01)],
    scoring=Scoring(at=time(0), timezone="UTC"),
    monitoring=Monitoring(),
)
build_dags(bench)
