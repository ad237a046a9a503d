"""Predicted: a made-up use case whose predictions and features are written without a model."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, partitions
from pipelines.adapters.delta.partitions import Held, Swap
from pipelines.adapters.models import prediction_store
from pipelines.adapters.settings import Settings
from pipelines.domain.features import feature_digest
from pipelines.domain.outputs import Output
from pipelines.domain.promises import Promise
from pipelines.domain.scoring import PartFile
from pipelines.domain.slots import SLOT, window_name
from pipelines.use_case import (
    BeatsBaseline,
    Candidate,
    Column,
    Files,
    ForwardTime,
    KnownTables,
    Label,
    Scoring,
    Table,
    Training,
    UseCase,
    features,
)

if TYPE_CHECKING:
    import duckdb

NAME = "visits"
KEY = ("day", "ward", "bed")

visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[
        Column("day", "date"), Column("ward", "string"), Column("bed", "int64"),
        Column("at", "timestamp[UTC]"),
    ],
    key=KEY,
    event_time="at",
)  # fmt: skip


@features(entity=visits, reads=[])
def visit_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("""
        select day, ward, bed, 1.5::double as age, 'x' as insurer, 3::bigint as stays,
               true as urgent
        from asked
    """)


def no_model(columns: object, seed: int) -> object:
    raise NotImplementedError


SCORING = Scoring(at=time(5))
VISITS = UseCase(
    name=NAME,
    owner="clinic",
    tier="scheduled",
    tables=[visits],
    features=visit_features,
    label=Label(
        name="missed", table=visits, rule="bed > 1",
        expected_after=timedelta(days=1), final_after=timedelta(days=2),
    ),
    training=Training(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        split=ForwardTime(test_days=20),
        candidates=[Candidate("none", no_model)],
    ),
    gates=[BeatsBaseline("log_loss", margin=0.01)],
    scoring=SCORING,
)  # fmt: skip

FIRST = datetime(2026, 3, 1, 5, tzinfo=UTC)
NEXT = FIRST + timedelta(days=1)

KINDS = pa.schema([("day", pa.date32()), ("ward", pa.string()), ("bed", pa.int64())])
FEATURES = pa.schema(
    [
        *KINDS,
        ("as_of", pa.timestamp("us", tz="UTC")), ("event_time", pa.timestamp("us", tz="UTC")),
        ("age", pa.float64()), ("insurer", pa.string()), ("stays", pa.int64()),
        ("urgent", pa.bool_()),
    ]
)  # fmt: skip

Row = tuple[str, int, float]
"""Ward, bed and prediction."""


def declared(*outputs: Output, promises: Sequence[Promise] = ()) -> UseCase:
    """Return the use case with these outputs and promises."""
    scoring = dataclasses.replace(SCORING, outputs=outputs, promises=promises)
    return dataclasses.replace(VISITS, scoring=scoring)


def settings_in(folder: Path, lake_folder: str = "") -> Settings:
    """Return settings whose every path lies below ``folder``, but the lake where it is given."""
    return Settings(home=folder, dags=folder / "dags", lake_folder=lake_folder)


def publish(
    settings: Settings, rows: Sequence[Row], *, scored_for: datetime = FIRST, model: str = "1"
) -> int:
    """Make rows the next generation of a window, with their features; return its number."""
    table, window = lake.predictions(settings, NAME), window_name(SLOT, scored_for)
    number = delta_tables.transaction(table, f"score:{window}") or 0
    layout = prediction_store.layout(list(KINDS))
    digest = feature_digest(visit_features, VISITS.label)
    said = {
        "scored_for": scored_for, "as_of": scored_for, "event_time": scored_for, "slot": SLOT,
        "model_version": model, "model_run": "run", "artifact_sha256": "a",
        "evidence_digest": "e", "feature_digest": digest, "declaration_digest": "d",
        "stale_tables": "",
    }  # fmt: skip
    keyed = [{"day": scored_for.date(), "ward": ward, "bed": bed} for ward, bed, _ in rows]
    predicted = [
        {**key, **said, "raw_prediction": p, "prediction": p, "rule": None}
        for key, (_, _, p) in zip(keyed, rows, strict=True)
    ]
    _describe(settings, digest, keyed, scored_for, number)
    files = []
    if predicted:
        assert isinstance(table, Path), "made-up predictions are written to a folder"
        table.mkdir(parents=True, exist_ok=True)
        path = table / f"made-up-{window.replace('/', '-').replace(':', '')}-{number}.parquet"
        in_files = pa.schema([f for f in layout.schema if f.name not in layout.partition_by])
        pq.write_table(pa.Table.from_pylist(predicted, schema=in_files), path)
        told = f'{{"numRecords": {len(predicted)}}}'
        size = path.stat().st_size
        files = [PartFile(name=path.name, bytes=size, rows=len(predicted), statistics=told)]

    def decide(held: Held) -> Swap:
        partition = {
            "prediction_window": window,
            "run_key": f"key of {number + 1}",
            "generation": str(number + 1),
        }
        return Swap(
            files=[(file, partition) for file in files],
            replace=("prediction_window", window),
            transactions={f"score:{window}": number + 1},
            metadata={"stage": "score"},
        )

    partitions.swap(table, layout, decide)
    return number + 1


def _describe(
    settings: Settings,
    digest: str,
    keyed: Sequence[Mapping[str, Any]],
    scored_for: datetime,
    number: int,
) -> None:
    """Write the features of one window; of a later generation those that are new."""
    described = [
        {
            **key, "as_of": scored_for, "event_time": scored_for,
            "age": age_of(key["bed"]), "insurer": insurer_of(key["ward"]),
            "stays": key["bed"] * 2, "urgent": key["bed"] % 2 == 0,
        }
        for key in keyed
    ]  # fmt: skip
    delta_tables.commit_rows(
        lake.features(settings, NAME, digest),
        pa.Table.from_pylist(described, schema=FEATURES),
        transactions={f"features:{scored_for.isoformat()}": number + 1},
        metadata={"stage": "features"},
        replace=f"as_of = arrow_cast('{scored_for.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')",
    )


def age_of(bed: int) -> float | None:
    """Return the made-up age of the patient of a bed."""
    return 20.5 + bed


def insurer_of(ward: str) -> str | None:
    """Return the made-up insurer of the patient of a bed."""
    return f"insurer of {ward}"
