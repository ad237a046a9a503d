"""Paired: what a child process cost, as the kernel counts it when the child has ended."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST_SECONDS = 1200.0
"""A child that runs longer is killed: it hangs."""

Spread = tuple[float, float, float]
"""Minimum, median, maximum."""


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


def spread(values: Sequence[float]) -> Spread:
    """Return minimum, median and maximum of at least one value."""
    return min(values), statistics.median(values), max(values)
