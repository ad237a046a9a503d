"""Lineage: where a row came from, and the law that no row is lost on the way."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipelines.domain.contract import KNOWN_AT, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.delivery import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Row counts of one commit: landed = accepted + repeated + quarantined + unparsed.

    Of a replay nothing landed, and the counts of what left quarantine are below zero.
    Raises ValueError when built from counts that break the law: that is a defect of Headframe.
    """

    landed: int
    accepted: int
    repeated: int
    quarantined: int
    unparsed: int

    def __post_init__(self) -> None:
        parts = self.accepted + self.repeated + self.quarantined + self.unparsed
        if self.landed != parts:
            raise ValueError(f"rows were lost or made: {self}")

    def __add__(self, other: "Law") -> "Law":
        mine, theirs = asdict(self), asdict(other)
        return Law(**{name: mine[name] + theirs[name] for name in mine})

    def as_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


NOTHING = Law(landed=0, accepted=0, repeated=0, quarantined=0, unparsed=0)
"""The law of no rows."""


def stamp(rows: "pa.Table", delivery: "Delivery", table: Table | None = None) -> "pa.Table":
    """Add ``known_at``, ``_file`` and ``_sha256`` of the delivery to rows that carry ``_row``.

    ``known_at`` is when the file was delivered, or what the table's ``known_at`` column says. Names
    come as dictionaries of one text, not as a text a row.
    """
    import pyarrow as pa

    count = rows.num_rows
    delivered_at = pa.scalar(delivery.delivered_at, pa.timestamp("us", tz="UTC"))
    told = rows[table.known_at] if table and table.known_at else pa.repeat(delivered_at, count)
    return (
        rows.append_column(KNOWN_AT, told)
        .append_column("_file", _named(delivery.name, count))
        .append_column("_sha256", _named(delivery.sha256, count))
    )


def _named(text: str, count: int) -> "pa.DictionaryArray":
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), [text])


def unrepeated(rows: "pa.Table", existing: "pa.Table", table: Table) -> tuple["pa.Table", int]:
    """Return the rows that say something new, in their order, and how many repeated.

    A row repeats another when every contract column and ``known_at`` are equal: to one in
    ``existing``, or to another of ``rows``, of which that of the highest sha256 is kept, and the
    last in its file. Readers choose by content, so it does not matter which one silver holds.
    """
    import duckdb

    if not rows.num_rows:
        return rows, 0
    same = [*table.column_names, KNOWN_AT]
    columns = ", ".join(f'"{name}"' for name in same)
    matches = " and ".join(f'e."{name}" is not distinct from i."{name}"' for name in same)
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("incoming", rows)
        connection.register("existing", existing)
        kept = connection.sql(f"""
            select i.* from incoming i
            where not exists (select 1 from existing e where {matches})
            qualify row_number() over (partition by {columns} order by _sha256 desc, _row desc) = 1
            order by _file, _row
        """).to_arrow_table()  # noqa: S608 - column names come from the declaration
    return kept.cast(rows.schema), rows.num_rows - kept.num_rows
