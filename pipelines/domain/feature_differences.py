"""Feature differences: which feature rows two computations do not have alike, and in which columns."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.domain.sql_text import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

CHANGED = "changed"
"""Column of a difference: the names of the columns that differ; of a row that only one has, none."""

SIDE = "side"
"""Column of a difference: "both", or which of the two computations alone has the row."""

ROUNDING = 1e-12
"""Share of a number by which two sums of the same numbers may differ: DuckDB may add them in
another order when a table has other rows (a double holds some 16 digits)."""


def alike(first: "pa.Table", second: "pa.Table", key: Sequence[str]) -> bool:
    """Tell whether two computations have the same columns and rows, as ``differences`` judges rows."""
    if not first.schema.equals(second.schema):
        return False
    differing: int = differences(first, second, key, rests=True).num_rows
    return differing == 0


def differences(
    first: "pa.Table", second: "pa.Table", key: Sequence[str], *, rests: bool = False
) -> "pa.Table":
    """Return the rows that ``first`` and ``second`` do not have alike, sorted by key.

    Both hold one row per key and the same columns. Columns of the answer: the key, ``side`` ("both",
    "first" or "second") and ``changed``. Numbers differ when they do by more than ROUNDING; a
    missing value, and one that is no number, equals itself only. With ``rests`` numbers are also
    alike that are apart by no more than ROUNDING of their column's largest: what a subtraction
    leaves of two sums is mostly rounding.
    """
    import duckdb
    import pyarrow as pa

    keys = ", ".join(map(quoted, key))
    named = [name for name in first.column_names if name not in key]
    doubles = {name for name in named if pa.types.is_floating(first.schema.field(name).type)}
    rest = {name: ROUNDING * _largest(first, second, name) if rests else 0.0 for name in doubles}
    changed = ", ".join(
        f"case when {_differ(name, rest.get(name))} then {literal(name)} end" for name in named
    )
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("first_rows", first)
        connection.register("second_rows", second)
        return connection.sql(f"""
            with paired as (
                select {keys}, f.__here as in_first, s.__here as in_second,
                       list_filter([{changed}], lambda x: x is not null) as {CHANGED}
                from (select *, true as __here from first_rows) f
                full join (select *, true as __here from second_rows) s using ({keys})
            )
            select {keys},
                   case when in_second is null then 'first' when in_first is null then 'second'
                        else 'both' end as {SIDE},
                   case when in_first and in_second then {CHANGED} else [] end as {CHANGED}
            from paired
            where in_first is null or in_second is null or len({CHANGED}) > 0
            order by {keys}
        """).to_arrow_table()  # noqa: S608 - names come from the declaration


def changed_names(first: Mapping[str, object], second: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the columns in which two rows differ, as ``differences`` judges them.

    >>> changed_names({"a": 0.1 + 0.2, "b": None, "c": 1}, {"a": 0.3, "b": 0.0, "c": 1})
    ('b',)
    """
    return tuple(name for name, value in first.items() if not _alike(value, second[name]))


def _alike(first: object, second: object) -> bool:
    if not (isinstance(first, float) and isinstance(second, float)):
        return first == second
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return first == second or math.isclose(first, second, rel_tol=ROUNDING)


def _largest(first: "pa.Table", second: "pa.Table", name: str) -> float:
    """Return the largest size of a column's finite numbers, of both tables; 0.0 without any."""
    import pyarrow.compute as pc

    sizes = [pc.abs(table[name]).drop_null() for table in (first, second)]
    largest = [pc.max(each.filter(pc.is_finite(each))).as_py() for each in sizes]
    return max(each or 0.0 for each in largest)


def _differ(name: str, rest: float | None) -> str:
    """Return the condition that two values differ; ``rest`` is None for what is no double."""
    first, second = f"f.{quoted(name)}", f"s.{quoted(name)}"
    differ = f"{first} is distinct from {second}"
    if rest is None:
        return differ
    close = (
        f"isfinite({first}) and isfinite({second}) and abs({first} - {second}) <= "
        f"greatest({ROUNDING} * greatest(abs({first}), abs({second})), {rest!r}::double)"
    )
    return f"({differ} and not coalesce({close}, false))"
