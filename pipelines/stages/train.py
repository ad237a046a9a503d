"""Train: fit one challenger on final labels and register it as a candidate, once."""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables as delta
from pipelines.adapters.models import code_archive, feature_store, known, mlflow_registry, probe
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.digest import digest_of
from pipelines.domain.features import AS_OF, feature_digest, feature_names, rows_digest
from pipelines.domain.labels import labelled
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.probe import probe_rows
from pipelines.domain.training import FeatureColumns, feature_columns, feature_frame, fit
from pipelines.domain.windows import (
    Split,
    block_name,
    forward_split,
    next_scoring_time,
    scoring_blocks,
)
from pipelines.errors import NotEnoughData, Problem
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from pipelines.adapters.models.mlflow_registry import ModelVersion


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

    The same time, rows, declaration and code again return the candidate already registered. Raises
    NotEnoughData when too few blocks have final labels, or all labels are the same.
    """
    parts = TrainedUseCase.of(use_case)
    chosen = _choose(use_case, parts, settings, as_of)
    code = code_archive.code_digest(settings, use_case.name)
    train_key = digest_of(
        [
            rows_digest(chosen.rows),
            use_case.digest(),
            code,
            parts.training.candidates[0].name,
            as_of,
            chosen.split.held_out[0],
        ]
    )
    tags = {
        "headframe.run": run,
        "headframe.requester": requester,
        "headframe.as_of": as_of.isoformat(),
        "headframe.code": code,
        "headframe.declaration": use_case.digest(),
    }
    found = mlflow_registry.find_candidate(settings, use_case.name, train_key)
    if found is None:
        with one_thread():  # so that a rebuilt model has the same predictions
            found = _fit_and_register(parts, settings, chosen, train_key=train_key, tags=tags)
    return Trained(
        version=found.version,
        run_id=found.run_id,
        rows=chosen.rows.num_rows,
        positives=int(chosen.label.sum()),
        training_window=_window(parts, chosen.split.training),
        held_out_window=_window(parts, chosen.split.held_out),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The rows to train on with their label, the held-out ones, and the split they come from.

    Rows are in canonical order.
    """

    rows: "pa.Table"
    held_out: "pa.Table"
    label: "np.ndarray"
    columns: FeatureColumns
    split: Split
    features: str


def _choose(
    use_case: UseCase, parts: TrainedUseCase, settings: Settings, as_of: datetime
) -> _Chosen:
    """Return the training rows at ``as_of``; raises NotEnoughData."""
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    digest = feature_digest(parts.features, parts.label)
    folder = lake.features(settings, use_case.name, digest)
    rows = feature_store.rows_at(folder, parts.features, tables, _final_blocks(parts, as_of))
    if rows is None:
        raise _too_few(use_case, 0, parts.training.split.test_days)
    states = tables.label_states(parts.features.entity, as_of)
    final = labelled(rows, states, tuple(parts.features.entity.key))
    at, zone = parts.scoring.at, parts.scoring.timezone
    times = sorted(set(final[AS_OF].to_pylist()))
    split = forward_split(
        [(start, next_scoring_time(start, at, zone)) for start in times],
        parts.training.split,
        gap=parts.label.final_after,
    )
    if len(split.training) < MINIMUM_BLOCKS:
        raise _too_few(use_case, len(times), parts.training.split.test_days)
    training = _at(final, split.training)
    label = training["label"].to_numpy(zero_copy_only=False).astype("int8")
    if label.min() == label.max():
        raise _one_class(use_case, parts, int(label[0]), len(label))
    return _Chosen(
        rows=training,
        held_out=_at(final, split.held_out),
        label=label,
        columns=feature_columns(rows, feature_names(rows, parts.features.entity)),
        split=split,
        features=digest,
    )


def _fit_and_register(
    parts: TrainedUseCase,
    settings: Settings,
    chosen: _Chosen,
    *,
    train_key: str,
    tags: dict[str, str],
) -> "ModelVersion":
    """Fit, and log the model with all that rebuilds and judges it."""
    columns = chosen.columns
    candidate, seed = parts.training.candidates[0], parts.training.seed
    model = fit(candidate, chosen.rows, chosen.label, columns, seed)
    rate = float(chosen.label.mean())
    probed = probe_rows(model, [chosen.rows, chosen.held_out], columns)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "code.tar.gz"
        code_archive.archive(settings, parts.name, archive)
        proof = probe.write(model, probed, columns, Path(folder))
        probe.write_reference(chosen.rows, columns, Path(folder))
        return mlflow_registry.log_candidate(
            settings,
            parts.name,
            model,
            train_key=train_key,
            example=feature_frame(chosen.rows.slice(0, 20), columns),
            params={
                "candidate": candidate.name,
                "seed": seed,
                "rows": chosen.rows.num_rows,
                "features": len(columns.all),
            },
            metrics={"training_rate": rate},
            tags={
                **tags,
                "headframe.use_case": parts.name,
                "headframe.training_window": json.dumps(_window(parts, chosen.split.training)),
                "headframe.held_out": json.dumps([t.isoformat() for t in chosen.split.held_out]),
                "headframe.training_rate": repr(rate),
                "headframe.features": chosen.features,
                "headframe.numeric": json.dumps(columns.numeric),
                "headframe.categorical": json.dumps(columns.categorical),
                "headframe.data_versions": json.dumps(_versions(settings, parts, chosen.features)),
                **probe.tags(proof),
            },
            files={"code": archive, **probe.files(Path(folder))},
        )


def _window(parts: TrainedUseCase, times: "Sequence[datetime]") -> tuple[str, str]:
    """Return first and last block by local ISO date."""
    zone = parts.scoring.timezone
    return block_name(times[0], zone), block_name(times[-1], zone)


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


def _one_class(use_case: UseCase, parts: TrainedUseCase, value: int, rows: int) -> NotEnoughData:
    return NotEnoughData(
        Problem(
            where=f"training of {use_case.name}, label {parts.label.name!r}",
            expected="rows where it is true and rows where it is not",
            found=f"{'true' if value else 'false'} in all {rows} rows",
            fix=f"Look at the rule {parts.label.rule!r}, or wait for more labels.",
        )
    )
