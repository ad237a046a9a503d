"""Failpoints: named places where a fault test kills this process."""

import os
import signal
from pathlib import Path

ARMED = "HEADFRAME_FAILPOINT"
"""Environment variable: the name of the failpoint that kills."""

REACHED = "HEADFRAME_FAILPOINT_REACHED"
"""Environment variable: a file that gets the failpoint's name first, to prove the fault landed."""


def failpoint(name: str) -> None:
    """Kill this process with SIGKILL when ``name`` is armed; otherwise do nothing."""
    if os.environ.get(ARMED) != name:
        return
    if reached := os.environ.get(REACHED):
        with Path(reached).open("a") as file:
            file.write(f"{name}\n")
    os.kill(os.getpid(), signal.SIGKILL)
