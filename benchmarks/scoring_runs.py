"""Runs: one system predicts one case's rows in a process of its own, and its predictions compared."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.paired import ChildError, Once, Spent, run
from benchmarks.scoring_goals import FLOOR, NAIVE, NAIVE_ALL, OURS, STREAMING, Case
from benchmarks.scoring_home import BYTES_A_ROW, SMALL
from benchmarks.scoring_peers.task import ScoringTask

SCRIPTS: dict[str, tuple[str, ...]] = {
    OURS: ("with_headframe",),
    FLOOR: ("floor",),
    STREAMING: ("streaming",),
    NAIVE: ("naive", "needed"),
    NAIVE_ALL: ("naive", "all"),
}
"""System to a module of benchmarks.scoring_peers, and what it is told beside the task."""

MEMORY_A_ROW = {NAIVE: 1000, NAIVE_ALL: 1300}
"""Bytes of memory that a row takes of systems that hold them all, measured and some room."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What every system gets: one thread that predicts."""

WARM_UP = Case(rows=50_000, trees=SMALL)


class RunError(Exception):
    """A system ended with an error, or did not predict the rows."""


class OtherPredictionsError(RunError):
    """A system's predictions are not, bit by bit, those of the others."""


def needed_bytes(rows: Sequence[int]) -> int:
    """Return about how many bytes so many rows take on disk, and what is predicted of the most."""
    return sum(rows) * BYTES_A_ROW


def fits(system: str, case: Case) -> bool:
    """Tell whether the memory that is free now holds the rows of a case as the system does."""
    return MEMORY_A_ROW.get(system, 0) * case.rows < psutil.virtual_memory().available


class Folder:
    """A home with models and feature rows, and what each run leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._home = path / "home"

    def make(self, rows: Sequence[int], systems: Sequence[str]) -> None:
        """Make what is not there yet, and let every system predict a little.

        So no first run pays for a cold disk.
        """
        counts = [str(count) for count in (WARM_UP.rows, *rows)]
        self._python("benchmarks.scoring_home", str(self._home), *counts)
        for system in systems:
            with suppress(RunError):  # it fails again where it is counted
                self.once(WARM_UP, system)
        self.forget(WARM_UP)
        os.sync()  # or writing them out would slow what is measured next

    def once(self, case: Case, system: str) -> Once:
        """Let a system predict the rows, in turn with its imports alone.

        Raises RunError unless it predicted each row once, as the first system did.
        """
        target = self._path / "target"
        target.mkdir(parents=True)
        try:
            once, said = self._run(case, system, target)
        except ChildError as error:
            raise RunError(str(error).replace(str(self._path), "")) from error
        finally:
            shutil.rmtree(target)
            # The same again would be nothing to do.
            shutil.rmtree(self._home / "home" / "lake" / "predictions", ignore_errors=True)
        refuse_other_predictions(case, said)
        return once

    def forget(self, case: Case) -> None:
        """Remove the predictions that those of a case were compared with."""
        self._first(case).unlink(missing_ok=True)

    def _run(self, case: Case, system: str, target: Path) -> tuple[Once, dict[str, Any]]:
        answer = self._path / "answer.json"
        answer.unlink(missing_ok=True)
        task = ScoringTask(
            format="parquet",
            source=str(self._home),
            target=str(target),
            rows=case.rows,
            answer=str(answer),
            began=time.time(),
            trees=case.trees,
        )
        script, *told = SCRIPTS[system]
        spent = self._python(f"benchmarks.scoring_peers.{script}", task.as_argument(), *told)
        said = json.loads(answer.read_text())
        if "counted_cpu_s" in said:
            counted = (said["counted_cpu_s"], said["counted_wall_s"])
            spent = Spent(cpu_s=counted[0], wall_s=counted[1], peak_mib=spent.peak_mib)
            once = Once(spent=spent, imports_cpu_s=0.0)
        else:
            imports = self._python("benchmarks.ingest_peers.imports", str(answer))
            spent = spent.without(imports.cpu_s, imports.wall_s)
            once = Once(spent=spent, imports_cpu_s=imports.cpu_s)
        first = str(self._first(case))
        self._python("benchmarks.scoring_peers.predictions", str(answer), first)
        return once, json.loads(answer.read_text())

    def _first(self, case: Case) -> Path:
        return self._path / f"first_{case.rows}_{case.trees}.npz"

    def _python(self, module: str, *arguments: str) -> Spent:
        environment = {**ONE_THREAD, "HEADFRAME_HOME": str(self._path / "unused")}
        command = [sys.executable, "-m", module, *arguments]
        return run(command, log=self._path / "log.txt", environment=environment)


def refuse_other_predictions(case: Case, said: Mapping[str, Any]) -> None:
    """Raise RunError unless every row was predicted once, and as the first system predicted it."""
    if (said["rows"], said["repeated"], said["other_keys"]) != (case.rows, 0, 0):
        raise RunError(
            f"{said['rows']} predictions, {said['repeated']} of them again, "
            f"{said['other_keys']} of other rows than the first system's"
        )
    if said["differing"]:
        raise OtherPredictionsError(f"{said['differing']} predictions differ from the first's")
