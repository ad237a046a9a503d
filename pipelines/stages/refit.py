"""Refit: a registered model fitted again from what was recorded, in a process of its own.

A model's archive holds this module: ``python -m pipelines.stages.refit FOLDER`` runs the code that
the model was trained with. FOLDER holds ``order.json`` and ``probe.parquet``; it gets ``answer.json``
and, where the fit came off, ``rows.parquet`` and ``predictions.parquet``. Later releases give such
orders and read such answers, so neither changes without a new ``recipe.FORMAT``.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.adapters.models import code_archive, environments, pinned_rows
from pipelines.adapters.models.training_rows import label_of
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import at_most, one_thread
from pipelines.domain.recipe import FORMAT
from pipelines.domain.refitted import (
    ANSWER,
    DONE,
    KEY,
    ORDER,
    PREDICTION,
    PREDICTIONS,
    PROBE,
    ROWS,
    Order,
)
from pipelines.domain.row_marks import column_digests, marked
from pipelines.domain.training import FeatureColumns, answers, fit
from pipelines.errors import HeadframeError, Problem, SettingsError
from pipelines.use_case import TrainedUseCase, load

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class _Told:
    """The answer as far as the work got: ``step`` is the one at work, or DONE."""

    step: str = "code"
    said: dict[str, Any] = field(default_factory=dict)

    def begins(self, step: str, folder: Path) -> None:
        """Write that a step is at work, so that it is known where a killed process was."""
        self.step = step
        self.write(folder)

    def write(self, folder: Path, **more: object) -> None:
        plain = {"format": FORMAT, "step": self.step, **self.said, **more}
        half = folder / f"{ANSWER}.half"
        half.write_text(json.dumps(plain), "utf-8")
        half.replace(folder / ANSWER)


def refit(order: Order, settings: Settings, folder: Path) -> dict[str, Any]:
    """Fit as ordered, and leave rows, predictions and answer in ``folder``; return the answer.

    The answer is written at each step: of a process that is killed it tells the step. A
    HeadframeError is told in it, with whether waiting may help, and raised; of any other error the
    type alone is told.
    """
    told = _Told()
    try:
        _refit(order, settings, folder, told)
    except HeadframeError as error:
        problems = [asdict(problem) for problem in error.problems]
        told.write(folder, problems=problems, retryable=error.retryable)
        raise
    except Exception as error:
        told.write(folder, error=type(error).__name__)  # its text may quote a row
        raise
    told.begins(DONE, folder)
    return {"step": told.step, **told.said}


def _refit(order: Order, settings: Settings, folder: Path, told: _Told) -> None:
    import pyarrow.parquet as pq

    use_case = load(settings.dags / f"{order.use_case}.py")
    parts, tags = TrainedUseCase.of(use_case), order.tags
    training, kind = parts.training, parts.label.kind
    told.said |= {
        "code": code_archive.code_digest(settings, use_case.name),
        "declaration": use_case.digest(),
        "declared_seed": training.seed,
        "label_table": parts.label.table.name,
        "seed": order.seed,
        "threads": order.threads,
        "surroundings": asdict(environments.surroundings()),
    }
    told.begins("data", folder)
    rows = pinned_rows.training_rows(
        settings,
        use_case.name,
        tags,
        view=parts.features,
        label=parts.label,
        times=parts.scoring.times,
    )
    _write_rows(rows, parts.features.entity.key, folder / ROWS)
    told.said |= {"rows": rows.num_rows, "columns": column_digests(rows)}
    told.begins("fit", folder)
    columns = FeatureColumns(
        numeric=tuple(json.loads(tags["headframe.numeric"])),
        categorical=tuple(json.loads(tags["headframe.categorical"])),
    )
    with at_most(order.threads):
        model = fit(
            training.candidate(tags["headframe.candidate"]),
            rows,
            label_of(rows),
            columns,
            order.seed,
            parameters=json.loads(tags["headframe.parameters"]),
            weights=training.weights,
        )
    told.begins("predict", folder)
    with one_thread():
        said = answers(model, pq.read_table(folder / PROBE), columns, kind.answer)
    _write_predictions(said, folder / PREDICTIONS)
    modules = frozenset(name.partition(".")[0] for name in sys.modules)
    told.said["loaded"] = sorted(environments.loaded_packages(modules))


def _write_rows(rows: "pa.Table", key: Sequence[str], target: Path) -> None:
    """Write each row's mark and key."""
    import pyarrow.parquet as pq

    marks = marked(rows)
    for name in key:
        marks = marks.append_column(KEY + name, rows[name])
    pq.write_table(marks, target)


def _write_predictions(said: Any, target: Path) -> None:  # noqa: ANN401 - a NumPy array
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({PREDICTION: pa.array(said, pa.float64())}), target)


def main(folder: Path) -> int:
    """Carry out the order in ``folder``; return the process's status, 0 when the model was fitted.

    Its code is the archive's that the process was started in; raises SettingsError for another's.
    """
    order = json.loads((folder / ORDER).read_text("utf-8"))
    if (
        code_archive.PACKAGE.resolve().parent != Path.cwd().resolve()
        or order.pop("format") != FORMAT
    ):
        raise SettingsError(
            Problem(
                where="refit of a registered model",
                expected=f"an order of format {FORMAT}, and the code of the folder it is started in",
                found=f"the code of {code_archive.PACKAGE.parent.name}",
                fix="Use `headframe reproduce`, which starts it.",
            )
        )
    try:
        refit(Order(**order), Settings(), folder)
    except Exception:  # noqa: BLE001 - the answer tells which; the stack goes to the log
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
