"""Home: a Headframe with two promoted models, and feature rows of as many flights as asked for."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.scoring_rows import KEY, delays, described, flights

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.settings import Settings
    from pipelines.use_case import UseCase

NAME = "bench"
DECLARED = Path(__file__).parent / "scoring_peers" / f"{NAME}.py"
WITH_TREES = "TREES = {}\n"
"""The line of the declaration that differs between homes."""

SMALL, LARGE = 5, 100
TREES = (SMALL, LARGE)
"""Trees of the models, in the order in which they are promoted: versions 1 and 2."""

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, ROWS_A_DAY = 50, 1500
"""What is trained on and held out."""

BYTES_A_ROW = 350
"""Feature row, matrix, and what the systems write of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Feature rows of one scoring time: how many, for when, and where a peer finds them."""

    rows: int
    scored_for: datetime
    files: tuple[str, ...]
    matrix: str
    keys: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]

    @classmethod
    def of(cls, home: Path, rows: int) -> "Scored":
        """Return what ``main`` told of so many rows."""
        said = json.loads(_told(home, rows).read_text())
        moment = datetime.fromisoformat(said.pop("scored_for"))
        return cls(
            scored_for=moment,
            **{n: tuple(v) if isinstance(v, list) else v for n, v in said.items()},
        )


def settings_in(home: Path) -> "Settings":
    """Return the settings of a home."""
    from pipelines.adapters.settings import Settings

    return Settings(home=home / "home", dags=home / "dags", expectations=home / "expectations")


def model_folder(home: Path, trees: int) -> Path:
    """Return where the model of so many trees lies as a peer loads it: with probabilities."""
    return home / f"model_{trees}"


def version_of(trees: int) -> str:
    """Return the version of the model of so many trees."""
    return str(1 + TREES.index(trees))


def main() -> None:
    """Build the home named by the first argument where it is missing, then rows of each count.

    A process of its own, so that its memory is not taken for that of what is measured after it.
    """
    home, counts = Path(sys.argv[1]), [int(argument) for argument in sys.argv[2:]]
    os.environ["OMP_NUM_THREADS"] = "1"
    if not (home / "built").exists():
        shutil.rmtree(home, ignore_errors=True)
        build(home)
        (home / "built").touch()
    for rows in counts:
        if not _told(home, rows).exists():
            make_rows(home, rows, at=FIRST + timedelta(days=DAYS + 10 + _made(home)))


def build(home: Path) -> None:
    """Ingest flights of 50 days, train and promote a model of 5 trees and then one of 100."""
    from pipelines.stages.evaluate import evaluate
    from pipelines.stages.ingest import ingest, refusals
    from pipelines.stages.promote import promote
    from pipelines.stages.train import train

    settings = settings_in(home)
    land(settings, days=DAYS, rows_a_day=ROWS_A_DAY)
    for trees in TREES:
        use_case = declare(settings, trees)
        if trees == TREES[0] and (
            refused := refusals(ingest(use_case, settings, as_of=_at(DAYS + 5), run="benchmark"))
        ):
            raise refused
        trained = train(use_case, settings, as_of=_at(DAYS), run="benchmark", requester="benchmark")
        evaluate(use_case, settings, version=trained.version)
        promote(use_case, settings, version=trained.version, as_of=_at(DAYS))
        _save_for_peers(home, settings, trained.version, trees)


def declare(settings: "Settings", trees: int) -> "UseCase":
    """Write the use case with so many trees into the home's dags folder, and load it."""
    from pipelines.use_case import load

    text = DECLARED.read_text()
    path = settings.dags / f"{NAME}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace(WITH_TREES.format(LARGE), WITH_TREES.format(trees)))
    return load(path)


def _at(day: int, hour: int = 12) -> datetime:
    return FIRST + timedelta(days=day, hours=hour)


def land(settings: "Settings", *, days: int, rows_a_day: int) -> None:
    """Deliver each day's flights the evening before, and how late they were the morning after."""
    import numpy as np

    for number in range(days):
        day = FIRST + timedelta(days=number)
        numbers = np.arange(number * rows_a_day, (number + 1) * rows_a_day, dtype=np.int64)
        rows = flights(numbers, seed=0, first=day)
        evening, morning = day - timedelta(hours=4), day + timedelta(hours=30)
        _deliver(settings, f"flights/{day.date()}.csv", rows, evening)
        _deliver(settings, f"arrivals/{day.date()}.csv", delays(rows, seed=number), morning)


def _deliver(settings: "Settings", name: str, rows: "pa.Table", at: datetime) -> None:
    import pyarrow as pa
    from pyarrow import csv

    path = settings.home / "landing" / NAME / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            text = rows[field.name].cast(pa.timestamp("s", tz="UTC")).cast(pa.string())
            rows = rows.set_column(index, field.name, text)
    csv.write_csv(rows, path, csv.WriteOptions(quoting_style="none"))
    told = json.dumps({"delivered_at": at.isoformat()})
    path.with_name(f"{path.name}.delivered.json").write_text(told)


def _save_for_peers(home: Path, settings: "Settings", version: str, trees: int) -> None:
    """Save the model once more, such that MLflow's pyfunc gives probabilities and not classes."""
    import mlflow
    from mlflow.models import infer_signature

    from pipelines.adapters.models import mlflow_registry
    from pipelines.domain.training import feature_frame

    wanted = mlflow_registry.candidate(settings, NAME, version)
    model = mlflow_registry.load(settings, NAME, wanted)
    columns = _columns(wanted.tags)
    example = feature_frame(next(described(20, scored_for=FIRST)), columns)
    mlflow.sklearn.save_model(
        model,
        str(model_folder(home, trees)),
        serialization_format="skops",
        skops_trusted_types=list(mlflow_registry.TRUSTED_TYPES),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[],
        signature=infer_signature(example, model.predict_proba(example)),
    )


def _columns(tags: Any) -> Any:  # noqa: ANN401
    from pipelines.domain.training import FeatureColumns

    return FeatureColumns(
        numeric=tuple(json.loads(tags["headframe.numeric"])),
        categorical=tuple(json.loads(tags["headframe.categorical"])),
    )


def make_rows(home: Path, rows: int, *, at: datetime) -> None:
    """Write feature rows of one scoring time as the feature store does, but as a stream.

    What the models see of them is kept as a matrix beside the home, for the floor.
    """
    import numpy as np

    from pipelines.adapters import lake
    from pipelines.adapters.delta import delta_tables, pinned_files
    from pipelines.adapters.models import known, mlflow_registry
    from pipelines.domain.features import AS_OF
    from pipelines.use_case import load

    settings = settings_in(home)
    wanted = mlflow_registry.candidate(settings, NAME, version_of(LARGE))
    encoder = mlflow_registry.load(settings, NAME, wanted)[0]
    columns = _columns(wanted.tags)
    paths = {name: home / f"{name}_{rows}.npy" for name in ("matrix", "keys")}
    seen = _Seen(
        encoder=encoder,
        columns=columns,
        matrix=np.lib.format.open_memmap(
            paths["matrix"], "w+", np.float64, (rows, len(columns.all))
        ),
        keys=np.lib.format.open_memmap(paths["keys"], "w+", np.int64, (rows,)),
    )
    table = lake.features(settings, NAME, wanted.tags["headframe.features"])
    use_case = load(settings.dags / f"{NAME}.py")
    edition = known.load(settings, NAME, use_case.features, use_case.label).edition(at)
    told = f"features:{at.isoformat()}", f"rows:{at.isoformat()}:{rows:032x}"
    delta_tables.commit_rows(
        table,
        seen.stream(delta_tables.schema(table), rows, at),
        transactions=dict.fromkeys(told, edition),
        metadata={"stage": "features", "blocks": 1},
    )
    files = pinned_files.pinned(table, at=(AS_OF, at))
    scored = {
        "rows": rows,
        "scored_for": at.isoformat(),
        "files": [str(table / file.path) for file in files],
        **{name: str(path) for name, path in paths.items()},
        "numeric": columns.numeric,
        "categorical": columns.categorical,
    }
    _told(home, rows).write_text(json.dumps(scored))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Rows on their way into the feature table, of which the models' matrix is kept."""

    encoder: Any
    columns: Any
    matrix: Any
    keys: Any

    def stream(self, schema: "pa.Schema", rows: int, at: datetime) -> Any:  # noqa: ANN401 - untyped library
        """Return a reader of the rows, which fills matrix and keys as it is read."""
        import pyarrow as pa

        def batches() -> "Iterator[pa.RecordBatch]":
            begin = 0
            for batch in described(rows, scored_for=at):
                self._keep(batch, begin)
                begin += batch.num_rows
                yield from batch.select(schema.names).cast(schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _keep(self, batch: "pa.Table", begin: int) -> None:
        from pipelines.domain.training import feature_frame

        end = begin + batch.num_rows
        self.keys[begin:end] = batch[KEY].to_numpy()
        self.matrix[begin:end] = self.encoder.transform(feature_frame(batch, self.columns))


def _told(home: Path, rows: int) -> Path:
    return home / f"rows_{rows}.json"


def _made(home: Path) -> int:
    return len(list(home.glob("rows_*.json")))


if __name__ == "__main__":
    main()
