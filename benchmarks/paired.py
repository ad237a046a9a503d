"""Paired: what a child process cost, as the kernel counts it when the child has ended."""

import math
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST_SECONDS = 1200.0
"""A child that runs longer is killed: it hangs."""

Spread = tuple[float, float, float]
"""Minimum, median, maximum."""

CONFIDENCE = 0.95
"""Least probability with which an interval holds the median."""


class ChildError(Exception):
    """A child process ended with an error; the text ends with its last two lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """User and system CPU seconds, wall seconds, and the highest resident memory (MiB).

    Children of the child are counted once it has waited for them: CPU is added, memory is that of
    the largest process. A child's peak is at least that of the process that started it, at that
    moment: the kernel hands it down. Start children from a small process.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float

    def without(self, cpu_s: float, wall_s: float) -> "Spent":
        """Return what is left when seconds that do not count are taken off."""
        return Spent(cpu_s=self.cpu_s - cpu_s, wall_s=self.wall_s - wall_s, peak_mib=self.peak_mib)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One run: what it cost without its imports, and the CPU seconds of these."""

    spent: Spent
    imports_cpu_s: float


def run(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Spent:
    """Run a command in the project's folder and return what it cost; its output goes to ``log``.

    Raises ChildError unless it ends with status 0.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        limit = threading.Timer(LONGEST_SECONDS, child.kill)
        limit.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:  # an interrupt leaves no child behind
            child.kill()
            raise
        finally:
            limit.cancel()
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        last = log.read_text("utf-8", "replace").strip().splitlines()[-2:]
        raise ChildError(f"ended with {child.returncode}: {' '.join(last)[:400]}")
    return Spent(
        cpu_s=usage.ru_utime + usage.ru_stime, wall_s=wall_s, peak_mib=usage.ru_maxrss / 1024
    )


def rounds(systems: Sequence[str], repetitions: int) -> Iterator[tuple[int, str]]:
    """Yield (round from 1, system): each in turn, the next round beginning with another one."""
    for number in range(repetitions):
        first = number % len(systems)
        for system in [*systems[first:], *systems[:first]]:
            yield number + 1, system


def spread(values: Sequence[float]) -> Spread:
    """Return minimum, median and maximum of at least one value."""
    return min(values), statistics.median(values), max(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Median of the ratios of paired runs, and an interval that holds it; None for too few pairs."""

    median: float
    interval: tuple[float, float] | None
    pairs: int

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.median:.2f} ({self.pairs} pairs, too few for an interval)"
        low, high = self.interval
        return f"{self.median:.2f} ({low:.2f} to {high:.2f}, {self.pairs} pairs)"


def paired_ratio(ours: Sequence[float], others: Sequence[float]) -> Ratio | None:
    """Return the ratio of ours to others over runs of the same rounds; None without any pair.

    The interval is that of the sign test (Thompson, 1936): between two of the sorted ratios, which
    hold the median with a probability of at least CONFIDENCE whatever their distribution. It takes
    6 pairs; of up to 8 it is from the least to the greatest.

    >>> str(paired_ratio([2.0, 3.0, 9.0], [2.0, 2.0, 3.0]))
    '1.50 (3 pairs, too few for an interval)'
    """
    ratios = sorted(one / other for one, other in zip(ours, others, strict=False))
    pairs = len(ratios)
    if not pairs:
        return None
    outside, cut = 0.0, 0
    while (outside := outside + 2 * math.comb(pairs, cut) / 2**pairs) <= 1 - CONFIDENCE:
        cut += 1
    interval = (ratios[cut - 1], ratios[-cut]) if cut else None
    return Ratio(median=statistics.median(ratios), interval=interval, pairs=pairs)
