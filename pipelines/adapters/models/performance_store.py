"""The performance store: how current predictions did, one row per block."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.performance import OF_KIND, BlockPerformance
from pipelines.domain.prediction_kinds import BINARY, Kind

if TYPE_CHECKING:
    import pyarrow as pa

CLOSED = "closed:"
"""Start of the transactions ``closed:<block>|<source>|<as_of>``, whose version is the edition."""

MEASURED = "headframe.as_of"
"""Metadata of a commit: the time that it measured as of."""


def keep(
    settings: Settings,
    use_case: str,
    blocks: Sequence[BlockPerformance],
    *,
    as_of: datetime,
    run: str,
    sources: Mapping[str, str],
    edition: int,
    kind: Kind = BINARY,
) -> None:
    """Replace the performance table by these blocks unless it says the same already.

    ``sources`` names what those were measured of that were measured now, ``edition`` is that of what
    was known at ``as_of``: ``closed`` goes by them, so that what is measured for good is written down
    even where the numbers are as they were.
    """
    if not blocks:
        return
    import pyarrow as pa

    table = lake.performance(settings, use_case)
    schema = _schema(kind)
    rows = pa.Table.from_pylist([block.as_row(kind) for block in blocks], schema=schema)
    closing = {
        f"{CLOSED}{one.block}|{sources[one.block]}|{as_of.isoformat()}": edition
        for one in blocks
        if one.block in sources and not one.pending
    }

    def make(number: int) -> delta_tables.Change | None:
        current: list[dict[str, Any]] = delta_tables.read(table).to_pylist() if number else []
        ordered = sorted(current, key=lambda row: row["block"])
        if ordered == rows.to_pylist() and not closing:
            return None
        return delta_tables.Change(
            rows=rows,
            metadata={"stage": "monitor", "run": run, "as_of": as_of.isoformat()},
            replace="true",
            transactions=closing,
        )

    delta_tables.commit_next(table, schema, "performance", make)


def closed(
    settings: Settings,
    use_case: str,
    sources: Mapping[str, str],
    *,
    as_of: datetime,
    edition: Callable[[datetime], int],
) -> dict[str, BlockPerformance]:
    """Return what the table says of the blocks that need not be measured again, by block.

    They were measured of the same ``sources``, at ``as_of`` or before, with every label final or
    never to come, and nothing that was known then has changed since: its ``edition`` is the same.
    """
    table = lake.performance(settings, use_case)
    stands = {
        block
        for block, source, told, moment in _marks(table)
        if sources.get(block) == source and moment <= as_of and edition(moment) == told
    }
    if not stands:
        return {}
    return {
        row["block"]: BlockPerformance(**row)
        for row in delta_tables.read(table).to_pylist()
        if row["block"] in stands and not row["pending"]
    }


def last_as_of(settings: Settings, use_case: str) -> datetime | None:
    """Return the latest time (UTC) as of which the table was written; None before the first."""
    commits = delta_tables.history(lake.performance(settings, use_case))
    told = [datetime.fromisoformat(one[MEASURED]) for one in commits if MEASURED in one]
    return max(told, default=None)


def _marks(table: Folder) -> list[tuple[str, str, int, datetime]]:
    """Return the block, the source, the edition and the moment of each block that was closed."""
    found = []
    for name, edition in delta_tables.transactions_of(table, CLOSED).items():
        block, source, moment = name.removeprefix(CLOSED).split("|")
        found.append((block, source, edition, datetime.fromisoformat(moment)))
    return found


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
