"""Train: fit one challenger on final labels and register it as a candidate, once."""

import json
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import code_archive, feature_store, known, lake, mlflow_registry
from pipelines.adapters import delta_tables as delta
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.features import AS_OF, feature_digest, feature_names, rows_digest
from pipelines.domain.labels import labelled
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.training import feature_columns, feature_frame, fit
from pipelines.domain.windows import forward_split, scoring_blocks
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

THREADS = "1"
"""OpenMP threads of a fit: one, so that a rebuilt model has the same predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A registered candidate: its version and run, and the windows it was made from."""

    version: str
    run_id: str
    rows: int
    positives: int
    training_window: tuple[str, str]
    held_out_window: tuple[str, str]

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        first, last = self.training_window
        return (
            f"candidate {self.version}: {self.rows:,} labelled rows of {first} to {last}, "
            f"{self.positives / self.rows:.1%} positive; held out {' to '.join(self.held_out_window)}"
        )


def train(
    use_case: UseCase, settings: Settings, *, as_of: datetime, run: str, requester: str
) -> Trained:
    """Fit the declared candidate on rows whose label is final at ``as_of``.

    The same rows, declaration and code again return the candidate already registered. Raises
    NotEnoughData when too few blocks have final labels.
    """
    parts = TrainedUseCase.of(use_case)
    os.environ["OMP_NUM_THREADS"] = THREADS
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    digest = feature_digest(parts.features, parts.label)
    blocks = _final_blocks(parts, as_of)
    rows = feature_store.rows_at(settings, use_case.name, parts.features, digest, tables, blocks)
    if rows is None:
        raise _too_few(use_case, 0, parts.training.split.test_days)
    states = tables.label_states(parts.features.entity, as_of)
    final = labelled(rows, states, tuple(parts.features.entity.key))
    times = sorted(set(final[AS_OF].to_pylist()))
    split = forward_split(
        times, parts.training.split, gap=parts.label.final_after, block=timedelta(days=1)
    )
    if len(split.training) < MINIMUM_BLOCKS:
        raise _too_few(use_case, len(times), parts.training.split.test_days)
    chosen = _at(final, split.training)
    columns = feature_columns(chosen, feature_names(rows, parts.features.entity))
    label = chosen["label"].to_numpy(zero_copy_only=False).astype("int8")
    candidate = parts.training.candidates[0]
    code = code_archive.code_digest(settings, use_case.name)
    train_key = digest_of(
        [rows_digest(chosen), use_case.digest(), code, candidate.name, as_of, split.held_out[0]]
    )
    windows = {
        name: (times[0].date().isoformat(), times[-1].date().isoformat())
        for name, times in (("training", split.training), ("held_out", split.held_out))
    }
    found = mlflow_registry.find_candidate(settings, use_case.name, train_key)
    if found is None:
        model = fit(candidate, chosen, label, columns, parts.training.seed)
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "code.tar.gz"
            code_archive.archive(settings, use_case.name, archive)
            found = mlflow_registry.log_candidate(
                settings,
                use_case.name,
                model,
                train_key=train_key,
                example=feature_frame(chosen.slice(0, 20), columns),
                params={
                    "candidate": candidate.name,
                    "seed": parts.training.seed,
                    "rows": chosen.num_rows,
                    "features": len(columns.all),
                },
                metrics={"training_rate": float(label.mean())},
                tags={
                    "headframe.use_case": use_case.name,
                    "headframe.run": run,
                    "headframe.requester": requester,
                    "headframe.as_of": as_of.isoformat(),
                    "headframe.training_window": json.dumps(windows["training"]),
                    "headframe.held_out": json.dumps([t.isoformat() for t in split.held_out]),
                    "headframe.training_rate": repr(float(label.mean())),
                    "headframe.features": digest,
                    "headframe.numeric": json.dumps(columns.numeric),
                    "headframe.categorical": json.dumps(columns.categorical),
                    "headframe.declaration": use_case.digest(),
                    "headframe.code": code,
                    "headframe.data_versions": json.dumps(_versions(settings, parts, digest)),
                },
                files={"code": archive},
            )
    return Trained(
        version=found.version,
        run_id=found.run_id,
        rows=chosen.num_rows,
        positives=int(label.sum()),
        training_window=windows["training"],
        held_out_window=windows["held_out"],
    )


def _final_blocks(parts: TrainedUseCase, as_of: datetime) -> list[tuple[datetime, datetime]]:
    """Return the blocks whose every label was final at ``as_of``, from the declared start."""
    last = as_of - parts.label.final_after
    blocks = scoring_blocks(
        parts.scoring.at, parts.scoring.timezone, since=parts.training.start, until=last
    )
    return [block for block in blocks if block[1] <= last]


def _at(rows: "pa.Table", times: "Sequence[datetime]") -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(times), pa.timestamp("us", tz="UTC"))
    return rows.filter(pc.is_in(rows[AS_OF], wanted)).combine_chunks()


def _versions(settings: Settings, parts: TrainedUseCase, digest: str) -> dict[str, int]:
    name = parts.name
    versions = {
        f"silver.{name}.{table.name}": delta.version(lake.silver(settings, name, table.name))
        for table in parts.features.tables
    }
    return versions | {
        f"gold.features.{name}": delta.version(lake.features(settings, name, digest))
    }


def _too_few(use_case: UseCase, found: int, test_days: int) -> NotEnoughData:
    return NotEnoughData(
        Problem(
            where=f"training of {use_case.name}",
            expected=f"at least {MINIMUM_BLOCKS} training blocks before {test_days} held-out ones",
            found=f"{found} blocks with final labels",
            fix="Ingest more history, wait for labels to become final, or hold out fewer days.",
        )
    )
