"""Run the long proofs and keep what they said: `make prove`."""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROOF = ROOT / "docs" / "proof" / "prove.md"
PYTEST = (sys.executable, "-m", "pytest", "-m", "prove", "-p", "no:cacheprovider")
COLLECT = (*PYTEST, "--collect-only", "-qq")
RUN = (*PYTEST, "-rA", "-q", "--durations=0")
AT_A_TIME = 2
"""Files proven beside each other, each in a process of its own.

Airflow, once imported, changes the process for all that follows, and a child's peak memory is told
to be at least that of its parent.
"""


@dataclass(frozen=True, slots=True)
class Proven:
    """What the proofs of a file said, and pytest's exit status."""

    file: str
    status: int
    output: str


def main() -> int:
    """Run every test marked ``prove``; write command, revision, machine and output to docs/proof."""
    began = datetime.now(UTC)
    revision = _said("git", "rev-parse", "--short", "HEAD")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        proven = list(pool.map(prove, files()))
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    failed = [each.file for each in proven if each.status]
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    sections = "\n\n".join(f"## {each.file}\n\n```\n{each.output}\n```" for each in proven)
    PROOF.write_text(
        "# The long proofs\n\n"
        f"`make prove` at revision {revision}, {began.date()}, {minutes:.1f} minutes, "
        f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}, "
        f"{len(proven)} files, {verdict}.\n\n{sections}\n"
    )
    _say(f"{len(proven)} files, {verdict}, {minutes:.1f} minutes: {PROOF.relative_to(ROOT)}")
    return 1 if failed or not proven else 0


def files() -> list[str]:
    """Return the files that hold a proof, those of most proofs first.

    What is collected is told as a line a file: its name, a colon and how many proofs it holds.
    """
    counted: dict[str, int] = {}
    for line in _said(*COLLECT).splitlines():
        name, _, count = line.partition(": ")
        if count.isdigit():
            counted[name] = int(count)
    return sorted(counted, key=lambda name: (-counted[name], name))


def prove(file: str) -> Proven:
    """Run the proofs of one file; what they say is printed and returned without this folder's name."""
    ended = subprocess.run([*RUN, file], cwd=ROOT, capture_output=True, text=True, check=False)
    output = ended.stdout.strip().replace(str(ROOT), ".")
    _say(f"{file}: {output.splitlines()[-1]}")
    if ended.returncode:
        _say(output + ended.stderr)
    return Proven(file, ended.returncode, output)


def _said(*command: str) -> str:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
