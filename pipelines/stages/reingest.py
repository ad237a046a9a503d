"""Reingest: a table rebuilt from its landed files, as today's contract and suite have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from pipelines.adapters.delta import delta_tables, recorded_files
from pipelines.adapters.delta.commit_entries import Account, accounts
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.landing import landing, seen_files
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import kept_rows, stale_marks
from pipelines.adapters.silver.intake import Intake, Places, intake
from pipelines.adapters.silver.publishing import SEQUENCE, refuse_lost, restarted
from pipelines.domain.contract import quarantine_schema, silver_schema
from pipelines.domain.lineage import NOTHING, Law
from pipelines.errors import FileRefused, LakeError, Problem

if TYPE_CHECKING:
    from pipelines.adapters.stores.object_store import Folder
    from pipelines.domain.delivery import Delivery
    from pipelines.domain.quality import CheckResult
    from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Reingested:
    """What a table holds after it was rebuilt: files read again and kept, and the law of all."""

    table: str
    files: int = 0
    kept_files: int = 0
    law: Law = NOTHING
    rows_before: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    version: int
    dry_run: bool = False

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        law = self.law
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.items())
        return (
            f"{self.table}: {self.files:,} files read again, {self.kept_files:,} kept as they were: "
            f"{law.landed:,} rows landed = {law.accepted:,} accepted (before: {self.rows_before:,}) "
            f"+ {law.repeated:,} repeated + {law.quarantined:,} quarantined "
            f"+ {law.unparsed:,} unparsed; version {self.version}"
            + (f" ({reasons})" if reasons else "")
            + (" (dry run: nothing was changed)" if self.dry_run else "")
        )


def reingest(
    use_case: "UseCase",
    settings: Settings,
    *,
    table: str,
    as_of: datetime,
    run: str,
    since: datetime | None = None,
    dry_run: bool = False,
) -> Reingested:
    """Parse again every file that silver took and that was delivered at ``since`` or later.

    Their rows in silver and quarantine are replaced; those of earlier files are kept. The files
    stay taken, so that ingest takes none of them again; what it has not taken is left to it.

    Silver is replaced first, in one commit that holds all rows and accounts for all files; then
    quarantine, in one commit with silver's number. A reader of silver sees the old rows or the new.
    A kill between leaves quarantine as it was: its number tells, ``check --lake`` says so, and
    running the same again ends in the same rows, for landing never changes.

    Raises FileRefused, naming them, for files that are gone or that the contract refuses now;
    LakeError when kept rows do not fit the contract; QualityRefused when a critical expectation
    fails. Then nothing was changed. Raises CommitLost when other runs came first time and again.
    """
    places = Places.of(use_case.name, use_case.table(table), settings)
    return restarted(lambda: _reingest(places, since, as_of=as_of, run=run, dry_run=dry_run))


def _reingest(
    places: Places, since: datetime | None, *, as_of: datetime, run: str, dry_run: bool
) -> Reingested:
    number = delta_tables.transaction(places.silver, SEQUENCE) or 0
    versions = {
        folder: delta_tables.version(folder) for folder in (places.silver, places.quarantine)
    }
    nothing = Reingested(table=places.table.name, version=versions[places.silver], dry_run=dry_run)
    opened = _whole(places, accounts(places.silver, places.quarantine))
    again = _delivered(places, opened, since)
    if not again:
        return nothing
    kept = {sha256: opened[sha256] for sha256 in opened.keys() - {d.sha256 for d in again}}
    refused: list[Problem] = []
    with intake(places) as taking:
        for delivery in again:
            try:
                taking.take(delivery)
            except FileRefused as error:
                refused += error.problems
        if refused:
            raise FileRefused(*refused)
        taking.leave_out_repeats(beside_silver=False)
        checked = taking.check()
        changed = _changed(taking, again)
        _keep(taking, kept, versions)
        laws = taking.laws()
        result = replace(
            nothing,
            files=len(again),
            kept_files=len(kept),
            law=reduce(add, laws.values(), NOTHING),
            rows_before=sum(account.law.accepted for account in opened.values()),
            reasons=dict(taking.reasons.most_common()),
        )
        if dry_run:
            return result
        listed = {**{account.name: sha for sha, account in kept.items()}}
        listed |= {delivery.name: delivery.sha256 for delivery in again}
        told: dict[str, Any] = {
            "stage": "reingest",
            "run": run,
            "as_of": as_of.isoformat(),
            "since": since.isoformat() if since else "",
            "number": number + 1,
            "law": result.law.as_json(),
        }
        account = [
            {"name": name, "sha256": listed[name], **law.as_json()} for name, law in laws.items()
        ]
        transactions = {SEQUENCE: number + 1}
        transactions |= stale_marks.transactions(number + 1, "reingest", changed, taken_in=as_of)
        metadata = {**told, **_found(taking, checked), "account": account}
        _publish(taking, versions, transactions, metadata)
        failpoint("reingest.between_silver_and_quarantine")
        _set_aside(taking, versions, told)
        failpoint("reingest.after_quarantine")
    return replace(result, version=delta_tables.version(places.silver))


def _whole(places: Places, opened: Mapping[str, Account]) -> dict[str, Account]:
    """Return the accounts of all files that silver took; raises LakeError where the log forgot some."""
    missing = kept_rows.hashes(places.silver) - opened.keys()
    if missing:
        raise LakeError(
            Problem(
                where=f"table {places.use_case}/{places.table.name}",
                expected="a commit that accounts for each of its files",
                found=f"none for {len(missing)} of them; old entries were removed from its log",
                fix="Move the table and its quarantine away, and run ingest: it takes all files.",
            )
        )
    return dict(opened)


def _delivered(
    places: Places, opened: Mapping[str, Account], since: datetime | None
) -> list["Delivery"]:
    """Return the deliveries to parse again, oldest first; raises FileRefused for any that is gone."""
    names = {account.name for account in opened.values()}
    if since:
        folder = places.landing / places.use_case
        seen = seen_files.recorded(places.seen_index, places.use_case, folder, names)
        # One that was never recorded stays among them, to be refused by its name.
        names = {name for name in names if name not in seen or seen[name].delivered_at >= since}
    found = landing.known(places.landing, places.use_case, places.seen_index, names)
    return sorted(found.values(), key=lambda delivery: (delivery.delivered_at, delivery.name))


def _keep(taking: Intake, kept: Mapping[str, Account], versions: Mapping["Folder", int]) -> None:
    """Stage the rows of other files as silver and quarantine hold them, and leave out new repeats."""
    if not kept:
        return
    places = taking.places
    laws = {account.name: account.law for account in kept.values()}
    for rows in kept_rows.of_silver(
        places.silver, places.table, sorted(kept), at_version=versions[places.silver]
    ):
        taking.keep(rows, laws)
    taking.keep(silver_schema(places.table).empty_table(), laws)
    taking.leave_out_repeats(beside_silver=False)


def _changed(taking: Intake, again: Sequence["Delivery"]) -> datetime:
    """Return the earliest moment at which a row was known that may come or go."""
    places = taking.places
    moments = [again[0].delivered_at]
    if places.table.known_at:
        held = recorded_files.recorded(places.silver)
        moments += [file.oldest for file in held if file.oldest]
        staged = stale_marks.oldest(taking.staged()[0])
        moments += [staged] if staged else []
    return min(moments)


def _publish(
    taking: Intake,
    versions: Mapping["Folder", int],
    transactions: Mapping[str, int],
    told: Mapping[str, object],
) -> None:
    places = taking.places
    commit = delta_tables.replace_all_staged(
        places.silver,
        taking.staged()[0],
        table_schema=silver_schema(places.table),
        made_from=versions[places.silver],
        transactions=transactions,
        metadata=told,
    )
    refuse_lost(commit, places)


def _set_aside(
    taking: Intake, versions: Mapping["Folder", int], told: Mapping[str, object]
) -> None:
    """Put the rows set aside now, and those of other files, in place of the whole quarantine."""
    places, made_from = taking.places, versions[taking.places.quarantine]
    again = [delivery.sha256 for delivery in taking.taken]
    if made_from >= 0:
        for rows in kept_rows.of_quarantine(places.quarantine, again, at_version=made_from):
            taking.keep_aside(rows)
    number = delta_tables.transaction(places.quarantine, SEQUENCE) or 0
    transactions = {SEQUENCE: number + 1}
    staged = taking.staged()[1]
    if made_from >= 0:
        commit = delta_tables.replace_all_staged(
            places.quarantine,
            staged,
            table_schema=quarantine_schema(),
            made_from=made_from,
            transactions=transactions,
            metadata=told,
        )
    else:
        commit = delta_tables.commit_staged(
            places.quarantine,
            staged,
            table_schema=quarantine_schema(),
            transactions=transactions,
            metadata=told,
        )
    refuse_lost(commit, places)


def _found(taking: Intake, checked: "CheckResult") -> dict[str, Any]:
    return {"check": checked.as_json(), "ignored_columns": taking.ignored_columns}
