"""Features: the platform calls a use case's feature function with tables cut to one time."""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import FunctionType
from typing import TYPE_CHECKING

from pipelines.domain.contract import KNOWN_AT, Table
from pipelines.domain.digest import digest_of
from pipelines.domain.labels import FINAL, LABEL, Label, create_label_history, label_states
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

AS_OF = "as_of"
EVENT_TIME = "event_time"
ASKED = "asked"
LABELS = "labels"
LABEL_HISTORY = "labels__history"

FEATURE_TYPES = {"VARCHAR": "string", "BIGINT": "int64", "DOUBLE": "double", "BOOLEAN": "bool"}
"""DuckDB types a feature may have, and the contract type of each."""

ADDED = (AS_OF, EVENT_TIME, LABEL)
"""Columns Headframe adds to feature rows."""

DESCRIBED = "__described"
INCOMING = "__incoming"
"""Views of this module's own; no table can be named so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """A feature function, the entity whose rows it describes, and the tables it reads."""

    entity: Table
    reads: Sequence[Table]
    function: Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Entity first, then the other tables read, each once."""
        return (self.entity, *(table for table in self.reads if table.name != self.entity.name))


def features(
    *, entity: Table, reads: Sequence[Table] = ()
) -> Callable[[Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]], FeatureView]:
    """Mark a function as the feature view of ``entity``.

    The function gets the tables as known at one time and returns a relation with the entity's key
    columns and one column per feature (string, int64, double or bool), one row per asked entity.
    """

    def view(function: Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]) -> FeatureView:
        return FeatureView(entity=entity, reads=tuple(reads), function=function)

    return view


def feature_digest(view: FeatureView, label: Label | None) -> str:
    """Return the identity of a feature view: its text, its tables' contracts, the label's rule."""
    assert isinstance(view.function, FunctionType)  # noqa: S101 - narrows the type
    text = hashlib.sha256(inspect.getsource(view.function).encode()).hexdigest()
    contracts = [(table.name, table.columns, table.key, table.event_time) for table in view.tables]
    labelled = label and (label.rule, label.table.name, label.final_after)
    return digest_of({"text": text, "contracts": contracts, "label": labelled})


class KnownTables:
    """The lake as it was known at one time: every accepted version, cut by views.

    Holds each table in memory once with the moment its next version superseded it, so a cut to
    any time is a filter. Views carry the tables' names; ``labels`` holds final labels only;
    ``asked`` holds the entities of the block being described. ``changed`` holds, for each time that
    rows came or went as of the past, the earliest moment that it concerns.
    """

    def __init__(
        self,
        versions: Mapping[str, "pa.Table"],
        tables: Sequence[Table],
        label: Label | None,
        *,
        changed: Sequence[datetime] = (),
    ) -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        self._tables = {table.name: table for table in tables}
        self._label = label
        self._changed = tuple(changed)
        self._entity: Table | None = None
        for table in tables:
            self._load(table, versions[table.name])

    def edition(self, as_of: datetime) -> int:
        """Return 1, plus how often what was known at ``as_of`` was changed afterwards."""
        return 1 + sum(since <= as_of for since in self._changed)

    def sql(self, query: str) -> "duckdb.DuckDBPyRelation":
        """Return a lazy relation over the views as they stand now."""
        return self._connection.sql(query)

    def prepare_labels(self, entity: Table) -> None:
        """Lay out every label version of ``entity``, once; ``cut`` then shows the final ones."""
        self._entity = entity
        if self._label is not None:
            create_label_history(self._connection, self._label, entity, LABEL_HISTORY)

    def cut(self, as_of: datetime) -> None:
        """Point every view at what was known at ``as_of`` (aware UTC)."""
        moment = f"timestamptz '{as_of.isoformat()}'"
        for table in self._tables.values():
            names = ", ".join(f'"{column}"' for column in table.column_names)
            self._connection.execute(f"""
                create or replace temp view "{table.name}" as select {names}
                from "{table.name}__versions" where {KNOWN_AT} <= {moment}
                and (superseded_at is null or superseded_at > {moment})
            """)  # noqa: S608 - names come from the declaration, the moment is formatted here
        if self._label is not None and self._entity is not None:
            key = ", ".join(f'"{column}"' for column in self._entity.key)
            self._connection.execute(f"""
                create or replace temp view {LABELS} as
                select {key}, event_time, value as "{self._label.name}" from {LABEL_HISTORY}
                where {FINAL} and final_at <= {moment} and entity_known_at <= {moment}
            """)  # noqa: S608 - as above

    def ask(self, entity: Table, since: datetime, until: datetime) -> int:
        """Point ``asked`` at known entities with event time in [since, until); return how many."""
        self._connection.execute(f"""
            create or replace temp view {ASKED} as select * from "{entity.name}"
            where "{entity.event_time}" >= timestamptz '{since.isoformat()}'
              and "{entity.event_time}" < timestamptz '{until.isoformat()}'
        """)  # noqa: S608 - as above
        counted = self._connection.execute(f"select count(*) from {ASKED}")  # noqa: S608 - as above
        return int(counted.fetchall()[0][0])

    def join_asked(self, described: "pa.Table", query: str) -> "pa.Table":
        """Answer a query over ``asked`` and the rows a feature function made of it."""
        self._connection.register(DESCRIBED, described)
        try:
            return self._connection.sql(query).to_arrow_table()
        finally:
            self._connection.unregister(DESCRIBED)

    def label_states(self, entity: Table, as_of: datetime) -> "pa.Table":
        """Return ``labels.label_states`` at ``as_of``; ``prepare_labels`` comes first."""
        return label_states(self._connection, LABEL_HISTORY, tuple(entity.key), as_of)

    def newest_known(self, as_of: datetime) -> dict[str, datetime | None]:
        """Return per table when its newest row known at ``as_of`` became known."""
        newest: dict[str, datetime | None] = {}
        for name in self._tables:
            found = self._connection.execute(
                f'select max({KNOWN_AT}) from "{name}__versions" where {KNOWN_AT} <= $1',  # noqa: S608 - as above
                [as_of],
            ).fetchall()
            newest[name] = found[0][0]
        return newest

    def _load(self, table: Table, versions: "pa.Table") -> None:
        key = ", ".join(f'"{column}"' for column in table.key)
        # Of two versions known at one moment the greater content stands: a file's digest would
        # not do, since which of several equal rows was kept depends on the order of arrival.
        content = ", ".join(f'"{column}"' for column in table.column_names)
        order = f"{KNOWN_AT}, {content}, _sha256, _row"
        self._connection.register(INCOMING, versions)
        self._connection.execute(f"""
            create table "{table.name}__versions" as
            select *, lead({KNOWN_AT}) over (partition by {key} order by {order}) as superseded_at
            from {INCOMING} order by {order}
        """)  # noqa: S608 - as above
        self._connection.unregister(INCOMING)


def compute_features(
    known: KnownTables, view: FeatureView, *, as_of: datetime, until: datetime
) -> "pa.Table":
    """Describe the entities with event time in [as_of, until) as they were known at ``as_of``.

    Columns: the entity's key, ``as_of``, ``event_time``, then the features, one row per entity,
    sorted by key. Raises DeclarationError when the function cannot run, drops, adds or repeats an
    entity, or returns a type a feature may not have.
    """
    known.cut(as_of)
    asked = known.ask(view.entity, as_of, until)
    described = _describe(view, known)
    key = list(view.entity.key)
    keys = ", ".join(f'"{column}"' for column in key)
    chosen = ", ".join(f'd."{name}"' for name in described.column_names if name not in key)
    table = known.join_asked(
        described,
        f"""
        select {keys}, timestamptz '{as_of.isoformat()}' as {AS_OF},
               a."{view.entity.event_time}" as {EVENT_TIME}, {chosen}
        from {ASKED} as a join {DESCRIBED} as d using ({keys}) order by {keys}
        """,  # noqa: S608 - names come from the declaration
    )
    # Distinct, because as many rows may be doubled as are lost.
    distinct = table.select(key).group_by(key).aggregate([]).num_rows
    if not table.num_rows == described.num_rows == distinct == asked:
        raise DeclarationError(
            Problem(
                where=f"feature function {view.function.__name__}",
                expected=f"one row for each of the {asked} asked entities",
                found=f"{described.num_rows} rows, which describe {distinct} of them",
                fix="Start from `asked` and left join the rest, so that no row is lost or doubled.",
            )
        )
    return table


def feature_names(table: "pa.Table", entity: Table) -> list[str]:
    """Return the feature columns of a feature table, in order."""
    fixed = {*entity.key, AS_OF, EVENT_TIME}
    return [name for name in table.column_names if name not in fixed]


def rows_digest(table: "pa.Table") -> str:
    """Return the SHA-256 of a feature table's rows in their order, independent of chunking."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    whole = table.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole, max_chunksize=max(1, whole.num_rows))
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _describe(view: FeatureView, known: KnownTables) -> "pa.Table":
    """Run the feature function; its query's mistakes are the declaration's."""
    import duckdb

    where = f"feature function {view.function.__name__}"
    try:
        relation = view.function(known)
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
        names = ", ".join((ASKED, LABELS, *(table.name for table in view.tables)))
        raise DeclarationError(
            Problem(
                where=where,
                expected=f"a query over {names}",
                found=_without_values(str(error).split("\n", 1)[0]),
                fix="Correct the query; the columns of a table are those of its contract.",
            )
        ) from error


def _without_values(message: str) -> str:
    """Return DuckDB's words without what it quotes from rows, as in "convert string 'x' to"."""
    return re.sub(r"string '.*' to", "a text to", message)


def _column_problems(
    view: FeatureView, relation: "duckdb.DuckDBPyRelation", where: str
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
