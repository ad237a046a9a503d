"""Refit process: fits a registered model again with its own archived code, apart from this one."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.domain.recipe import FORMAT, Surroundings
from pipelines.domain.refitted import (
    ANSWER,
    DONE,
    ORDER,
    PREDICTION,
    PREDICTIONS,
    PROBE,
    ROWS,
    Order,
    Refitted,
)
from pipelines.errors import Problem, ServiceUnavailable

if TYPE_CHECKING:
    import pyarrow as pa

MODULE = "pipelines.stages.refit"

LONGEST = 4 * 3600
"""Seconds that a fit may take."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

logger = logging.getLogger(__name__)


def refit(
    settings: Settings,
    held: Mapping[str, bytes],
    order: Order,
    probe: "pa.Table",
    *,
    interpreter: Path | None = None,
) -> Refitted:
    """Unpack an archive, fit as ordered in a process of its own, and return what it answered.

    ``held`` is what the archive holds: code that is run, so its digest must have been compared.
    ``interpreter`` is another environment's, which then sees nothing of this one. A process that
    fails says so in its answer; its stack goes to the log. One that is not done after LONGEST
    seconds is stopped. Raises ServiceUnavailable where the process met a trouble that may pass.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="headframe-refit-") as temporary:
        code, asked = Path(temporary).resolve() / "code", Path(temporary).resolve() / "asked"
        asked.mkdir()
        code_archive.unpack(held, code)
        plain = {"format": FORMAT, **asdict(order)}
        (asked / ORDER).write_text(json.dumps(plain), "utf-8")
        pq.write_table(probe, asked / PROBE)
        environment = _environment(settings, code, order.threads, apart=interpreter is not None)
        said = Path(temporary) / "said"
        with said.open("wb") as written:
            ended = _run([str(interpreter or sys.executable), "-m", MODULE, str(asked)],
                         code, environment, written)  # fmt: skip
        if told := said.read_text("utf-8", "replace"):
            logger.info("refit of %s:\n%s", order.use_case, told)
        return _answered(order, asked, ended)


def _run(command: list[str], folder: Path, environment: dict[str, str], said: BinaryIO) -> str:
    """Run to the end; return what ended it from outside, empty where nothing did."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command,
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {LONGEST:,} seconds"
    if done.returncode >= 0:
        return ""
    number = -done.returncode
    names = {one.value: f" ({one.name})" for one in signal.Signals}
    return f"killed by signal {number}{names.get(number, '')}"


def _environment(settings: Settings, code: Path, threads: int, *, apart: bool) -> dict[str, str]:
    """Return the process's variables; ``apart`` keeps from it where this one finds packages."""
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    here = "" if apart else kept.get("PYTHONPATH", "")
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(code), here])),
        # What an archive compiles is of no use to anybody later.
        "PYTHONDONTWRITEBYTECODE": "1",
        "HEADFRAME_HOME": str(settings.root),
        "HEADFRAME_LAKE": settings.lake_folder,
        "HEADFRAME_LANDING": settings.landing_folder,
        "HEADFRAME_DAGS": str(code / "dags"),
        "HEADFRAME_EXPECTATIONS": str(code / "expectations"),
        "OMP_WAIT_POLICY": "PASSIVE",
        **dict.fromkeys(THREADS, str(threads)),
    }


def _answered(order: Order, asked: Path, ended: str) -> Refitted:
    """Read the answer; a process that was ended in its first step or could not begin left none whole."""
    import pyarrow.parquet as pq

    try:
        plain: dict[str, Any] = json.loads((asked / ANSWER).read_bytes())
    except (FileNotFoundError, ValueError):
        return Refitted(order=order, step="code", ended=ended)
    problems = tuple(Problem(**problem) for problem in plain.get("problems", ()))
    if plain.get("retryable"):
        raise ServiceUnavailable(*problems)
    around = plain.get("surroundings")
    rows, predictions = asked / ROWS, asked / PREDICTIONS
    read = plain["step"] not in ("code", "data")
    return Refitted(
        order=order,
        step=plain["step"],
        ended=ended,
        problems=problems,
        error=plain.get("error", ""),
        code=plain.get("code", ""),
        declared_seed=plain.get("declared_seed"),
        label_table=plain.get("label_table", ""),
        surroundings=Surroundings(**around) if around else None,
        loaded=frozenset(plain["loaded"]) if "loaded" in plain else None,
        columns=plain["columns"] if read else None,
        marks=pq.read_table(rows) if read else None,
        predictions=(
            pq.read_table(predictions)[PREDICTION].to_numpy() if plain["step"] == DONE else None
        ),
    )
