"""The output ledger: what was delivered to whom, each generation of each window once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.platform import notifications
from pipelines.adapters.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

SHORT = 12
"""Hex digits of a digest that name a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One delivery: which output, to whom, which generation of which window, and where it went.

    ``place`` has no secret in it. ``delivered_at`` and ``due_at`` (UTC) are None where nobody judged
    whether it came in time; ``declared`` is the digest of the output's declaration.
    """

    use_case: str
    output: str
    kind: str
    consumer: str
    window: str
    scored_for: datetime
    as_of: datetime | None
    generation: int
    run_key: str
    model_version: str
    rows: int
    sha256: str
    place: str
    declared: str
    delivered_at: datetime | None
    due_at: datetime | None
    run: str

    @property
    def is_late(self) -> bool:
        """Whether it came after it was due."""
        return (
            self.delivered_at is not None
            and self.due_at is not None
            and (self.delivered_at > self.due_at)
        )


def record(settings: Settings, deliveries: Sequence[Recorded]) -> None:
    """Add those deliveries that are new, in one commit; what was late is told before.

    One is new once per output, its declaration, window and generation. Killed between message and
    commit, what was late is told twice rather than never.
    """
    import pyarrow as pa

    ledger = lake.ledger(settings, "outputs")
    names = {_transaction(delivery): delivery for delivery in deliveries}
    done = delta_tables.transaction_versions(ledger, names)
    fresh = {n: item for n, item in names.items() if done.get(n, 0) < item.generation}
    if not fresh:
        return
    _tell_late(settings, [delivery for delivery in fresh.values() if delivery.is_late])
    failpoint("deliver.before_record")
    delta_tables.commit_rows(
        ledger,
        pa.Table.from_pylist([asdict(delivery) for delivery in fresh.values()], schema=_schema()),
        transactions={name: delivery.generation for name, delivery in fresh.items()},
        metadata={"stage": "deliver", "run": deliveries[0].run, "rows": len(fresh)},
    )


def read(
    settings: Settings, use_case: str, *, output: str | None = None, window: str | None = None
) -> list[Recorded]:
    """Return what was delivered of a use case, in the order of windows, outputs and generations."""
    table = lake.ledger(settings, "outputs")
    if not delta_tables.exists(table):
        return []
    wanted = {"use_case": use_case, "output": output, "window": window}
    where = " and ".join(
        f"{name} = {delta_tables.quoted(value)}" for name, value in wanted.items() if value
    )
    rows = delta_tables.read(table, where=where).to_pylist()
    found = [Recorded(**{**row, **_in_utc(row)}) for row in rows]
    return sorted(found, key=lambda item: (item.scored_for, item.output, item.generation))


def _tell_late(settings: Settings, late: Sequence[Recorded]) -> None:
    if not late:
        return
    count = len(late)
    title = f"{late[0].use_case}: {count} output{'s were' if count > 1 else ' was'} delivered late"
    lines = [
        f"{item.output} for {item.consumer}, scoring time {item.scored_for.isoformat()}: "
        f"delivered {item.delivered_at.isoformat()}, promised by {item.due_at.isoformat()}"
        for item in late
        if item.delivered_at and item.due_at
    ]
    notifications.notify(settings, title, "\n".join(lines))


def _transaction(delivery: Recorded) -> str:
    declared = delivery.declared[:SHORT]
    return f"output:{delivery.use_case}/{delivery.output}/{delivery.window}/{declared}"


def _in_utc(row: dict[str, object]) -> dict[str, datetime]:
    return {
        name: value.astimezone(UTC) for name, value in row.items() if isinstance(value, datetime)
    }


def _schema() -> "pa.Schema":
    import pyarrow as pa

    moment, text = pa.timestamp("us", tz="UTC"), pa.string()
    return pa.schema(
        [
            ("use_case", text), ("output", text), ("kind", text), ("consumer", text),
            ("window", text), ("scored_for", moment), ("as_of", moment),
            ("generation", pa.int64()), ("run_key", text), ("model_version", text),
            ("rows", pa.int64()), ("sha256", text), ("place", text), ("declared", text),
            ("delivered_at", moment), ("due_at", moment), ("run", text),
        ]
    )  # fmt: skip
