"""Prediction records: every generation of every window, and what its commit says it was made from."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, pinned_files
from pipelines.adapters.settings import Settings
from pipelines.domain.sql_text import delta_moment, literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.stores.object_store import Folder

WINDOW = "prediction_window"
REASON = "replaced_because"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBy:
    """The commit that made one generation of a window.

    ``tables`` are versions of silver by dotted name, ``features`` and ``feature_version`` the digest
    of the feature view and the version of its table, as the run recorded them; without a record they
    are empty and None. ``as_of`` is when the rows it scored were described: rows of another time
    were carried over. ``reason`` says why it replaced the generation before.
    """

    window: str
    generation: int
    run: str
    run_key: str
    reason: str
    as_of: datetime | None
    tables: Mapping[str, int] = field(default_factory=dict)
    features: str = ""
    feature_version: int | None = None
    declaration: str = ""
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation of a window that has rows, current or replaced."""

    window: str
    generation: int
    run_key: str
    current: bool
    rows: int

    @property
    def scored_for(self) -> datetime:
        """The scoring time that the window is named after."""
        return datetime.fromisoformat(self.window.partition("/")[2])


def made_by(settings: Settings, use_case: str) -> dict[tuple[str, int], MadeBy]:
    """Return the commits that made predictions, by window and generation, from the table's log."""
    found = {}
    for commit in delta_tables.history(lake.predictions(settings, use_case)):
        if "headframe.window" not in commit or "headframe.generation" not in commit:
            continue
        window, generation = commit["headframe.window"], int(commit["headframe.generation"])
        moment, version = commit.get("headframe.as_of"), commit.get("headframe.feature_version")
        found[window, generation] = MadeBy(
            window=window,
            generation=generation,
            run=str(commit.get("headframe.run", "")),
            run_key=str(commit.get("headframe.run_key", "")),
            reason=str(commit.get("headframe.reason", "")),
            as_of=datetime.fromisoformat(moment) if moment else None,
            tables=json.loads(commit.get("headframe.tables", "{}")),
            features=str(commit.get("headframe.features", "")),
            feature_version=None if version is None else int(version),
            declaration=str(commit.get("headframe.declaration", "")),
            stale=tuple(json.loads(commit.get("headframe.stale", "[]"))),
        )
    return found


def maker(
    made: Mapping[tuple[str, int], MadeBy], window: str, generation: int, as_of: datetime
) -> MadeBy | None:
    """Return the commit that scored a row of a generation: of a carried row, the one that did then."""
    for number in range(generation, 0, -1):
        found = made.get((window, number))
        if found and (found.as_of is None or found.as_of == as_of):
            return found
    return made.get((window, generation))


def generations(settings: Settings, use_case: str) -> list[Generation]:
    """Return every generation that has rows, by window and number; nothing of an unscored use case."""
    found = [
        generation
        for table, current in _tables(settings, use_case)
        for generation in _generations(table, current=current)
    ]
    standing = {(g.window, g.generation) for g in found if g.current}
    # What a killed run copied to the history, and did not replace, is no generation of its own.
    kept = [g for g in found if g.current or (g.window, g.generation) not in standing]
    return sorted(kept, key=lambda generation: (generation.scored_for, generation.generation))


def without_rows(
    found: Iterable[Generation], made: Mapping[tuple[str, int], MadeBy]
) -> list[Generation]:
    """Return the generations that were made and are not ``found``: every row of theirs was refused."""
    there = {(generation.window, generation.generation) for generation in found}
    newest: dict[str, int] = {}
    for window, number in made:
        newest[window] = max(number, newest.get(window, 0))
    return [
        Generation(
            window=window,
            generation=number,
            run_key=by.run_key,
            current=number == newest[window],
            rows=0,
        )
        for (window, number), by in made.items()
        if (window, number) not in there
    ]


def rows_of(
    settings: Settings, use_case: str, generation: Generation, columns: Iterable[str]
) -> "pa.Table":
    """Return the rows of one generation, in the columns asked for."""
    table = (
        lake.predictions(settings, use_case)
        if generation.current
        else lake.prediction_history(settings, use_case)
    )
    where = f"{WINDOW} = {literal(generation.window)} and generation = {generation.generation}"
    return delta_tables.read(table, columns=list(columns), where=where)


def rows_of_key(
    settings: Settings,
    use_case: str,
    key: Mapping[str, object],
    made: Mapping[tuple[str, int], MadeBy],
) -> list[dict[str, Any]]:
    """Return every prediction ever made for a key, with ``current`` and ``replaced_because``.

    Oldest scoring time first, and its generations in order. ``made`` are the commits of the use
    case's predictions. Why one was replaced is what the commit of the next says: the history may
    name the reason of a run that was cut off before it.
    """
    where = condition(key)
    found = [
        {REASON: None, **row, "current": current}
        for table, current in _tables(settings, use_case)
        for row in delta_tables.read(table, where=where).to_pylist()
    ]
    standing = {(row[WINDOW], row["generation"]) for row in found if row["current"]}
    kept = [r for r in found if r["current"] or (r[WINDOW], r["generation"]) not in standing]
    for row in kept:
        next_one = made.get((row[WINDOW], row["generation"] + 1))
        if next_one and next_one.reason:
            row[REASON] = next_one.reason
    return sorted(kept, key=in_order)


def in_order(row: Mapping[str, Any]) -> tuple[datetime, int]:
    """Return what rows of one key are sorted by."""
    return row["scored_for"], row["generation"]


def condition(key: Mapping[str, object]) -> str:
    """Return the condition of the rows of a key."""
    return " and ".join(_equals(name, value) for name, value in key.items())


def _tables(settings: Settings, use_case: str) -> "list[tuple[Folder, bool]]":
    places = [
        (lake.prediction_history(settings, use_case), False),
        (lake.predictions(settings, use_case), True),
    ]
    return [(table, current) for table, current in places if delta_tables.exists(table)]


def _generations(table: "Folder", *, current: bool) -> list[Generation]:
    """Return the generations of a table, from its log: no file of it is opened."""
    rows: dict[tuple[str, str, str], int] = {}
    for file in pinned_files.pinned(table):
        said = file.partition
        place = (said[WINDOW], said["generation"], said["run_key"])
        rows[place] = rows.get(place, 0) + file.rows
    return [
        Generation(
            window=window, generation=int(number), run_key=run_key, current=current, rows=count
        )
        for (window, number, run_key), count in rows.items()
    ]


def _equals(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return f"{quoted(name)} = {delta_moment(value)}"
    if isinstance(value, date):
        return f"{quoted(name)} = date '{value.isoformat()}'"
    if isinstance(value, float):
        return f"{quoted(name)} = {value!r}"
    return f"{quoted(name)} = {literal(value)}"
