"""Champion losses: what a champion's published blocks cost, measured once where labels are settled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters.models import loss_store
from pipelines.adapters.models.champion_profiles import Watching, measured_losses
from pipelines.adapters.models.performance_store import Closing
from pipelines.domain.digest import digest_of
from pipelines.domain.drift.losses import MEASURE_OF_LOSSES, BlockLosses, joined, taken
from pipelines.domain.model_reference import ModelReference

if TYPE_CHECKING:
    import pyarrow as pa


def losses_since(
    watching: Watching,
    reference: ModelReference,
    times: Sequence[datetime],
    states: "pa.Table",
    *,
    closings: Mapping[str, Closing],
    run: str,
) -> BlockLosses:
    """Return the losses of blocks that the champion published, on final labels alone, in this order.

    Of blocks in ``closings`` they are kept, and taken as they are until something that they were
    measured of has changed. Predictions are read of the other blocks alone.
    """
    rows, edges = watching.rows, reference.edges
    where = rows.settings, rows.use_case, reference.model_version
    # Named before anything is read: what changes meanwhile then has another name the next time.
    sources = _sources(watching, reference, times, closings)
    done, losses = loss_store.kept(*where, sources, edges.segment_names)
    left = sorted({*times} - {*done})
    if left:
        said = rows.published(left, edges.segments)
        fresh = measured_losses(watching, said, left, states, edges.segment_names)
        settled = [place for place, start in enumerate(left) if start in sources]
        of_times = [left[place] for place in settled]
        loss_store.keep(*where, taken(fresh, settled), times=of_times, sources=sources, run=run)
        losses = joined(losses, fresh)
    place_of = {start: place for place, start in enumerate([*done, *left])}
    return taken(losses, [place_of[start] for start in times])


def _sources(
    watching: Watching,
    reference: ModelReference,
    times: Sequence[datetime],
    closings: Mapping[str, Closing],
) -> dict[datetime, str]:
    """Return a digest of all that the losses of each closed block are measured of, by scoring time.

    Predictions, labels and how many of these are enough are what its closing is of; beside them are
    the loss, the block's name, the segments, and of which features these are.
    """
    rows, edges = watching.rows, reference.edges
    segments = [edges.segments, edges.segment_names]
    how = [MEASURE_OF_LOSSES, watching.kind.loss, rows.prediction, segments]
    closed = {start: block for start in times if (block := rows.block(start)) in closings}
    made = rows.feature_editions(list(closed)) if edges.segments else {}
    return {
        start: digest_of([how, block, closings[block].stands, made.get(start)])
        for start, block in closed.items()
    }
