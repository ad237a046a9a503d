"""Known tables of a use case: the lake's versions, laid out for features and labels."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import stale_marks
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.contract import Table, silver_schema
from pipelines.domain.features import FeatureView, KnownTables, compute_features
from pipelines.domain.feed_slots import expects, is_stale
from pipelines.domain.labels import Label
from pipelines.domain.output_problems import query_problems
from pipelines.domain.outputs import Output
from pipelines.errors import DeclarationError, Problem


def silver_versions(settings: Settings, use_case: str, view: FeatureView) -> dict[str, int]:
    """Return the newest version of each table of a view, by its dotted name; absent ones are left out."""
    found = {
        f"silver.{use_case}.{table.name}": delta_tables.version(
            lake.silver(settings, use_case, table.name)
        )
        for table in view.tables
    }
    return {name: version for name, version in found.items() if version >= 0}


def load(
    settings: Settings,
    use_case: str,
    view: FeatureView,
    label: Label,
    *,
    at: Mapping[str, int] | None = None,
) -> KnownTables:
    """Read every accepted version of the view's tables and lay out the label's history.

    ``at`` pins the tables to versions, as ``silver_versions`` returned them.
    """
    pinned = silver_versions(settings, use_case, view) if at is None else at
    # Marks and rows of the same versions: a block must not count as seen what its rows lack.
    marks = stale_marks.of_tables(settings, use_case, view.tables, at=pinned)
    versions = lake.versions(settings, use_case, view.tables, at=pinned)
    known = KnownTables(versions, view.tables, label, marks=marks)
    known.prepare_labels(view.entity)
    return known


def stale_tables(known: KnownTables, tables: tuple[Table, ...], as_of: datetime) -> list[str]:
    """Return, sorted, the tables whose newest delivery known at ``as_of`` is older than promised."""
    newest = known.newest_known(as_of)
    return sorted(
        table.name
        for table in tables
        if expects(table) and is_stale(table, newest[table.name], as_of)
    )


def rehearse(
    view: FeatureView,
    label: Label,
    *,
    rules: Sequence[BusinessRule] = (),
    outputs: Sequence[Output] = (),
) -> list[Problem]:
    """Return what is wrong with the label's rule or the feature query, by trying them on no rows.

    Where they are sound, what is wrong with rules and outputs over the rows that they describe.
    """
    import duckdb

    empty = {table.name: silver_schema(table).empty_table() for table in view.tables}
    known = KnownTables(empty, view.tables, label)
    try:
        known.prepare_labels(view.entity)
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        return [
            Problem(
                where=f"label {label.name!r}, rule",
                expected=f"an SQL condition over the columns of {label.table.name}",
                found=str(error).split("\n", 1)[0],
                fix="Correct the rule, or add the column to the contract.",
            )
        ]
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    try:
        described = compute_features(known, view, as_of=moment, until=moment)
    except DeclarationError as error:
        return list(error.problems)
    return query_problems(
        rules,
        outputs,
        key=view.entity.key,
        label=label.name,
        described=described.schema,
        where="scoring",
    )
