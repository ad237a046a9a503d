"""A champion's blocks as monitor knows them, made from rows: what report tests show and change."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import isfinite

import numpy as np
import pyarrow as pa

from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.estimates import Calibration
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.incidents import Incident
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Judged, Profiled
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.monitoring_report import (
    MonitoringReport,
    Promotion,
    Provenance,
    inputs_of,
    timeline_of,
    usual_of,
    watched_of,
)
from pipelines.domain.performance import BlockPerformance
from pipelines.domain.realised_loss import realised_loss
from pipelines.domain.watch import judge_inputs
from pipelines.domain.watch_losses import judge_losses

FIRST = date(2013, 1, 1)
TRAINED, HELD_OUT, SERVED = 30, 28, 70
ROWS = 300
ORIGINS = ("EWR", "JFK", "LGA")
AS_OF = datetime(2013, 5, 8, 10, tzinfo=UTC)
MONITORING = Monitoring(segments=("origin",))
WAITING = 3
"""Newest blocks whose labels are not final."""


def rows_of(day: int, *, features: int = 6, wind_up: float = 0.0, broken: bool = False) -> pa.Table:
    """Return one block's rows; ``wind_up`` moves ``wind``, ``broken`` is a feed in kilometres."""
    random = np.random.default_rng(day)
    origin = random.choice(ORIGINS, ROWS, p=[0.4, 0.35, 0.25])
    distance = random.gamma(4, 250, ROWS) * (1.609344 if broken else 1.0)
    wind = random.normal(10 + wind_up, 4, ROWS)
    gust: list[float | None] = [
        None if random.random() < 0.1 else float(value + 5) for value in wind
    ]
    columns: dict[str, object] = {
        "origin": pa.array(origin.tolist()),
        "distance": distance,
        "wind": wind,
        "gust": pa.array(gust, pa.float64()),
        "hour": random.integers(5, 23, ROWS),
    }
    for number in range(5, features):
        columns[f"feature_{number}"] = random.normal(0, 1, ROWS)
    columns["p_late"] = 1 / (1 + np.exp(-(wind - 14) / 4))
    return pa.table(columns)


def report(
    *,
    features: int = 6,
    wind_up: float = 0.0,
    broken: bool = False,
    harm: float = 0.0,
    harmed: int = 10,
    served: int = SERVED,
    names: Mapping[str, str] | None = None,
    origins: Mapping[str, str] | None = None,
    late_origins: Mapping[str, str] | None = None,
    incidents: Sequence[Incident] = (),
) -> MonitoringReport:
    """Return the report of a champion whose last 10 blocks differ as asked, all of it computed.

    ``names`` renames columns, ``origins`` the values of ``origin`` and ``late_origins`` those of the
    last 10 blocks; ``harm`` is what the loss
    of the last ``harmed`` ones rises by, in nats.
    """
    total = TRAINED + HELD_OUT + served
    renamed = names or {}

    def block(number: int) -> pa.Table:
        late = number >= total - 10
        rows = rows_of(
            number,
            features=features,
            wind_up=wind_up if late else 0.0,
            broken=broken and number == total - 1,
        )
        said = {**(origins or {}), **((late_origins or {}) if late else {})}
        other = [said.get(text, text) for text in rows["origin"].to_pylist()]
        rows = rows.set_column(0, "origin", pa.array(other))
        return rows.rename_columns([renamed.get(name, name) for name in rows.column_names])

    tables = [block(number) for number in range(total)]
    days = [FIRST + timedelta(days=number) for number in range(total)]
    own = [name for name in tables[0].column_names if name != "p_late"]
    share = 1 / sum(range(1, len(own) + 1))
    segment = renamed.get("origin", "origin")
    edges = edges_of(
        pa.concat_tables(tables[:TRAINED]), columns=[*own, "p_late"], segments=[segment]
    )
    random = np.random.default_rng(1)
    held_out = [day.isoformat() for day in days[TRAINED : TRAINED + HELD_OUT]]
    model = ModelReference(
        model_version="3",
        prediction="p_late",
        edges=edges,
        importance={name: share * (len(own) - place) for place, name in enumerate(own)},
        training_window=(days[0].isoformat(), days[TRAINED - 1].isoformat()),
        losses=_losses(held_out, random.normal(0.45, 0.02, HELD_OUT), edges.segment_names),
        calibration=Calibration(scores=np.array([0.0, 1.0]), shares=np.array([0.0, 1.0])),
    )
    profiled = [
        Profiled(
            block=day.isoformat(),
            scored_for=datetime(day.year, day.month, day.day, 9, tzinfo=UTC),
            source=f"run/{day}",
            published=number >= TRAINED + HELD_OUT,
            stale_tables="",
            estimated_loss=0.45 + 0.01 * np.sin(number),
            profile=scan(table.to_batches(), edges, block=day.isoformat()),
        )
        for number, (day, table) in enumerate(zip(days, tables, strict=True))
    ]
    loss = np.random.default_rng(2).normal(0.45, 0.02, served)
    loss[-harmed:] += harm
    loss[-WAITING:] = np.nan
    performance = [
        BlockPerformance(
            block=one.block,
            outcome="measured" if isfinite(value) else "too_few",
            predictions=ROWS,
            final=ROWS - 6 if isfinite(value) else 4,
            unlabelled=6 if isfinite(value) else 0,
            pending=0 if isfinite(value) else ROWS - 4,
            positives=60,
            log_loss=float(value) if isfinite(value) else None,
            auc=None,
            model_versions="3",
        )
        for one, value in zip(profiled[TRAINED + HELD_OUT :], loss, strict=True)
    ]
    judged = _judged(profiled, model, loss)
    watched = watched_of(
        judged, judged, profiled, blocks=performance, model=model, monitoring=MONITORING
    )
    found, segments, compared_with = inputs_of(watched, judged, profiled, model, MONITORING)
    promotions = [Promotion(block=performance[0].block, version="3")]
    return MonitoringReport(
        use_case="flights",
        owner="aviation",
        as_of=AS_OF,
        watched=watched,
        timeline=timeline_of(performance, profiled, watched.estimates, promotions),
        usual=usual_of(model, MONITORING),
        features=found,
        compared_with=compared_with,
        segments=segments,
        incidents=tuple(incidents),
        provenance=Provenance(
            model_version="3",
            run_id="0123abc",
            edges_digest=model.digest,
            evidence_digest="e" * 64,
            declaration_digest="d" * 64,
            tables={"gold.performance.flights": 12, "gold.monitoring.flights": 7},
        ),
    )


def _judged(profiled: list[Profiled], model: ModelReference, loss: np.ndarray) -> list[Judged]:
    statistics = statistics_of([one.profile for one in profiled], model.edges)
    found: list[Judged] = []
    for upto in range(len(profiled) - 3, len(profiled)):
        found += judge_inputs(profiled, statistics, model, MONITORING, upto=upto, broken=set())
    served = profiled[TRAINED + HELD_OUT :]
    current = _losses([one.block for one in served], loss, model.edges.segment_names)
    found += judge_losses(current, [one.scored_for for one in served], model, MONITORING)
    realised = realised_loss(current, model)
    return found if realised is None else [*found, realised]


def _losses(
    blocks: Sequence[str], loss: np.ndarray, segments: tuple[tuple[str, str], ...]
) -> BlockLosses:
    random = np.random.default_rng(len(blocks))
    return BlockLosses(
        blocks=tuple(blocks),
        rows=np.full(len(blocks), ROWS),
        loss=loss,
        residual=np.where(np.isfinite(loss), random.normal(0, 0.02, len(blocks)), np.nan),
        segments=segments,
        contrast=np.where(
            np.isfinite(loss)[:, None], random.normal(0, 0.02, (len(blocks), len(segments))), np.nan
        ),
    )
