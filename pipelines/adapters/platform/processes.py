"""Processes: start a group, watch it, stop it whole."""

import ctypes
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.adapters.platform import process_logs, process_state
from pipelines.adapters.platform.process_state import SupervisorState
from pipelines.errors import PlatformError, Problem

STOP_SECONDS = 5.0
"""How long a group may take to end by itself before it is killed: idle, all but Airflow's triggerer
need 3 s. Its scheduler would wait for running tasks however long; they start again after the
next start."""

START_SECONDS = 30.0
"""How long a supervisor may take to write its first state: an interpreter and a few imports."""

PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h: a signal for the child when its parent dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process to keep running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@contextmanager
def only_one(
    path: Path, *, what: str, wait_seconds: float = 0.0, end: str = "with `headframe down`"
) -> Iterator[None]:
    """Hold the lock file ``path``; the kernel lets go of it when this process ends, however.

    Raises PlatformError when ``what`` holds it longer than ``wait_seconds``; ``end`` says how to end it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                raise PlatformError(
                    Problem(
                        where=str(path),
                        expected="to be the only one",
                        found=f"{what} that holds this lock",
                        fix=f"Wait for it, or end it {end}.",
                    )
                ) from None
        yield


def start(root: Path, command: Sequence[str], environment: Mapping[str, str]) -> SupervisorState:
    """Start ``command``, which calls ``supervisor.supervise``, detached from this terminal.

    Returns once it runs. Raises PlatformError with the end of its log when it does not.
    """
    log_path = process_logs.log_file(root, process_state.SUPERVISOR)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    process_logs.shorten(log_path)
    own = marked(environment, root, process_state.SUPERVISOR)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        own,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_path), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = process_state.running(root)
        if state is not None and state.pid == pid:
            return state
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
    raise PlatformError(
        Problem(
            where=f"the supervisor of {root}",
            expected=f"to be running within {START_SECONDS:.0f} s",
            found=process_logs.tail(log_path, 5) or "nothing in its log",
            fix=f"See {log_path}.",
        )
    )


def stop(root: Path) -> bool:
    """End the supervisor of the home ``root`` and every process it started; whether any lived."""
    state = process_state.running(root)
    if state is not None:
        with suppress(psutil.Error):
            supervisor = psutil.Process(state.pid)
            supervisor.terminate()
            supervisor.wait(timeout=STOP_SECONDS * 3)
    left = process_state.sweep(root)
    process_state.state_file(root).unlink(missing_ok=True)
    return state is not None or left > 0


def spawn(spec: ChildSpec, root: Path) -> subprocess.Popen[bytes]:
    """Start a child of this process, in a group of its own, that dies with this process."""
    path = process_logs.log_file(root, spec.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as output:
        try:
            return subprocess.Popen(  # noqa: S603 - commands come from this project's own lists
                spec.command,
                env=marked(spec.environment, root, spec.name),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - one thread calls this
            )
        except OSError as error:
            output.write(f"cannot start {spec.command[0]}: {error}\n".encode())
            raise


def signal_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to all processes of a group, if there are any left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def tie_to(parent: int) -> None:
    """Let this process, which ``parent`` started, be killed when that one ends, however."""
    _tied(ctypes.CDLL(None), parent)


def _die_with(parent: int) -> Callable[[], None]:
    """Make a function that ties the new process to the life of ``parent``."""
    libc = ctypes.CDLL(None)

    def tie() -> None:
        _tied(libc, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    return tie


def _tied(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def marked(environment: Mapping[str, str], root: Path, name: str) -> dict[str, str]:
    """Return the environment by which a process, and all it starts, is known as ours."""
    return {
        **environment,
        process_state.HOME_MARKER: str(root),
        process_state.PROCESS_MARKER: name,
        # Processes that retitle themselves overwrite their environment in /proc unless told not to.
        "SPT_NOENV": "1",
    }
