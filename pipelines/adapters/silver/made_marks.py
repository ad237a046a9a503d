"""Made marks: what feature blocks and predictions were made from, kept inside their own commits."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.lateness import Block, Segment
from pipelines.domain.slots import SLOT

BLOCK = "rows:"
"""Start of the transactions of feature blocks: ``rows:<as of>:<digest>|<table>=<number>,...``; the
version is the edition of the block."""

SEGMENT = "made:"
"""Start of the transactions of predictions: ``made:<window>|<as of>|<features>|<digest>|<stale>``; the
version is the window's generation that they came with."""

DIGITS = 32
"""Hex digits of a digest of rows that a name holds: 128 bits."""

FEATURES_DIGITS = 12
"""Hex digits of a feature view's digest in the name of its table."""


def block(as_of: datetime, digest: str, seen: Mapping[str, int], edition: int) -> dict[str, int]:
    """Return the transaction that a feature block is committed with.

    ``digest`` is that of its rows, ``seen`` what ``KnownTables.publications`` told.
    """
    numbers = ",".join(f"{table}={number}" for table, number in sorted(seen.items()))
    return {f"{BLOCK}{as_of.isoformat()}:{digest[:DIGITS]}|{numbers}": edition}


def blocks(table: Folder) -> dict[datetime, list[Block]]:
    """Return what a table of feature rows says of its blocks, by as_of, oldest edition first."""
    found: dict[datetime, list[Block]] = {}
    for name, edition in _beginning(table, BLOCK).items():
        rows, _, told = name.removeprefix(BLOCK).partition("|")
        moment, _, digest = rows.rpartition(":")
        pairs = [text.partition("=") for text in told.split(",") if text]
        seen = {name: int(number) for name, _, number in pairs}
        as_of = datetime.fromisoformat(moment)
        made = Block(as_of=as_of, digest=digest, seen=seen, edition=edition)
        found.setdefault(as_of, []).append(made)
    return {
        as_of: sorted(made, key=lambda block: (block.edition, sum(block.seen.values())))
        for as_of, made in found.items()
    }


def blocks_of(
    settings: Settings, use_case: str, windows: Iterable[Sequence[Segment]]
) -> dict[tuple[str, datetime], list[Block]]:
    """Return the blocks that segments were made from, by the start of their view's digest and as_of."""
    views = {segment.features for segments in windows for segment in segments}
    return {
        (view, as_of): made
        for view in sorted(views)
        for as_of, made in blocks(lake.features(settings, use_case, view)).items()
    }


def segment(
    window: str,
    as_of: datetime,
    *,
    features: str,
    digest: str,
    stale: Iterable[str],
    generation: int,
) -> dict[str, int]:
    """Return the transaction that predictions of a window, as of one time, are committed with.

    ``features`` is the digest of the feature view and ``digest`` that of the whole block's rows.
    """
    told = (as_of.isoformat(), features[:FEATURES_DIGITS], digest[:DIGITS], ",".join(sorted(stale)))
    return {f"{SEGMENT}{window}|{'|'.join(told)}": generation}


def segments(
    settings: Settings, use_case: str, *, slot: str = SLOT
) -> dict[datetime, list[Segment]]:
    """Return the segments that stand, by the scoring time of their window, each sorted by as_of."""
    newest: dict[tuple[datetime, datetime], Segment] = {}
    start = f"{SEGMENT}{slot}/"
    for name, generation in _beginning(lake.predictions(settings, use_case, slot), start).items():
        window, moment, features, digest, stale = name.removeprefix(start).split("|")
        made = Segment(
            scored_for=datetime.fromisoformat(window),
            as_of=datetime.fromisoformat(moment),
            features=features,
            digest=digest,
            stale=tuple(stale.split(",")) if stale else (),
            generation=generation,
        )
        before = newest.setdefault((made.scored_for, made.as_of), made)
        if before.generation < generation:
            newest[made.scored_for, made.as_of] = made
    found: dict[datetime, list[Segment]] = {}
    for (scored_for, _), made in sorted(newest.items()):
        found.setdefault(scored_for, []).append(made)
    return found


def _beginning(table: Folder, prefix: str) -> dict[str, int]:
    """Return the transactions of a table by name; none of an absent one."""
    names = delta_tables.transactions_of(table, prefix)
    return delta_tables.transaction_versions(table, names)
