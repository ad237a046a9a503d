"""The performance store: how current predictions did, one row per block."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.digest import digest_of
from pipelines.domain.performance import OF_KIND, BlockPerformance
from pipelines.domain.prediction_kinds import BINARY, Kind

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "performance"

CLOSED, STANDS = "closed:", "stands:"
"""Starts of the transactions of a block: as of when (microseconds) it was measured for good, 0 where it
was not, and what of (``_stands``)."""

MARKED = "closed"
"""The transaction that says which commit the marks are of: a release without them may have written since."""

BITS = 15
"""Hex digits of a digest that a transaction's version holds: 60 bits."""

MOST_RACES = 5
"""Looks at a table that another run is writing."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

MEASURED = "headframe.as_of"
"""Metadata of a commit: the time that it measured as of."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A block that need not be measured again, and as of when it was measured for good."""

    block: BlockPerformance
    measured: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """As of when a block was measured for good, and a number of all that it was measured of.

    Whatever else was measured of the block's predictions and labels is as good while this is the same.
    """

    measured: datetime
    stands: int


def closings(
    blocks: Sequence[BlockPerformance],
    *,
    as_of: datetime,
    sources: Mapping[str, str],
    done: Mapping[str, Closed],
    edition: Callable[[datetime], int],
) -> dict[str, Closing]:
    """Return how each block was closed whose labels are all settled at ``as_of``, by block.

    ``sources`` names what each block is measured of; those of ``done`` were ``closed`` before.
    """
    found = {}
    for one in blocks:
        if not one.pending:
            measured = done[one.block].measured if one.block in done else as_of
            stands = _stands(sources[one.block], measured, edition)
            found[one.block] = Closing(measured, stands)
    return found


def keep(
    settings: Settings,
    use_case: str,
    blocks: Sequence[BlockPerformance],
    closings: Mapping[str, Closing],
    *,
    as_of: datetime,
    run: str,
    kind: Kind = BINARY,
) -> None:
    """Replace the performance table by these blocks unless it says the same already.

    A commit tells for each of its rows whether it is closed, so that no mark is of another row.
    """
    if not blocks:
        return
    import pyarrow as pa

    table = lake.performance(settings, use_case)
    schema = _schema(kind)
    rows = pa.Table.from_pylist([block.as_row(kind) for block in blocks], schema=schema)
    marks: dict[str, int] = {}
    for one in blocks:
        closing = closings.get(one.block)
        marks[CLOSED + one.block] = _number(closing.measured) if closing else 0
        marks[STANDS + one.block] = closing.stands if closing else 0

    def make(number: int) -> delta_tables.Change | None:
        current: list[dict[str, Any]] = delta_tables.read(table).to_pylist() if number else []
        ordered = sorted(current, key=lambda row: row["block"])
        held = _marks(table)
        changed = {name: mark for name, mark in marks.items() if held.get(name, 0) != mark}
        if ordered == rows.to_pylist() and not changed and held.get(MARKED, 0) == number:
            return None
        return delta_tables.Change(
            rows=rows,
            metadata={"stage": "monitor", "run": run, "as_of": as_of.isoformat()},
            replace="true",
            transactions={**changed, MARKED: number + 1},
        )

    delta_tables.commit_next(table, schema, SEQUENCE, make)


def closed(
    settings: Settings,
    use_case: str,
    sources: Mapping[str, str],
    *,
    as_of: datetime,
    edition: Callable[[datetime], int],
) -> dict[str, Closed]:
    """Return what the table says of the blocks that need not be measured again, by block.

    They were measured of the same ``sources``, at ``as_of`` or before, with every label final or
    never to come, and nothing that was known then has changed since: its ``edition`` is the same.
    None while another run writes the table again and again.
    """
    table = lake.performance(settings, use_case)
    for _ in range(MOST_RACES):
        version = delta_tables.version(table)
        if version < 1:
            return {}
        marks, rows = _marks(table), delta_tables.read(table).to_pylist()
        if delta_tables.version(table) == version:
            break
    else:
        return {}
    if marks.get(MARKED) != marks.get(SEQUENCE):
        return {}
    found = {}
    for row in rows:
        block, number = row["block"], marks.get(CLOSED + row["block"], 0)
        measured = EPOCH + number * MICROSECOND
        if not number or block not in sources or measured > as_of:
            continue
        if marks.get(STANDS + block) == _stands(sources[block], measured, edition):
            found[block] = Closed(BlockPerformance(**row), measured)
    return found


def last_as_of(settings: Settings, use_case: str) -> datetime | None:
    """Return the latest time (UTC) as of which the table was written; None before the first."""
    commits = delta_tables.history(lake.performance(settings, use_case))
    told = [datetime.fromisoformat(one[MEASURED]) for one in commits if MEASURED in one]
    return max(told, default=None)


def _marks(table: Folder) -> dict[str, int]:
    return delta_tables.transactions_of(table, "")


def _number(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _stands(source: str, measured: datetime, edition: Callable[[datetime], int]) -> int:
    """Return what a closed block was measured of, with the edition of what was known at that time."""
    return int(digest_of([source, _number(measured), edition(measured)])[:BITS], 16)


def _schema(kind: Kind) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("block", pa.string()),
            ("outcome", pa.string()),
            ("predictions", pa.int64()),
            ("final", pa.int64()),
            ("unlabelled", pa.int64()),
            ("pending", pa.int64()),
            ("positives", pa.int64()),
            ("log_loss", pa.float64()),
            ("auc", pa.float64()),
            ("model_versions", pa.string()),
            *((name, pa.float64()) for name in OF_KIND[kind.name]),
        ]
    )
