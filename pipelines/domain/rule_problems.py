"""Rule problems: whether an SQL expression judges one row alone, and says the same each time."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipelines.errors import Problem

if TYPE_CHECKING:
    import duckdb

NOT_OF_ONE_ROW = {
    "SUBQUERY": "a subquery, which reads other rows",
    "WINDOW": "a window function, which reads other rows",
    "LAMBDA": "a function over the items of a list",
    "STAR": "'*', which is every column",
    "PARAMETER": "a parameter, which nobody gives",
}
"""Class of a node in DuckDB's own syntax tree -> what is wrong with it."""

READS_A_ROW = ("PROJECTION", "PYTHON_ARROW_SCAN", "EMPTY_RESULT", "DUMMY_SCAN", "COLUMN_DATA_SCAN")
"""Operators of a plan that makes one row of one row."""

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE")

EXPRESSIONS = {True: "an SQL condition over one row", False: "an SQL expression over one row"}


def expression_problems(
    connection: "duckdb.DuckDBPyConnection",
    expression: str,
    columns: Sequence[str],
    where: str,
    is_condition: bool,  # noqa: FBT001 - which of the two kinds there are
) -> list[Problem]:
    """Return what is wrong with an expression over relation ``rows``, which has these columns.

    DuckDB parses, binds and plans it, and runs nothing. It must be one expression of one row: no
    other relation, no aggregate, no clock and no chance, or the batch and the hour would decide.
    """
    import duckdb

    try:
        found = next(_wrong(connection, expression, columns, is_condition), "")
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        found = _plain(str(error))
    if not found:
        return []
    some = f"{', '.join(columns[:12])}{', ...' if len(columns) > 12 else ''}"
    return [
        Problem(where=where, expected=EXPRESSIONS[is_condition], found=found, fix=f"Use {some}.")
    ]


def kind_of(error: Exception) -> str:
    """Return what kind of error DuckDB met on rows, such as "a conversion error".

    Its own words quote values of the row, each in another way.
    """
    words = re.sub(r"(?<=.)(?=[A-Z])", " ", type(error).__name__.removesuffix("Exception")).lower()
    column = re.search(r"(?<=when casting from source column )\w+$", str(error).split("\n", 1)[0])
    of_column = f" of column {column[0]}" if column else ""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words} error{of_column}"


def _wrong(
    connection: "duckdb.DuckDBPyConnection",
    expression: str,
    columns: Sequence[str],
    is_condition: bool,  # noqa: FBT001 - as above
) -> Iterator[str]:
    """Yield what is wrong with an expression, in words; later checks need the earlier ones passed."""
    query = f"select ({expression}\n) as answer from rows"  # noqa: S608 - SQL of the declaration
    (text,) = connection.execute("select json_serialize_sql($1)", [query]).fetchall()[0]
    tree = json.loads(text)
    if tree["error"]:
        yield _plain(str(tree.get("error_message", "no SQL")))
        return
    chosen = tree["statements"][0]["node"]["select_list"]
    if len(tree["statements"]) > 1 or len(chosen) > 1:
        yield "several expressions"
    yield from _reasons(connection, chosen[0], columns)
    kind = str(connection.sql(query).types[0])
    plan = connection.execute(f"explain (format json) {query}").fetchall()[0][1]
    if any(name not in READS_A_ROW for name in _operators(json.loads(plan))):
        yield "a function over several rows"
    if is_condition and kind != "BOOLEAN":
        yield f"one of type {kind}, which is neither true nor false"
    if not is_condition and not kind.startswith((*NUMBERS, "DECIMAL")):
        yield f"one of type {kind}, which is no number"


def _plain(words: str) -> str:
    return words.split("\n", 1)[0].strip().rstrip(".!")


def _reasons(
    connection: "duckdb.DuckDBPyConnection",
    node: Any,  # noqa: ANN401 - JSON
    columns: Sequence[str],
) -> Iterator[str]:
    """Yield what is wrong with a syntax tree, in the order of its text."""
    if isinstance(node, list):
        for item in node:
            yield from _reasons(connection, item, columns)
    if not isinstance(node, dict):
        return
    kind = node.get("class")
    if kind in NOT_OF_ONE_ROW:
        yield NOT_OF_ONE_ROW[kind]
    if kind == "COLUMN_REF":
        yield from _unknown(node["column_names"], columns)
    if kind == "FUNCTION":
        name = str(node["function_name"]).lower()
        # With one argument, age() counts from today.
        since_today = name == "age" and len(node.get("arguments", ())) == 1
        if since_today or name in _not_the_same_each_time(connection):
            yield f"{name}(), which does not say the same each time"
        elif name in _over_several_rows(connection):
            yield f"{name}(), a function over several rows"
    for value in node.values():
        yield from _reasons(connection, value, columns)


def _unknown(path: Sequence[str], columns: Sequence[str]) -> Iterator[str]:
    """Yield a reason where a reference names no column; DuckDB's names do not mind their case."""
    known = {name.lower() for name in columns}
    name = path[-1] if path[0].lower() == "rows" else path[0]
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), sorted(known), n=1)
        yield f"{name!r}, which is no column{f' (did you mean {near[0]!r}?)' if near else ''}"


def _not_the_same_each_time(connection: "duckdb.DuckDBPyConnection") -> frozenset[str]:
    return _functions(connection)[0]


def _over_several_rows(connection: "duckdb.DuckDBPyConnection") -> frozenset[str]:
    return _functions(connection)[1]


@lru_cache(maxsize=8)
def _functions(connection: "duckdb.DuckDBPyConnection") -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of functions that read clock, chance or session, and of those over rows."""
    found = connection.execute("""
        select function_name,
               bool_or(stability in ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')
                       or lower(macro_definition) like '%current_%'),
               bool_and(function_type in ('aggregate', 'window', 'table', 'table_macro'))
        from duckdb_functions() group by function_name
    """).fetchall()
    unsteady = frozenset(name for name, changes, _ in found if changes)
    return unsteady, frozenset(name for name, _, over_rows in found if over_rows)


def _operators(plan: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the names of a plan's operators."""
    for node in plan if isinstance(plan, list) else [plan]:
        if name := str(node.get("name", "")).strip():
            yield name
        yield from _operators(node.get("children", []))
