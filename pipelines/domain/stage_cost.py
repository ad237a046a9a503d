"""Stage costs: what one try of one stage used of the machine, and what makes it that try."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from pipelines.domain.digest import digest_of

Outcome: TypeAlias = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process used between two moments.

    ``cpu_seconds`` are its own, ``child_cpu_seconds`` those of children that ended meanwhile.
    ``peak_mib`` is the largest resident set of the process between them (where the system cannot
    tell: so far), or of a child that ended meanwhile and was larger than every child before. Bytes
    are those of read and write calls, sockets included and memory-mapped files left out; None where
    the system does not count them.
    """

    seconds: float
    cpu_seconds: float
    child_cpu_seconds: float
    peak_mib: float
    bytes_read: int | None
    bytes_written: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """One try of a task: ``purpose`` is that of its DAG (ingest, train, score, monitor).

    ``at`` (UTC) is when it began, by the clock on the wall, whatever time the run stood for.
    ``map_index`` is -1 for a task that is not mapped; ``rows`` is None where no stage told them.
    """

    use_case: str
    purpose: str
    task: str
    run: str
    map_index: int
    attempt: int
    at: datetime
    outcome: Outcome
    usage: Usage
    rows: int | None = None

    @property
    def key(self) -> str:
        """What is recorded once: the first 32 hex digits of the try's digest."""
        told = [self.use_case, self.purpose, self.task, self.run, self.map_index, self.attempt]
        return digest_of(told)[:32]

    @property
    def stage(self) -> str:
        """The task as a reader names it: by its DAG too, unless it is called like it."""
        return self.task if self.task == self.purpose else f"{self.purpose}.{self.task}"

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of the process and its children."""
        return self.usage.cpu_seconds + self.usage.child_cpu_seconds

    def to_row(self) -> dict[str, Any]:
        """Return the ledger's row."""
        plain = asdict(self)
        return {"key": self.key, **plain.pop("usage"), **plain}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "StageCost":
        """Return what ``to_row`` was called on."""
        told = {name: value for name, value in row.items() if name != "key"}
        usage = Usage(**{name: told.pop(name) for name in Usage.__slots__})
        return cls(**{**told, "at": told["at"].astimezone(UTC), "usage": usage})
