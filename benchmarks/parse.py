"""Parse: seconds that Airflow takes to read declarations, beside bare files with the same DAGs."""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paired import ROOT, paired_ratio, rounds, run, spread
from benchmarks.parse_files import Shape, write_bare, write_ours
from benchmarks.parse_reading import FORKED, FORKED_BARE, TOGETHER
from benchmarks.report import Goal, Measured, load_at_start, publish

OURS, BARE = "headframe", "bare Airflow"
USE_CASES, ROUNDS = 200, 8
FEW = 3
"""Runs of what has no goal."""

MOST_TIMES_BARE = 1.3
"""Goal: CPU seconds of reading a use case to those of reading a bare file with the same DAGs."""
COMMANDS = {"headframe list": ["list"], "headframe list --features": ["list", "--features"],
            "headframe check": ["check"]}  # fmt: skip


def main() -> None:
    """Write the files, read them in turns, and publish."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--use-cases", type=int, default=USE_CASES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    load = load_at_start()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), chosen.use_cases)
        bench.write()
        rows, goals = bench.measure(chosen.rounds)
        rows += bench.commands()
    whole = (chosen.use_cases, chosen.rounds) == (USE_CASES, ROUNDS)
    notes = [
        load,
        "importing Airflow is left out on both sides; each file has four DAGs",
        "'nothing loaded': the processor of an Airflow that was not started by `headframe up`",
    ]
    publish("parse", "make bench NAME=parse", rows, goals, notes=notes, keep=whole)


class Bench:
    """A folder of declarations, one of bare files, and an Airflow that has read neither."""

    def __init__(self, folder: Path, use_cases: int) -> None:
        self.folder, self.use_cases = folder, use_cases
        self.log = folder / "log"
        self.environment = {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "HEADFRAME_HOME": str(folder / "home"),
            "HEADFRAME_DAGS": str(folder / OURS),
            "HEADFRAME_EXPECTATIONS": str(folder / "expectations"),
            "PYTHONPATH": str(ROOT),
        }

    def write(self) -> None:
        """Write both folders; the bare files take tasks and edges from a declaration as it is read."""
        write_ours(self.folder / "one", 1)
        shape = shape_of(self.read(self.folder / "one", TOGETHER)["dags"])
        write_ours(self.folder / OURS, self.use_cases)
        write_bare(self.folder / BARE, self.use_cases, shape)
        ours, bare = (self.read(self.folder / each, TOGETHER)["dags"] for each in (OURS, BARE))
        if ours != bare:
            raise SystemExit("the bare files have other DAGs, tasks or edges")

    def read(self, folder: Path, way: str) -> dict[str, Any]:
        """Read a folder in a fresh process; return what it says of itself."""
        command = [sys.executable, "-m", "benchmarks.parse_reading", str(folder), way]
        run(command, log=self.log, environment=self.environment)
        said: dict[str, Any] = json.loads(self.log.read_text("utf-8").strip().splitlines()[-1])
        return said

    def measure(self, repetitions: int) -> tuple[list[Measured], list[Goal]]:
        """Read each folder each way, in turn; return what all files of it cost, and the goals."""
        rows, goals = [], []
        for way, times in ((FORKED, repetitions), (TOGETHER, repetitions), (FORKED_BARE, FEW)):
            taken: dict[str, list[dict[str, Any]]] = {OURS: [], BARE: []}
            for _, system in rounds(list(taken), times):
                taken[system].append(self.read(self.folder / system, way))
            ours, bare = ([one["cpu_s"] for one in taken[system]] for system in (OURS, BARE))
            rows += [_row(self.use_cases, way, each, taken[each], bare) for each in taken]
            if way != FORKED_BARE and (ratio := paired_ratio(ours, bare)) is not None:
                name = f"CPU, {way}: a declaration to a bare file"
                goals.append(
                    Goal(
                        name=name,
                        target=MOST_TIMES_BARE,
                        measured=ratio.median,
                        interval=ratio.interval,
                    )
                )
        return rows, goals

    def commands(self) -> list[Measured]:
        """Run each command over all use cases a few times, as whole processes."""
        rows = []
        for name, arguments in COMMANDS.items():
            headframe = str(Path(sys.executable).parent / "headframe")
            spent = [
                run([headframe, *arguments], log=self.log, environment=self.environment)
                for _ in range(FEW)
            ]
            rows.append(
                Measured(
                    case=f"{self.use_cases} use cases, the whole command",
                    system=name,
                    cpu_s=spread([one.cpu_s for one in spent]),
                    wall_s=spread([one.wall_s for one in spent]),
                    repetitions=len(spent),
                    ratio_to_floor=None,
                )
            )
        return rows


def _row(
    use_cases: int,
    way: str,
    system: str,
    taken: Sequence[Mapping[str, Any]],
    floor: Sequence[float],
) -> Measured:
    cpu_s = spread([one["cpu_s"] for one in taken])
    return Measured(
        case=f"{use_cases} files, {way}",
        system=system,
        cpu_s=cpu_s,
        wall_s=spread([one["wall_s"] for one in taken]),
        repetitions=len(taken),
        ratio_to_floor=cpu_s[1] / statistics.median(floor),
    )


def shape_of(dags: Mapping[str, Mapping[str, list[str]]]) -> Shape:
    """Return the tasks and edges of one use case's DAGs by purpose."""
    return {dag_id.split("__")[1]: tasks for dag_id, tasks in dags.items()}


if __name__ == "__main__":
    main()
