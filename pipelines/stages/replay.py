"""Replay: quarantined rows read again from landing, and taken in where they keep the contract now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.commit_entries import Account, accounts
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.landing import landing
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import quarantined, stale_marks, unfinished_reingest
from pipelines.adapters.silver.intake import Intake, Places, intake
from pipelines.adapters.silver.publishing import SEQUENCE, application, refuse_lost, restarted
from pipelines.domain.contract import quarantine_schema, silver_schema
from pipelines.domain.lineage import NOTHING, Law
from pipelines.errors import FileRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain.delivery import Delivery
    from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of a table's quarantined rows.

    ``mended`` were in silver already, left in quarantine by a replay that was killed. ``unfinished``
    belong to files that no ingest has taken; those of ``refused`` files stay as they are.
    """

    table: str
    rows: int
    files: int = 0
    accepted: int = 0
    repeated: int = 0
    mended: int = 0
    unfinished: int = 0
    reasons: Mapping[str, int]
    version: int
    refused: tuple[FileRefused, ...] = ()
    dry_run: bool = False

    @property
    def remaining(self) -> int:
        """Rows that are quarantined still."""
        return self.rows - self.accepted - self.repeated - self.mended

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        parts = [f"{self.accepted:,} accepted", f"{self.repeated:,} repeated"]
        if self.mended:
            parts.append(f"{self.mended:,} were in silver already")
        parts.append(f"{self.remaining:,} remain")
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.items())
        return (
            f"{self.table}: {self.rows:,} rows of quarantine, {self.files:,} files read again: "
            + ", ".join(parts)
            + (f" ({reasons})" if reasons else "")
            + (f"; {self.unfinished:,} wait for ingest" if self.unfinished else "")
            + (f"; {len(self.refused)} files refused" if self.refused else "")
            + f"; version {self.version}"
            + (" (dry run: nothing was changed)" if self.dry_run else "")
        )


def replay(
    use_case: "UseCase",
    settings: Settings,
    *,
    table: str,
    as_of: datetime,
    run: str,
    dry_run: bool = False,
) -> Replayed:
    """Read the quarantined rows of a table again with today's contract and suite.

    Those that keep it go to silver as ingest would have taken them, with the time they were known
    at; exact repeats are dropped; the others stay with today's reasons. Files that can no longer be
    read are named in the result, and their rows stay.

    Silver is committed before quarantine. A kill between leaves accepted rows in both; each is
    known by its file's bytes and its number, so the next replay adds none of them again and takes
    them out of quarantine. The commit of silver accounts for the rows that it adds, that of
    quarantine for the repeats that it drops: each carries the law of what it alone decides.

    Raises FileRefused when a landed file is gone, QualityRefused when a critical expectation fails,
    LakeError beside a reingest that was cut off: then nothing is changed. Raises CommitLost when
    other runs came first time and again.
    """
    places = Places.of(use_case.name, use_case.table(table), settings)
    return restarted(lambda: _replay(places, as_of=as_of, run=run, dry_run=dry_run))


def _replay(places: Places, *, as_of: datetime, run: str, dry_run: bool) -> Replayed:
    # Numbers and versions before contents: whatever is committed after this is noticed.
    number = delta_tables.transaction(places.silver, SEQUENCE) or 0
    made_from = delta_tables.version(places.quarantine)
    unfinished_reingest.refuse(places)
    named = quarantined.names(places.quarantine)
    nothing = Replayed(
        table=places.table.name,
        rows=named.num_rows,
        reasons={},
        version=delta_tables.version(places.silver),
        dry_run=dry_run,
    )
    if not named.num_rows:
        return nothing
    work = _Work.of(places, named)
    opened = accounts(places.silver, places.quarantine)
    refused: list[FileRefused] = []
    with intake(places) as taking:
        for delivery in work.deliveries:
            try:
                account = opened.get(delivery.sha256)
                records = account.law.landed if account else None
                taking.take(delivery, only=work.numbers(delivery), records=records)
            except FileRefused as error:
                refused.append(error)
        taking.leave_out_repeats()
        taking.check()
        laws = taking.laws()
        added, dropped = _moved(taking, opened, work)
        result = replace(
            nothing,
            files=len(taking.taken),
            accepted=sum(law.accepted for law in laws.values()),
            repeated=sum(law.repeated for law in laws.values()),
            mended=work.mended.num_rows,
            unfinished=work.unfinished,
            reasons=dict(taking.reasons.most_common()),
            refused=tuple(refused),
        )
        if not dry_run and (taking.taken or result.mended):
            told = {"stage": "replay", "run": run, "as_of": as_of.isoformat()}
            if result.accepted:
                _publish(taking, added, number, told, as_of=as_of)
                number += 1
            failpoint("replay.between_silver_and_quarantine")
            _tidy(taking, work, dropped, made_from, {**told, "number": number})
            failpoint("replay.after_quarantine")
    return replace(result, version=delta_tables.version(places.silver))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The rows to read again, by file; ``mended`` names those that silver holds already."""

    deliveries: tuple["Delivery", ...]
    named: "pa.Table"
    mended: "pa.Table"
    unfinished: int

    @classmethod
    def of(cls, places: Places, named: "pa.Table") -> "_Work":
        """Leave out what silver holds, and files of which it took none. Raises FileRefused."""
        import pyarrow as pa
        import pyarrow.compute as pc

        hashes = pc.unique(named["_sha256"]).to_pylist()
        taken = delta_tables.committed(places.silver, map(application, hashes))
        mine = pa.array([sha for sha in hashes if application(sha) in taken], pa.string())
        finished = named.filter(pc.is_in(named["_sha256"], value_set=mine))
        mended = quarantined.among(finished, places.silver)
        todo = finished.join(mended, list(quarantined.NAME), join_type="left anti")
        found = landing.known(
            places.landing, places.use_case, places.seen_index, pc.unique(todo["_file"]).to_pylist()
        )
        return cls(
            deliveries=tuple(found[name] for name in sorted(found)),
            named=todo,
            mended=mended,
            unfinished=named.num_rows - finished.num_rows,
        )

    def numbers(self, delivery: "Delivery") -> "pa.Array":
        """Return the numbers of a file's rows that are to be read again."""
        import pyarrow.compute as pc

        mine = self.named.filter(pc.equal(self.named["_sha256"], delivery.sha256))
        return mine["_row"].combine_chunks()

    def untouched(self, rows: "pa.RecordBatch", read_again: Sequence[str]) -> "pa.Table":
        """Return the rows of other files than those, without the mended ones."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.Table.from_batches([rows])
        again = pa.array(read_again, pa.string())
        table = table.filter(pc.invert(pc.is_in(table["_sha256"], value_set=again)))
        if not self.mended.num_rows or not table.num_rows:
            return table
        places = pa.arange(0, table.num_rows)
        named = table.select(quarantined.NAME).append_column("_place", places)
        kept = named.join(self.mended, list(quarantined.NAME), join_type="left anti")
        return table.take(kept["_place"])


def _moved(
    taking: Intake, opened: Mapping[str, Account], work: _Work
) -> tuple[dict[str, Law], dict[str, Law]]:
    """Return, by delivery, the law of the rows that silver adds, and that of what quarantine drops."""
    added, dropped = {}, {}
    laws = taking.laws()
    for delivery in taking.taken:
        law = laws[delivery.name]
        account = opened.get(delivery.sha256)
        unparsed = account.law.unparsed if account else 0
        quarantined = account.law.quarantined if account else len(work.numbers(delivery))
        # Which of the added rows could not be parsed before is not kept, and not asked for.
        of_unparsed = min(law.accepted, max(0, unparsed - law.unparsed))
        added[delivery.name] = Law(
            landed=0,
            accepted=law.accepted,
            repeated=0,
            quarantined=of_unparsed - law.accepted,
            unparsed=-of_unparsed,
        )
        dropped[delivery.name] = Law(
            landed=0,
            accepted=0,
            repeated=law.repeated,
            quarantined=law.quarantined - quarantined - added[delivery.name].quarantined,
            unparsed=law.unparsed - unparsed + of_unparsed,
        )
    return added, dropped


def _publish(
    taking: Intake,
    laws: Mapping[str, Law],
    number: int,
    told: Mapping[str, object],
    *,
    as_of: datetime,
) -> None:
    places, staged = taking.places, taking.staged()[0]
    known_from = stale_marks.oldest(staged)
    mark = stale_marks.transactions(number + 1, "replay", known_from, taken_in=as_of)
    commit = delta_tables.commit_staged(
        places.silver,
        staged,
        table_schema=silver_schema(places.table),
        transactions={SEQUENCE: number + 1, **mark},
        metadata={**told, **_accounted(taking, laws), "number": number + 1},
    )
    refuse_lost(commit, places)


def _tidy(
    taking: Intake, work: _Work, laws: Mapping[str, Law], made_from: int, told: Mapping[str, object]
) -> None:
    """Put what remains in place of the whole quarantine table, in one commit."""
    places = taking.places
    for batch in delta_tables.read_batches(places.quarantine, at_version=made_from):
        taking.keep_aside(work.untouched(batch, [d.sha256 for d in taking.taken]))
    number = delta_tables.transaction(places.quarantine, SEQUENCE) or 0
    commit = delta_tables.replace_all_staged(
        places.quarantine,
        taking.staged()[1],
        table_schema=quarantine_schema(),
        made_from=made_from,
        transactions={SEQUENCE: number + 1},
        metadata={**told, **_accounted(taking, laws)},
    )
    refuse_lost(commit, places)


def _accounted(taking: Intake, laws: Mapping[str, Law]) -> dict[str, Any]:
    return {
        "law": reduce(add, laws.values(), NOTHING).as_json(),
        "moves": [
            {"name": delivery.name, "sha256": delivery.sha256, **laws[delivery.name].as_json()}
            for delivery in taking.taken
        ],
    }
