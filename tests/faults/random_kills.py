"""Random kills: processes at work on a home, killed after some files and a moment more."""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests import machines
from tests.faults.model_runs import LONGEST_SECONDS, Ended, Work, start_work
from tests.faults.score_runs import OVERTAKEN
from tests.faults.score_state import folders


def progress(settings: Settings) -> int:
    """Return how many files there are of prediction tables: data, seen or unseen, and commits."""
    count = 0
    for table in folders(settings).values():
        for _, _, names in os.walk(local(table)):
            count += len(names)
    return count


@dataclass(slots=True)
class Kills:
    """What a series of kills did so far: processes killed, and those that had begun to write."""

    wanted: int
    chance: random.Random
    killed: int = 0
    in_progress: int = 0
    overtaken: int = 0
    homes: int = 0

    @property
    def enough(self) -> bool:
        return self.in_progress >= self.wanted

    def __str__(self) -> str:
        return (
            f"{self.killed} kills, {self.in_progress} of them of runs that had begun to write, "
            f"{self.overtaken} runs overtaken, {self.homes} homes"
        )


def kill_somewhere(folder: Path, works: Sequence[Work], kills: Kills) -> bool:
    """Start each work at once; kill them after some files and a moment more.

    Return True when all of them came to their end instead.
    """
    settings = machines.settings_in(folder)
    before, began = progress(settings), time.monotonic()
    # Some work leaves three files and some more than twenty.
    wanted = before + kills.chance.randint(1, kills.chance.choice([3, 24]))
    delay = kills.chance.choice([0.0, kills.chance.uniform(0.0, 0.04)])
    processes = [start_work(folder, work) for work in works]
    while progress(settings) < wanted and any(process.is_alive() for process in processes):
        assert time.monotonic() - began < LONGEST_SECONDS
        time.sleep(0.001)
    time.sleep(delay)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    ended = [Ended(process.exitcode, ()) for process in processes]
    killed = sum(each.killed for each in ended)
    kills.killed += killed
    kills.in_progress += killed if progress(settings) > before else 0
    kills.overtaken += sum(each.exit_code == OVERTAKEN for each in ended)
    allowed = {0, OVERTAKEN} if len(works) > 1 else {0}
    assert all(each.killed or each.exit_code in allowed for each in ended), (
        ended,
        (folder / "log.txt").read_text(),
    )
    return not killed
