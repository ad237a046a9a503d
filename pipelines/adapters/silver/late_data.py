"""Late data: which windows of the last days lack rows that silver took in after they were scored."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks, stale_marks
from pipelines.domain.contract import KNOWN_AT, Table
from pipelines.domain.lateness import Feed, Segment, fresh_from, late, late_refused, missing_came
from pipelines.domain.scoring import LateWindow
from pipelines.domain.sql_text import delta_moment

if TYPE_CHECKING:
    from pipelines.adapters.stores.object_store import Folder


def late_windows(
    settings: Settings,
    use_case: str,
    tables: Sequence[Table],
    ends: Mapping[datetime, datetime],
    *,
    as_of: datetime,
    fails_closed: bool = False,
) -> tuple[LateWindow, ...]:
    """Return what is to be scored again of the windows in ``ends``, by scoring time and as_of.

    ``tables`` are those that the features read, ``ends`` the end of each window by its scoring time.
    Where scoring ``fails_closed``, a window without predictions after the first that has any was
    refused: it is late once nothing that it lacked is missing.
    Read are the transactions of predictions, feature rows and silver; of silver's rows only the
    times, and only of tables that were flagged stale. A publication is found by whoever asks after
    both it and the predictions were committed, whichever came first.
    """
    # Predictions before what they were made from: what is published in between is found late at
    # worst, and never passed over.
    every = made_marks.segments(settings, use_case)
    windows = {scored_for: made for scored_for, made in every.items() if scored_for in ends}
    absent = sorted(ends.keys() - every.keys()) if fails_closed and every else []
    refused = [scored_for for scored_for in absent if scored_for > min(every)]
    if not windows and not refused:
        return ()
    blocks = made_marks.blocks_of(settings, use_case, windows.values())
    marks = stale_marks.of_tables(settings, use_case, tables)
    found = [
        window
        for scored_for, segments in windows.items()
        for window in late(
            segments,
            {s.as_of: blocks.get((s.features, s.as_of), ()) for s in segments},
            marks,
            _came(settings, use_case, tables, segments[0], until=ends[scored_for]),
            until=ends[scored_for],
            as_of=as_of,
        )
    ]
    for scored_for in refused:
        until = ends[scored_for]
        feeds = _feeds(settings, use_case, tables, scored_for, until)
        if window := late_refused(feeds, marks, scored_for=scored_for, until=until, as_of=as_of):
            found.append(window)
    return tuple(sorted(found, key=lambda window: (window.scored_for, window.as_of)))


def _came(
    settings: Settings, use_case: str, tables: Iterable[Table], first: Segment, *, until: datetime
) -> dict[datetime, list[str]]:
    """Return the moments at which something came that the window lacked, with the tables' names."""
    found: dict[datetime, list[str]] = {}
    stale = [table for table in tables if table.name in first.stale]
    for feed in _feeds(settings, use_case, stale, first.scored_for, until):
        for moment in missing_came(feed, scored_for=first.scored_for):
            found.setdefault(moment, []).append(feed.table.name)
    return found


def _feeds(
    settings: Settings,
    use_case: str,
    tables: Iterable[Table],
    scored_for: datetime,
    until: datetime,
) -> list[Feed]:
    return [
        _feed(lake.silver(settings, use_case, table.name), table, scored_for, until)
        for table in tables
    ]


def _feed(silver: "Folder", table: Table, scored_for: datetime, until: datetime) -> Feed:
    """Return what came of a table before a window and while it lasted.

    Only as far back as decides whether the table was stale. A delivery is known once its last row is.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not delta_tables.exists(silver):
        return Feed(table=table, newest=None, later=())
    low, high = delta_moment(fresh_from(table, scored_for)), delta_moment(until)
    where = f"{KNOWN_AT} >= {low} and {KNOWN_AT} < {high}"
    earlier: list[datetime] = []
    later: dict[str, datetime] = {}
    for batch in delta_tables.read_batches(silver, columns=[KNOWN_AT, "_sha256"], where=where):
        rows = pa.Table.from_batches([batch])
        known = pc.less_equal(rows[KNOWN_AT], pa.scalar(scored_for, rows[KNOWN_AT].type))
        newest = pc.max(rows.filter(known)[KNOWN_AT]).as_py()
        earlier = [max([newest, *earlier])] if newest else earlier
        files = rows.filter(pc.invert(known)).group_by("_sha256").aggregate([(KNOWN_AT, "max")])
        for file in files.to_pylist():
            moment = file[f"{KNOWN_AT}_max"]
            later[file["_sha256"]] = max(moment, later.get(file["_sha256"], moment))
    moments = tuple(sorted(set(later.values())))
    return Feed(table=table, newest=next(iter(earlier), None), later=moments)
