"""Flight delays: which of today's flights will arrive more than 15 minutes late?

Every morning at 05:00 New York time each flight of the day that left or will leave EWR, JFK or
LGA gets a probability of arriving late, from what was known at that moment and nothing later.
"""  # noqa: D400 - it is a question

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.dag_factory import build_dags
from pipelines.use_case import (
    BeatsBaseline,
    BeatsChampion,
    Calibrated,
    Candidate,
    Column,
    CompatibleSignature,
    CsvFile,
    FeatureColumns,
    Files,
    ForwardTime,
    FreshData,
    KnownTables,
    Label,
    Monitoring,
    NoLeakage,
    NoWorseOnSegment,
    Reproducible,
    Retraining,
    Roles,
    Scoring,
    StableAcrossSeeds,
    Table,
    TopN,
    Training,
    UseCase,
    WithinBudget,
    features,
)

if TYPE_CHECKING:
    import duckdb

FLIGHT = ("flight_date", "carrier", "flight", "origin", "sched_dep_time")

schedule = Table(
    name="schedule",  # the day's flights, delivered the evening before
    source=Files(pattern="schedule/*.csv.gz"),
    columns=[
        Column("flight_date", "date"),
        Column("carrier", "string"),
        Column("flight", "int64"),
        Column("tailnum", "string", nullable=True),
        Column("origin", "string"),
        Column("dest", "string"),
        Column("sched_dep_time", "int64"),  # HHMM, local
        Column("sched_arr_time", "int64"),  # HHMM, local at the destination
        Column("distance", "int64"),  # miles
        Column("sched_dep_at", "timestamp[UTC]"),
    ],
    key=FLIGHT,
    event_time="sched_dep_at",
    arrives_by=time(20),
    arrives_timezone="America/New_York",
)
arrivals = Table(
    name="arrivals",  # what happened, delivered the morning after; empty where it never arrived
    source=Files(pattern="arrivals/*.csv.gz"),
    columns=[
        Column("flight_date", "date"),
        Column("carrier", "string"),
        Column("flight", "int64"),
        Column("origin", "string"),
        Column("sched_dep_time", "int64"),
        Column("dep_time", "int64", nullable=True),
        Column("dep_delay", "int64", nullable=True),  # minutes
        Column("arr_time", "int64", nullable=True),
        Column("arr_delay", "int64", nullable=True),  # minutes
        Column("air_time", "int64", nullable=True),  # minutes
    ],
    key=FLIGHT,
    arrives_by=time(6),
    arrives_timezone="America/New_York",
)
weather = Table(
    name="weather",  # hourly, one file per six hours and origin
    source=Files(pattern="weather/*.csv"),
    columns=[
        Column("origin", "string"),
        Column("observed_at", "timestamp[UTC]"),
        *(
            Column(name, "double", nullable=True)
            for name in ("temp", "dewp", "humid")  # Fahrenheit, Fahrenheit, percent
        ),
        Column("wind_dir", "int64", nullable=True),  # degrees
        *(
            Column(name, "double", nullable=True)
            # mph, mph, inches, millibars, miles
            for name in ("wind_speed", "wind_gust", "precip", "pressure", "visib")
        ),
    ],
    key=("origin", "observed_at"),
    event_time="observed_at",
    arrives_every=timedelta(hours=6),
    arrives_timezone="America/New_York",
)
planes = Table(
    name="planes",  # once; about one flight in six flies a plane that is not in it
    source=Files(pattern="planes/*.csv"),
    columns=[
        Column("tailnum", "string"),
        Column("year", "int64", nullable=True),
        Column("type", "string"),
        Column("manufacturer", "string"),
        Column("model", "string"),
        Column("engines", "int64"),
        Column("seats", "int64"),
        Column("speed", "int64", nullable=True),
        Column("engine", "string"),
    ],
    key=("tailnum",),
)


@features(entity=schedule, reads=[arrivals, weather, planes])
def flight_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    """Describe each asked flight: schedule, plane, traffic, weather by now, trailing late rates."""
    return known.sql("""
        with recent as (  -- final labels of the four weeks that have them
            select l.late::int as late, s.carrier, s.origin, s.dest, s.sched_dep_time // 100 as hour
            from labels l join schedule s using (flight_date, carrier, flight, origin, sched_dep_time)
            where l.event_time >= (select max(event_time) from labels) - interval 28 days
        ),
        by_carrier as (select carrier, avg(late) as rate from recent group by carrier),
        by_origin as (select origin, avg(late) as rate from recent group by origin),
        by_hour as (select origin, hour, avg(late) as rate from recent group by origin, hour),
        by_route as (
            -- ten imaginary flights at the overall rate steady the small routes
            select carrier, origin, dest,
                   (sum(late) + 10 * (select avg(late) from recent)) / (count(*) + 10) as rate
            from recent group by carrier, origin, dest
        ),
        sky as (  -- one value for a whole day of flights: exact ones would name the day
            select origin, min(visib) < 3 as low_visibility, sum(precip) > 0 as wet,
                   max(wind_speed) > 20 as windy
            from weather
            where observed_at >= (select max(observed_at) from weather) - interval 6 hours
            group by origin
        ),
        traffic as (
            select origin, sched_dep_time // 100 as hour, count(*) as departures
            from asked group by origin, hour
        ),
        leg as (
            select *, row_number() over (
                partition by tailnum order by sched_dep_at, flight) as leg_of_day
            from asked where tailnum is not null
        )
        select a.flight_date, a.carrier, a.flight, a.origin, a.sched_dep_time,
               a.carrier as airline, a.origin as airport, a.dest,
               a.sched_dep_time // 100 * 60 + a.sched_dep_time % 100 as departs_minute,
               a.sched_arr_time // 100 * 60 + a.sched_arr_time % 100 as arrives_minute,
               a.distance, isodow(a.flight_date) as weekday, coalesce(leg.leg_of_day, 1) as leg,
               t.departures, count(*) over (partition by a.origin) as departures_of_day,
               year(a.flight_date) - p.year as plane_age, p.seats, p.manufacturer,
               sky.low_visibility, sky.wet, sky.windy,
               -- against the airport's own level, which moves with the season
               by_carrier.rate - by_origin.rate as carrier_late,
               by_hour.rate - by_origin.rate as hour_late,
               by_route.rate - by_origin.rate as route_late
        from asked a
        left join leg using (flight_date, carrier, flight, origin, sched_dep_time)
        left join traffic t on t.origin = a.origin and t.hour = a.sched_dep_time // 100
        left join planes p on p.tailnum = a.tailnum
        left join sky on sky.origin = a.origin
        left join by_carrier on by_carrier.carrier = a.carrier
        left join by_origin on by_origin.origin = a.origin
        left join by_hour on by_hour.origin = a.origin and by_hour.hour = a.sched_dep_time // 100
        left join by_route on by_route.carrier = a.carrier and by_route.origin = a.origin
                          and by_route.dest = a.dest
    """)


def hist_gradient_boosting(columns: FeatureColumns, seed: int) -> Any:  # noqa: ANN401 - sklearn
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
            learning_rate=0.04,
            max_iter=150,
            max_leaf_nodes=7,
            max_features=0.3,
            min_samples_leaf=200,
            l2_regularization=10.0,
            categorical_features=[name in columns.categorical for name in columns.all],
            random_state=seed,
        ),
    )


flight_delays = UseCase(
    name="flight_delays",
    owner="aviation",
    purpose="Tell the operations desk at 05:00 which of today's flights will arrive late.",
    tier="governed",
    roles=Roles(),
    tables=[schedule, arrivals, weather, planes],
    features=flight_features,
    label=Label(
        name="late",
        table=arrivals,
        rule="arr_delay > 15",
        expected_after=timedelta(hours=24),
        final_after=timedelta(hours=72),
    ),
    training=Training(
        start=datetime(2013, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=28),
        candidates=[Candidate("hist_gradient_boosting", hist_gradient_boosting)],
        baseline="prior_rate",
        seed=7,
    ),
    gates=[
        BeatsBaseline("log_loss", margin=0.01),
        BeatsChampion("log_loss", confidence=0.95),
        NoWorseOnSegment("origin", 0.02),
        Calibrated(0.1),
        StableAcrossSeeds(0.005),
        FreshData(10),
        NoLeakage(),
        WithinBudget(milliseconds_per_1000=50, megabytes=5),
        CompatibleSignature(),
        Reproducible(),
    ],
    scoring=Scoring(
        at=time(5),
        timezone="America/New_York",
        on_stale="score_and_flag",
        outputs=[
            TopN(10, name="watch_list", consumer="operations desk", by="p_late", per="origin"),
            CsvFile(name="all_flights", consumer="operations desk"),
        ],
    ),
    monitoring=Monitoring(
        block="day",
        alarms_per_quarter=1,
        tolerance=0.05,  # nats; a stormy week costs as much
        segments=["airport"],
    ),
    retraining=Retraining(schedule="@monthly"),
    ends_before="2014-01-01",  # the data ends; nothing runs on schedule after that
)
build_dags(flight_delays)
