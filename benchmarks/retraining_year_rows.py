"""Rows: a year of real flights, described once at every scoring time, with their final labels."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.features_home import DECLARED, settings_in
from pipelines.domain.windows import forward_split, windowed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipelines.adapters.settings import Settings
    from pipelines.domain.training import FeatureColumns
    from pipelines.domain.windows import ForwardTime, Window
    from pipelines.use_case import TrainedUseCase, UseCase

Block = tuple[datetime, datetime]
"""A scoring time, and when the next one begins."""

YEAR_ENDS = datetime(2014, 1, 1, 5, tzinfo=UTC)
ALL_FINAL = YEAR_ENDS + timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """Every flight with a final label, in canonical order, and the blocks that have any."""

    parts: "TrainedUseCase"
    rows: "pa.Table"
    columns: "FeatureColumns"
    blocks: tuple[Block, ...]

    def split(
        self, as_of: datetime, rule: "ForwardTime", window: "Window"
    ) -> "tuple[pa.Table, pa.Table]":
        """Return what a training at ``as_of`` learns from, and what it holds out."""
        from pipelines.adapters.models.training_rows import at

        gap = self.parts.label.final_after
        final = [block for block in self.blocks if block[1] + gap <= as_of]
        split = forward_split(final, rule, gap=gap)
        return at(self.rows, windowed(split.training, window)), at(self.rows, split.held_out)

    def month(self, first: datetime, until: datetime) -> "pa.Table":
        """Return the flights of the scoring times in [first, until)."""
        from pipelines.adapters.models.training_rows import at

        return at(self.rows, [start for start, _ in self.blocks if first <= start < until])

    def days(self, rows: "pa.Table") -> list[str]:
        """Return the local day of each row."""
        from pipelines.domain.features import AS_OF

        times = self.parts.scoring.times
        moments = rows[AS_OF].to_pylist()
        named = {moment: times.block_name(moment) for moment in set(moments)}
        return [named[moment] for moment in moments]


def delivered_in(home: Path) -> "Settings":
    """Deliver the year's files in an empty home, and return its settings."""
    from examples import flight_delays
    from pipelines.adapters.stores.object_store import local

    settings = settings_in(home)
    shutil.rmtree(settings.home, ignore_errors=True)
    flight_delays.deliver(
        local(settings.landing), first_day=flight_delays.FIRST_DAY, until=flight_delays.UNTIL
    )
    return settings


def ingested(home: Path, use_case: "UseCase") -> None:
    """Ingest what was delivered; raises for a file that is refused."""
    from pipelines.stages.ingest import ingest, refusals

    if refused := refusals(ingest(use_case, settings_in(home), as_of=ALL_FINAL, run="benchmark")):
        raise refused


def year_in(home: Path) -> Year:
    """Deliver, ingest and describe the year in an empty home, and return its rows."""
    import pyarrow.compute as pc

    from pipelines.adapters import lake
    from pipelines.adapters.models import feature_store, known
    from pipelines.domain.features import AS_OF, feature_digest, feature_names
    from pipelines.domain.labels import labelled
    from pipelines.domain.training import feature_columns
    from pipelines.use_case import TrainedUseCase, load

    settings, use_case = delivered_in(home), load(DECLARED)
    ingested(home, use_case)
    parts = TrainedUseCase.of(use_case)
    blocks = parts.scoring.times.blocks(parts.training.start, YEAR_ENDS)
    tables = known.load(settings, parts.name, parts.features, parts.label)
    folder = lake.features(settings, parts.name, feature_digest(parts.features, parts.label))
    found = feature_store.rows_at(folder, parts.features, tables, blocks)
    if found is None:
        raise ValueError("the feeder delivered no flight")
    entity = parts.features.entity
    states = tables.label_states(entity, ALL_FINAL)
    rows = labelled(found, states, tuple(entity.key))
    there = set(pc.unique(rows[AS_OF]).to_pylist())
    return Year(
        parts=parts,
        rows=rows,
        columns=feature_columns(rows, feature_names(found, entity)),
        blocks=tuple(block for block in blocks if block[0] in there),
    )


def fitted(year: Year, rows: "pa.Table") -> object:
    """Return the use case's one candidate, fitted as a training would fit it."""
    from pipelines.adapters.models.training_rows import label_of
    from pipelines.adapters.threads import one_thread
    from pipelines.domain.training import fit

    training = year.parts.training
    with one_thread():
        return fit(
            training.candidates[0],
            rows,
            label_of(rows),
            year.columns,
            training.seed,
            weights=training.weights,
        )


def losses(year: Year, model: object, rows: "pa.Table") -> "np.ndarray":
    """Return the log loss of each row, in nats."""
    from pipelines.adapters.models.training_rows import label_of
    from pipelines.adapters.threads import one_thread
    from pipelines.domain.metrics import row_losses
    from pipelines.domain.training import positive_probability

    with one_thread():
        said = positive_probability(model, rows, year.columns)
    return row_losses("log_loss", label_of(rows), said)
