"""Expected losses: what a champion's rows are likely to cost before their labels are known."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters.models.champion_rows import ChampionRows
from pipelines.adapters.threads import one_thread
from pipelines.domain.drift.estimates import estimate_classes
from pipelines.domain.features import KnownTables
from pipelines.domain.labels import labelled
from pipelines.domain.model_reference import LOSS, ModelReference
from pipelines.domain.row_errors import RowErrors

if TYPE_CHECKING:
    import pyarrow as pa

    Expect: TypeAlias = Callable[[pa.Table], float | None]
    """Tells the mean loss to expect of the rows of a block; None where nothing tells it."""


def expecting(
    rows: ChampionRows, tables: KnownTables, reference: ModelReference, *, seed: int
) -> "Expect":
    """Return what tells the mean loss, in its unit, that a block's rows let expect.

    Of probabilities by what their scores meant on held-out rows; of numbers by a second model that
    learned there how far the first is off (see ``estimates``). Both know the labels alone that were
    known at the training.
    """
    calibration = reference.calibration
    if reference.loss == LOSS:
        return lambda held: (
            None
            if calibration is None
            else estimate_classes(held[rows.prediction].to_numpy(), calibration).log_loss
        )
    judged = rows.said_again(rows.held_out, rows.scorer())
    final = labelled(judged, rows.states_at_training(tables), tuple(rows.key))
    with one_thread():
        errors = RowErrors.of(final, rows.columns, final[rows.prediction].to_numpy(), seed=seed)
    return lambda held: _expected(errors, held, rows.prediction)


def _expected(errors: RowErrors, held: "pa.Table", prediction: str) -> float:
    with one_thread():
        return errors.expected(held, held[prediction].to_numpy())
