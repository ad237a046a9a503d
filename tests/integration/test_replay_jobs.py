"""Policies replayed at the same time: the ledgers of one after the other, whatever ends a process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.adapters.replay_home import FOLDER
from pipelines.adapters.replay_journal import FILE
from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import INTERRUPTED
from tests import machines
from tests.machines import NAME

pytestmark = pytest.mark.prove

HEADFRAME = Path(sys.executable).parent / "headframe"
LONGEST_SECONDS = 300
POLICIES = ("never", "weekly", "monthly")


@pytest.fixture
def settings(machines_settings: Settings) -> Settings:
    """Return a home that knows a week more than others do, for a history to be replayed."""
    machines.deliver(machines_settings, first=50, until=57)
    machines.take_in(machines.declare(machines_settings), machines_settings)
    return machines_settings


def start(settings: Settings, *options: str, since: str = "2026-02-20") -> subprocess.Popen[str]:
    """Start a replay of all policies up to 24 February, in a terminal of its own as a person does."""
    own = {
        f"HEADFRAME_{name.upper()}": str(getattr(settings, name))
        for name in ("home", "dags", "expectations")
    }
    policies = [word for policy in POLICIES for word in ("--retrain", policy)]
    history = ["--from", f"{since}T00:00:00Z", "--until", "2026-02-24T00:00:00Z", "--every", "day"]
    # A shell in the background lets what it starts ignore Ctrl-C; a person's terminal does not.
    terminal = ["env", "--default-signal=INT"]
    command = [str(HEADFRAME), "replay", NAME, *history, *policies, "--fixed", "--json", *options]
    return subprocess.Popen(
        [*terminal, *command],
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], status: int = 0) -> tuple[dict[str, Any], str]:
    """Wait for the end; return what was found, and what was told on the way."""
    found, told = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == status, told
    assert "Traceback" not in told
    return json.loads(found or "{}"), told


def replaying(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that replay a policy each, in the order in which they were started."""
    below = psutil.Process(process.pid).children()
    return [one for one in below if any("spawn_main" in word for word in one.cmdline())]


def are_gone(ended: list[psutil.Process]) -> bool:
    """Wait a moment; tell whether nothing of them is left but what nobody has asked for yet."""
    _, left = psutil.wait_procs(ended, timeout=3)
    return all(one.status() == psutil.STATUS_ZOMBIE for one in left)


def steps(settings: Settings, policy: str) -> list[str]:
    """Return the steps in a policy's journal."""
    files = list((settings.root / FOLDER).glob(f"*/{policy}/{FILE}"))
    return [one["step"] for file in files for one in json.loads(file.read_text("utf-8"))["steps"]]


def begun(settings: Settings, process: subprocess.Popen[str], policy: str, more: int = 0) -> None:
    """Wait until a policy has one step in its journal, or some ``more``."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while len(steps(settings, policy)) <= more:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def settled(settings: Settings, policy: str) -> bool:
    """Tell whether the last step of a policy is done."""
    return any(step.startswith("settle") for step in steps(settings, policy))


def test_broken_off_and_with_a_process_killed_it_says_what_it_says_one_after_the_other(
    settings: Settings,
) -> None:
    one_by_one, told = ended(start(settings, "--jobs", "1"))
    assert told == ""
    shutil.rmtree(settings.root / FOLDER)

    process = start(settings, "--jobs", "2")
    begun(settings, process, "never")
    both = replaying(process)
    assert len(both) == 2
    os.killpg(process.pid, signal.SIGINT)
    _, told = ended(process, INTERRUPTED)
    assert told.startswith("Interrupted.")
    assert are_gone(both)
    assert not any(settled(settings, policy) for policy in POLICIES)

    done, process = len(steps(settings, "never")), start(settings, "--jobs", "2")
    begun(settings, process, "never", more=done)
    never, _ = replaying(process)
    never.kill()
    at_once, told = ended(process)
    assert told == "never: its process was ended by Killed. What it had not done is done here.\n"
    assert at_once["ledger"] == one_by_one["ledger"]
    assert [len(one["trainings"]) for one in at_once["policies"]] == [0, 1, 0]


def test_its_processes_end_with_a_command_that_is_killed(settings: Settings) -> None:
    process = start(settings, "--jobs", "2")
    begun(settings, process, "never")
    both = replaying(process)
    process.kill()
    process.communicate()
    assert are_gone(both)
    assert not any(settled(settings, policy) for policy in POLICIES)


def test_what_is_wrong_with_all_is_told_once_and_ends_the_others(
    machines_settings: Settings,
) -> None:
    process = start(machines_settings, "--jobs", "2", since="2026-02-13")
    _, told = ended(process, 1)
    words = " ".join(told.split())
    assert words.count("expected a first champion, trained as of 2026-02-13") == 1
    assert words.count("its process was ended by an error") == 1
    assert all(steps(machines_settings, policy) == [] for policy in POLICIES)
