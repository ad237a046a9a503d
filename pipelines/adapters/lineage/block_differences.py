"""Block differences: which feature rows of a block need some landed rows, computed once a block."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.lineage.recorded_tables import RecordedTables
from pipelines.domain.absence import Landed
from pipelines.domain.contract import Table
from pipelines.domain.feature_differences import differences
from pipelines.domain.features import FeatureView, KnownTables
from pipelines.domain.provenance import Block, changed_rows, described

if TYPE_CHECKING:
    import pyarrow as pa

MOST_KEPT = 4096
"""Blocks whose differences are kept: eleven years of days. A block without any is a few bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDifference:
    """Of one block: rows that differ without what is asked about (see ``differences``).

    ``strayed`` are the rows in which the feature store does not hold what is computed again.
    """

    rows: "pa.Table"
    strayed: "pa.Table | None"


class BlockDifferences:
    """The differences that some landed rows make, block by block."""

    def __init__(
        self, recorded: RecordedTables, view: FeatureView, absent: Collection[Landed]
    ) -> None:
        self._recorded, self._view, self._absent = recorded, view, absent
        self._kept: dict[Block, BlockDifference] = {}
        self._held: set[Block] = set()
        self.computed = 0

    def of(
        self,
        block: Block,
        versions: Mapping[str, int],
        stored: "Callable[[], pa.Table | None] | None" = None,
    ) -> BlockDifference | None:
        """Return what differs in a block at recorded versions; None where the rows were not seen.

        ``block.unseen`` is found here. ``stored`` gives the rows of the feature store, to compare;
        None where it has them no more. Raises VersionGone as ``RecordedTables.at``.
        """
        tables = self._recorded.at(versions)
        if not tables.saw(self._absent, block.as_of):
            return None
        known, asked = tables.known, replace(block, unseen=tables.unseen_at(block.as_of))
        found = self._kept.get(asked)
        if found is None or (stored and asked not in self._held):
            whole = described(known, self._view, asked)
            assert whole is not None  # noqa: S101 - nothing was taken away
            rows = changed_rows(known, self._view, asked, self._absent, whole=whole)
            held = stored() if stored else None
            strayed = None
            if held is not None:
                strayed = differences(held, whole.select(held.column_names), self._view.entity.key)
            found = BlockDifference(rows=rows, strayed=strayed)
            self.computed += 1
            if len(self._kept) < MOST_KEPT:
                self._kept[asked] = found
                self._held |= {asked} if stored else set()
        return found

    def may_have_seen(self, versions: Mapping[str, int]) -> bool:
        """Tell whether recorded versions of silver held a file asked about; they need not be there."""
        return self._recorded.took(self._absent, versions)

    def saw(self, versions: Mapping[str, int], as_of: datetime) -> bool:
        """Tell whether a file asked about was seen at ``as_of`` in recorded versions of silver.

        Raises VersionGone as ``RecordedTables.at``.
        """
        return self._recorded.at(versions).saw(self._absent, as_of)

    def labels(self, versions: Mapping[str, int], as_of: datetime) -> "tuple[pa.Table, pa.Table]":
        """Return the final labels at ``as_of``, key and ``value``: with the rows, and without."""
        tables = self._recorded.at(versions)
        unseen = tables.unseen_at(as_of)
        absences = (unseen, {*unseen, *self._absent})
        first, second = (
            final_labels(tables.known, self._view.entity, as_of, absent) for absent in absences
        )
        return first, second


def final_labels(
    known: KnownTables, entity: Table, as_of: datetime, absent: Collection[Landed]
) -> "pa.Table":
    """Return key and ``value`` of the labels that are final at ``as_of`` without some landed rows."""
    import pyarrow.compute as pc

    states = known.label_states(entity, as_of, without=absent)
    return states.filter(pc.equal(states["state"], "final")).select([*entity.key, "value"])
