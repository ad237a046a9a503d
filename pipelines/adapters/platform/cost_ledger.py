"""The cost ledger: what each try of each stage used, once; noted by the try, folded in later."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder, StoreUrl
from pipelines.adapters.stores.whole_files import append_line, write_whole
from pipelines.domain.sql_text import delta_moment
from pipelines.domain.stage_cost import StageCost

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE = "costs"

WAITING = "_waiting"
"""Folder of notes inside the ledger's: Delta takes no notice of names that begin so."""

REDELIVERED_WITHIN = timedelta(days=7)
"""Time in which a try may be run a second time by a broker that thought its worker dead."""

logger = logging.getLogger(__name__)


def note(settings: Settings, cost: StageCost) -> bool:
    """Leave a note of what a try used, once however often it is left; return whether it was left.

    One small file, named by the try: no other writer is waited for. It never raises: a try whose
    costs cannot be noted is logged and counted (``lost``), and its work stands.
    """
    try:
        row = {**cost.to_row(), "at": cost.at.isoformat()}
        text = json.dumps(row, sort_keys=True)
        folder, name = _waiting(settings), f"{cost.key}.json"
        if isinstance(folder, StoreUrl):
            object_store.put_bytes(folder / name, text.encode())
        else:
            write_whole(folder / name, text)
    except Exception as error:
        # What was measured matters more than its measure.
        logger.warning("The costs of %s were not recorded.", cost.stage, exc_info=True)
        _count_lost(settings, cost, type(error).__name__)
        return False
    return True


def fold(settings: Settings, *, run: str) -> int:
    """Put every note into the ledger, in one commit, and remove it; return how many were new.

    Killed between the two it finds them known the next time; two at once add nothing twice.
    """
    waiting = dict(_notes(settings))
    if not waiting:
        return 0
    added: list[int] = []

    def make(number: int) -> delta_tables.Change | None:
        since = min(cost.at for cost in waiting.values()) - REDELIVERED_WITHIN
        known = _known(settings, since) if number else set()
        fresh = [cost for cost in waiting.values() if cost.key not in known]
        added[:] = [len(fresh)]
        if not fresh:
            return None
        return delta_tables.Change(rows=_rows(fresh), metadata={"run": run, "rows": len(fresh)})

    delta_tables.commit_next(lake.ledger(settings, "costs"), _schema(), SEQUENCE, make)
    for name in waiting:
        _remove(_waiting(settings) / name)
    return added[0]


def read(settings: Settings, *, since: datetime, use_case: str = "") -> list[StageCost]:
    """Return every try that began at ``since`` or later, each once, in the order of their beginning.

    Those of one use case, or of all. Notes that wait to be folded in are read too: a file each.
    """
    table = lake.ledger(settings, "costs")
    notes = dict(_notes(settings)).values()
    found = {cost.key: cost for cost in notes if use_case in {"", cost.use_case}}
    if delta_tables.exists(table):
        mine = f" and use_case = {delta_tables.quoted(use_case)}" if use_case else ""
        # What is noted again after ``since`` may be known from before it.
        where = _since(since - REDELIVERED_WITHIN) + mine
        rows = delta_tables.read(table, where=where).to_pylist()
        found |= {row["key"]: StageCost.from_row(row) for row in rows}
    told = (cost for cost in found.values() if cost.at >= since)
    return sorted(told, key=lambda cost: (cost.at, cost.key))


def lost(settings: Settings) -> int:
    """Return how many tries on this machine could not be noted."""
    try:
        return sum(bool(line) for line in _lost(settings).read_bytes().splitlines())
    except FileNotFoundError:
        return 0


def _notes(settings: Settings) -> Iterator[tuple[str, StageCost]]:
    """Yield each note by its file's name; one that cannot be read stays where it is, and is logged."""
    for name, content in _contents(_waiting(settings)):
        try:
            row = json.loads(content)
            cost = StageCost.from_row({**row, "at": datetime.fromisoformat(row["at"])})
            _rows([cost])  # what the ledger would not take is no note
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("The note of costs %s is not read: %s.", name, type(error).__name__)
            continue
        yield name, cost


def _contents(folder: Folder) -> Iterator[tuple[str, bytes]]:
    # Whoever folds at the same time may have removed what was listed.
    if isinstance(folder, StoreUrl):
        for listed in object_store.listing(folder):
            with suppress(FileNotFoundError):
                yield listed.name, object_store.read_bytes(folder / listed.name)
        return
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):
            continue  # one that is being written
        with suppress(FileNotFoundError):
            yield path.name, path.read_bytes()


def _remove(place: Folder) -> None:
    if isinstance(place, StoreUrl):
        object_store.delete(place)
    else:
        place.unlink(missing_ok=True)


def _known(settings: Settings, since: datetime) -> set[str]:
    table = lake.ledger(settings, "costs")
    rows = delta_tables.read(table, columns=["key"], where=_since(since))
    return set(rows["key"].to_pylist())


def _since(moment: datetime) -> str:
    return f"at >= {delta_moment(moment)}"


def _waiting(settings: Settings) -> Folder:
    return lake.ledger(settings, "costs") / WAITING


def _count_lost(settings: Settings, cost: StageCost, error: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(OSError):  # a full disk may be why: then the log alone says it
        append_line(_lost(settings), f"{at} {cost.use_case} {cost.stage} {error}")


def _lost(settings: Settings) -> Path:
    return settings.root / "costs_lost.log"


def _rows(costs: Iterable[StageCost]) -> "pa.Table":
    """Return rows of the ledger; raises ValueError or TypeError for a value of another type."""
    import pyarrow as pa

    return pa.Table.from_pylist([cost.to_row() for cost in costs], schema=_schema())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, whole, number = pa.string(), pa.int64(), pa.float64()
    return pa.schema(
        [
            ("key", text), ("use_case", text), ("purpose", text), ("task", text), ("run", text),
            ("map_index", whole), ("attempt", whole), ("at", pa.timestamp("us", tz="UTC")),
            ("outcome", text), ("rows", whole), ("seconds", number), ("cpu_seconds", number),
            ("child_cpu_seconds", number), ("peak_mib", number), ("bytes_read", whole),
            ("bytes_written", whole),
        ]
    )  # fmt: skip
