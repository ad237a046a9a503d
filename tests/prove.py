"""Run the long proofs and keep what they said: `make prove`."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROOF = ROOT / "docs" / "proof" / "prove.md"
COMMAND = ("-m", "pytest", "-m", "prove", "-rA", "-q", "-p", "no:cacheprovider", "--durations=0")


def main() -> int:
    """Run every test marked ``prove``; write command, revision, machine and output to docs/proof."""
    began = datetime.now(UTC)
    ended = subprocess.run(
        [sys.executable, *COMMAND], cwd=ROOT, capture_output=True, text=True, check=False
    )
    output = ended.stdout.replace(str(ROOT), ".")
    sys.stdout.write(output + ended.stderr)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the developer's own git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    PROOF.write_text(
        "# The long proofs\n\n"
        f"`make prove` at revision {revision}, {began.date()}, {minutes:.1f} minutes, "
        f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}, "
        f"exit status {ended.returncode}.\n\n```\n{output.strip()}\n```\n"
    )
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
