"""Runs: one system takes one file in a process of its own, and what it wrote is checked."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.ingest_files import BYTES_A_ROW
from benchmarks.ingest_goals import FLOORS, OURS, OURS_BAD, Case
from benchmarks.ingest_peers.task import Task
from benchmarks.paired import ChildError, Once, Spent, run

SCRIPTS = {
    OURS: "with_headframe",
    OURS_BAD: "with_headframe",
    "parse only": "parse_only",
    "write only": "write_only",
}
"""Modules of benchmarks.ingest_peers; a plain copy's is with_<name>."""

MOST_ROWS_IN_MEMORY = 2_000_000
"""The floor of writing holds so many rows and writes them as often as it takes."""

BYTES_WRITTEN_A_ROW = 200
"""Room for a table and what a system leaves beside it until it is done."""

QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
"""A benchmark talks to nobody."""


class RunError(Exception):
    """A system ended with an error, or did not write the rows of the file."""


def needed_bytes(case: Case) -> int:
    """Return about how many bytes the files of a case take, with what is written from them."""
    files = BYTES_A_ROW[case.format] + 2 * BYTES_A_ROW["csv"]
    return case.rows * (files + BYTES_WRITTEN_A_ROW)


class Folder:
    """A temporary folder: the files of one case at a time, and what each run leaves."""

    def __init__(self, path: Path, pythons: Mapping[str, Path]) -> None:
        self._path = path
        self._pythons = pythons
        self._made: dict[str, dict[str, Any]] = {}

    def warm_up(self, systems: Sequence[str]) -> None:
        """Let every system take a few rows once, so that no first run pays for a cold disk."""
        case = Case(format="csv", rows=1000)
        self.make(case, bad=True)
        for system in systems:
            with suppress(RunError):  # it fails again where it is counted
                self.once(case, system)
        self.remove_files()

    def make(self, case: Case, *, bad: bool) -> None:
        """Make the files of a case: as they should be, with bad rows too, and rows for memory."""
        self._made["good"] = self._make("good", case.format, case.rows)
        if bad:
            self._made["bad"] = self._make("bad", case.format, case.rows)
        self._made["memory"] = self._make("memory", "parquet", min(case.rows, MOST_ROWS_IN_MEMORY))
        os.sync()  # or writing them out would slow what is measured next

    def remove_files(self) -> None:
        """Remove the files of the case."""
        for name in self._made:
            shutil.rmtree(self._path / name)
        self._made = {}

    def once(self, case: Case, system: str) -> Once:
        """Run a system on the file of a case, in turn with its imports alone; raises RunError."""
        source = "bad" if system == OURS_BAD else "memory" if system == "write only" else "good"
        made = self._made[source]
        path, target = Path(made["path"]), self._path / "target"
        target.mkdir()
        landed = path
        if system in {OURS, OURS_BAD}:
            landed = target / "landing" / "bench" / "flights" / path.name
            landed.parent.mkdir(parents=True)
            path.rename(landed)  # a landed file is no link
        try:
            once, said = self._run(case, system, landed, target)
            refuse_other_rows(case, system, said, made)
        except (ChildError, RunError) as error:
            raise RunError(str(error).replace(str(self._path), "")) from error
        finally:
            if landed != path:
                landed.rename(path)
            shutil.rmtree(target)
        return once

    def _make(self, name: str, kind: str, rows: int) -> dict[str, Any]:
        folder = self._path / name
        folder.mkdir()
        arguments = (str(folder), kind, str(rows), "bad" if name == "bad" else "good")
        self._python("benchmarks.ingest_files", *arguments)
        made: dict[str, Any] = json.loads((folder / "made.json").read_text())
        return made

    def _run(
        self, case: Case, system: str, source: Path, target: Path
    ) -> tuple[Once, dict[str, Any]]:
        answer = self._path / "answer.json"
        task = Task(
            format="parquet" if system == "write only" else case.format,
            source=str(source),
            target=str(target),
            rows=case.rows,
            answer=str(answer),
            began=time.time(),
        )
        script = f"benchmarks.ingest_peers.{SCRIPTS.get(system, f'with_{system}')}"
        whole = self._python(script, task.as_argument(), system=system)
        imports = self._python("benchmarks.ingest_peers.imports", str(answer), system=system)
        said = json.loads(answer.read_text())
        if "table" in said:
            self._python("benchmarks.ingest_peers.checked", str(answer))
            said = json.loads(answer.read_text())
        before = (
            said.get("before_cpu_s", imports.cpu_s),
            said.get("before_wall_s", imports.wall_s),
        )
        return Once(spent=whole.without(*before), imports_cpu_s=imports.cpu_s), said

    def _python(self, module: str, *arguments: str, system: str = "") -> Spent:
        python = str(self._pythons.get(system, sys.executable))
        log = self._path / "log.txt"
        home = {"HEADFRAME_HOME": str(self._path / "target")}
        return run([python, "-m", module, *arguments], log=log, environment={**QUIET, **home})


def refuse_other_rows(
    case: Case, system: str, said: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    """Raise RunError unless the rows written, and those set aside, are the rows of the file."""
    found = said.get("facts", said)
    facts = {"rows": case.rows} if system in FLOORS else made["facts"]
    differing = [name for name, fact in facts.items() if found[name] != fact]
    if differing:
        raise RunError(f"what was written differs from the file in {', '.join(differing)}")
    if law := said.get("law"):
        set_aside = law["quarantined"] + law["unparsed"]
        if (law["landed"], law["accepted"], law["repeated"]) != (case.rows, found["rows"], 0):
            raise RunError(f"the law's counts are not those of the file: {law}")
        if not made["bad"] == set_aside == said["quarantined"]:
            raise RunError(f"{made['bad']} bad rows, {set_aside} in the law, {said['quarantined']}")
