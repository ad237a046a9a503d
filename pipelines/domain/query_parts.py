"""Query parts: the named subqueries (CTEs) through which alone a query reads some of its tables."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.domain.sql_text import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    Run = Callable[[str], duckdb.DuckDBPyRelation]

OUTSIDE = frozenset({"TABLE_FUNCTION", "TABLE_REF", "PIVOT", "SHOW_REF", "COLUMN_DATA"})
"""Kinds of sources in DuckDB's syntax tree that may read what they do not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryParts:
    """One query's syntax tree: its parts by name, and the names that each of them reads itself.

    ``reads`` has the query's own body under "".
    """

    parts: Mapping[str, Any]
    reads: Mapping[str, frozenset[str]]

    def through(self, tables: Collection[str]) -> list[str] | None:
        """Return the parts through which alone the query reads ``tables``; None where others do too.

        While each of these parts says the same, as a set of rows with their counts, so does the
        whole query: it sees nothing else of those tables.
        """
        if self.reads[""] & set(tables):
            return None
        return [name for name in self.parts if self.reads[name] & set(tables)]

    def fingerprint(self, run: "Run", name: str) -> str:
        """Return the query for a part's count of rows and the sum of their 64-bit hashes.

        Whatever their order, the same rows have the same answer.
        """
        asked = f"select count(*) as rows, sum(hash(part)) as hashes from {quoted(name)} as part"  # noqa: S608 - quoted
        tree = _parsed(run, asked)
        tree["statements"][0]["node"]["cte_map"] = {
            "map": [{"key": key, "value": value} for key, value in self.parts.items()]
        }
        return str(_one(run, f"select json_deserialize_sql({literal(json.dumps(tree))}::json)"))


def query_parts(run: "Run", query: str, tables: Collection[str]) -> QueryParts | None:
    """Return the parts of a query over ``tables``; None where it cannot be told what it reads.

    That is so for more than one statement, for one that is no plain SELECT, and where a table is
    read by a function or is none of ``tables``.
    """
    tree = _parsed(run, query)
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = dict(tree["statements"][0]["node"])
    if node.get("type") != "SELECT_NODE":
        return None
    parts = {entry["key"]: entry["value"] for entry in node.pop("cte_map")["map"]}
    bodies = {"": node, **parts}
    reads = {}
    for name, body in bodies.items():
        found = list(_sources(body))
        if OUTSIDE & {kind for kind, _ in found}:
            return None
        reads[name] = frozenset(table for _, table in found)
    # A part may have parts of its own, whose names count as read: unknown, unless they are tables.
    named = {*tables, *parts}
    if any(table not in named for names in reads.values() for table in names):
        return None
    return QueryParts(parts=parts, reads=reads)


def _one(run: "Run", query: str) -> object:
    return run(query).fetchall()[0][0]


def _parsed(run: "Run", query: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        str(_one(run, f"select json_serialize_sql({literal(query)})"))
    )
    return found


def _sources(tree: object) -> Iterator[tuple[str, str]]:
    """Yield kind and name of everything that a syntax tree selects from; "" for no name."""
    if isinstance(tree, Mapping):
        kind = tree.get("type")
        if kind == "BASE_TABLE":
            yield kind, str(tree["table_name"])
        elif kind in OUTSIDE:
            yield str(kind), ""
        elif kind == "FUNCTION" and "query" in str(tree.get("function_name", "")):
            yield "TABLE_FUNCTION", ""  # query(...) and query_table(...) read what a text says
        for value in tree.values():
            yield from _sources(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for value in tree:
            yield from _sources(value)
