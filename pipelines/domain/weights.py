"""Weights: how much each training row counts when a model is fitted, and nowhere else."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pipelines.domain.features import AS_OF
from pipelines.errors import NotEnoughData, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@runtime_checkable
class Weights(Protocol):
    """Anything that weighs feature rows."""

    def weigh(self, rows: "pa.Table") -> "np.ndarray":
        """Return one number above zero a row, in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """A row counts half as much as one that is ``half_life_days`` younger; the youngest count 1."""

    half_life_days: float

    def weigh(self, rows: "pa.Table") -> "np.ndarray":
        """Return 0.5 ** (age / half-life), the age counted back from the last scoring time."""
        import numpy as np

        microseconds = rows[AS_OF].cast("int64").to_numpy()
        days = (microseconds.max() - microseconds) / 86_400e6
        return np.asarray(0.5 ** (days / self.half_life_days), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByColumn:
    """A row counts as much as its feature ``column`` says, such as what the row is worth."""

    column: str

    def weigh(self, rows: "pa.Table") -> "np.ndarray":
        """Return the column's numbers. Raises NotEnoughData unless all are above zero."""
        import numpy as np
        import pyarrow as pa

        if self.column not in rows.column_names:
            raise self._refused("no such feature")
        numbers = rows[self.column].cast(pa.float64()).to_numpy(zero_copy_only=False)
        if wrong := int((~(np.isfinite(numbers) & (numbers > 0.0))).sum()):
            raise self._refused(f"another value in {wrong} of {len(numbers)} rows")
        return np.asarray(numbers, dtype=np.float64)

    def _refused(self, found: str) -> NotEnoughData:
        return NotEnoughData(
            Problem(
                where=f"weights by column {self.column!r}",
                expected="a feature that is a number above zero in every training row",
                found=found,
                fix="Let the feature function fill it, or weigh by another column.",
            )
        )
