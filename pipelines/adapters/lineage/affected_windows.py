"""Affected windows: the predictions of every generation that some landed rows, or a model, reached."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.lineage import prediction_records, refused_rows
from pipelines.adapters.lineage.block_differences import BlockDifferences
from pipelines.adapters.lineage.prediction_records import WINDOW, Generation, MadeBy
from pipelines.adapters.lineage.recorded_tables import by_table
from pipelines.adapters.lineage.stored_rows import stored_rows
from pipelines.adapters.settings import Settings
from pipelines.domain.feature_differences import CHANGED, SIDE
from pipelines.domain.features import AS_OF, FeatureView, feature_digest
from pipelines.domain.impact import GONE, PREDICTION, AffectedWindow
from pipelines.domain.labels import Label
from pipelines.domain.provenance import Block, Progress, of_key
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.sql_text import literal, quoted
from pipelines.errors import Problem, VersionGone

if TYPE_CHECKING:
    import pyarrow as pa

MODEL = "model_version"
DIGEST = "feature_digest"


@dataclass(slots=True, kw_only=True)
class WindowFindings:
    """What was found: windows, those that cannot be compared, broken links, and how many were seen."""

    windows: list[AffectedWindow] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    broken: list[Problem] = field(default_factory=list)
    looked_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A use case whose predictions are looked at: its feature view, label and scoring times."""

    settings: Settings
    use_case: str
    view: FeatureView
    label: Label
    times: ScoringTimes

    def block(self, scored_for: datetime, as_of: datetime) -> Block:
        """Return the block of a scoring time, described at ``as_of``."""
        return Block(since=scored_for, as_of=as_of, until=self.times.after(scored_for))

    def columns(self, *more: str) -> list[str]:
        """Return the entity's key and what else a look at predictions needs."""
        return [*self.view.entity.key, PREDICTION, MODEL, *more]


def made_with(scored: Scored, model_version: str) -> WindowFindings:
    """Return every prediction, current or replaced, that a model version made."""
    import pyarrow.compute as pc

    found = WindowFindings()
    for generation in prediction_records.generations(scored.settings, scored.use_case):
        rows = prediction_records.rows_of(
            scored.settings, scored.use_case, generation, scored.columns()
        )
        found.looked_at += 1
        mine = rows.filter(pc.equal(rows[MODEL], model_version))
        if mine.num_rows:
            found.windows.append(_affected(scored, generation, mine))
    return found


def reached_by(
    scored: Scored, differing: BlockDifferences, *, progress: Progress
) -> WindowFindings:
    """Return every prediction whose feature row would be another without the rows asked about.

    Each generation is judged by the versions of silver that it recorded, and each of its rows at the
    time it was described.
    """
    found = WindowFindings()
    made = prediction_records.made_by(scored.settings, scored.use_case)
    generations = prediction_records.generations(scored.settings, scored.use_case)
    refusals = refused_rows.places(scored.settings, scored.use_case)
    generations += [
        generation
        for generation in prediction_records.without_rows(generations, made)
        if (generation.window, generation.run_key) in refusals
    ]
    generations.sort(key=lambda generation: (generation.scored_for, generation.generation))
    for number, generation in enumerate(generations):
        progress(number, len(generations))
        rows = prediction_records.rows_of(
            scored.settings, scored.use_case, generation, scored.columns(AS_OF, DIGEST)
        )
        if (generation.window, generation.run_key) in refusals:
            rows = _with_refused(scored, generation, made, rows)
        _look(scored, differing, generation, made, rows=rows, found=found)
    progress(len(generations), len(generations))
    return found


def _with_refused(
    scored: Scored,
    generation: Generation,
    made: Mapping[tuple[str, int], MadeBy],
    rows: "pa.Table",
) -> "pa.Table":
    """Return the predictions of a generation and the rows that it refused, without a prediction."""
    import pyarrow as pa

    columns = [*scored.view.entity.key, MODEL, AS_OF]
    refused = refused_rows.rows_of(scored.settings, scored.use_case, generation, columns)
    digests = {}
    for as_of in set(refused[AS_OF].to_pylist()):
        by = prediction_records.maker(made, generation.window, generation.generation, as_of)
        digests[as_of] = by.features if by else ""
    views = pa.array([digests[as_of] for as_of in refused[AS_OF].to_pylist()], pa.string())
    refused = refused.append_column(DIGEST, views)
    refused = refused.append_column(PREDICTION, pa.nulls(refused.num_rows, pa.float64()))
    return pa.concat_tables([rows, refused.select(rows.column_names).cast(rows.schema)])


def _look(
    scored: Scored,
    differing: BlockDifferences,
    generation: Generation,
    made: Mapping[tuple[str, int], MadeBy],
    *,
    rows: "pa.Table",
    found: WindowFindings,
) -> None:
    """Add what is affected of one generation; ``rows`` are its predictions and refused rows."""
    import pyarrow as pa

    found.looked_at += 1
    affected: list[pa.Table] = []
    unmade, name = 0, f"{generation.window} generation {generation.generation}"
    for part in _described_alike(rows):
        as_of, digest = part[AS_OF][0].as_py(), part[DIGEST][0].as_py()
        maker = prediction_records.maker(made, generation.window, generation.generation, as_of)
        versions = by_table(scored.use_case, scored.view.tables, maker.tables if maker else {})
        block = scored.block(generation.scored_for, as_of)
        try:
            if digest != feature_digest(scored.view, scored.label):
                found.uncertain += [name] if differing.saw(versions, as_of) else []
                continue
            version = maker.feature_version if maker else None
            stored = partial(_stored, scored, digest, as_of, version)
            difference = differing.of(block, versions, stored)
        except VersionGone:
            found.unreadable += [name] if differing.may_have_seen(versions) else []
            continue
        if difference is None:
            continue
        if difference.strayed is not None and difference.strayed.num_rows:
            found.broken.append(_strayed(generation, difference.strayed.num_rows))
        affected.append(_joined(part, difference.rows, scored.view.entity.key))
        unmade += _count_second(difference.rows)
    together = pa.concat_tables(affected) if affected else None
    if together is not None and (together.num_rows or unmade):
        found.windows.append(_affected(scored, generation, together, unmade=unmade))


def _affected(
    scored: Scored, generation: Generation, rows: "pa.Table", *, unmade: int = 0
) -> AffectedWindow:
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in scored.view.entity.key]
    kept = rows.filter(pc.is_valid(rows[PREDICTION])).drop_columns([MODEL])
    return AffectedWindow(
        window=generation.window,
        scored_for=generation.scored_for,
        generation=generation.generation,
        current=generation.current,
        model_versions=tuple(sorted(pc.unique(rows[MODEL]).to_pylist())),
        rows=generation.rows,
        affected=kept.sort_by(order),
        unmade=unmade,
        refused=rows.num_rows - kept.num_rows,
    )


def _described_alike(rows: "pa.Table") -> "list[pa.Table]":
    """Return the rows of each time of description and feature view, in their order."""
    kinds = rows.group_by([AS_OF, DIGEST]).aggregate([]).to_pylist()
    return [of_key(rows, kind) for kind in sorted(kinds, key=lambda k: (k[AS_OF], k[DIGEST]))]


def _joined(rows: "pa.Table", differing: "pa.Table", key: Collection[str]) -> "pa.Table":
    """Return the predictions among the rows that differ, with what differs."""
    import duckdb

    keys = ", ".join(map(quoted, key))
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("predictions", rows)
        connection.register("differing", differing)
        return connection.sql(f"""
            select {keys}, p.{PREDICTION}, p.{MODEL}, d.{CHANGED}, d.{SIDE} = 'first' as {GONE}
            from predictions p join differing d using ({keys})
            where d.{SIDE} <> 'second' order by {keys}
        """).to_arrow_table()  # noqa: S608 - names come from the declaration


def _count_second(differing: "pa.Table") -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(differing[SIDE], "second")).as_py() or 0)


def _stored(scored: Scored, digest: str, as_of: datetime, version: int | None) -> "pa.Table | None":
    """Return the rows of the feature store at a time, as a version held them; None: not any more."""
    return stored_rows(lake.features(scored.settings, scored.use_case, digest), as_of, version)


def _strayed(generation: Generation, count: int) -> Problem:
    return Problem(
        where=f"{WINDOW} {literal(generation.window)}, generation {generation.generation}",
        expected="feature rows as its recorded tables say when they are computed again",
        found=f"{count:,} that are other, or are missing",
        fix="What is listed for them rests on the tables, not on the rows that were scored.",
    )
