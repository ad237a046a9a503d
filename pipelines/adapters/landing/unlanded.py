"""Unlanded files: a file as ingest would take it in, staged in a temporary folder, never landed."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.adapters.delta import staged_rows
from pipelines.adapters.delta.staged_files import Staging
from pipelines.adapters.landing.preflight import inspect, opened
from pipelines.adapters.silver.intake import READERS, conformed
from pipelines.adapters.silver.repeats import Repeats
from pipelines.domain.contract import Table, quarantine_schema, silver_schema
from pipelines.domain.delivery import Delivery, LocalFile
from pipelines.domain.lineage import Law
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ASIDE = 1000
"""Rows that break the contract kept to be shown; the rest is counted."""

NOT_DELIVERED = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for delivered-at, which a file that was not landed has none of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A file's rows: ``files`` hold those to check, ``aside`` the first that break the contract.

    ``aside`` has the columns of a quarantine table. ``law`` counts rows that repeat another of the
    file as repeated; silver is not asked.
    """

    name: str
    files: tuple[Path, ...]
    law: Law
    aside: "pa.Table"
    ignored_columns: tuple[str, ...]


@contextmanager
def staged(path: Path, table: Table) -> Iterator[Staged]:
    """Lend the file's rows, parsed and conformed as ingest does by the table's contract.

    Raises FileRefused where ingest would refuse it: unfit, unlike the contract, or with too many
    rows that break it.
    """
    with TemporaryDirectory(prefix="headframe-") as scratch:
        folder = Path(scratch)
        staging = Staging(folder / "staged", silver_schema(table))
        (folder / "repeats").mkdir()
        try:
            with closing(Repeats(table, folder / "repeats")) as repeats:
                staging.see = repeats.see
                found = _staged(path, table, staging)
                names = [file.path for file in staging.files()]
                repeated = repeats.find(names, folder / "no_silver")
                count = sum(rows.num_rows for rows in staged_rows.take_out(staging, repeated))
        except FileRefused as refused:
            raise _not_landed(refused) from None
        law = replace(found.law, accepted=found.law.accepted - count, repeated=count)
        files = tuple(file.path for file in staging.files())
        yield replace(found, files=files, law=law)


def _staged(path: Path, table: Table, staging: Staging) -> Staged:
    import pyarrow as pa

    file = _local_file(path, table)
    parsed = READERS[table.files.format](file, table)
    aside, set_aside = quarantine_schema().empty_table(), 0
    landed = accepted = unparsed = 0
    with staging.delivery() as rows:
        for part in parsed.parts:
            taken, bad = conformed(part, file.delivery, table)
            rows.add(taken)
            landed += part.landed
            accepted += taken.num_rows
            unparsed += part.unparsed.num_rows
            set_aside += bad.num_rows
            if aside.num_rows < MOST_ASIDE:
                aside = pa.concat_tables([aside, bad]).slice(0, MOST_ASIDE)
    if set_aside > table.maximum_quarantined * landed:
        raise FileRefused(_too_many(path, table, set_aside, landed))
    law = Law(
        landed=landed,
        accepted=accepted,
        repeated=0,
        quarantined=set_aside - unparsed,
        unparsed=unparsed,
    )
    return Staged(
        name=path.name,
        files=(),
        law=law,
        aside=aside,
        ignored_columns=tuple(parsed.ignored_columns),
    )


def _local_file(path: Path, table: Table) -> LocalFile:
    """Return the file after preflight; raises FileRefused where it is not fit to be parsed."""
    try:
        # A link is refused in landing; here its owner named it.
        place = path.resolve(strict=True)
        with opened(place) as stream:
            inspected, unfit = inspect(stream, path.name, table.files)
        state = place.stat()
    except OSError as error:
        expected, found = "a file", f"one that cannot be read ({error.strerror})"
        fix = "Correct the path, or its permissions."
        problem = Problem(where=path.name, expected=expected, found=found, fix=fix)
        raise FileRefused(problem) from error
    if unfit:
        raise unfit
    delivery = Delivery(
        name=path.name,
        path=place,
        size=state.st_size,
        mtime_ns=state.st_mtime_ns,
        sha256=inspected.sha256,
        delivered_at=NOT_DELIVERED,
    )
    return LocalFile(delivery=delivery, path=place, inspected=inspected)


def _too_many(path: Path, table: Table, bad: int, landed: int) -> Problem:
    return Problem(
        where=path.name,
        expected=f"at most {table.maximum_quarantined:.0%} of its rows to break the contract",
        found=f"{bad:,} of {landed:,}",
        fix="Ingest would refuse the file: mend it at the source, or change the contract.",
    )


def _not_landed(refused: FileRefused) -> FileRefused:
    """Return the refusal without the folder that the file does not lie in."""
    return FileRefused(
        *(replace(p, where=p.where.removeprefix("landing/")) for p in refused.problems)
    )
