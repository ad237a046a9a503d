"""Row errors: how far a model's numbers are likely to be off, learned from rows with known labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.drift.estimates import DirectLoss
from pipelines.domain.labels import LABEL
from pipelines.domain.training import FeatureColumns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LEARNED_ROWS = 50_000
"""Rows that the error is learned from at most, taken evenly: as many as a refit of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowErrors:
    """Estimates the mean absolute error of rows without labels (direct loss estimation).

    ``codes`` numbers the texts of each categorical feature; an unknown one is a missing number.
    """

    columns: FeatureColumns
    codes: Mapping[str, Mapping[str, int]]
    model: DirectLoss

    @classmethod
    def of(
        cls, rows: "pa.Table", columns: FeatureColumns, predicted: "np.ndarray", *, seed: int
    ) -> "RowErrors":
        """Learn from labelled rows and what the model predicted of them, in the order given."""
        import pyarrow.compute as pc

        step = max(1, -(-rows.num_rows // LEARNED_ROWS))
        taken = rows.take(list(range(0, rows.num_rows, step))).combine_chunks()
        codes = {
            name: {
                text: number
                for number, text in enumerate(
                    sorted(pc.unique(taken[name].drop_null()).to_pylist())
                )
            }
            for name in columns.categorical
        }
        model = DirectLoss.fit(
            _matrix(taken, columns, codes), predicted[::step], taken[LABEL].to_numpy(), seed=seed
        )
        return cls(columns=columns, codes=codes, model=model)

    def expected(self, rows: "pa.Table", predicted: "np.ndarray") -> float:
        """Return the mean absolute error to expect of these rows' predictions, in the label's unit."""
        return self.model.estimate(_matrix(rows, self.columns, self.codes), predicted)


def _matrix(
    rows: "pa.Table", columns: FeatureColumns, codes: Mapping[str, Mapping[str, int]]
) -> "np.ndarray":
    """Return features as numbers, (rows, features), NaN where missing or unknown."""
    import numpy as np
    import pyarrow as pa

    matrix = np.empty((rows.num_rows, len(columns.all)))
    for place, name in enumerate(columns.all):
        if name in codes:
            known = codes[name]
            texts = rows[name].to_pylist()
            matrix[:, place] = [known.get(text, np.nan) for text in texts]
        else:
            matrix[:, place] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return matrix
