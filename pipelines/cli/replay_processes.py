"""Replay processes: policies replayed at the same time, each in a process of its own."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING

from pipelines.adapters import replay_journal
from pipelines.adapters.models import mlflow_client
from pipelines.adapters.platform import processes
from pipelines.adapters.replay_home import ReplayHome, on_a_full_disk
from pipelines.cli.declared import declared_use_case
from pipelines.cli.replay_policy import PolicyReplay, Span
from pipelines.domain.replay_steps import RetrainPolicy

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

LOOK_SECONDS = 1.0
"""How often the journals are read to tell how far each policy is: a step takes about as long."""

LEFT = 1
"""Exit status of a process that leaves the rest of its steps to the one that started it."""

Told = Callable[[PolicyReplay, int], object]


def replay_beside(
    replays: Sequence[PolicyReplay],
    pinned: Mapping[str, int],
    *,
    jobs: int,
    told: Told,
    ended: Told,
) -> PolicyReplay | None:
    """Replay policies in as many processes at once as ``jobs``; what each did is in its journal.

    Nothing is raised: a process that ends early leaves its steps to the caller, who goes on from the
    journal. One that met an error ends them all, and its policy is returned: the caller meets the
    error again, and tells it. ``told`` is called with how many steps a policy has done, ``ended`` with
    the exit status of a process that left some, below 0 for the signal that ended it. Whatever ends
    this process ends the others, as a kill does.
    """
    context, waiting = get_context("spawn"), deque(replays)
    running: dict[int, tuple[SpawnProcess, PolicyReplay]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                one = waiting.popleft()
                arguments = one.home, one.policy, one.spans, pinned, os.getpid()
                process = context.Process(target=_replay, args=arguments)
                with _interrupts_wait():
                    process.start()
                    running[process.sentinel] = process, one
            for _, one in running.values():
                told(one, replay_journal.steps_done(one.settings))
            for sentinel in connection.wait(list(running), LOOK_SECONDS):
                assert isinstance(sentinel, int)  # noqa: S101 - what was waited for
                process, one = running.pop(sentinel)
                process.join()
                status = process.exitcode or 0
                if status and not one.is_done():
                    ended(one, status)
                    if status > 0:
                        return one
                told(one, replay_journal.steps_done(one.settings))
    finally:
        for process, _ in running.values():
            process.kill()
        for process, _ in running.values():
            process.join()
    return None


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Keep Ctrl-C back until what is done inside is done; a process started inside never gets it.

    It reaches every process of a terminal, and the one that was started first ends the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _replay(
    home: ReplayHome,
    policy: RetrainPolicy,
    spans: Sequence[Span],
    pinned: Mapping[str, int],
    parent: int,
) -> None:
    """Replay one policy to its end, in a process that was started for it."""
    processes.tie_to(parent)
    try:
        use_case = declared_use_case(home.settings(), home.asked.use_case)
        home.refuse_changed(use_case.digest())
        with on_a_full_disk(use_case.name), mlflow_client.quiet():
            PolicyReplay.of(use_case, home, policy, spans, pinned).go_on(lambda _: None)
    except Exception:  # noqa: BLE001 - the process that started this one meets it again, and tells it
        sys.exit(LEFT)
