"""Process state: which processes of a home run, and which of the machine's are ours."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipelines.adapters.stores.whole_files import write_whole
from pipelines.errors import PlatformError, Problem

HOME_MARKER = "HEADFRAME_HOME"
PROCESS_MARKER = "HEADFRAME_PROCESS"
"""Both in the environment of every process Headframe starts, and so of all their descendants."""

SUPERVISOR = "supervisor"
"""The supervisor's own name among the processes of a home."""

SAME_START_SECONDS = 1.5
"""Two readings of one process's start differ by less: the kernel rounds its boot time to 1 s."""

SWEEP_SECONDS = 15.0
"""A killed process is gone at once, unless the kernel holds it."""

SWEEP_PAUSE_SECONDS = 0.02
"""Between two looks at what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildState:
    """One process as its supervisor last saw it."""

    name: str
    state: str
    """``running``, ``waiting`` (to be started again), ``given up`` or ``stopping``."""
    pid: int | None
    started_at: str
    """UTC, ISO 8601; empty before the first start."""
    restarts: int
    exit_code: int | None
    """Of the last process of this name that ended; a negative number is a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """What ``<home>/run/platform.json`` says."""

    pid: int
    started: float
    """Seconds from boot to its start: tells it from a reused pid, even when the clock is set."""
    children: tuple[ChildState, ...]


def write(root: Path, state: SupervisorState) -> None:
    """Replace the state file of the home ``root``."""
    write_whole(state_file(root), json.dumps(asdict(state), indent=2) + "\n")


def running(root: Path) -> SupervisorState | None:
    """Return the state of the supervisor that runs for the home ``root``; None when none runs."""
    try:
        content = json.loads(state_file(root).read_text(encoding="utf-8"))
        children = tuple(ChildState(**child) for child in content.pop("children"))
        state = SupervisorState(**content, children=children)
        process = psutil.Process(state.pid)
        same = abs(seconds_after_boot(process) - state.started) < SAME_START_SECONDS
        alive = same and _is_marked(process, root) and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return state if alive else None


def seconds_after_boot(process: psutil.Process) -> float:
    """Say when a process started, by a clock that nobody sets."""
    return process.create_time() - psutil.boot_time()


def owned(root: Path, name: str = "") -> tuple[psutil.Process, ...]:
    """Find what lives of the home ``root``: marked processes and all that descends from them.

    ``name`` limits the answer to one of Headframe's processes. The caller is never in it.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if _is_marked(process, root, name):
            for member in (process, *_descendants(process)):
                found[member.pid] = member
    found.pop(os.getpid(), None)
    return tuple(process for process in found.values() if _is_alive(process))


def sweep(root: Path, name: str = "") -> int:
    """Kill what ``owned`` finds until nothing is left; return how many processes that were.

    Raises PlatformError when a process cannot be killed.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + SWEEP_SECONDS
    while victims := owned(root, name):
        if time.monotonic() > deadline:
            raise PlatformError(
                Problem(
                    where=f"processes {', '.join(str(process.pid) for process in victims)}",
                    expected="to end when killed",
                    found="still there",
                    fix="They wait for a disk or the kernel: wait, then run `headframe down` again.",
                )
            )
        for process in victims:
            # psutil compares the start time again: a pid reused meanwhile is left alone.
            with suppress(psutil.Error):
                process.kill()
            killed.add(process.pid)
        # Not psutil's wait: a zombie whose parent never asks for it would hold that up.
        time.sleep(SWEEP_PAUSE_SECONDS)
    return len(killed)


def state_file(root: Path) -> Path:
    """Where the supervisor of the home ``root`` writes its state."""
    return root / "run" / "platform.json"


def _is_marked(process: psutil.Process, root: Path, name: str = "") -> bool:
    try:
        if process.uids().real != os.getuid():
            return False
        marks = process.environ()
    except psutil.Error:
        return False
    home = marks.get(HOME_MARKER, "")
    process_name = marks.get(PROCESS_MARKER, "")
    ours = bool(home and process_name) and Path(home).resolve() == root.resolve()
    return ours and name in ("", process_name)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
