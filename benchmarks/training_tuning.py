"""Tuning: the same search made by one process, and by two side by side."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.paired import LONGEST_SECONDS, ROOT, ChildError, Once, Spent
from benchmarks.training_peers.tuner import TRIALS

MODULE = "benchmarks.training_peers.tuner"


def search(home: Path, tuners: int, *, environment: Mapping[str, str]) -> Once:
    """Make a search with so many tuners at once; wall seconds count from when all are ready.

    Reading the rows counts, importing does not; CPU seconds are those of all tuners together, memory
    that of the largest. Raises ChildError when one ends with an error or trials are missing.
    """
    answer = home / "study.txt"
    start = [sys.executable, "-m", MODULE, str(home), str(answer), str(tuners)]
    child = {**os.environ, **environment}
    planned = subprocess.run(
        [*start, "plan"], cwd=ROOT, env=child, capture_output=True, check=False
    )
    if planned.returncode:
        raise ChildError(f"the plan ended with {planned.returncode}")
    study = answer.read_text()
    processes = [
        subprocess.Popen(
            [*start, str(number), study],
            cwd=ROOT,
            env=child,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for number in range(tuners)
    ]
    try:
        return _raced(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _raced(processes: "list[subprocess.Popen[str]]") -> Once:
    for process in processes:
        assert process.stdout is not None  # noqa: S101 - narrows the type
        if process.stdout.readline() != "ready\n":
            raise ChildError("a tuner did not begin")
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None  # noqa: S101 - narrows the type
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=LONGEST_SECONDS)[0] for process in processes]
    wall_s = time.perf_counter() - began
    if any(process.returncode for process in processes):
        raise ChildError("a tuner ended with an error")
    told = [json.loads(text) for text in said]
    if not any(f"{TRIALS} of {TRIALS} trials finished" in one["said"] for one in told):
        raise ChildError(f"not all of {TRIALS} trials finished")
    spent = Spent(
        cpu_s=sum(one["cpu_s"] for one in told),
        wall_s=wall_s,
        peak_mib=max(one["peak_mib"] for one in told),
    )
    return Once(spent=spent, imports_cpu_s=0.0)
