"""The tutorial, followed to the letter: its commands, in their order, in a project of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tutorial import TUTORIAL, steps, unlike

pytestmark = [pytest.mark.prove, pytest.mark.platform]

ROOT = TUTORIAL.parents[1]

LONGEST_SECONDS = 900
"""For one command; `headframe up` is the slowest, on a loaded machine."""


def test_whoever_follows_the_tutorial_sees_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HEADFRAME_")
    } | {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    found = list(steps(TUTORIAL.read_text("utf-8")))
    assert len(found) > 20
    try:
        for step in found:
            # Each in a shell of its own, in which the tutorial's environment is active.
            ran = subprocess.run(
                ["/bin/bash", "-c", f"source .venv/bin/activate && {step.command}"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LONGEST_SECONDS,
                check=False,
            )
            said = ran.stdout + ran.stderr
            assert ran.returncode == 0, f"{step.command}\n{said}"
            missing = [line for line in step.shown if line.strip() and unlike(line, said)]
            assert not missing, f"{step.command}\n{missing}\n{said}"
    finally:
        headframe = Path(sys.executable).parent / "headframe"
        subprocess.run([headframe, "down"], cwd=tmp_path, env=environment, check=False)
