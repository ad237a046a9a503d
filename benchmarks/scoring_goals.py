"""Goals of scoring: what its costs are compared with, and what they are meant to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.paired import Once, Ratio, paired_ratio
from benchmarks.report import Goal
from benchmarks.scoring_home import LARGE, SMALL

OURS = "ours"
FLOOR = "floor"
STREAMING = "sklearn streaming"
NAIVE, NAIVE_ALL = "pandas and pyfunc", "pandas and pyfunc, all columns"

LEAST_OF_THE_FLOOR = 0.85
"""Our rows per CPU second to those of predict_proba alone, with the large model."""
LEAST_TIMES_NAIVE = 2.5
"""Our rows per CPU second to those of pandas and pyfunc, with the small model."""
MOST_MIB = 700.0
"""Peak resident memory of scoring, whatever the number of rows."""
MOST_GROWTH = 1.1
"""Peak memory with the most rows to that with the fewest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A number of rows, and of the model's trees."""

    rows: int
    trees: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.trees} trees"


Runs = Mapping[str, Sequence[Once] | None]
"""Of each system asked for, its runs by round; None where it failed."""


def ratio(of_case: Runs, other: str) -> Ratio | None:
    """Return our CPU seconds to another's over paired runs; None unless both were measured."""
    ours, others = of_case.get(OURS), of_case.get(other)
    if not ours or not others:
        return None
    return paired_ratio([once.spent.cpu_s for once in ours], [o.spent.cpu_s for o in others])


def goals(runs: Mapping[Case, Runs]) -> list[Goal]:
    """Return every goal that was asked for, met or not."""
    found: list[Goal] = []
    for case, of_case in runs.items():
        if OURS in of_case:
            found += _goals_of_case(case, of_case)
    for trees in dict.fromkeys(case.trees for case in runs):
        sizes = sorted(c.rows for c in runs if c.trees == trees and OURS in runs[c])
        if len(sizes) > 1:
            few, many = (
                peak_mib(runs[Case(rows=rows, trees=trees)][OURS]) for rows in (sizes[0], sizes[-1])
            )
            found.append(
                Goal(
                    name=f"peak memory, {trees} trees: {sizes[-1]:,} rows to {sizes[0]:,} rows",
                    target=MOST_GROWTH,
                    measured=many / few if few and many else None,
                )
            )
    return found


def peak_mib(runs: Sequence[Once] | None) -> float | None:
    """Return the highest peak of a system's runs."""
    return max(once.spent.peak_mib for once in runs) if runs else None


def _goals_of_case(case: Case, of_case: Runs) -> list[Goal]:
    found = [
        Goal(name=f"peak MiB, {case}: ours", target=MOST_MIB, measured=peak_mib(of_case[OURS]))
    ]
    asked = {LARGE: (FLOOR, 1 / LEAST_OF_THE_FLOOR), SMALL: (NAIVE, 1 / LEAST_TIMES_NAIVE)}
    other, target = asked.get(case.trees, ("", 0.0))
    if other in of_case:
        measured = ratio(of_case, other)
        found.append(
            Goal(
                name=f"CPU, {case}: ours to {other}",
                target=target,
                measured=measured.median if measured else None,
                interval=measured.interval if measured else None,
            )
        )
    return found
