"""Provenance: which landed files and rows a feature row comes from, found by taking each away."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.domain.absence import Landed
from pipelines.domain.contract import KNOWN_AT
from pipelines.domain.feature_differences import changed_names, differences
from pipelines.domain.feature_query import ASKED, LABELS
from pipelines.domain.features import EVENT_TIME, FeatureView, KnownTables, compute_features
from pipelines.domain.query_parts import query_parts
from pipelines.domain.sql_text import literal, quoted
from pipelines.errors import DeclarationError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOST_ROWS_TRIED = 8
"""Rows of one file that are taken away one by one; each try computes the whole block."""

Progress = Callable[[int, int], None]
"""Gets how many of how many computations are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The entities with event time in [``since``, ``until``), as they were known at ``as_of``.

    Of a block described late, ``as_of`` after ``since``, only entities still ahead count.
    ``unseen`` are files that silver holds now and did not when the block was described.
    """

    since: datetime
    as_of: datetime
    until: datetime
    unseen: frozenset[Landed] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A landed file without which a feature row would be another, or would not be.

    ``changed`` names the features that differ. ``rows`` are numbers of rows whose removal alone
    changes the feature row; ``tried`` of the ``known`` rows that the file had told by then were
    removed alone. Where ``rows`` is empty it takes several of them together.
    """

    landed: Landed
    changed: tuple[str, ...]
    gone: bool
    rows: tuple[int, ...]
    tried: int
    known: int


def described(
    known: KnownTables, view: FeatureView, block: Block, without: Collection[Landed] = ()
) -> "pa.Table | None":
    """Return the block's feature rows had ``without`` never come; None when none could be made.

    None stands for a feature function that loses or doubles entities then: scoring would refuse.
    """
    import pyarrow.compute as pc

    absent = {*block.unseen, *without}
    try:
        rows = compute_features(
            known,
            view,
            as_of=block.as_of,
            since=block.since,
            until=block.until,
            without=absent,
        )
    except DeclarationError:
        if not without:
            raise
        return None
    if block.as_of > block.since:
        rows = rows.filter(pc.greater_equal(rows[EVENT_TIME], block.as_of))
    return rows


def changed_rows(
    known: KnownTables,
    view: FeatureView,
    block: Block,
    without: Collection[Landed],
    *,
    whole: "pa.Table | None" = None,
) -> "pa.Table":
    """Return the block's rows that would be other without some landed rows, as ``differences`` does.

    ``first`` is with them and ``second`` without. ``whole`` spares computing what is with them.
    """
    first = whole if whole is not None else described(known, view, block)
    assert first is not None  # noqa: S101 - only a row that is missing can make it None
    second = described(known, view, block, without)
    return differences(first, first.slice(0, 0) if second is None else second, view.entity.key)


def sources(
    known: KnownTables,
    view: FeatureView,
    block: Block,
    key: Mapping[str, object],
    *,
    progress: Progress = lambda _done, _all: None,
) -> Iterator[Source]:
    """Yield every landed file without which the feature row of ``key`` would be another.

    Each file is taken away alone: removals do not add up, so no file is judged by a group it is in.
    Files that cannot change what is seen then are left out, and the block is not computed again
    where everything that the function reads of the file's table stays the same.
    """
    trial = _Trial(known, view, block, key)
    files = sorted(known.seen_at(block.as_of, without=block.unseen))
    for number, landed in enumerate(files):
        progress(number, len(files))
        found = trial.without(landed)
        if found is None:
            continue
        changed, gone = found
        numbers = _row_numbers(known, landed, block.as_of)
        tried: Sequence[int] = numbers
        if len(numbers) > MOST_ROWS_TRIED:
            alike = _rows_alike(known, view, landed, block.as_of, trial.entity)
            tried = alike if len(alike) <= MOST_ROWS_TRIED else []
        alone = [
            row
            for row in tried
            if trial.without(Landed(table=landed.table, sha256=landed.sha256, row=row))
        ]
        yield Source(
            landed=landed,
            changed=changed,
            gone=gone,
            rows=tuple(alone),
            tried=len(tried),
            known=len(numbers),
        )
    progress(len(files), len(files))


class _Trial:
    """One feature row, computed again and again without something."""

    def __init__(
        self, known: KnownTables, view: FeatureView, block: Block, key: Mapping[str, object]
    ) -> None:
        self._known, self._view, self._block, self._key = known, view, block, key
        self._whole = self._row(described(known, view, block))
        mine = f'select * from "{view.entity.name}" where {_is(key)}'  # noqa: S608 - as above
        # What is shown next stands without something.
        self.entity: Mapping[str, object] = next(
            iter(known.sql(mine).to_arrow_table().to_pylist()), {}
        )
        self._through = reading_parts(known, view)
        self._said = {
            question: known.sql(question).fetchall()
            for questions in self._through.values()
            for question in questions
        }

    def without(self, landed: Landed) -> tuple[tuple[str, ...], bool] | None:
        """Return the features that differ without ``landed``, and if the row is gone; None if alike."""
        if landed.table in self._through:
            questions = self._through[landed.table]
            if questions:
                self._known.cut(self._block.as_of, without={*self._block.unseen, landed})
            if all(self._known.sql(q).fetchall() == self._said[q] for q in questions):
                return None
        row = self._row(described(self._known, self._view, self._block, [landed]))
        if row is None or self._whole is None:
            return None if row is self._whole else ((), self._whole is not None)
        changed = changed_names(self._whole, row)
        return (changed, False) if changed else None

    def _row(self, rows: "pa.Table | None") -> dict[str, object] | None:
        if rows is None:
            return None
        found: list[dict[str, object]] = of_key(rows, self._key).to_pylist()
        return found[0] if found else None


class _Heard:
    """Known tables that note the query a feature function asks, and nothing else they can do."""

    def __init__(self, known: KnownTables) -> None:
        self._known = known
        self.asked: list[tuple[str, object]] = []

    def sql(self, query: str) -> "duckdb.DuckDBPyRelation":
        relation = self._known.sql(query)
        self.asked.append((query, relation))
        return relation


def reading_parts(known: KnownTables, view: FeatureView) -> dict[str, list[str]]:
    """Return, by table, the questions whose answers tell whether the function sees it changed.

    Where the function is one query that reads a table through named parts alone, no row of its
    answer is another while those parts are the same. Other tables, and that of the entity, are left
    out: of them the whole has to be computed. The views stand at the block's time.
    """
    heard = _Heard(known)
    try:
        answer = view.function(heard)  # type: ignore[arg-type]  # as much of it as most need
    except AttributeError:
        return {}  # it asks for more than a query
    if len(heard.asked) != 1 or heard.asked[0][1] is not answer:
        return {}
    views = [*(table.name for table in view.tables), ASKED, LABELS]
    parts = query_parts(known.sql, heard.asked[0][0], views)
    found = {}
    for table in view.reads if parts else ():
        if parts is None or table.name == view.entity.name:
            continue
        # Labels are read as a table of their own, and change with the rows of theirs.
        names = parts.through([table.name, *([LABELS] if known.labels_from(table) else [])])
        if names is not None:
            found[table.name] = [parts.fingerprint(known.sql, name) for name in names]
    return found


def of_key(rows: "pa.Table", key: Mapping[str, object]) -> "pa.Table":
    """Return the rows of a key, whose values are of the columns' types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, value in key.items():
        column = rows[name]
        rows = rows.filter(pc.equal(column, pa.scalar(value, column.type)))
    return rows


def entity_version(
    known: KnownTables, view: FeatureView, block: Block, key: Mapping[str, object]
) -> tuple[Landed, datetime] | None:
    """Return the row of the entity's own table that stood at the block's time, and its known_at."""
    table = view.entity.name
    late = " ".join(
        f"and _sha256 <> {literal(landed.sha256)}"
        for landed in sorted(block.unseen)
        if landed.table == table
    )
    found = known.sql(f"""
        select _sha256, _row, {KNOWN_AT} from "{table}__versions"
        where {KNOWN_AT} <= timestamptz '{block.as_of.isoformat()}' and {_is(key)} {late}
        order by {KNOWN_AT} desc, superseded_at desc nulls first limit 1
    """).fetchall()  # noqa: S608 - names come from the declaration, values are quoted
    if not found:
        return None
    sha256, row, moment = found[0]
    return Landed(table=table, sha256=sha256, row=int(row)), moment


def _row_numbers(known: KnownTables, landed: Landed, as_of: datetime) -> list[int]:
    found = known.sql(_told(landed, as_of)).fetchall()
    return [int(row) for row, _ in found]


def _rows_alike(
    known: KnownTables,
    view: FeatureView,
    landed: Landed,
    as_of: datetime,
    entity: Mapping[str, object],
) -> Sequence[int]:
    """Return the rows of a file with the most key columns like the entity's row, and at least one."""
    other = next(table for table in view.tables if table.name == landed.table)
    shared = [_is({name: entity[name]}) for name in other.key if entity.get(name) is not None]
    if not shared:
        return []
    alike = " + ".join(f"({equal})::int" for equal in shared)
    found = known.sql(f"""
        select _row from ({_told(landed, as_of, more=f"{alike} as alike")})
        where alike > 0 qualify alike = max(alike) over () order by _row
    """).fetchall()  # noqa: S608 - as above
    return [int(row) for (row,) in found]


def _told(landed: Landed, as_of: datetime, more: str = "true") -> str:
    return f"""
        select _row, {more} from "{landed.table}__versions"
        where _sha256 = {literal(landed.sha256)}
        and {KNOWN_AT} <= timestamptz '{as_of.isoformat()}' order by _row
    """  # noqa: S608 - names come from the declaration, values are quoted


def _is(values: Mapping[str, object]) -> str:
    return " and ".join(
        f"{quoted(name)} is not distinct from {literal(value)}" for name, value in values.items()
    )
