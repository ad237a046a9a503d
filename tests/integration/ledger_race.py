"""A race for the decisions ledger; apart from its test, so that its processes import little."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import decisions
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

WHEN = datetime(2026, 5, 1, 9, tzinfo=UTC)
WRITERS = 3
EACH = 4
"""Decisions that every writer appends."""


def decision(version: str, use_case: str = "machines") -> Decision:
    return Decision(
        use_case=use_case,
        kind="evaluated",
        version=version,
        actor="gates",
        as_of=WHEN,
        reason="it's \"good\"; 'really'",
        artifact_sha256="aa",
        evidence_digest="bb",
    )


def race(folder: str, writer: int, start: "Barrier") -> None:
    """Append EACH decisions, each of them conditional on not being there yet."""
    home = Settings(home=Path(folder))
    start.wait(120)
    for number in range(EACH):
        version = f"{writer}.{number}"

        def decide(so_far: list[Recorded], version: str = version) -> Decision | None:
            there = any(entry.decision.version == version for entry in so_far)
            return None if there else decision(version)

        decisions.append(home, decide)
        decisions.append(home, decide)
