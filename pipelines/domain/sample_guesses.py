"""Sample guesses: which columns of a sample identify a row, and which say when."""

import math
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import TYPE_CHECKING

from pipelines.domain.sample_table import MOMENT, SampleColumn, SampleTable

if TYPE_CHECKING:
    import pyarrow as pa

ID_ENDINGS = ("_id", "_key", "_no", "_number", "_code", "uuid")
"""How names of identifiers end; ``id`` itself is one, ``amount_paid`` is none."""

MOST_KEY_COLUMNS = 4
"""Columns of a key looked for; a longer one is declared by hand."""

MOST_KEY_CANDIDATES = 10
"""Columns that keys are looked for in: 385 sets, each a grouping of the sample."""

SHARE_KNOWN = 0.95
"""Share of the outcomes that are there by ``expected_after``: most, as a label says."""

PENALTIES = {"string": 2, "int64": 3, "date": 3, MOMENT: 8}
"""How unlike an identifier a type is; others identify nothing. A moment that no two rows share is
most often chance."""


def is_identifier(column: SampleColumn) -> bool:
    """Tell whether a column's name says that it names things."""
    named = column.name == "id" or column.name.endswith(ID_ENDINGS)
    return named and column.type in ("string", "int64")


def is_unique(table: SampleTable, key: Sequence[str]) -> bool:
    """Tell whether no two rows of the sample, which holds each row once, have the same key."""
    rows = table.rows.select(list(key))
    return bool(rows.group_by(list(key)).aggregate([]).num_rows == rows.num_rows)


def guess_key(table: SampleTable, among: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the columns that most likely identify a row: few, and named or typed as identifiers are.

    Only columns ``among`` these, where given, none of them with an empty cell. Empty when no set of
    at most MOST_KEY_COLUMNS is unique in the sample.
    """
    able = [
        column
        for column in table.columns
        if not column.nullable
        and column.type in PENALTIES
        and (among is None or column.name in among)
    ]
    penalty = {c.name: 1 if is_identifier(c) else PENALTIES[c.type] for c in able}
    able.sort(key=lambda column: penalty[column.name])  # stable: the file's order breaks ties
    able = able[:MOST_KEY_CANDIDATES]
    distinct = {column.name: column.distinct for column in able}
    sets = [
        names
        for size in range(1, MOST_KEY_COLUMNS + 1)
        for names in combinations([column.name for column in able], size)
    ]
    sets.sort(key=lambda names: (sum(penalty[name] for name in names), len(names)))
    for names in sets:
        enough = math.prod(distinct[name] for name in names) >= table.rows.num_rows
        if enough and is_unique(table, names):
            return tuple(name for name in table.names if name in names)
    return ()


def guess_event_time(table: SampleTable) -> str | None:
    """Return the moment that comes last on average: a row is made before what it announces."""
    return max(table.moments, key=lambda name: _mean(table.rows[name]), default=None)


def guess_known_before(table: SampleTable, event_time: str) -> str | None:
    """Return the latest other moment that is never after the event; None without one.

    That the row was known then is only true if none of its columns changes after that moment, which
    no sample can show: whoever takes the guess says so.
    """
    import pyarrow.compute as pc

    event = table.rows[event_time]
    before = [
        name
        for name in table.moments
        if name != event_time and pc.all(pc.less_equal(table.rows[name], event)).as_py()
    ]
    return max(before, key=lambda name: _mean(table.rows[name]), default=None)


def guess_known_after(outcomes: SampleTable, ages: dict[str, timedelta]) -> str | None:
    """Return the moment at which an outcome was known, the latest after the event; None without one.

    ``ages`` are those that ``ages_of_outcomes`` found.
    """
    able = [n for n in outcomes.moments if ages.get(n, timedelta(-1)) >= timedelta(0)]
    return max(able, key=lambda name: ages[name], default=None)


def ages_of_outcomes(
    entities: SampleTable,
    outcomes: SampleTable,
    key: Sequence[str],
    event_time: str,
    known_at: str | None = None,
) -> dict[str, timedelta]:
    """Return, per moment of the outcomes, the age that the share SHARE_KNOWN of them have at most.

    Ages count from the event of the entity that has the same key, of the same types in both. A
    moment that the key or the entities hold too is none of the outcomes', unless somebody said that
    it is their ``known_at``.
    """
    import numpy as np
    import pyarrow as pa

    own = [
        column.name
        for column in outcomes.columns
        if column.type == MOMENT
        and (column.name == known_at or column.name not in {*key, *entities.names})
    ]
    events = entities.rows.select(dict.fromkeys([*key, event_time]))
    # No column of a contract begins with an underscore, so no name is there twice.
    columns = {**{name: name for name in key}, **{f"_{name}": name for name in own}}
    moments = pa.table({name: outcomes.rows[of] for name, of in columns.items()})
    joined = moments.join(events, list(key), join_type="inner")
    found = {}
    for name in own:
        both = joined.select([f"_{name}", event_time]).drop_null()
        if both.num_rows:
            after, event = (both[place].cast("int64").to_numpy() for place in (0, 1))
            microseconds = float(np.quantile(after - event, SHARE_KNOWN, method="higher"))
            found[name] = timedelta(microseconds=microseconds)
    return found


def label_age(ages: dict[str, timedelta], known_at: str | None) -> timedelta | None:
    """Return the age of ``known_at`` in whole days, rounded up, at least one; None if not known.

    Outcomes without a ``known_at`` take the oldest age.
    """
    age = max(ages.values(), default=None) if known_at is None else ages.get(known_at)
    return None if age is None else timedelta(days=max(1, math.ceil(age / timedelta(days=1))))


def days_of(rows: "pa.Table", event_time: str) -> tuple[date, int]:
    """Return the first day (UTC) of the sample's events, and how many days they span."""
    import pyarrow.compute as pc

    ends = pc.min_max(rows[event_time])
    first, last = ends["min"].as_py().date(), ends["max"].as_py().date()
    return first, (last - first).days + 1


def _mean(moments: "pa.ChunkedArray") -> float:
    import pyarrow.compute as pc

    return float(pc.mean(moments.cast("int64")).as_py())


def told(duration: timedelta) -> str:
    """Return a duration as it is declared, in whole days or hours where it is so many.

    >>> told(timedelta(days=3)), told(timedelta(hours=30)), told(timedelta(minutes=90))
    ('timedelta(days=3)', 'timedelta(hours=30)', 'timedelta(minutes=90)')
    """
    for unit in ("days", "hours", "minutes", "seconds"):
        count = duration / timedelta(**{unit: 1})
        if count.is_integer():
            return f"timedelta({unit}={count:.0f})"
    return f"timedelta(seconds={duration.total_seconds()})"
