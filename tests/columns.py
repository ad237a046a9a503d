"""Columns: blocks of one column's values, and the unit that hard rules would tell a block in."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import NumericEdges, edges_of
from pipelines.domain.drift.unit_changes import FAR, other_unit
from pipelines.domain.model_reference import with_margin

Numbers: TypeAlias = NDArray[Any]
OUTSIDE = 0.05
"""The share that hard rules let lie where a unit has no values."""


class Column:
    """A column's blocks, described by the edges of the first ``trained`` ones."""

    def __init__(self, blocks: Sequence[Numbers], *, trained: int) -> None:
        learned = pa.table({"x": np.concatenate(blocks[:trained])})
        self._all = with_margin(edges_of(learned, columns=["x"]))
        edges = self._all.of("x")
        assert isinstance(edges, NumericEdges)
        self.edges = edges
        profiles = [self._scanned(block) for block in blocks]
        self.moments = np.stack([profile.moments[0] for profile in profiles])
        self.counts = np.stack([profile.counts for profile in profiles]).astype(float)

    def _scanned(self, block: Numbers) -> Any:  # noqa: ANN401 - a profile
        return scan(pa.table({"x": block}).to_batches(), self._all, block="any")

    def told(self, newest: int, reference: Sequence[int] | range, *, before: int = 7) -> str:
        """Return the unit that block ``newest`` is told in; "" where none is."""
        rows = [*reference, newest]
        just_before = range(max(0, newest - before), newest)
        away, unit = other_unit(
            self.edges,
            self.moments[rows],
            self.counts[rows],
            OUTSIDE,
            before=self.moments[list(just_before)],
        )
        # As hard rules do: a block is told that is farther than all others.
        return unit if away[-1] >= FAR and away[-1] > away[:-1].max(initial=0.0) else ""
