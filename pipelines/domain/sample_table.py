"""Sample table: what one file of rows teaches about the contract it could keep."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.domain.contract import Column, Files

if TYPE_CHECKING:
    import pyarrow as pa

MOMENT = "timestamp[UTC]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleColumn:
    """A column of a sample: the narrowest contract type that all of its cells have.

    ``missing`` counts empty cells and ``distinct`` the different values of ``rows`` rows. ``hint``
    says what kept the column from a narrower type, "" where nothing did.
    """

    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    hint: str = ""

    @property
    def nullable(self) -> bool:
        """Whether the sample has an empty cell here."""
        return self.missing > 0

    @property
    def present(self) -> int:
        """Rows that hold a value."""
        return self.rows - self.missing

    def declared(self) -> Column:
        """Return the column as a contract would have it."""
        return Column(self.name, self.type, nullable=self.nullable)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTable:
    """The rows of a sample file, each once, typed as ``columns`` say; ``file`` is its bare name.

    ``cut`` tells that the file has more rows than were looked at.
    """

    name: str
    file: str
    source: Files
    columns: tuple[SampleColumn, ...]
    rows: "pa.Table"
    cut: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the file's order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> SampleColumn:
        """Return a column. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def with_texts(self, names: Collection[str], hint: str) -> "SampleTable":
        """Return the table with these columns as texts, and ``hint`` saying why."""
        rows = self.rows
        for name in names:
            rows = rows.set_column(self.names.index(name), name, rows[name].cast("string"))
        columns = tuple(
            replace(column, type="string", hint=hint) if column.name in names else column
            for column in self.columns
        )
        return replace(self, rows=rows, columns=columns)

    @property
    def moments(self) -> tuple[str, ...]:
        """Columns of moments that are never empty."""
        return tuple(c.name for c in self.columns if c.type == MOMENT and not c.nullable)
