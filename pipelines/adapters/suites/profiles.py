"""Profiles by DuckDB: two scans of a table's columns and two groupings, in bounded memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.adapters import lake
from pipelines.adapters.delta import datasets, delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.domain.contract import KNOWN_AT, Column, Table
from pipelines.domain.profile import (
    MOMENTS,
    QUANTILES,
    Bins,
    Cell,
    ColumnProfile,
    Frequent,
    Profile,
    bins_between,
    cell_at,
    counted,
    cut,
    quantiles_of,
)
from pipelines.domain.sql_text import literal, quoted, read_parquet

if TYPE_CHECKING:
    import duckdb

Found: TypeAlias = Mapping[tuple[str, str], Any]
"""What a scan measured, by column and measure."""

MEMORY = "1GB"
"""DuckDB's memory; grouping keys beyond it goes to temporary files."""

PROFILED = "profiled"
"""The view of the rows that are profiled."""

MOST_FREQUENT = 25
"""Frequent values kept of one column."""

MOST_COUNTED = 2000
"""Distinct values (estimated) up to which every value is counted, exactly."""

MOST_EXAMPLES = 5

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LARGEST_SQUARED = 1e150
"""A larger double has no square, hence no part in the standard deviation."""


def of_silver(
    settings: Settings, use_case: str, table: Table, *, as_of: datetime | None = None
) -> Profile:
    """Profile every accepted version in silver (known at ``as_of``); raises LakeError if absent."""
    folder = lake.silver(settings, use_case, table.name)
    version = delta_tables.version(folder)
    with _connected() as connection:
        if isinstance(folder, StoreUrl):
            connection.register("stored", datasets.dataset(folder))
            source = "stored"
        else:
            source = _parquet(delta_tables.files(folder))
        if not source:
            connection.register("stored", delta_tables.schema(folder).empty_table())
            source = "stored"
        where = f" WHERE {KNOWN_AT} <= {literal(as_of)}" if as_of else ""
        connection.execute(f"CREATE VIEW {PROFILED} AS SELECT * FROM {source}{where}")  # noqa: S608 - quoted above
        said = f"silver.{use_case}.{table.name}, version {version}"
        return _profile(connection, use_case, table, said, as_of=as_of, delivered=True)


def of_files(files: Sequence[str], use_case: str, table: Table, *, source: str) -> Profile:
    """Profile staged Parquet files of the table's silver schema; none hold no row."""
    from pipelines.domain.contract import silver_schema

    with _connected() as connection:
        if not files:
            connection.register("stored", silver_schema(table).empty_table())
        read = _parquet(files) or "stored"
        connection.execute(f"CREATE VIEW {PROFILED} AS SELECT * FROM {read}")  # noqa: S608 - quoted above
        return _profile(connection, use_case, table, source, as_of=None, delivered=False)


@contextmanager
def _connected() -> "Iterator[duckdb.DuckDBPyConnection]":
    import duckdb

    with (
        TemporaryDirectory(prefix="headframe-") as scratch,
        duckdb.connect(
            ":memory:", config={"memory_limit": MEMORY, "temp_directory": scratch}
        ) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def _parquet(files: Sequence[str]) -> str:
    """Return the files as a relation; "" without any."""
    return read_parquet(files) if files else ""


def _profile(
    connection: "duckdb.DuckDBPyConnection",
    use_case: str,
    table: Table,
    source: str,
    *,
    as_of: datetime | None,
    delivered: bool,
) -> Profile:
    first = _measured(connection, table, _first_scan(table))
    second = _measured(connection, table, _second_scan(table, first))
    keys, repeated, most = _keys(connection, table)
    deliveries = _deliveries(connection, table)
    return Profile(
        use_case=use_case,
        table=table.name,
        source=source,
        as_of=as_of,
        rows=first["", "rows"],
        deliveries=deliveries["", "deliveries"],
        keys=keys,
        repeated_keys=repeated,
        most_versions=most,
        known_from=first["", "known_from"] if delivered else None,
        known_until=first["", "known_until"] if delivered else None,
        columns=tuple(_column(column, {**first, **deliveries}, second) for column in table.columns),
    )


def _measured(
    connection: "duckdb.DuckDBPyConnection", table: Table, asked: Mapping[tuple[str, str], str]
) -> Found:
    """Return every measure asked for, of one scan."""
    if not asked:
        return {}
    row = connection.execute(f"SELECT {', '.join(asked.values())} FROM {PROFILED}").fetchall()[0]  # noqa: S608 - made below
    return dict(zip(asked, row, strict=True))


def _first_scan(table: Table) -> dict[tuple[str, str], str]:
    """Return the measures that need to know nothing of the column."""
    asked = {
        ("", "rows"): "count(*)",
        ("", "known_from"): f"min({KNOWN_AT})",
        ("", "known_until"): f"max({KNOWN_AT})",
    }
    for column in table.columns:
        value = _value(column)
        measures = {
            "given": f"count({quoted(column.name)})",
            "present": f"count({value})",
            "distinct": f"approx_count_distinct({value})",
            "minimum": f"min({value})",
            "maximum": f"max({value})",
            "candidates": f"approx_top_k({value}, {MOST_FREQUENT})",
            # By hash, so that examples are spread over the values and the same every time.
            "examples": f"arg_min({value}, hash({value}), {4 * MOST_EXAMPLES})",
        }
        if column.type == "string":
            measures["shortest"] = f"min(length({value}))"
            measures["longest"] = f"max(length({value}))"
        if column.type in ("int64", "double"):
            small = f"abs({value}::DOUBLE) < {LARGEST_SQUARED!r}"
            measures["mean"] = f"avg({value}::DOUBLE)"
            measures["deviation"] = f"stddev_samp({value}::DOUBLE) FILTER (WHERE {small})"
        if column.type == "bool":
            measures["mean"] = f"avg({value}::INTEGER)"
        if column.type in ("int64", "double", *MOMENTS):
            measures["quantiles"] = f"approx_quantile({_number(column)}, {list(QUANTILES)})"
        asked |= {(column.name, name): text for name, text in measures.items()}
    return asked


def _second_scan(table: Table, first: Found) -> dict[tuple[str, str], str]:
    """Return the measures that the first scan's bounds and frequent values make possible."""
    asked = {}
    for column in table.columns:
        name = column.name
        if not first[name, "present"]:
            continue
        if first[name, "distinct"] <= MOST_COUNTED:
            asked[name, "counts"] = f"histogram({_value(column)})"
        else:
            known = ", ".join(literal(value) for value in first[name, "candidates"])
            asked[name, "counts"] = f"histogram(list_position([{known}], {_value(column)}))"
        if bins := _bins(column, first):
            at = f"floor(({_number(column)} - {bins.start!r}) / {bins.width!r})"
            # What rounding leaves outside is at an end. For a missing value, least() tells an end too.
            place = f"CAST(greatest(0, least({bins.count - 1}, {at})) AS INTEGER)"
            present = f"FILTER (WHERE {_value(column)} IS NOT NULL)"
            asked[name, "bins"] = f"histogram({place}) {present}"
    return asked


def _keys(connection: "duckdb.DuckDBPyConnection", table: Table) -> tuple[int, int, int]:
    """Return how many keys there are, how many have several versions, and the most of one key."""
    key = ", ".join(quoted(name) for name in table.key)
    found = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE versions > 1), coalesce(max(versions), 0)"  # noqa: S608 - names come from the declaration
        f" FROM (SELECT count(*) AS versions FROM {PROFILED} GROUP BY {key})"
    ).fetchall()[0]
    return int(found[0]), int(found[1]), int(found[2])


def _deliveries(connection: "duckdb.DuckDBPyConnection", table: Table) -> Found:
    """Return the number of deliveries, and per column the largest share that one of them lacks."""
    lacking = {
        (column.name, "most_missing"): f"max(1 - count({_value(column)}) / count(*)) OVER ()"
        for column in table.columns
        if column.nullable
    }
    asked = {("", "deliveries"): "count(*) OVER ()", **lacking}
    rows = connection.execute(
        f"SELECT {', '.join(asked.values())} FROM {PROFILED} GROUP BY _file LIMIT 1"  # noqa: S608 - names come from the declaration
    ).fetchall()
    return dict(zip(asked, rows[0] if rows else (0, *([0.0] * len(lacking))), strict=True))


def _column(column: Column, first: Found, second: Found) -> ColumnProfile:
    name, kind, rows = column.name, column.type, first["", "rows"]
    given, present = first[name, "given"], first[name, "present"]
    without_values = ColumnProfile(
        name=name,
        type=kind,
        nullable=column.nullable,
        rows=rows,
        missing=rows - given,
        most_missing=first.get((name, "most_missing"), 0.0),
        not_finite=given - present,
    )
    if not present:
        return without_values
    counts, all_counted = _counts(column, first, second)
    bins = _bins(column, first)
    examples = dict.fromkeys(cut(value) for value in first[name, "examples"])
    return replace(
        without_values,
        distinct=len(counts) if all_counted else min(first[name, "distinct"], present),
        distinct_is_exact=all_counted,
        minimum=cut(first[name, "minimum"]),
        maximum=cut(first[name, "maximum"]),
        mean=_finite(first.get((name, "mean"))),
        deviation=_finite(first.get((name, "deviation"))),
        quantiles=_quantiles(column, first, second, exact=all_counted),
        shortest=first.get((name, "shortest")),
        longest=first.get((name, "longest")),
        frequent=tuple(counts[:MOST_FREQUENT]),
        frequent_are_all=all_counted and len(counts) <= MOST_FREQUENT,
        bins=counted(bins, second[name, "bins"], kind) if bins else (),
        examples=tuple(examples)[:MOST_EXAMPLES],
    )


def _counts(column: Column, first: Found, second: Found) -> tuple[list[Frequent], bool]:
    """Return the counted values, the most frequent first, and whether they are all there are."""
    found: Mapping[Any, int] = second[column.name, "counts"]
    all_counted = first[column.name, "distinct"] <= MOST_COUNTED
    if not all_counted:
        candidates: Sequence[Cell] = first[column.name, "candidates"]
        # None: the values that are no candidates.
        found = {candidates[place - 1]: rows for place, rows in found.items() if place}
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return [Frequent(value=cut(value), rows=rows) for value, rows in ranked], all_counted


def _quantiles(
    column: Column, first: Found, second: Found, *, exact: bool
) -> tuple[tuple[float, Cell], ...]:
    """Return the quantiles of a column with an axis: a value that is there, or an estimate."""
    estimated = first.get((column.name, "quantiles"))
    if estimated is None:
        return ()
    if exact:
        return quantiles_of(second[column.name, "counts"])
    cells = (cell_at(value, column.type) for value in estimated)
    return tuple(zip(QUANTILES, cells, strict=True))


def _bins(column: Column, first: Found) -> Bins | None:
    """Return the bins of the column's histogram; None for one without an axis."""
    if column.type not in ("int64", "double", *MOMENTS) or not first[column.name, "present"]:
        return None
    low, high = (_on_axis(first[column.name, end]) for end in ("minimum", "maximum"))
    return bins_between(low, high, column.type) if math.isfinite(high - low) else None


def _on_axis(value: Any) -> float:  # noqa: ANN401 - what DuckDB returns for a number or a moment
    if isinstance(value, int | float):
        return value
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)


def _value(column: Column) -> str:
    """Return the column as SQL, without what is no number and no moment of the calendar."""
    name = quoted(column.name)
    sound = {
        "double": f"isfinite({name})",
        "date": f"{name} BETWEEN '0001-01-01' AND '9999-12-31'",
        "timestamp[UTC]": f"{name} >= '0001-01-01 00:00Z' AND {name} < '9999-12-31 23:59:59Z'",
    }
    return f"CASE WHEN {sound[column.type]} THEN {name} END" if column.type in sound else name


def _number(column: Column) -> str:
    """Return the column as SQL of a place on its axis."""
    value = _value(column)
    return f"epoch_us({value})::DOUBLE" if column.type in MOMENTS else f"({value})::DOUBLE"


def _finite(value: float | None) -> float | None:
    """Return a mean or a deviation; None for one that the sum of large numbers overflowed."""
    return value if value is not None and math.isfinite(value) else None
