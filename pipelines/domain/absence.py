"""Absence: what would have been known at a time had some landed rows never come."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.domain.contract import KNOWN_AT, Table
from pipelines.domain.labels import FINAL, Label, create_label_history, joined_by
from pipelines.domain.sql_text import literal

if TYPE_CHECKING:
    import duckdb

TOUCHED = "__touched"
LABELS_LEFT = "__labels_left"
LABELS_WITHOUT = "__labels_without"
"""Of this module's own: keys that lost a version, their label history without it, and that of all."""

LEFT = "left"
RETURNED = "returned"
"""Endings of ``<table>__<ending>``: the versions of touched keys that are left, and those of them
that stand again."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Landed:
    """Rows of one table that came from the bytes of one landed file: all of them, or one ``row``."""

    table: str
    sha256: str
    row: int | None = None


def version_order(table: Table, direction: str = "asc nulls last") -> str:
    """Return the order in which versions of a key follow one another, as SQL.

    Of two versions known at one moment the greater content stands, an empty value being the
    greatest: a file's digest would not do, since which of several equal rows was kept depends on
    the order of arrival.
    """
    content = [f'"{column}"' for column in table.column_names]
    return ", ".join(f"{part} {direction}" for part in [KNOWN_AT, *content, "_sha256", "_row"])


def condition(table: str, absent: Iterable[Landed]) -> str:
    """Return what is true of the absent rows of a table, as SQL over its versions.

    >>> condition("weather", [Landed(table="weather", sha256="a1"), Landed(table="x", sha256="b2")])
    "(_sha256 in ('a1'))"
    >>> condition("weather", [Landed(table="weather", sha256="a1", row=3)])
    "((_sha256 = 'a1' and _row in (3)))"
    >>> condition("weather", [])
    '(false)'
    """
    mine = sorted((landed for landed in absent if landed.table == table), key=str)
    whole = sorted({landed.sha256 for landed in mine if landed.row is None})
    rows: dict[str, set[int]] = {}
    for landed in mine:
        if landed.row is not None:
            rows.setdefault(landed.sha256, set()).add(landed.row)
    parts = [f"_sha256 in ({', '.join(map(literal, whole))})"] if whole else []
    parts += [
        f"(_sha256 = {literal(sha256)} and _row in ({', '.join(map(str, sorted(numbers)))}))"
        for sha256, numbers in rows.items()
    ]
    return f"({' or '.join(parts) or 'false'})"


def returned(
    connection: "duckdb.DuckDBPyConnection",
    table: Table,
    moment: str,
    absent: Collection[Landed],
) -> str:
    """Return a query of what of ``table`` stands at ``moment`` without the absent rows.

    ``moment`` is an SQL literal. A key whose standing version is absent shows the last one before
    it that is not; ``<table>__returned`` is made to hold those.
    """
    names = ", ".join(f'"{column}"' for column in table.column_names)
    key = ", ".join(f'"{column}"' for column in table.key)
    gone, last_first = condition(table.name, absent), version_order(table, "desc nulls first")
    stands = f"{KNOWN_AT} <= {moment} and (superseded_at is null or superseded_at > {moment})"
    connection.execute(f"""
        create or replace temp table "{table.name}__{RETURNED}" as
        select {names} from "{table.name}__versions"
        semi join (
            select {key} from "{table.name}__versions" where {stands} and {gone}) using ({key})
        where {KNOWN_AT} <= {moment} and not {gone}
        qualify row_number() over (partition by {key} order by {last_first}) = 1
    """)  # noqa: S608 - names come from the declaration, digests and rows are quoted above
    return f"""
        select {names} from "{table.name}__versions" where {stands} and not {gone}
        union all select {names} from "{table.name}__{RETURNED}"
    """  # noqa: S608 - as above


def labels_without(
    connection: "duckdb.DuckDBPyConnection",
    label: Label,
    entity: Table,
    absent: Collection[Landed],
    *,
    history: str,
) -> str:
    """Return the name of a label history without the absent rows.

    ``history`` is that of the whole one, and the answer where labels come from other tables. Only
    keys that lose a version are laid out again.
    """
    key = ", ".join(f'"{column}"' for column in joined_by(label, entity))
    tables = {table.name: table for table in (entity, label.table)}
    if not any(landed.table in tables for landed in absent):
        return history
    lost = " union ".join(
        f'select {key} from "{name}__versions" where {condition(name, absent)}'  # noqa: S608 - as above
        for name in tables
    )
    connection.execute(f'create or replace temp table "{TOUCHED}" as {lost}')
    for name, table in tables.items():
        own = ", ".join(f'"{column}"' for column in table.key)
        connection.execute(f"""
            create or replace temp table "{name}__{LEFT}" as
            select * exclude (superseded_at),
                lead({KNOWN_AT}) over (partition by {own} order by {version_order(table)})
                    as superseded_at
            from "{name}__versions" semi join "{TOUCHED}" using ({key})
            where not {condition(name, absent)}
        """)  # noqa: S608 - as above
    create_label_history(connection, label, entity, LABELS_LEFT, versions=LEFT)
    connection.execute(f"""
        create or replace temp view "{LABELS_WITHOUT}" as
        select * from "{history}" anti join "{TOUCHED}" using ({key})
        union all select * from "{LABELS_LEFT}"
    """)  # noqa: S608 - as above
    return LABELS_WITHOUT


def seen_at(
    connection: "duckdb.DuckDBPyConnection",
    tables: Mapping[str, Table],
    whole: Collection[str],
    moment: str,
) -> set[Landed]:
    """Return the files with a row that stands at ``moment``; of tables ``whole``, with any row by then."""
    found: set[Landed] = set()
    for name in tables:
        stands = "" if name in whole else f"and coalesce(superseded_at > {moment}, true)"
        hashes = connection.execute(f"""
            select distinct _sha256 from "{name}__versions" where {KNOWN_AT} <= {moment} {stands}
        """).fetchall()  # noqa: S608 - as above
        found |= {Landed(table=name, sha256=sha256) for (sha256,) in hashes}
    return found


def settled(moment: str) -> str:
    """Return what is true of the versions of a label history that are final labels at ``moment``."""
    return f"{FINAL} and final_at <= {moment} and entity_known_at <= {moment}"


def first_known(
    connection: "duckdb.DuckDBPyConnection", tables: Iterable[str]
) -> dict[Landed, datetime]:
    """Return every landed file of the tables and when the first of its rows became known (UTC)."""
    return {
        Landed(table=name, sha256=sha256): moment
        for name in tables
        for sha256, moment in connection.execute(
            f'select _sha256, min({KNOWN_AT}) from "{name}__versions" group by _sha256'  # noqa: S608 - as above
        ).fetchall()
    }
