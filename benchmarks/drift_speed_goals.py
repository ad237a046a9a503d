"""Goals of drift checks: what their cost is compared with, and what it is meant to be."""

from collections.abc import Mapping

from benchmarks.report import Goal

OURS, FLOOR, SCIPY = "ours", "floor", "SciPy by hand"
EVIDENTLY, NANNYML, WHYLOGS = "evidently", "nannyml", "whylogs"
PEERS = (EVIDENTLY, NANNYML, WHYLOGS)

LEAST_TIMES_OF_EVIDENTLY = 100.0
"""CPU of Evidently's preset to ours."""
MOST_TIMES_THE_FLOOR = 3.0
"""CPU of ours to that of reading the columns and passing over them once."""
MOST_MIB = 700.0
"""Highest resident memory of ours."""

SCRIPTS = {
    OURS: "with_headframe",
    FLOOR: "floor",
    SCIPY: "with_scipy",
    WHYLOGS: "with_whylogs",
    NANNYML: "with_nannyml",
    EVIDENTLY: "with_evidently",
}
"""System to its module of benchmarks.drift_speed_peers."""

SLOW = (WHYLOGS, NANNYML, EVIDENTLY)
"""Systems that take each case once: one run of the large one is minutes long."""


def goals(
    case: str, cpu_s: Mapping[str, float | None], peak_mib: Mapping[str, float | None]
) -> list[Goal]:
    """Return the goals of one case, met or not, for the systems that were asked."""
    asked = [
        (EVIDENTLY, 1 / LEAST_TIMES_OF_EVIDENTLY),
        (FLOOR, MOST_TIMES_THE_FLOOR),
    ]
    found = [
        Goal(
            name=f"CPU, {case}: {OURS} to {other}",
            target=target,
            measured=_ratio(cpu_s.get(OURS), cpu_s[other]),
        )
        for other, target in asked
        if other in cpu_s and OURS in cpu_s
    ]
    if OURS in peak_mib:
        found.append(
            Goal(name=f"peak MiB, {case}: {OURS}", target=MOST_MIB, measured=peak_mib[OURS])
        )
    return found


def _ratio(own: float | None, other: float | None) -> float | None:
    return own / other if own is not None and other else None
