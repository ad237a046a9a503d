"""Run the long proofs and keep what they said: `make prove`, or `make prove FILES="tests/..."`.

Each file of tests has a record of its own under docs/proof/, with the revision it was proven at;
their table is docs/proof/README.md.
"""

import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.apart import ROOT, Ended, run, say

PROOF = ROOT / "docs" / "proof"
PROOFS = ("-m", "prove", "-p", "no:cacheprovider", "-rA", "--durations=0")
COLLECT = (
    *(sys.executable, "-m", "pytest", "-m", "prove", "-p", "no:cacheprovider"),
    *("--collect-only", "-qq"),
)
AT_A_TIME = 2
"""Files proven beside each other.

Each has a process of its own, also since a child's peak memory is told to be at least its parent's.
"""

FACTS = re.compile(r"^(?P<name>[a-z]+): (?P<value>.+)$", re.MULTILINE)
"""A line of a record that its table shows."""


def main(wanted: list[str]) -> int:
    """Run every test marked ``prove``, or those of the files named, and write their records."""
    every = files()
    if unknown := sorted(set(wanted) - set(every)):
        say(f"no proofs in {', '.join(unknown)}; there are some in:\n" + "\n".join(every))
        return 2
    PROOF.mkdir(exist_ok=True)
    revision = _revision()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        proven = list(pool.map(lambda file: _kept(run(file, *PROOFS), revision), wanted or every))
    for record in PROOF.glob("*.md"):
        if record.name not in {"README.md", *map(_record_name, every)}:
            record.unlink()  # of tests that are gone
    (PROOF / "README.md").write_text(_table(every))
    failed = [each.file for each in proven if each.status]
    minutes = sum(each.minutes for each in proven)
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    say(f"{len(proven)} of {len(every)} files, {verdict}, {minutes:.0f} minutes of tests")
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


def _kept(proven: Ended, revision: str) -> Ended:
    """Write the record of a file's proofs."""
    (PROOF / _record_name(proven.file)).write_text(
        f"# Proofs of {proven.file}\n\n"
        f"command: `make prove FILES={proven.file}`\n"
        f"revision: {revision}\n"
        f"date: {datetime.now(UTC).date()}\n"
        f"minutes: {proven.minutes:.1f}\n"
        f"machine: {os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}\n"
        f"verdict: {proven.verdict}\n\n"
        f"```\n{proven.output}\n```\n"
    )
    return proven


def _table(every: list[str]) -> str:
    """Return the table of all records; proofs that were never run stand in it as such."""
    lines = [
        "# The long proofs",
        "",
        "What `make test` has no time for: hundreds of kills, simulations of hundreds of runs, peers"
        " in their own environments. `make prove` runs them all, two files at a time.",
        "",
        "| proofs | verdict | revision | date | minutes |",
        "|---|---|---|---|---|",
    ]
    for file in sorted(every):
        record = PROOF / _record_name(file)
        facts = dict(FACTS.findall(record.read_text())) if record.exists() else {}
        said = [facts.get(name, "-") for name in ("verdict", "revision", "date", "minutes")]
        name = f"[{file}]({record.name})" if facts else file
        lines.append(f"| {name} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def _record_name(file: str) -> str:
    """Return the record's name: folder and file, since two folders may hold the same file name."""
    path = Path(file)
    return f"{path.parent.name}-{path.stem.removeprefix('test_')}.md"


def _revision() -> str:
    """Return the revision, and whether what is proven differs from it."""
    changed = _said("git", "status", "--porcelain", "--", "pipelines", "tests", "headframe", "dags")
    return _said("git", "rev-parse", "--short", "HEAD") + (" and changes" if changed else "")


def _said(*command: str) -> str:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
