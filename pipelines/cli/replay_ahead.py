"""Replay ahead: policies replayed at the same time, each in a process of its own as far as that gets."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING

from pipelines.adapters import replay_journal
from pipelines.adapters.models import kept_models, known, mlflow_client
from pipelines.adapters.platform import processes
from pipelines.adapters.replay_home import ReplayHome
from pipelines.cli.declared import declared_use_case
from pipelines.cli.replay_policy import PolicyReplay, Span
from pipelines.domain.replay_steps import RetrainPolicy, Step
from pipelines.errors import HeadframeError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

LOOK_SECONDS = 1.0
"""How often the journals are read to tell how far each policy is."""

LEFT_TO_THE_CALLER = 1
"""Exit status of a process whose replay met an error: the caller meets it again, and tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a process needs to replay one policy: what was asked for, over which periods, of which silver."""

    home: ReplayHome
    spans: Sequence[Span]
    pinned: Mapping[str, int]


def go_ahead(
    ahead: Ahead,
    replays: Sequence[PolicyReplay],
    *,
    jobs: int,
    told: Callable[[PolicyReplay, Step], object],
    ended: Callable[[PolicyReplay, int], object],
) -> None:
    """Replay policies in as many processes at once as ``jobs``; what each did is in its journal.

    Nothing is returned or raised: a process that ends early, whatever ended it, leaves its steps to
    the caller, who goes on from the journal and meets the error where it is one. ``ended`` is told of
    such a process and its exit status, below 0 for the signal that ended it, ``told`` of each newest
    step. A person who breaks off ends all processes at once, as a kill does; so does a kill of this one.
    """
    context, waiting = get_context("spawn"), deque(replays)
    running: dict[int, tuple[SpawnProcess, PolicyReplay]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                one = waiting.popleft()
                process = context.Process(
                    target=_replay, args=(ahead, one.policy, os.getpid()), daemon=True
                )
                process.start()
                running[process.sentinel] = process, one
            for sentinel in connection.wait(list(running), LOOK_SECONDS):
                assert isinstance(sentinel, int)  # noqa: S101 - what was waited for
                process, one = running.pop(sentinel)
                process.join()
                if process.exitcode:
                    ended(one, process.exitcode)
                else:
                    told(one, one.steps[-1])
            for _, one in running.values():
                done = replay_journal.steps_done(one.settings)
                if done and done < len(one.steps):
                    told(one, one.steps[done - 1])
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _replay(ahead: Ahead, policy: RetrainPolicy, parent: int) -> None:
    """Replay one policy to its end, in a process that was started for it."""
    processes.tie_to(parent)
    # Ctrl-C reaches every process of a terminal: the one that was started first ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = ahead.home.asked
    try:
        use_case = declared_use_case(ahead.home.settings(), asked.use_case)
        if use_case.digest() != asked.declaration:
            sys.exit(LEFT_TO_THE_CALLER)
        with known.kept(), kept_models.kept(), mlflow_client.quiet():
            PolicyReplay.of(use_case, ahead.home, policy, ahead.spans, ahead.pinned).run(
                lambda _: None
            )
    except HeadframeError:
        sys.exit(LEFT_TO_THE_CALLER)
