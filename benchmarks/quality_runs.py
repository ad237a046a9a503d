"""Runs: one system judges one case's rows in a process of its own, and what it says is compared."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.ingest_peers.task import Task
from benchmarks.paired import ChildError, Once, Spent, run
from benchmarks.quality_files import BYTES_A_ROW
from benchmarks.quality_goals import (
    GX_DUCKDB,
    GX_DUCKDB_LISTED,
    GX_PANDAS,
    GX_PANDAS_LISTED,
    OURS,
    OURS_LISTED,
    PANDERA,
    PARTS,
    Case,
    floor,
    ours,
)

PART_NAMES = dict(zip(PARTS, ("rows", "unique", "aggregates"), strict=True))

SCRIPTS: dict[str, tuple[str, str, str]] = {
    OURS: ("with_headframe", "all", "counted"),
    OURS_LISTED: ("with_headframe", "all", "listed"),
    **{ours(part): ("with_headframe", name, "counted") for part, name in PART_NAMES.items()},
    **{floor(part): ("floors", name, "counted") for part, name in PART_NAMES.items()},
    GX_DUCKDB: ("with_gx_duckdb", "all", "counted"),
    GX_DUCKDB_LISTED: ("with_gx_duckdb", "all", "listed"),
    GX_PANDAS: ("with_gx_pandas", "all", "counted"),
    GX_PANDAS_LISTED: ("with_gx_pandas", "all", "listed"),
    PANDERA: ("with_pandera", "all", "listed"),
}
"""System to a module of benchmarks.quality_peers, the part of the suite, and the detail."""

CHOSEN: dict[tuple[str, str], str] = {}
"""System and check to the reason why it may differ from the others: so far none does."""


class RunError(Exception):
    """A system gave no answer that counts."""


class OtherVerdictError(RunError):
    """A system said something of the rows that is not true, or that another one did not say."""


class DoesNotFitError(RunError):
    """The rows do not fit in memory."""


def needed_bytes(case: Case) -> int:
    """Return about how many bytes the files of a case take while they are made."""
    return case.rows * BYTES_A_ROW


class Folder:
    """A temporary folder: the suites, compiled, and the staged files of one case at a time."""

    def __init__(self, path: Path, pythons: Mapping[str, Path]) -> None:
        self._path = path
        self._pythons = pythons
        self._made: dict[str, Any] = {}
        self._said: dict[str, dict[str, Any]] = {}
        self._suites = path / "suites"
        self._suites.mkdir()
        self._python("benchmarks.quality_peers.compiled", str(self._suites))

    def make(self, case: Case) -> None:
        """Make the staged files of a case, and forget those of another."""
        staged = self._path / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        self._python("benchmarks.quality_files", str(staged), str(case.rows), case.share)
        self._made = json.loads(staged.with_suffix(".json").read_text())
        self._said = {}
        os.sync()  # or writing them out would slow what is measured next

    def once(self, case: Case, system: str) -> Once:
        """Let a system judge the rows, in turn with its imports alone.

        Raises RunError unless it says of every check what is true and what the others said.
        """
        try:
            once, said = self._run(case, system)
        except ChildError as error:
            text = str(error).replace(str(self._path), "")
            raise (DoesNotFitError if "MemoryError" in text else RunError)(text) from error
        refuse_untrue(system, said, self._made)
        for other, told in self._said.items():
            refuse_different(system, said, other, told)
        self._said[system] = said
        return once

    def _run(self, case: Case, system: str) -> tuple[Once, dict[str, Any]]:
        answer = self._path / "answer.json"
        task = Task(
            format="parquet",
            source=str(self._path / "staged"),
            target=str(self._suites),
            rows=case.rows,
            answer=str(answer),
            began=time.time(),
        )
        answer.unlink(missing_ok=True)
        script, *asked = SCRIPTS[system]
        whole = self._python(
            f"benchmarks.quality_peers.{script}", task.as_argument(), *asked, system=system
        )
        imports = self._python("benchmarks.ingest_peers.imports", str(answer), system=system)
        spent = whole.without(imports.cpu_s, imports.wall_s)
        return Once(spent=spent, imports_cpu_s=imports.cpu_s), json.loads(answer.read_text())

    def _python(self, module: str, *arguments: str, system: str = "") -> Spent:
        python = str(self._pythons.get(system, sys.executable))
        home = {"HEADFRAME_HOME": str(self._path / "home")}
        command = [python, "-m", module, *arguments]
        return run(command, log=self._path / "log.txt", environment=home)


def refuse_untrue(system: str, said: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Raise OtherVerdictError unless a check fails where rows were made to fail it, and by as many.

    Where rows are listed they must be those.
    """
    untrue = []
    for name, told in said["checks"].items():
        failing = made["listed"].get(name, [0, 0])
        right = told["success"] == (failing[0] == 0) and told["failed"] in {None, failing[0]}
        if "listed" in said:
            right = right and said["listed"].get(name, [0, 0]) == failing
        if not right and (system, name) not in CHOSEN:
            untrue.append(name)
    if untrue:
        raise OtherVerdictError(f"says what is not true of {', '.join(untrue)}")


def refuse_different(
    system: str, said: Mapping[str, Any], other: str, told: Mapping[str, Any]
) -> None:
    """Raise OtherVerdictError unless two systems say the same wherever both say something."""
    differing = [
        f"{name} ({key})"
        for name, found in said["checks"].items()
        if name in told["checks"] and (system, name) not in CHOSEN and (other, name) not in CHOSEN
        for key, value in found.items()
        if None not in {value, told["checks"][name][key]} and value != told["checks"][name][key]
    ]
    if differing:
        raise OtherVerdictError(f"differs from {other} in {', '.join(differing)}")
