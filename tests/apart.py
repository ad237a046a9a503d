"""Run test files apart: each in a process of its own, some at a time, a line for each that ends.

Airflow, once imported, changes the process for all that follows, and keeps one database a process.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What pytest said of a file, without this folder's name, its exit status, and how long it took."""

    file: str
    status: int
    output: str
    minutes: float

    @property
    def verdict(self) -> str:
        """Return pytest's last line, which counts what passed and failed."""
        said = re.findall(
            r"^=*\s*(\d+ (?:passed|failed|error).*?) in [\d.]+s", self.output, re.MULTILINE
        )
        return said[-1] if said else f"exit status {self.status}"


def run(file: str, *options: str) -> Ended:
    """Run one file and say how it ended; all that it said where it failed."""
    began = datetime.now(UTC)
    command = [sys.executable, "-m", "pytest", "-q", *options, file]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = Ended(
        file=file,
        status=ended.returncode,
        output=ended.stdout.strip().replace(str(ROOT), "."),
        minutes=(datetime.now(UTC) - began).total_seconds() / 60,
    )
    say(f"{file}: {found.verdict}, {found.minutes:.1f} minutes")
    if found.status:
        say(found.output + ended.stderr)
    return found


def main(at_a_time: int, files: list[str]) -> int:
    """Run the files, ``at_a_time`` of them beside each other; 1 unless every one passed."""
    with ThreadPoolExecutor(at_a_time) as pool:
        ended = list(pool.map(lambda file: run(file, "-m", "not prove and not platform"), files))
    # 5: a file of proofs alone, of which nothing is left to run.
    failed = [each.file for each in ended if each.status not in {0, 5}]
    say(f"{len(ended)} files, " + (f"failed: {', '.join(failed)}" if failed else "all passed"))
    return 1 if failed or not ended else 0


def say(text: str) -> None:
    """Print a text at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
