"""Label join: final labels of rows whose entity and outcome have one version each, told at once."""

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.contract import KNOWN_AT
from pipelines.domain.labels import LABEL, Label, joined_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipelines.domain.contract import Table

    Places: TypeAlias = NDArray[np.int64]

NEVER = 1 << 62
"""Microseconds of a moment that is missing: later than any other, also after ``final_after``."""

MICROSECOND = timedelta(microseconds=1)


def labelled_once(
    rows: "pa.Table",
    entities: "pa.Table",
    outcomes: "pa.Table",
    *,
    label: Label,
    entity: "Table",
    as_of: "datetime",
) -> "pa.Table | None":
    """Return what ``labels.labelled`` returns at ``as_of``; None where one version must be chosen.

    That is where an entity or its outcome has more than one. ``entities`` hold the key, the event
    time and when each became known, ``outcomes`` all columns of the label's table and when each
    became known, both every version. Raises DuckDB's errors for a rule that fails on an outcome.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _values(outcomes, label)
    found = _matched(rows, entities, outcomes, entity.key, joined_by(label, entity))
    if found is None:
        return None
    places, of_entity, of_outcome = found
    now = _moments(pa.chunked_array([[as_of]], pa.timestamp("us", tz="UTC")))[0]
    final_at = _moments(entities[str(entity.event_time)])[of_entity]
    final_at += label.final_after // MICROSECOND
    final = (final_at <= now) & (_moments(entities[KNOWN_AT])[of_entity] <= now)
    final &= _moments(outcomes[KNOWN_AT])[of_outcome] <= final_at
    final &= np.asarray(pc.is_valid(values))[of_outcome]
    kept = rows if final.all() and len(final) == rows.num_rows else rows.take(places[final])
    return kept.append_column(LABEL, values.take(of_outcome[final])).combine_chunks()


def _values(outcomes: "pa.Table", label: Label) -> "pa.ChunkedArray":
    """Return what the label's rule says of each outcome, in their order."""
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        connection.register("outcomes", outcomes)
        query = f"select {label.expression} as value from outcomes"  # noqa: S608 - from the declaration
        return connection.sql(query).to_arrow_table()["value"]


def _moments(column: "pa.ChunkedArray") -> "Places":
    import pyarrow as pa

    told = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(NEVER)
    found: Places = told.to_numpy()
    return found


def _matched(
    rows: "pa.Table",
    entities: "pa.Table",
    outcomes: "pa.Table",
    key: "Sequence[str]",
    joined: "Sequence[str]",
) -> "tuple[Places, Places, Places] | None":
    """Return places of rows that have both, in order, of their entities and of their outcomes.

    None where one of them has several.
    """
    import numpy as np

    tables = (rows, entities, outcomes)
    if not (list(key) == list(joined) and len(key) == 1 and _are_integers(tables, key[0])):
        return _joined(rows, entities, outcomes, key, joined)
    asked, *others = (table[key[0]].to_numpy() for table in tables)
    of_entity, of_outcome = (_places_of(asked, other) for other in others)
    if of_entity is None or of_outcome is None:
        return None
    both = np.flatnonzero((of_entity >= 0) & (of_outcome >= 0))
    return both, of_entity[both], of_outcome[both]


def _are_integers(tables: "Sequence[pa.Table]", name: str) -> bool:
    import pyarrow as pa

    return all(
        pa.types.is_int64(table[name].type) and not table[name].null_count for table in tables
    )


def _places_of(asked: "Places", among: "Places") -> "Places | None":
    """Return where each number is among others, -1 where it is not; None where one is there twice."""
    import numpy as np

    if not len(among):
        return np.full(len(asked), -1)
    # Rows mostly come in the order of their keys.
    order = None if (among[1:] > among[:-1]).all() else np.argsort(among, kind="stable")
    ordered = among if order is None else among[order]
    if order is not None and (ordered[1:] == ordered[:-1]).any():
        return None
    found = np.searchsorted(ordered, asked)
    np.minimum(found, len(ordered) - 1, out=found)
    absent = ordered[found] != asked
    if order is not None:
        found = order[found]
    found[absent] = -1
    return found


def _joined(
    rows: "pa.Table",
    entities: "pa.Table",
    outcomes: "pa.Table",
    key: "Sequence[str]",
    joined: "Sequence[str]",
) -> "tuple[Places, Places, Places] | None":
    """Return what ``_matched`` returns, whatever the keys are."""
    import duckdb
    import numpy as np
    import pyarrow as pa

    of = {
        "of_row": rows.select(list(key)),
        "of_entity": entities.select(list(key)),
        "of_outcome": outcomes.select(list(joined)),
    }
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        for name, keys in of.items():
            place = pa.array(np.arange(keys.num_rows))
            connection.register(name, keys.append_column(f"_{name}", place))
        by = [", ".join(f'"{column}"' for column in columns) for columns in (key, joined)]
        query = f"""
            select _of_row, _of_entity, _of_outcome
            from of_row join of_entity using ({by[0]}) join of_outcome using ({by[1]})
            order by _of_row
        """  # noqa: S608 - names come from the declaration, never from data
        found = connection.sql(query).to_arrow_table()
    places, of_entity, of_outcome = (column.to_numpy() for column in found.columns)
    return None if (places[1:] == places[:-1]).any() else (places, of_entity, of_outcome)
