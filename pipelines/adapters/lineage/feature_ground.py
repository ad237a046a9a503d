"""Feature ground: the stored feature row of a prediction, and the landed files it comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.lineage.file_trail import FileTrails
from pipelines.adapters.lineage.prediction_records import MadeBy
from pipelines.adapters.lineage.recorded_tables import AsRecorded, RecordedTables, by_table
from pipelines.adapters.lineage.stored_rows import stored_rows
from pipelines.adapters.settings import Settings
from pipelines.domain.feature_differences import CHANGED, differences
from pipelines.domain.features import FeatureView, feature_digest, feature_names
from pipelines.domain.labels import Label
from pipelines.domain.provenance import (
    Block,
    Progress,
    Source,
    described,
    entity_version,
    of_key,
    sources,
)
from pipelines.domain.trace import FeatureRow, SourceSeen, key_text
from pipelines.errors import Problem, VersionGone

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.absence import Landed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The feature row, the landed files below it, and what of it does not hold.

    ``files_tried`` were taken away one by one; None where sources were not asked for.
    """

    feature_row: FeatureRow | None = None
    sources: tuple[SourceSeen, ...] = ()
    files_tried: int | None = None
    broken: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Where a prediction's feature row comes from: its view, its block and the commit that says so."""

    use_case: str
    view: FeatureView
    label: Label
    digest: str
    since: datetime
    as_of: datetime
    until: datetime
    made: MadeBy | None


def ground(
    settings: Settings,
    asked: Described,
    key: Mapping[str, object],
    *,
    brief: bool,
    progress: Progress,
) -> Ground:
    """Return the feature row of ``key`` and, unless ``brief``, every landed file it comes from.

    What cannot be found, or says something else when it is computed again from the recorded
    versions of silver, is told in ``broken``.
    """
    where, view = f"feature row of {key_text(key)}", asked.view
    version = asked.made.feature_version if asked.made else None
    folder = lake.features(settings, asked.use_case, asked.digest)
    block_rows = stored_rows(folder, asked.as_of, version)
    stored = None if block_rows is None else of_key(block_rows, key)
    if not delta_tables.exists(folder) or (stored is not None and not stored.num_rows):
        return Ground(broken=(_broken(where, "the row that was scored", "none in the store"),))
    kept = None if stored is None else _row(asked, folder.name, stored)
    if asked.digest != feature_digest(view, asked.label):
        expected = f"the feature view {asked.digest[:12]}, as the prediction says"
        fix = "The declaration has another view now: trace with the code kept beside the model."
        problem = Problem(where=where, expected=expected, found="another one", fix=fix)
        return Ground(feature_row=kept, broken=(problem,))
    recorded = RecordedTables(settings, asked.use_case, view, asked.label)
    versions = by_table(asked.use_case, view.tables, asked.made.tables if asked.made else {})
    try:
        found_tables = recorded.at(versions)
    except VersionGone as error:
        return Ground(feature_row=kept, broken=error.problems)
    known, block = found_tables.known, _block(asked, found_tables)
    whole = described(known, view, block)
    assert whole is not None  # noqa: S101 - nothing was taken away
    again = of_key(whole, key)
    if kept is None or stored is None:
        if not again.num_rows:
            return Ground(broken=(_broken(where, "the row that was scored", "none any more"),))
        kept = replace(_row(asked, folder.name, again), stored=False)
    else:
        kept = replace(kept, differs_in=_differs(stored, again, view.entity.key))
    own = entity_version(known, view, block, key)
    found: Iterable[Source] = () if brief else sources(known, view, block, key, progress=progress)
    trails = _Trails(recorded, FileTrails(settings, asked.use_case))
    return Ground(
        feature_row=kept,
        sources=tuple(trails.all(found, own[0] if own else None)),
        files_tried=None if brief else len(known.seen_at(block.as_of, without=block.unseen)),
        broken=(
            (
                _broken(
                    where,
                    "what the recorded tables say when it is computed again",
                    f"another value of {', '.join(kept.differs_in)}",
                ),
            )
            if kept.differs_in
            else ()
        ),
    )


def _row(asked: Described, table: str, found: "pa.Table") -> FeatureRow:
    """Return the first row of a table of features, as it is told."""
    return FeatureRow(
        table=f"gold.features.{table}",
        version=asked.made.feature_version if asked.made else None,
        view=asked.digest,
        features=found.select(feature_names(found, asked.view.entity)).to_pylist()[0],
        differs_in=(),
    )


def _block(asked: Described, tables: AsRecorded) -> Block:
    unseen = tables.unseen_at(asked.as_of)
    return Block(since=asked.since, as_of=asked.as_of, until=asked.until, unseen=unseen)


@dataclass(frozen=True, slots=True)
class _Trails:
    """Files by hash, with what is known of each."""

    recorded: RecordedTables
    files: FileTrails

    def all(self, found: Iterable[Source], own: "Landed | None") -> list[SourceSeen]:
        """Return the sources, that of the entity's own row first."""
        seen = [self._seen(source, own) for source in found]
        if own and not any(source.own_row for source in seen):
            seen.append(
                SourceSeen(
                    file=self.files.seen(self.recorded.files[own.table].by_sha256[own.sha256]),
                    changed=(),
                    gone=False,
                    rows=(),
                    tried=0,
                    known=0,
                    own_row=own.row,
                )
            )
        return sorted(seen, key=lambda s: (s.own_row is None, s.file.table, s.file.name))

    def _seen(self, source: Source, own: "Landed | None") -> SourceSeen:
        landed, row = source.landed, None
        if own and (landed.table, landed.sha256) == (own.table, own.sha256):
            row = own.row
        return SourceSeen(
            file=self.files.seen(self.recorded.files[landed.table].by_sha256[landed.sha256]),
            changed=source.changed,
            gone=source.gone,
            rows=source.rows,
            tried=source.tried,
            known=source.known,
            own_row=row,
        )


def _differs(stored: "pa.Table", again: "pa.Table", key: Sequence[str]) -> tuple[str, ...]:
    """Return the columns in which the stored row is not what computing it again gives."""
    found = differences(stored, again.select(stored.column_names), key).to_pylist()
    return tuple(found[0][CHANGED]) if found else ()


def _broken(where: str, expected: str, found: str) -> Problem:
    fix = "Feature rows and silver disagree: `headframe check --lake` verifies the tables."
    return Problem(where=where, expected=expected, found=found, fix=fix)
