"""Goals of ingest: what its costs are compared with, and what they are meant to be."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report import Goal

OURS = "ours"
OURS_BAD = "ours, 4 % bad rows"
COPIES = ("pyarrow", "duckdb", "polars", "pandas", "dlt")
"""Plain copies: the same file to the same table, without any check."""
FLOORS = ("parse only", "write only")

MOST_TIMES_A_PLAIN_COPY = 1.6
"""CPU of ingest to that of the fastest plain copy of the same file."""
MOST_TIMES_WITH_BAD_ROWS = 2.8
"""CPU of ingest of a file with 4 % bad rows to the fastest plain copy of the same without."""
OUTDONE = ("polars", "dlt")
"""Copies that ingest is meant to cost less CPU than, although it checks and they do not."""
MOST_MIB = 1024.0
"""Peak resident memory of ingest, whatever the file's size."""
MOST_GROWTH = 1.25
"""Peak memory with the most rows to that with the fewest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A format and a number of rows."""

    format: str
    rows: int

    def __str__(self) -> str:
        return f"{self.format}, {self.rows:,} rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Median CPU seconds without imports, and the highest peak memory in MiB."""

    cpu_s: float
    peak_mib: float


Costs = Mapping[Case, Mapping[str, Cost | None]]
"""Of each case, the cost of every system that was asked for; None where it failed."""


def fastest_copy(of_case: Mapping[str, Cost | None]) -> str | None:
    """Return the name of the plain copy with the least CPU, None when none was measured."""
    measured = {name: cost for name in COPIES if (cost := of_case.get(name)) is not None}
    return min(measured, key=lambda name: measured[name].cpu_s) if measured else None


def floor_cpu_s(of_case: Mapping[str, Cost | None]) -> float | None:
    """Return the CPU seconds of parsing alone plus writing alone, None unless both were measured."""
    floors = [of_case.get(name) for name in FLOORS]
    found = [floor.cpu_s for floor in floors if floor is not None]
    return sum(found) if len(found) == len(FLOORS) else None


def goals(costs: Costs) -> list[Goal]:
    """Return every goal that was asked for, met or not."""
    found: list[Goal] = []
    for case, of_case in costs.items():
        if OURS in of_case:
            found += _goals_of_case(case, of_case)
    for kind in dict.fromkeys(case.format for case in costs):
        sizes = sorted((c for c in costs if c.format == kind and OURS in costs[c]), key=_rows)
        if len(sizes) > 1:
            small, large = costs[sizes[0]][OURS], costs[sizes[-1]][OURS]
            growth = large.peak_mib / small.peak_mib if small and large else None
            name = f"peak memory, {kind}: {sizes[-1].rows:,} rows to {sizes[0].rows:,} rows"
            found.append(Goal(name=name, target=MOST_GROWTH, measured=growth))
    return found


def _rows(case: Case) -> int:
    return case.rows


def _goals_of_case(case: Case, of_case: Mapping[str, Cost | None]) -> list[Goal]:
    ours = of_case[OURS]
    found = [
        Goal(
            name=f"peak MiB, {case}: ours",
            target=MOST_MIB,
            measured=ours.peak_mib if ours else None,
        )
    ]
    if fastest := fastest_copy(of_case):
        compared = {OURS: MOST_TIMES_A_PLAIN_COPY, OURS_BAD: MOST_TIMES_WITH_BAD_ROWS}
        found += [
            Goal(
                name=f"CPU, {case}: {system} to the fastest plain copy ({fastest})",
                target=target,
                measured=_ratio(of_case[system], of_case[fastest]),
            )
            for system, target in compared.items()
            if system in of_case
        ]
    found += [
        Goal(
            name=f"CPU, {case}: ours to {peer}",
            target=1.0,
            measured=_ratio(ours, of_case[peer]),
        )
        for peer in OUTDONE
        if peer in of_case
    ]
    return found


def _ratio(cost: Cost | None, other: Cost | None) -> float | None:
    return cost.cpu_s / other.cpu_s if cost and other else None
