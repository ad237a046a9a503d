"""Goals of checks: what their costs are compared with, and what they are meant to be."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report import Goal

OURS, OURS_LISTED = "ours", "ours, failing rows set aside"
PARTS = ("row rules", "unique", "aggregates")
"""Parts of the suite that have a floor: the same checks written by hand."""
GX_DUCKDB, GX_DUCKDB_LISTED = "GX on DuckDB", "GX on DuckDB, failing rows listed"
GX_PANDAS, GX_PANDAS_LISTED = "GX pandas", "GX pandas, failing rows listed"
PANDERA = "pandera"

MOST_TIMES_A_FLOOR = 2.0
"""CPU of each part of a check to that of its floor."""
LEAST_TIMES_OF_GX_PANDAS = 20.0
"""CPU of GX on pandas to ours, both telling which rows fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A number of rows, and the share of them that fails a check."""

    rows: int
    share: str

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.share} failing"


Costs = Mapping[Case, Mapping[str, float | None]]
"""Of each case, the median CPU seconds of every system asked for; None where it gave nothing."""


def ours(part: str) -> str:
    """Return the name of our check of a part of the suite."""
    return f"{OURS}, {part}"


def floor(part: str) -> str:
    """Return the name of a part's floor."""
    return f"floor, {part}"


def floor_cpu_s(of_case: Mapping[str, float | None], system: str) -> float | None:
    """Return the CPU seconds of the floor of what a system does: of its part, or of all parts."""
    own = [part for part in PARTS if system in {ours(part), floor(part)}]
    found = [of_case.get(floor(part)) for part in own or PARTS]
    known = [cpu_s for cpu_s in found if cpu_s is not None]
    return sum(known) if len(known) == len(found) else None


def goals(costs: Costs) -> list[Goal]:
    """Return every goal that was asked for, met or not: at the most rows that were measured."""
    found: list[Goal] = []
    most = max((case.rows for case in costs), default=0)
    for case in costs:
        if case.rows == most:
            found += _goals_of_case(case, costs[case])
    for share in dict.fromkeys(case.share for case in costs):
        found += _goal_of_pandas({case: costs[case] for case in costs if case.share == share})
    return found


def _goals_of_case(case: Case, of_case: Mapping[str, float | None]) -> list[Goal]:
    asked = [(ours(part), floor(part), MOST_TIMES_A_FLOOR) for part in PARTS]
    asked += [(OURS, GX_DUCKDB, 1.0), (OURS_LISTED, GX_DUCKDB_LISTED, 1.0)]
    return [
        Goal(
            name=f"CPU, {case}: {system} to {other}",
            target=target,
            measured=_ratio(of_case[system], of_case[other]),
        )
        for system, other, target in asked
        if system in of_case and other in of_case
    ]


def _goal_of_pandas(of_share: Costs) -> list[Goal]:
    """Return the goal at the most rows at which GX on pandas gave an answer."""
    both = [case for case in of_share if {OURS_LISTED, GX_PANDAS_LISTED} <= of_share[case].keys()]
    if not both:
        return []
    able = [case for case in both if of_share[case][GX_PANDAS_LISTED]] or both
    largest = max(able, key=lambda case: case.rows)
    of_case = of_share[largest]
    return [
        Goal(
            name=f"CPU, {largest}: {OURS_LISTED} to {GX_PANDAS_LISTED}",
            target=1 / LEAST_TIMES_OF_GX_PANDAS,
            measured=_ratio(of_case[OURS_LISTED], of_case[GX_PANDAS_LISTED]),
        )
    ]


def _ratio(cpu_s: float | None, other: float | None) -> float | None:
    return cpu_s / other if cpu_s is not None and other else None
