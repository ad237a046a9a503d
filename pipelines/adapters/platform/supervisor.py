"""Supervisor: keeps the processes of one home running until it is told to stop."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from pipelines.adapters.platform import process_logs, process_state, processes
from pipelines.adapters.platform.process_state import ChildState, SupervisorState
from pipelines.adapters.platform.processes import ChildSpec

TICK_SECONDS = 1.0
"""How often the supervisor looks around when no child died."""

LOCK_SECONDS = 2.0
"""A supervisor that was killed a moment ago may not be gone yet."""

LOG_CHECK_SECONDS = 60.0
"""How often log sizes are looked at."""

log = logging.getLogger(__name__)

Report = Callable[[str, str], object]
"""Gets title and body of what a person should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a dead child is started again, and when no more."""

    most_restarts: int = 5
    within_seconds: float = 600.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0

    def wait_seconds(self, recent_deaths: int) -> float:
        """How long to wait after that many deaths; each time twice as long."""
        wait = self.first_wait_seconds * 2.0 ** (recent_deaths - 1)
        return min(wait, self.longest_wait_seconds)


def supervise(
    root: Path,
    children: Sequence[ChildSpec],
    *,
    policy: RestartPolicy | None = None,
    report: Report | None = None,
) -> None:
    """Keep ``children`` running until SIGTERM or SIGINT, then end them all.

    Call it from the main thread of a process of its own. Raises PlatformError when the home
    ``root`` has a supervisor already.
    """
    stopping = {signal.SIGTERM, signal.SIGINT}
    watched = {*stopping, signal.SIGCHLD}
    lock = processes.only_one(
        root / "run" / "supervisor.lock", what="another supervisor", wait_seconds=LOCK_SECONDS
    )
    with lock:
        # Blocked, signals wait until the loop below asks for them: no code of ours is interrupted.
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        process_state.sweep(root)
        group = _Group(root, children, policy or RestartPolicy(), report or _log_report)
        try:
            while True:
                group.tend()
                received = signal.sigtimedwait(watched, TICK_SECONDS)
                if received is not None and received.si_signo in stopping:
                    break
        finally:
            group.stop()
            process_state.state_file(root).unlink(missing_ok=True)


def _log_report(title: str, body: str) -> None:
    log.warning("%s: %s", title, body)


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    state: str = "waiting"
    started_at: str = ""
    start_due: float = 0.0
    deaths: list[float] = field(default_factory=list)
    restarts: int = 0
    exit_code: int | None = None


class _Group:
    def __init__(
        self, root: Path, specs: Sequence[ChildSpec], policy: RestartPolicy, report: Report
    ) -> None:
        self.root = root
        self.children = [_Child(spec) for spec in specs]
        self.policy = policy
        self.report = report
        self.logs_checked = time.monotonic()

    def tend(self) -> None:
        """Note who died, start who is due, write the state, then tell what happened."""
        died = [
            child for child in self.children if child.process and child.process.poll() is not None
        ]
        for child in died:
            self._bury(child)
        due = [
            child
            for child in self.children
            if child.state == "waiting" and time.monotonic() >= child.start_due
        ]
        for child in due:
            self._start(child)
        if died or due:
            self._write()
        for child in died:
            self._tell(child)
        if time.monotonic() - self.logs_checked > LOG_CHECK_SECONDS:
            self.logs_checked = time.monotonic()
            self._shorten_logs()

    def stop(self) -> None:
        """Ask every group to end, wait, and kill what is left."""
        living = [child.process for child in self.children if child.process]
        for child in self.children:
            child.state = "stopping"
        self._write()
        for process in living:
            processes.signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + processes.STOP_SECONDS
        while time.monotonic() < deadline and any(process.poll() is None for process in living):
            time.sleep(0.05)
        for process in living:
            processes.signal_group(process.pid, signal.SIGKILL)
            process.wait()
        process_state.sweep(self.root)
        log.info("stopped")

    def _shorten_logs(self) -> None:
        for child in self.children:
            try:
                process_logs.shorten(process_logs.log_file(self.root, child.spec.name))
            except OSError:
                log.exception("cannot shorten the log of %s", child.spec.name)

    def _start(self, child: _Child) -> None:
        if child.started_at:
            child.restarts += 1
        try:
            child.process = processes.spawn(child.spec, self.root)
        except OSError as error:
            log.exception("cannot start %s", child.spec.name)
            child.exit_code = error.errno
            self._schedule(child)
            return
        finally:
            child.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        child.state = "running"
        log.info("%s started as %d", child.spec.name, child.process.pid)

    def _bury(self, child: _Child) -> None:
        assert child.process is not None  # noqa: S101 - tells the type checker what tend() saw
        child.exit_code = child.process.returncode
        # What it forked must not outlive it: an executor's workers would wait for ever.
        processes.signal_group(child.process.pid, signal.SIGKILL)
        process_state.sweep(self.root, child.spec.name)
        child.process = None
        self._schedule(child)

    def _schedule(self, child: _Child) -> None:
        now = time.monotonic()
        child.deaths = [at for at in child.deaths if now - at < self.policy.within_seconds] + [now]
        if len(child.deaths) > self.policy.most_restarts:
            child.state = "given up"
        else:
            child.state = "waiting"
            child.start_due = now + self.policy.wait_seconds(len(child.deaths))
        log.warning("%s ended with %s: %s", child.spec.name, child.exit_code, child.state)

    def _tell(self, child: _Child) -> None:
        name, minutes = child.spec.name, self.policy.within_seconds / 60
        if child.state == "given up":
            title = f"{name} keeps dying and is not started again"
        else:
            title = f"{name} died and is started again"
        body = (
            f"Exit code {child.exit_code}, {len(child.deaths)} deaths within {minutes:.0f} minutes. "
            f"See {process_logs.log_file(self.root, name)}."
        )
        try:
            self.report(title, body)
        except Exception:
            log.exception("cannot report: %s", title)

    def _write(self) -> None:
        own = psutil.Process()
        states = [
            ChildState(
                name=child.spec.name,
                state=child.state,
                pid=child.process.pid if child.process else None,
                started_at=child.started_at,
                restarts=child.restarts,
                exit_code=child.exit_code,
            )
            for child in self.children
        ]
        state = SupervisorState(
            pid=own.pid,
            started=process_state.seconds_after_boot(own),
            children=tuple(states),
        )
        try:
            process_state.write(self.root, state)
        except OSError:
            # A full disk must not end the processes that would empty it.
            log.exception("cannot write the state")
