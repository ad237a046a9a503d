"""Champion profiles: what a champion's blocks are held against, made once, and kept up to date."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from pipelines.adapters.models import expected_losses, profile_store
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.models.champion_rows import SCORED_FOR, STALE, ChampionRows, by_block
from pipelines.adapters.settings import Settings
from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.estimates import Calibration, calibrated
from pipelines.domain.drift.losses import BlockLosses, losses_of
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.labels import Label, labelled
from pipelines.domain.metrics import METRICS
from pipelines.domain.model_reference import (
    RANKED,
    ModelReference,
    importances,
    with_margin,
)
from pipelines.domain.monitored import Profiled
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.outputs import prediction_column
from pipelines.domain.prediction_kinds import Kind
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.training import Training
from pipelines.errors import DeclarationError, NotEnoughData, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.models.expected_losses import Expect


class Scores(Protocol):
    """When a use case scores."""

    @property
    def times(self) -> ScoringTimes: ...  # noqa: D102 - of the protocol's docstring


class Trained(Protocol):
    """What a use case declares about the model that is watched."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as above
    @property
    def features(self) -> FeatureView: ...  # noqa: D102
    @property
    def label(self) -> Label: ...  # noqa: D102
    @property
    def training(self) -> Training: ...  # noqa: D102
    @property
    def scoring(self) -> Scores: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A champion's rows, and how they are watched since the first block there may be."""

    rows: ChampionRows
    monitoring: Monitoring
    since: datetime
    seed: int
    label: Label

    @property
    def kind(self) -> Kind:
        """Return the kind of prediction."""
        return self.label.kind


def watch(
    settings: Settings, champion: Champion, parts: Trained, monitoring: Monitoring
) -> Watching:
    """Return how a champion is watched, from what its use case declares."""
    rows = ChampionRows(
        settings=settings,
        use_case=parts.name,
        view=parts.features,
        champion=champion,
        prediction=prediction_column(parts.label.name, parts.label.kind),
        times=parts.scoring.times,
    )
    training = parts.training
    return Watching(
        rows=rows,
        monitoring=monitoring,
        since=training.start,
        seed=training.seed,
        label=parts.label,
    )


def reference_of(watching: Watching, tables: KnownTables, *, run: str) -> ModelReference:
    """Return what the champion's blocks are held against; made, and kept, when there is none yet.

    Edges, importances and losses come from the rows that it was trained and judged on, with labels
    as they were known then. Raises DeclarationError for segments that are no text features.
    """
    rows = watching.rows
    known = profile_store.references(rows.settings, rows.use_case)
    if rows.version not in known:
        made = _reference(watching, tables)
        profile_store.keep_reference(rows.settings, rows.use_case, made, run=run)
        # Whichever of two runs was first is what all later ones read.
        known = profile_store.references(rows.settings, rows.use_case)
    return known[rows.version]


def up_to_date(
    watching: Watching,
    tables: KnownTables,
    reference: ModelReference,
    *,
    as_of: datetime,
    run: str,
) -> list[Profiled]:
    """Return the profiles of every described block up to ``as_of``, oldest first.

    What is expected of a block of numbers is estimated by a model of their errors on the held-out
    rows (direct loss estimation), with the labels in ``tables`` that were known at the training.
    Only blocks that have none, or were described or scored anew since, are read: what the model
    published as it is, and others with what it says of them now.
    """
    rows = watching.rows
    sources = rows.sources(since=watching.since, until=as_of)
    there = profile_store.profiles(rows.settings, rows.use_case, reference)
    known = {one.scored_for: one for one in there}
    missing = [
        start
        for start, source in sources.items()
        if start not in known or known[start].source != source
    ]
    made = []
    if missing:
        expect = expected_losses.expecting(rows, tables, reference, seed=watching.seed)
        made = _profiled(rows, reference, missing, sources, expect)
    profile_store.keep(rows.settings, rows.use_case, reference, made, run=run)
    known |= {one.scored_for: one for one in made}
    return [known[start] for start in sources if start in known and known[start].profile.rows]


def measured_losses(
    watching: Watching,
    said: "pa.Table",
    times: Sequence[datetime],
    states: "pa.Table",
    levels: Sequence[tuple[str, str]],
) -> BlockLosses:
    """Return the losses of what a model ``said`` of blocks, on final labels alone.

    ``said`` has ``scored_for``, the key, what the model said and the columns of ``levels``, the segments.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = watching.rows
    final = labelled(said, states, tuple(rows.key))
    wanted = pa.array(list(times), pa.timestamp("us", tz="UTC"))
    return losses_of(
        watching.kind.loss,
        label=final["label"].to_numpy(zero_copy_only=False),
        probability=final[rows.prediction].to_numpy(),
        blocks=[rows.block(start) for start in times],
        of_row=pc.index_in(final[SCORED_FOR], wanted).to_numpy(),
        segments={column: final[column].to_pylist() for column in dict(levels)},
        levels=levels,
        minimum_rows=watching.monitoring.minimum_labels,
    )


def _reference(watching: Watching, tables: KnownTables) -> ModelReference:
    rows, tags = watching.rows, watching.rows.champion.model.tags
    _refuse_unknown(watching)
    first, last = json.loads(tags["headframe.training_window"])
    held_out = rows.held_out
    times = list(rows.sources(since=watching.since, until=held_out[0]))
    training = [start for start in times if first <= rows.block(start) <= last]
    scorer = rows.scorer()
    trained, judged = rows.said_again(training, scorer), rows.said_again(held_out, scorer)
    states = rows.states_at_training(tables)
    final = labelled(judged, states, tuple(rows.key))
    label = final["label"].to_numpy(zero_copy_only=False)
    columns, kind = rows.columns, watching.kind
    importance = importances(
        scorer,
        final.select(columns.all),
        label,
        columns=columns.all,
        seed=watching.seed,
        loss=kind.loss,
    )
    ranked = sorted(columns.all, key=lambda name: -importance[name])[:RANKED]
    edges = edges_of(
        trained,
        columns=[*columns.all, rows.prediction],
        ranked=[*ranked, rows.prediction],
        segments=list(watching.monitoring.segments),
        ordered_by=rows.prediction,
    )
    return ModelReference(
        model_version=rows.version,
        prediction=rows.prediction,
        edges=with_margin(edges),
        importance=importance,
        training_window=(first, last),
        losses=measured_losses(watching, judged, held_out, states, edges.segment_names),
        calibration=(
            _calibration(label, final[rows.prediction].to_numpy())
            if kind.answer == "probability"
            else None
        ),
        loss=kind.loss,
        unit=watching.label.unit or METRICS[kind.loss].unit,
    )


def _calibration(label: "object", score: "object") -> Calibration | None:
    try:
        return calibrated(label, score)  # type: ignore[arg-type]  # arrays
    except NotEnoughData:
        return None  # held-out labels of one kind say nothing of scores


def _profiled(
    rows: ChampionRows,
    reference: ModelReference,
    missing: Sequence[datetime],
    sources: dict[datetime, str],
    expect: "Expect",
) -> list[Profiled]:
    published = by_block(rows.published(missing, rows.columns.all))
    others = [start for start in missing if start not in published]
    again = by_block(rows.said_again(others, rows.scorer())) if others else {}
    return [
        _profile(
            rows,
            reference,
            start,
            source=sources[start],
            held=published[start] if start in published else again.get(start),
            expect=expect,
        )
        for start in missing
    ]


def _profile(
    rows: ChampionRows,
    reference: ModelReference,
    start: datetime,
    *,
    source: str,
    held: "pa.Table | None",
    expect: "Expect",
) -> Profiled:
    """Count a block's rows; what was published says which tables were late."""
    published = held is not None and STALE in held.column_names
    stale: set[str] = set()
    if held is not None and published:
        told = [text for text in held[STALE].unique().to_pylist() if text]
        stale = {name for text in told for name in text.split(",")}
    expected = expect(held) if held is not None and held.num_rows else None
    return Profiled(
        block=rows.block(start),
        scored_for=start,
        source=source,
        published=published,
        stale_tables=",".join(sorted(stale)),
        estimated_loss=expected,
        profile=scan(
            [] if held is None else held.to_batches(),
            reference.edges,
            block=rows.block(start),
        ),
    )


def _refuse_unknown(watching: Watching) -> None:
    """Raise DeclarationError for segments that are not among the model's text features."""
    texts = watching.rows.columns.categorical
    problems = []
    for name in watching.monitoring.segments:
        if name not in texts:
            near = get_close_matches(name, texts, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append(
                Problem(
                    where=f"use case {watching.rows.use_case!r}, monitoring, segments",
                    expected=f"text features of the champion ({', '.join(texts)})",
                    found=f"{name!r}{hint}",
                    fix="Correct the name; the next run of monitor reads it.",
                )
            )
    if problems:
        raise DeclarationError(*problems)
