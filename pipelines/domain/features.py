"""Features: the platform calls a use case's feature function with tables cut to one time."""

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.domain.absence import (
    Landed,
    first_known,
    labels_without,
    returned,
    seen_at,
    settled,
    version_order,
)
from pipelines.domain.contract import KNOWN_AT, Table
from pipelines.domain.feature_query import AS_OF, ASKED, EVENT_TIME, LABELS, describe
from pipelines.domain.feature_view import FeatureView, feature_digest, features
from pipelines.domain.labels import Label, create_label_history, label_states
from pipelines.domain.lateness import Marks
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = [
    "AS_OF", "EVENT_TIME", "FeatureView", "KnownTables", "compute_features", "feature_digest",
    "feature_names", "features", "rows_digest",
]  # fmt: skip

LABEL_HISTORY = "labels__history"

DESCRIBED = "__described"
INCOMING = "__incoming"
"""Views of this module's own; no table can be named so."""


class KnownTables:
    """The lake as it was known at one time: every accepted version, cut by views.

    Holds each table in memory once with the moment its next version superseded it, so a cut to
    any time is a filter. Views carry the tables' names; ``labels`` holds final labels only;
    ``asked`` holds the entities of the block being described. ``marks`` are those of each table's
    publications, as they were before its rows were read. Of the tables named ``once`` no key has two
    versions, and labels alone are asked for: they are looked at where they lie.
    """

    def __init__(
        self,
        versions: Mapping[str, "pa.Table"],
        tables: Sequence[Table],
        label: Label | None,
        *,
        marks: Marks | None = None,
        once: Collection[str] = (),
    ) -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("set TimeZone = 'UTC'; set preserve_insertion_order = true")
        self._tables = {table.name: table for table in tables}
        self._label = label
        self._marks = marks or {}
        self._changed = sorted(mark.since for told in self._marks.values() for mark in told)
        self._entity: Table | None = None
        for table in tables:
            (self._look_at if table.name in once else self._load)(table, versions[table.name])

    def edition(self, as_of: datetime) -> int:
        """Return 1, plus how many publications brought or changed what was known at ``as_of``."""
        return 1 + bisect_right(self._changed, as_of)

    @property
    def publications(self) -> dict[str, int]:
        """The number of the last marked publication of each table that the rows are part of."""
        return {
            name: max((mark.number for mark in self._marks.get(name, ())), default=0)
            for name in self._tables
        }

    def sql(self, query: str) -> "duckdb.DuckDBPyRelation":
        """Return a lazy relation over the views as they stand now."""
        return self._connection.sql(query)

    def prepare_labels(self, entity: Table) -> None:
        """Lay out every label version of ``entity``, once; ``cut`` then shows the final ones."""
        self._entity = entity
        if self._label is not None:
            create_label_history(self._connection, self._label, entity, LABEL_HISTORY)

    def cut(self, as_of: datetime, *, without: Collection[Landed] = ()) -> None:
        """Point every view at what was known at ``as_of`` (aware UTC).

        ``without`` takes landed rows away, as if they had never come: of each key the version that
        one of them superseded stands again, and labels are what they would have been.
        """
        moment = f"timestamptz '{as_of.isoformat()}'"
        for table in self._tables.values():
            names = ", ".join(f'"{column}"' for column in table.column_names)
            stands = f"""
                select {names}
                from "{table.name}__versions" where {KNOWN_AT} <= {moment}
                and (superseded_at is null or superseded_at > {moment})
            """  # noqa: S608 - names come from the declaration, the moment is formatted here
            if any(landed.table == table.name for landed in without):
                stands = returned(self._connection, table, moment, without)
            self._connection.execute(f'create or replace temp view "{table.name}" as {stands}')
        if self._label is not None and self._entity is not None:
            key, label = ", ".join(f'"{column}"' for column in self._entity.key), self._label
            history = labels_without(
                self._connection, label, self._entity, without, history=LABEL_HISTORY
            )
            self._connection.execute(f"""
                create or replace temp view {LABELS} as
                select {key}, event_time, value as "{label.name}" from "{history}"
                where {settled(moment)}
            """)  # noqa: S608 - as above

    def before(self, moment: datetime) -> "KnownTables":
        """Return tables that hold nothing of what became known after ``moment`` (aware UTC), marks neither.

        Whatever a query asks for, it cannot see what came later, as ``cut`` only says that it does not.
        """
        early = KnownTables({}, [], self._label)
        early._tables = self._tables
        bound = f"timestamptz '{moment.isoformat()}'"
        for name in self._tables:
            rows = self._connection.sql(f"""
                select * replace (
                    case when superseded_at <= {bound} then superseded_at end as superseded_at)
                from "{name}__versions" where {KNOWN_AT} <= {bound}
            """).to_arrow_table()  # noqa: S608 - as above
            early._connection.register(INCOMING, rows)
            early._connection.execute(f'create table "{name}__versions" as from {INCOMING}')
            early._connection.unregister(INCOMING)
        if self._entity is not None:
            early.prepare_labels(self._entity)
        return early

    def seen_at(self, as_of: datetime, *, without: Collection[Landed] = ()) -> set[Landed]:
        """Return the landed files whose absence may change what ``cut`` shows; no other's can."""
        # What a row takes the place of stands again without it, and a label is of an earlier time.
        whole = {landed.table for landed in without}
        if self._label is not None and self._entity is not None:
            whole |= {self._entity.name, self._label.table.name}
        moment = f"timestamptz '{as_of.isoformat()}'"
        return seen_at(self._connection, self._tables, whole, moment) - set(without)

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

    def show(self, name: str, described: "pa.Table") -> None:
        """Let queries read the rows of a view under its name, until it is shown anew."""
        self._connection.register(name, described)

    @property
    def label_type(self) -> str:
        """The SQL type of a label, such as "BOOLEAN"; ``prepare_labels`` comes first."""
        found = self._connection.sql(f"select value from {LABEL_HISTORY}")  # noqa: S608 - a constant
        return str(found.types[0])

    def label_states(
        self, entity: Table, as_of: datetime, *, without: Collection[Landed] = ()
    ) -> "pa.Table":
        """Return ``labels.label_states`` at ``as_of``; ``prepare_labels`` comes first."""
        history = LABEL_HISTORY
        if self._label is not None and without:
            history = labels_without(
                self._connection, self._label, entity, without, history=history
            )
        return label_states(self._connection, history, tuple(entity.key), as_of)

    def labels_from(self, table: Table) -> bool:
        """Tell whether labels change with the rows of a table."""
        return self._label is not None and table.name == self._label.table.name

    def first_known(self) -> dict[Landed, datetime]:
        """Return every landed file and when the first of its rows became known."""
        return first_known(self._connection, self._tables)

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

    def _look_at(self, table: Table, versions: "pa.Table") -> None:
        self._connection.register(f"{table.name}__rows", versions)
        self._connection.execute(f"""
            create temp view "{table.name}__versions" as
            select *, null::timestamptz as superseded_at from "{table.name}__rows"
        """)  # noqa: S608 - as above

    def _load(self, table: Table, versions: "pa.Table") -> None:
        key = ", ".join(f'"{column}"' for column in table.key)
        order = version_order(table)
        self._connection.register(INCOMING, versions)
        self._connection.execute(f"""
            create table "{table.name}__versions" as
            select *, lead({KNOWN_AT}) over (partition by {key} order by {order}) as superseded_at
            from {INCOMING} order by {order}
        """)  # noqa: S608 - as above
        self._connection.unregister(INCOMING)


def compute_features(
    known: KnownTables,
    view: FeatureView,
    *,
    as_of: datetime,
    until: datetime,
    since: datetime | None = None,
    without: Collection[Landed] = (),
) -> "pa.Table":
    """Describe the entities with event time in [since, until) as they were known at ``as_of``.

    ``since`` is ``as_of`` unless the block is described late.

    Columns: the entity's key, ``as_of``, ``event_time``, then the features, one row per entity,
    sorted by key. Raises DeclarationError when the function cannot run, drops, adds or repeats an
    entity, or returns a type a feature may not have. For ``without`` see ``KnownTables.cut``.
    """
    known.cut(as_of, without=without)
    asked = known.ask(view.entity, since or as_of, until)
    return _described(known, view, as_of, asked)


def _described(known: KnownTables, view: FeatureView, as_of: datetime, asked: int) -> "pa.Table":
    """Describe the asked entities, each used view before the view that reads it."""
    for used in view.uses:
        known.show(
            used.name, _described(known, used, as_of, asked).drop_columns([AS_OF, EVENT_TIME])
        )
    described = describe(view, known)
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
    """Return the SHA-256 of a feature table's rows in their order: equal values, equal digest.

    Chunks do not matter, nor what lies in memory where a value is missing or after the last one.
    """
    import numpy as np
    import pyarrow as pa

    digest = hashlib.sha256()
    whole = table.replace_schema_metadata(None).combine_chunks()
    everything = pa.array(np.arange(whole.num_rows))
    for number, column in enumerate(whole.columns):
        # Taking the values anew leaves zeros below missing ones and in the last byte of bits, and of
        # a part of a text column no bytes of the texts around it.
        if column.null_count or pa.types.is_boolean(column.type) or pa.types.is_string(column.type):
            whole = whole.set_column(number, whole.schema.field(number), column.take(everything))
    # Hashed as it is written: in memory the bytes would be a second copy of the rows.
    with (
        pa.PythonFile(_Hashed(digest), "w") as sink,
        pa.ipc.new_stream(sink, whole.schema) as writer,
    ):
        writer.write_table(whole, max_chunksize=max(1, whole.num_rows))
    return digest.hexdigest()


class _Hashed:
    """A file of which nothing is kept but its digest."""

    closed = False

    def __init__(self, digest: "hashlib._Hash") -> None:
        self.write = digest.update

    def flush(self) -> None:
        """Do nothing: what was written is in the digest."""

    def close(self) -> None:
        """Do nothing: there is no file."""
