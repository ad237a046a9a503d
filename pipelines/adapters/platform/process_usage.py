"""Process usage: the CPU, memory and bytes that this process and its ended children have used."""

import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.domain.stage_cost import Usage

COUNTERS = Path("/proc/self/io")
"""Linux counts here the bytes of read and write calls, those of ended children included (proc(5))."""

PEAK_MARK = Path("/proc/self/clear_refs")
"""Linux forgets here the largest resident set so far, on writing 5 (proc(5)); costs microseconds."""

PEAK_BYTES = 1 if sys.platform == "darwin" else 1024
"""Unit of ``ru_maxrss``: bytes on macOS, KiB on Linux (getrusage(2))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters at a moment; what lies between two is a usage. Peaks are in MiB."""

    clock: float
    own: float
    children: float
    peak: float
    child_peak: float
    read: int | None
    written: int | None

    def usage(self) -> Usage:
        """Return what was used since this reading was taken."""
        now = reading()
        return Usage(
            seconds=now.clock - self.clock,
            cpu_seconds=now.own - self.own,
            child_cpu_seconds=now.children - self.children,
            # A child no larger than one before this reading leaves no trace of its size.
            peak_mib=max(now.peak, now.child_peak if now.child_peak > self.child_peak else 0.0),
            bytes_read=_between(self.read, now.read),
            bytes_written=_between(self.written, now.written),
        )


def beginning() -> Reading:
    """Return a reading from which on the peak is measured anew, where the system can do that.

    Elsewhere (not Linux, or a process that may not) the peak stays the process's so far. Whoever
    measures the process from outside learns of the peak since, too.
    """
    with suppress(OSError):
        PEAK_MARK.write_text("5", "ascii")
    return reading()


def reading() -> Reading:
    """Read the counters of this process: some 20 microseconds."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    counted = _bytes()
    return Reading(
        clock=time.perf_counter(),
        own=own.ru_utime + own.ru_stime,
        children=children.ru_utime + children.ru_stime,
        peak=own.ru_maxrss * PEAK_BYTES / 2**20,
        child_peak=children.ru_maxrss * PEAK_BYTES / 2**20,
        read=counted.get("rchar"),
        written=counted.get("wchar"),
    )


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all it started, ended or not: 2 milliseconds.

    Joblib keeps the workers of a fit for the next one: until they end, ``reading`` knows nothing of
    what they used.
    """
    import psutil

    found = os.times()
    total = time.process_time() + found.children_user + found.children_system
    for worker in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended just now, and counts from the next time on
            used = worker.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def _bytes() -> dict[str, int]:
    """Return the counters by name; nothing where there is no such file, or it may not be read."""
    try:
        lines = COUNTERS.read_text("ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}


def _between(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None else last - first
