"""PostgreSQL tables: rows of a window put in place of its old ones, in one transaction."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pipelines.adapters.databases.postgres_sessions import session
from pipelines.adapters.failpoints import failpoint
from pipelines.domain.outputs import PostgresTable
from pipelines.errors import OutputRefused, Problem

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

DELIVERIES = "headframe_deliveries"
"""Table beside the outputs' own that says which generation of each window stands in them."""

STAGED = "headframe_staged"
"""Temporary table that a window's rows are copied into first."""

IDENTITY = "scored_for"
"""Column that, after the entity's key, identifies a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Which generation of a window stands in a table; ``declared`` is the output's digest."""

    generation: int
    run_key: str
    declared: str
    rows: int
    sha256: str


class Target:
    """One output's table inside a transaction that holds its lock."""

    def __init__(self, connection: Any, output: PostgresTable, use_case: str) -> None:  # noqa: ANN401 - psycopg2 has no types
        self._cursor = connection.cursor()
        self._output = output
        self._mark = f"headframe output {use_case}/{output.name}"
        self._name = ".".join(f'"{part}"' for part in output.table.split("."))
        schema = self._name.rpartition(".")[0]
        self._deliveries = f'{schema}."{DELIVERIES}"' if schema else f'"{DELIVERIES}"'
        self._where = f"output {output.name!r}, table {output.table} of {output.connection!r}"

    def lock(self) -> None:
        """Wait until no other delivery into this table is under way, and refuse a foreign table."""
        self._run("set local time zone 'UTC'")
        self._run("select pg_advisory_xact_lock(hashtextextended(%s, 0))", self._mark)
        if not self._exists(self._deliveries):
            self._run("select pg_advisory_xact_lock(hashtextextended(%s, 0))", DELIVERIES)
            self._run(f"""
                create table if not exists {self._deliveries} (
                    target text not null, prediction_window text not null,
                    generation bigint not null, run_key text not null, declared text not null,
                    rows bigint not null, sha256 text not null,
                    primary key (target, prediction_window)
                )
            """)
        if self._exists(self._name) and self._comment() != self._mark:
            raise self._refused(
                f"a table that says {self._mark!r} in its comment",
                "one that Headframe did not make for this output",
                "Name another table: this one is left as it is.",
            )

    def standing(self, window: str) -> Standing | None:
        """Return which generation of the window the table holds; None where none was delivered."""
        if not self._exists(self._name):
            return None  # dropped by hand: it is made again, with this window
        found = self._run(
            f"select generation, run_key, declared, rows, sha256 from {self._deliveries} "  # noqa: S608 - names of the declaration
            "where target = %s and prediction_window = %s",
            self._mark,
            window,
        )
        names = Standing.__slots__
        return Standing(**dict(zip(names, found[0], strict=True))) if found else None

    def replace(
        self,
        rows: "pa.RecordBatchReader",
        *,
        key: Sequence[str],
        window: str,
        scored_for: "datetime",
        generation: int,
        run_key: str,
        declared: str,
    ) -> Standing:
        """Put these rows in place of the window's, and note which generation they are.

        A row that is the same stays untouched, one that is gone is deleted, and no row of another
        window is looked at. The table is created by the first call.
        """
        identity = (*key, IDENTITY)
        self._create_or_compare(rows.schema, identity)
        self._run(f"create temp table {STAGED} (like {self._name}) on commit drop")
        names = ", ".join(f'"{name}"' for name in rows.schema.names)
        stream = _CsvStream(rows, self._where)
        self._copy(f"copy {STAGED} ({names}) from stdin with (format csv, null '')", stream)
        failpoint("deliver.between_copy_and_upsert")
        same = " and ".join(f't."{name}" = s."{name}"' for name in identity)
        self._run(
            f"delete from {self._name} t where t.{IDENTITY} = %s "  # noqa: S608 - names of the declaration
            f"and not exists (select 1 from {STAGED} s where {same})",
            scored_for,
        )
        others = [name for name in rows.schema.names if name not in identity]
        given = ", ".join(f't."{name}"' for name in others)
        taken = ", ".join(f'excluded."{name}"' for name in others)
        assigned = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
        update = f"update set {assigned} where ({given}) is distinct from ({taken})"
        conflict = ", ".join(f'"{name}"' for name in identity)
        self._run(
            f"insert into {self._name} as t ({names}) select {names} from {STAGED} "  # noqa: S608 - names of the declaration
            f"on conflict ({conflict}) do {update if others else 'nothing'}"
        )
        told = Standing(
            generation=generation,
            run_key=run_key,
            declared=declared,
            rows=stream.rows,
            sha256=stream.digest.hexdigest(),
        )
        self._run(
            f"insert into {self._deliveries} "  # noqa: S608 - names of the declaration
            "values (%s, %s, %s, %s, %s, %s, %s) on conflict (target, prediction_window) do update "
            "set generation = excluded.generation, run_key = excluded.run_key, "
            "declared = excluded.declared, rows = excluded.rows, sha256 = excluded.sha256",
            *(self._mark, window, generation, run_key, declared, told.rows, told.sha256),
        )
        failpoint("deliver.before_commit")
        return told

    def _copy(self, statement: str, stream: "_CsvStream") -> None:
        """Copy a stream; an error of its own comes out as it is, not as the driver's."""
        import psycopg2

        try:
            self._cursor.copy_expert(statement, stream)
        except psycopg2.Error:
            if stream.failure is None:
                raise
        if stream.failure is not None:
            raise stream.failure

    def _create_or_compare(self, schema: "pa.Schema", identity: Sequence[str]) -> None:
        wanted = {field.name: self._type(field) for field in schema}
        if not self._exists(self._name):
            columns = ", ".join(
                f'"{name}" {kind}{" not null" if name in identity else ""}'
                for name, kind in wanted.items()
            )
            primary = ", ".join(f'"{name}"' for name in identity)
            self._run(f"create table {self._name} ({columns}, primary key ({primary}))")
            self._run(f"comment on table {self._name} is %s", self._mark)
            # One that was dropped by hand had windows, which stand nowhere now.
            self._run(f"delete from {self._deliveries} where target = %s", self._mark)  # noqa: S608 - names of the declaration
            return
        found = dict(
            self._run(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute "
                "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
                self._name,
            )
        )
        keyed = self._run(
            "select a.attname from pg_index i, unnest(i.indkey) with ordinality k(number, place) "
            "join pg_attribute a on a.attnum = k.number where i.indrelid = to_regclass(%s) "
            "and a.attrelid = i.indrelid and i.indisprimary order by k.place",
            self._name,
        )
        if found != wanted or tuple(name for (name,) in keyed) != tuple(identity):
            other = sorted(set(wanted.items()) ^ set(found.items()))
            told = ", ".join(dict.fromkeys(name for name, _ in other)) or "another primary key"
            raise self._refused(
                f"columns {', '.join(f'{n} {k}' for n, k in wanted.items())}, primary key "
                f"{', '.join(identity)}",
                f"a table that differs in {told}",
                "Drop the table (each window is delivered anew when it is asked for), change it by "
                "hand, or declare another one.",
            )

    def _type(self, field: "pa.Field") -> str:
        import pyarrow as pa

        kinds = {
            pa.int64(): "bigint",
            pa.float64(): "double precision",
            pa.bool_(): "boolean",
            pa.string(): "text",
            pa.date32(): "date",
        }
        if pa.types.is_timestamp(field.type):
            return "timestamp with time zone"
        if field.type not in kinds:
            raise self._refused(
                f"columns of type {', '.join(map(str, kinds))} or timestamp",
                f"{field.name} of type {field.type}",
                "Cast the feature, or leave the column out.",
            )
        return kinds[field.type]

    def _exists(self, name: str) -> bool:
        return self._run("select to_regclass(%s) is not null", name) == [(True,)]

    def _comment(self) -> str | None:
        ((comment,),) = self._run("select obj_description(to_regclass(%s), 'pg_class')", self._name)
        return None if comment is None else str(comment)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        self._cursor.execute(statement, values or None)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def _refused(self, expected: str, found: str, fix: str) -> OutputRefused:
        return OutputRefused(Problem(where=self._where, expected=expected, found=found, fix=fix))


@contextmanager
def opened(url: str, output: PostgresTable, use_case: str) -> Iterator[Target]:
    """Lend an output's table in one transaction; at the end all of it stands, or nothing of it.

    Raises OutputRefused for a table that is not this output's or has other columns, and what
    ``session`` raises.
    """
    where = f"output {output.name!r}, table {output.table} of {output.connection!r}"
    with session(url, output.connection, where=where) as connection:
        target = Target(connection, output, use_case)
        target.lock()
        yield target


class _CsvStream:
    """Rows as PostgreSQL's COPY reads them, made a batch at a time while it reads."""

    def __init__(self, rows: "pa.RecordBatchReader", where: str) -> None:
        self.rows = 0
        self.digest = hashlib.sha256()
        self.failure: Exception | None = None
        self._batches = iter(rows)
        self._where = where
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, b"" at the end. An error is kept, since the driver hides it."""
        try:
            while not self._left:
                batch = next(self._batches, None)
                if batch is None:
                    return b""
                self._left = self._text(batch)
                self.rows += batch.num_rows
                self.digest.update(self._left)
        except Exception as error:
            self.failure = error
            raise
        given, self._left = (
            (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        )
        return given

    def _text(self, batch: "pa.RecordBatch") -> bytes:
        from pyarrow import csv

        sink = BytesIO()
        csv.write_csv(batch, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
        content = sink.getvalue()
        if b"\0" in content:
            raise OutputRefused(
                Problem(
                    where=self._where,
                    expected="text without the character NUL, which PostgreSQL cannot hold",
                    found="at least one row that has it",
                    fix="Replace it in the feature query, or leave the column out.",
                )
            )
        return content
