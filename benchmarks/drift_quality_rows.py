"""Rows: a benchmark's monitored columns, score and labels, a block of rows for each day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

SCORE = "score"
"""Column of the model's prediction, a probability; it is monitored like the others."""

SCORE_DIGITS = 3
"""Decimals of a score: as many as anybody reads, and few enough to count every value."""

Numbers = NDArray[np.float64]
Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows in order of their day; a number is NaN and a code -1 where the value is missing.

    ``numbers`` (the score among them) and ``codes`` hold an array per column, ``levels`` the text
    of each code. ``late`` is the label, 0 or 1. Day ``d`` is the rows ``starts[d]:starts[d + 1]``.
    """

    numbers: dict[str, Numbers]
    codes: dict[str, Codes]
    levels: dict[str, tuple[str, ...]]
    late: NDArray[np.int8]
    starts: NDArray[np.int64]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the monitored columns, numbers first."""
        return (*self.numbers, *self.codes)

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(self.starts) - 1

    @property
    def day(self) -> NDArray[np.int64]:
        """Day of each row."""
        return np.repeat(np.arange(self.days), np.diff(self.starts))

    def of_day(self, day: int) -> slice:
        """Return where the rows of a day are."""
        return slice(int(self.starts[day]), int(self.starts[day + 1]))

    def of_days(self, days: NDArray[np.int64]) -> "Rows":
        """Return the rows of some days alone, which become days 0, 1, ..."""
        at = np.concatenate([np.arange(self.starts[day], self.starts[day + 1]) for day in days])
        return Rows(
            numbers={name: values[at] for name, values in self.numbers.items()},
            codes={name: codes[at] for name, codes in self.codes.items()},
            levels=self.levels,
            late=self.late[at],
            starts=np.r_[0, np.cumsum(np.diff(self.starts)[days])],
        )

    def with_columns(
        self,
        *,
        numbers: Mapping[str, Numbers] | None = None,
        codes: Mapping[str, Codes] | None = None,
        levels: Mapping[str, tuple[str, ...]] | None = None,
        late: NDArray[np.int8] | None = None,
    ) -> "Rows":
        """Return the rows with some columns, levels or the labels replaced; others are shared."""
        return replace(
            self,
            numbers={**self.numbers, **(numbers or {})},
            codes={**self.codes, **(codes or {})},
            levels={**self.levels, **(levels or {})},
            late=self.late if late is None else late,
        )

    def arrow(
        self, days: "Sequence[int] | NDArray[np.int64]", *, labels: bool = False
    ) -> "pa.Table":
        """Return the rows of the days, in that order: numbers as doubles, codes as text.

        Missing values are null. With ``labels`` a column ``late`` (int8) is there too.
        """
        import pyarrow as pa

        at = np.concatenate([np.arange(self.starts[day], self.starts[day + 1]) for day in days])
        columns: dict[str, Any] = {
            name: pa.array(values[at], mask=np.isnan(values[at]))
            for name, values in self.numbers.items()
        }
        for name, codes in self.codes.items():
            chosen = codes[at]
            texts = pa.array(self.levels[name], pa.string())
            columns[name] = pa.DictionaryArray.from_arrays(
                pa.array(chosen, mask=chosen < 0), texts
            ).cast(pa.string())
        if labels:
            columns["late"] = pa.array(self.late[at])
        return pa.table(columns)
