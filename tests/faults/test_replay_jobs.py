"""Policies replayed at the same time: the same ledgers as one after the other, whoever ends a process."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.adapters.replay_home import FOLDER
from pipelines.adapters.replay_journal import steps_done
from pipelines.adapters.settings import Settings
from tests import machines
from tests.machines import NAME

pytestmark = pytest.mark.prove

HEADFRAME = Path(sys.executable).parent / "headframe"
COMMAND = [
    *(str(HEADFRAME), "replay", NAME, "--from", "2026-02-20T00:00:00Z", "--until", "2026-02-24T00:00:00Z"),
    *("--every", "day", "--retrain", "never", "--retrain", "weekly", "--fixed", "--json"),
]  # fmt: skip
LONGEST_SECONDS = 300


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home to copy, in which everything was taken in and nothing replayed."""
    folder = machines.build_template(tmp_path_factory.mktemp("template"))
    settings = machines.settings_in(folder)
    machines.deliver(settings, first=50, until=57)
    machines.take_in(machines.declare(settings), settings)
    return folder


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    """Return the settings of a copy."""
    return machines.copy_template(template, tmp_path)


def start(settings: Settings, *options: str) -> subprocess.Popen[str]:
    """Start a replay of both policies as a person would."""
    own = {
        f"HEADFRAME_{name.upper()}": str(getattr(settings, name))
        for name in ("home", "dags", "expectations")
    }
    return subprocess.Popen(
        [*COMMAND, *options],
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Wait for the end; return what was found, and what was told on the way."""
    found, told = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 0, told
    return json.loads(found), told


def replaying(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that replay a policy each, in the order in which they were started."""
    below = psutil.Process(process.pid).children()
    return [one for one in below if any("spawn_main" in word for word in one.cmdline())]


def first_steps(settings: Settings, policy: str, process: subprocess.Popen[str]) -> int:
    """Wait until a policy has steps in its journal, and return how many."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for home in (settings.root / FOLDER).glob(f"*/{policy}"):
            if done := steps_done(settings.model_copy(update={"home": home})):
                return done
        time.sleep(0.05)
    raise AssertionError(f"no step of {policy}")


def test_policies_replayed_at_the_same_time_say_what_they_say_one_after_the_other(
    settings: Settings,
) -> None:
    one_by_one, _ = ended(start(settings, "--jobs", "1"))
    shutil.rmtree(settings.root / FOLDER)
    process = start(settings, "--jobs", "2")
    assert first_steps(settings, "never", process) < 10
    never, weekly = replaying(process)
    never.kill()
    at_once, told = ended(process)
    assert "never: its process was ended by SIGKILL" in told
    assert "weekly" not in told
    assert at_once["ledger"] == one_by_one["ledger"]
    trained = [len(one["trainings"]) for one in at_once["policies"]]
    assert trained == [0, 1]
    assert not weekly.is_running()


def test_policies_end_with_the_process_that_started_them(settings: Settings) -> None:
    process = start(settings, "--jobs", "2")
    first_steps(settings, "never", process)
    both = replaying(process)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(both, timeout=10)
    assert (len(gone), alive) == (2, [])
