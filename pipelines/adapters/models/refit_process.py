"""Refit process: fits a registered model again with its own archived code, apart from this one."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

MODULE = "pipelines.stages.refit"

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
    ``interpreter`` is another environment's, which then sees nothing of this one. A process that fails says so in its answer; its stack goes to the log.
    """
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(prefix="headframe-refit-") as temporary:
        code, asked = Path(temporary).resolve() / "code", Path(temporary).resolve() / "asked"
        asked.mkdir()
        code_archive.unpack(held, code)
        plain = {"format": FORMAT, **asdict(order)}
        (asked / ORDER).write_text(json.dumps(plain), "utf-8")
        pq.write_table(probe, asked / PROBE)
        done = subprocess.run(  # noqa: S603 - our own arguments
            [str(interpreter or sys.executable), "-m", MODULE, str(asked)],
            cwd=code,
            env=_environment(settings, code, order.threads, apart=interpreter is not None),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.stdout:
            logger.info("refit of %s:\n%s", order.use_case, done.stdout)
        return _answered(order, asked)


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


def _answered(order: Order, asked: Path) -> Refitted:
    """Read the answer; a process that was killed or could not begin left none."""
    import pyarrow.parquet as pq

    file = asked / ANSWER
    if not file.is_file():
        return Refitted(order=order, step="code")
    plain: dict[str, Any] = json.loads(file.read_text("utf-8"))
    around = plain.get("surroundings")
    rows, predictions = asked / ROWS, asked / PREDICTIONS
    return Refitted(
        order=order,
        step=plain["step"],
        problems=tuple(Problem(**problem) for problem in plain.get("problems", ())),
        error=plain.get("error", ""),
        code=plain.get("code", ""),
        declared_seed=plain.get("declared_seed"),
        label_table=plain.get("label_table", ""),
        surroundings=Surroundings(**around) if around else None,
        loaded=frozenset(plain["loaded"]) if "loaded" in plain else None,
        columns=plain.get("columns"),
        marks=pq.read_table(rows) if rows.is_file() else None,
        predictions=(
            pq.read_table(predictions)[PREDICTION].to_numpy() if plain["step"] == DONE else None
        ),
    )
