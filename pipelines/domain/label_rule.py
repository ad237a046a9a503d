"""Label rule: what it says of the rows that are there; where it fails on one, no value is told."""

from typing import TYPE_CHECKING

from pipelines.domain.rule_problems import kind_of
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    from pipelines.domain.contract import Table
    from pipelines.domain.features import KnownTables
    from pipelines.domain.labels import Label


def lay_out_labels(known: "KnownTables", entity: "Table", label: "Label | None") -> None:
    """Lay out the labels of ``entity``, as ``KnownTables.prepare_labels`` does.

    Raises DeclarationError for a rule that cannot be evaluated on every row: DuckDB's own words
    quote the row. `headframe check` only sees what fails without rows.
    """
    import duckdb

    try:
        known.prepare_labels(entity)
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        if label is None:
            raise
        found = f"{kind_of(error)} in DuckDB, on at least one"
    else:
        return
    raise DeclarationError(
        Problem(
            where=f"label {label.name!r}, rule",
            expected=f"SQL that can be evaluated on every row of {label.table.name}",
            found=found,
            fix="Correct the rule, such as with try_cast, or have a suite set such rows aside.",
        )
    )
