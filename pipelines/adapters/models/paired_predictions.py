"""Paired predictions: what champion and shadow said of the same feature rows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks
from pipelines.domain.lateness import Segment
from pipelines.domain.on_probation import OnProbation
from pipelines.domain.slots import SHADOW, SLOT
from pipelines.domain.sql_text import delta_moment

if TYPE_CHECKING:
    import pyarrow as pa

SCORED_FOR = "scored_for"
AS_OF = "as_of"


def both_scored(settings: Settings, under: OnProbation) -> list[datetime]:
    """Return the scoring times that a champion on probation and its shadow both scored, sorted.

    Those that the two made from different feature rows are left out.
    """
    use_case, since = under.promoted.use_case, under.promoted.as_of
    ours = _times(settings, use_case, SLOT, under.version, since)
    theirs = _times(settings, use_case, SHADOW, under.against, since)
    return _made_alike(settings, use_case, ours & theirs)


def paired(
    settings: Settings, under: OnProbation, *, key: Sequence[str], blocks: Mapping[datetime, str]
) -> "pa.Table | None":
    """Return the rows that both versions predicted; None when there are none.

    ``blocks`` names the block of each scoring time. Columns: the key, ``block``, and the predictions
    in ``champion`` and ``shadow``. A window that the two made from different feature rows is left out.
    """
    import pyarrow as pa

    sound = _made_alike(settings, under.promoted.use_case, blocks)
    if not sound:
        return None
    ours = _said(settings, under, SLOT, key, sound)
    theirs = _said(settings, under, SHADOW, key, sound)
    joined = ours.join(theirs, [*key, SCORED_FOR, AS_OF], join_type="inner").combine_chunks()
    if not joined.num_rows:
        return None
    times = joined[SCORED_FOR].combine_chunks().dictionary_encode()
    names = pa.array([blocks[time] for time in times.dictionary.to_pylist()], pa.string())
    named = joined.append_column("block", names.take(times.indices))
    return named.drop_columns([SCORED_FOR, AS_OF])


def _times(
    settings: Settings, use_case: str, slot: str, version: str, since: datetime
) -> set[datetime]:
    """Return the scoring times since a moment of which a version's predictions stand."""
    import pyarrow as pa

    table = lake.predictions(settings, use_case, slot)
    if not delta_tables.exists(table):
        return set()
    batches = delta_tables.read_batches(
        table,
        columns=[SCORED_FOR],
        where=f"{SCORED_FOR} >= {delta_moment(since)} "
        f"and model_version = {delta_tables.quoted(version)}",
    )
    return {
        moment
        for batch in batches
        for moment in pa.Table.from_batches([batch])
        .group_by([SCORED_FOR])
        .aggregate([])[SCORED_FOR]
        .to_pylist()
    }


def _made_alike(settings: Settings, use_case: str, times: Iterable[datetime]) -> list[datetime]:
    """Return, sorted, the scoring times whose standing predictions both slots made of the same rows."""
    ours = made_marks.segments(settings, use_case, slot=SLOT)
    theirs = made_marks.segments(settings, use_case, slot=SHADOW)
    return sorted(
        time
        for time in times
        if time in ours and time in theirs and _rows(ours[time]) == _rows(theirs[time])
    )


def _rows(made: Iterable[Segment]) -> list[tuple[datetime, str, str]]:
    return [(one.as_of, one.features, one.digest) for one in made]


def _said(
    settings: Settings,
    under: OnProbation,
    slot: str,
    key: Sequence[str],
    times: Sequence[datetime],
) -> "pa.Table":
    """Return what the slot's version said at the sorted times, in a column called like the slot."""
    import pyarrow as pa
    import pyarrow.compute as pc

    version = under.version if slot == SLOT else under.against
    rows = delta_tables.read(
        lake.predictions(settings, under.promoted.use_case, slot),
        columns=[*key, SCORED_FOR, AS_OF, "prediction"],
        where=f"{SCORED_FOR} >= {delta_moment(times[0])} and {SCORED_FOR} <= "
        f"{delta_moment(times[-1])} and model_version = {delta_tables.quoted(version)}",
    )
    wanted = pa.array(list(times), pa.timestamp("us", tz="UTC"))
    rows = rows.filter(pc.is_in(rows[SCORED_FOR], wanted))
    return rows.rename_columns([*key, SCORED_FOR, AS_OF, slot])
