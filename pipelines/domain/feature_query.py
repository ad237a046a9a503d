"""Feature query: the one call of a use case's feature function, and what its answer may be."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.domain.labels import LABEL
from pipelines.domain.rule_problems import kind_of
from pipelines.errors import DeclarationError, HeadframeError, Problem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.domain.features import FeatureView, KnownTables

AS_OF = "as_of"
EVENT_TIME = "event_time"
ASKED = "asked"
LABELS = "labels"

FEATURE_TYPES = {"VARCHAR": "string", "BIGINT": "int64", "DOUBLE": "double", "BOOLEAN": "bool"}
"""DuckDB types a feature may have, and the contract type of each."""

ADDED = (AS_OF, EVENT_TIME, LABEL)
"""Columns Headframe adds to feature rows."""


def describe(view: "FeatureView", known: "KnownTables") -> "pa.Table":
    """Return what the feature function says of the asked entities, as known at the time of the cut.

    Raises DeclarationError for its own mistakes and its query's, which are the declaration's.
    """
    import duckdb

    where = f"feature function {view.function.__name__}"
    try:
        relation = _asked(view, known, where)
        if not isinstance(relation, duckdb.DuckDBPyRelation):
            raise DeclarationError(
                Problem(
                    where=where,
                    expected="a relation, the answer of known.sql(...)",
                    found=type(relation).__name__,
                    fix="Return the relation from the function.",
                )
            )
        if problems := list(_column_problems(view, relation, where)):
            raise DeclarationError(*problems)
        return relation.to_arrow_table()
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        read = (*(table.name for table in view.tables), *(used.name for used in view.uses))
        names = ", ".join((ASKED, LABELS, *read))
        raise DeclarationError(
            Problem(
                where=where,
                expected=f"a query over {names}",
                found=_words_of(error),
                fix="Correct the query; the columns of a table are those of its contract.",
            )
        ) from error


def _asked(view: "FeatureView", known: "KnownTables", where: str) -> object:
    """Return what the function returns; what it raises is told by its type, for it may hold values."""
    import duckdb

    try:
        return view.function(known)
    except (HeadframeError, duckdb.Error, MemoryError, OSError):
        raise  # not of the function's own making
    except Exception as error:
        raise DeclarationError(
            Problem(
                where=where,
                expected="a relation, whatever rows its tables hold, or none",
                found=f"{type(error).__name__}, raised by the function",
                fix="Let the function ask its tables by known.sql(...) alone, or mend what it does "
                "with the answers.",
            )
        ) from error


def _words_of(error: "duckdb.Error") -> str:
    """Return DuckDB's words where they are about the query; met on rows, only what kind it was."""
    import duckdb

    about_the_query = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
    if isinstance(error, about_the_query):
        return str(error).split("\n", 1)[0]
    return f"{kind_of(error)} in DuckDB, on at least one row"


def _column_problems(
    view: "FeatureView", relation: "duckdb.DuckDBPyRelation", where: str
) -> Iterator[Problem]:
    fix = "Select the column, or cast it in the feature query."
    key, names = view.entity.key, list(relation.columns)
    for name in key:
        if name not in names:
            yield Problem(
                where=f"{where}, column {name}",
                expected="the key column",
                found="no such column",
                fix=fix,
            )
    chosen = [(n, k) for n, k in zip(names, relation.types, strict=True) if n not in key]
    for name, kind in chosen:
        if str(kind) not in FEATURE_TYPES:
            yield Problem(
                where=f"{where}, column {name}",
                expected="a feature of type " + ", ".join(FEATURE_TYPES.values()),
                found=f"{name} of type {kind}",
                fix=fix,
            )
        if name in ADDED:
            yield Problem(
                where=f"{where}, column {name}",
                expected=f"a name other than {', '.join(ADDED)}",
                found=f"{name!r}",
                fix="Rename it in the feature query: Headframe adds those columns itself.",
            )
    if not chosen:
        yield Problem(
            where=where,
            expected="at least one feature beside the key",
            found="none",
            fix="Select what describes the entity.",
        )
