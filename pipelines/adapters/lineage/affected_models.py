"""Affected models: candidates whose training rows would be other without some landed rows."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.lineage.affected_windows import Scored
from pipelines.adapters.lineage.block_differences import BlockDifferences
from pipelines.adapters.lineage.recorded_tables import by_table
from pipelines.adapters.models import mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.domain.feature_differences import SIDE
from pipelines.domain.features import AS_OF, feature_digest
from pipelines.domain.impact import AffectedModel
from pipelines.domain.provenance import Progress
from pipelines.domain.sql_text import delta_moment, quoted
from pipelines.errors import ChampionUnresolved

if TYPE_CHECKING:
    import pyarrow as pa


def trained_on(
    scored: Scored, differing: BlockDifferences, *, progress: Progress
) -> list[AffectedModel]:
    """Return the candidates that would have been trained or judged on other rows, by version.

    Compared are the rows of the candidate's blocks in the feature table's recorded version, with
    labels final when it was trained. A candidate of another feature view is listed, as not exact,
    when its recorded tables hold the rows asked about.
    """
    found = []
    candidates = _candidates(scored)
    for number, model in enumerate(candidates):
        progress(number, len(candidates))
        affected = _model(scored, differing, model)
        if affected is not None:
            found.append(affected)
    progress(len(candidates), len(candidates))
    return found


def _candidates(scored: Scored) -> list[ModelVersion]:
    """Return every candidate of the use case, by version."""
    versions = {
        model.version
        for model in mlflow_registry.registered(scored.settings)
        if model.tags.get("headframe.use_case") == scored.use_case
    }
    found = []
    for version in sorted(versions, key=int):
        # The copy of a promoted one has a number of its own, which no candidate need have.
        with suppress(ChampionUnresolved):
            found.append(mlflow_registry.candidate(scored.settings, scored.use_case, version))
    return found


def _model(
    scored: Scored, differing: BlockDifferences, model: ModelVersion
) -> AffectedModel | None:
    recorded = json.loads(model.tags.get("headframe.data_versions", "{}"))
    versions = by_table(scored.use_case, scored.view.tables, recorded)
    as_of = datetime.fromisoformat(model.tags["headframe.as_of"])
    if not differing.saw(versions, as_of):
        return None
    digest = model.tags["headframe.features"]
    if digest != feature_digest(scored.view, scored.label):
        return AffectedModel(version=model.version, exact=False)
    first, last = map(date.fromisoformat, json.loads(model.tags["headframe.training_window"]))
    held_out = list(map(datetime.fromisoformat, json.loads(model.tags["headframe.held_out"])))
    version = recorded.get(f"gold.features.{scored.use_case}")
    labels = differing.labels(versions, as_of)
    counts = []
    for times in (scored.times.of_days(first, last), held_out):
        stored = _stored(scored, digest, times, version)
        differ = _differing(scored, differing, times, versions)
        counts.append(_counts(scored.view.entity.key, stored, differ, labels))
    trained, judged = counts
    others = ("features", "labels", "lost", "added")
    held_out_rows = sum(judged[name] for name in others)
    if not held_out_rows and not any(trained[name] for name in others):
        return None
    return AffectedModel(version=model.version, exact=True, held_out=held_out_rows, **trained)


def _stored(
    scored: Scored, digest: str, times: Sequence[datetime], version: int | None
) -> "pa.Table":
    """Return key and ``as_of`` of the feature rows of these times, as a version held them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folder = lake.features(scored.settings, scored.use_case, digest)
    where = f"{AS_OF} >= {delta_moment(times[0])} and {AS_OF} <= {delta_moment(times[-1])}"
    columns = [*scored.view.entity.key, AS_OF]
    rows = delta_tables.read(folder, columns=columns, where=where, at_version=version)
    return rows.filter(pc.is_in(rows[AS_OF], pa.array(times, rows[AS_OF].type)))


def _differing(
    scored: Scored,
    differing: BlockDifferences,
    times: Sequence[datetime],
    versions: Mapping[str, int],
) -> "pa.Table":
    """Return key, ``as_of`` and ``side`` of the blocks' rows that differ."""
    import pyarrow as pa

    columns = [*scored.view.entity.key, SIDE]
    found = []
    for moment in times:
        difference = differing.of(scored.block(moment, moment), versions)
        if difference is not None and difference.rows.num_rows:
            rows = difference.rows.select(columns)
            at = pa.array([moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
            found.append(rows.append_column(AS_OF, at))
    if found:
        return pa.concat_tables(found)
    return pa.table({name: pa.nulls(0) for name in [*columns, AS_OF]})


def _counts(
    key: Sequence[str],
    stored: "pa.Table",
    differing: "pa.Table",
    labels: "tuple[pa.Table, pa.Table]",
) -> dict[str, int]:
    """Return how many labelled rows there are, and how they would differ; see AffectedModel."""
    import duckdb

    keys = ", ".join(map(quoted, key))
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("stored", stored)
        if differing.num_rows:
            connection.register("differing", differing)
        else:
            connection.execute(
                f"create view differing as select *, '' as {SIDE} from stored limit 0"  # noqa: S608 - a constant
            )
        connection.register("final_with", labels[0])
        connection.register("final_without", labels[1])
        row = connection.execute(f"""
            with rows_with as (select {keys}, {AS_OF}, value from stored join final_with using ({keys})),
            described as (
                select {keys}, {AS_OF} from stored anti join
                    (select * from differing where {SIDE} = 'first') using ({keys}, {AS_OF})
                union all select {keys}, {AS_OF} from differing where {SIDE} = 'second'
            ),
            rows_without as (
                select {keys}, {AS_OF}, value from described join final_without using ({keys})),
            both_have as (
                select {keys}, {AS_OF}, w.value is distinct from o.value as relabelled
                from rows_with w join rows_without o using ({keys}, {AS_OF}))
            select (select count(*) from rows_with),
                (select count(*) from both_have semi join differing using ({keys}, {AS_OF})),
                (select count(*) from both_have where relabelled),
                (select count(*) from rows_with anti join rows_without using ({keys}, {AS_OF})),
                (select count(*) from rows_without anti join rows_with using ({keys}, {AS_OF}))
        """).fetchall()[0]  # noqa: S608 - names come from the declaration
    return dict(zip(("rows", "features", "labels", "lost", "added"), map(int, row), strict=True))
