"""Labels: pending, final or unlabelled at a time, and the corrections that came too late."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.domain.digest import DIGESTED_IF_SET
from pipelines.domain.expected_value import Value
from pipelines.domain.prediction_kinds import BINARY, RANKING, REGRESSION, Kind

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    import numpy as np
    import pyarrow as pa

    from pipelines.domain.contract import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is predicted: the truth of ``rule`` on the last version of ``table``'s row, or its number.

    ``rule`` is an SQL condition over the table's columns; an empty answer means not known. With a
    ``value``, rows are ranked by the probability of the condition times what they are worth. With a
    ``unit``, ``rule`` is an SQL expression for a number in that unit, such as minutes; what is not
    finite is not known.
    ``expected_after``: by then most labels are known. ``final_after``: from then on the label
    never changes: what was known then is final, what was not is unlabelled. Both count from the
    entity's event time.
    """

    name: str
    table: "Table"
    rule: str
    expected_after: timedelta
    final_after: timedelta
    value: Value | None = field(default=None, metadata=DIGESTED_IF_SET)
    unit: str | None = field(default=None, metadata=DIGESTED_IF_SET)

    @property
    def kind(self) -> Kind:
        """What kind of prediction this asks for."""
        if self.unit is not None:
            return REGRESSION
        return BINARY if self.value is None else RANKING

    @property
    def expression(self) -> str:
        """The SQL of a row's label: a condition, or a double that is finite or missing."""
        if self.unit is None:
            return f"({self.rule})"
        number = f"({self.rule})::double"
        return f"(case when isfinite({number}) then {number} end)"

    def told(self, values: "np.ndarray") -> str:
        """Return what labels are like on average, for the log and the terminal."""
        if self.unit is None:
            return f"{values.mean():.1%} positive"
        return f"{values.mean():.4g} {self.unit} on average"


def joined_by(label: Label, entity: "Table") -> tuple[str, ...]:
    """Return the columns by which a row of the label's table finds the entities that it labels.

    The entity's key, or the part of it that is the table's own key: one row then labels several
    entities, such as every week's look at a matter that ends once.
    """
    own = set(label.table.key)
    return tuple(name for name in entity.key if name in own or not own <= set(entity.key))


def create_label_history(
    connection: "duckdb.DuckDBPyConnection",
    label: Label,
    entity: "Table",
    name: str,
    *,
    versions: str = "versions",
) -> None:
    """Create table ``name``: one row per entity ever scheduled and label version, times included.

    Reads ``<table>__<versions>`` of entity and label. Columns: the key, ``event_time``,
    ``entity_known_at``, ``final_at``, ``value`` (null: not known), ``value_known_at`` (null: no
    row yet) and ``value_until`` (when the next version replaced it; null: still stands).
    A version replaced at the moment it became known was never seen, and is left out. A row of the
    label's table labels every entity that ``joined_by`` finds for it.
    """
    seen = "superseded_at is null or superseded_at > known_at"
    key = ", ".join(f'"{column}"' for column in entity.key)
    joined = ", ".join(f'"{column}"' for column in joined_by(label, entity))
    connection.execute(f"""
        create or replace table "{name}" as
        with entities as (
            select {key}, arg_min("{entity.event_time}", known_at) as event_time,
                   min(known_at) as entity_known_at
            from "{entity.name}__{versions}" where {seen} group by {key}
        ), values_over_time as (
            select {joined}, {label.expression} as value, known_at as value_known_at,
                   superseded_at as value_until
            from "{label.table.name}__{versions}" where {seen}
        )
        select entities.*, event_time + to_seconds({label.final_after.total_seconds()}) as final_at,
               value, value_known_at, value_until
        from entities left join values_over_time using ({joined})
    """)  # noqa: S608 - names and rule come from the declaration, never from data


LABEL = "label"
"""The column ``labelled`` adds; no feature may have its name."""

FINAL = """
    value is not null and value_known_at <= final_at
    and (value_until is null or value_until > final_at)
"""
"""Of a label history: the version that stood when the label became final."""


def label_states(
    connection: "duckdb.DuckDBPyConnection", history: str, key: tuple[str, ...], as_of: "datetime"
) -> "pa.Table":
    """Return the state of every entity's label at ``as_of``, sorted by key.

    Columns: key, ``event_time``, ``final_at``, ``state`` ("pending", "final", "unlabelled"),
    ``value`` (of a final label only), ``late_corrections`` (versions known after ``final_at`` and
    by ``as_of`` whose value differs from the final one; counted, never applied).
    """
    columns = ", ".join(f'"{column}"' for column in key)
    return connection.sql(
        f"""
        with settled as (
            select {columns}, any_value(event_time) as event_time, any_value(final_at) as final_at,
                   any_value(value) filter (where {FINAL}) as final_value,
                   list(value) filter (
                       where value_known_at > final_at and value_known_at <= $as_of
                       and value is not null) as later
            from "{history}" where entity_known_at <= $as_of group by {columns}
        )
        select {columns}, event_time, final_at,
               case when final_at > $as_of then 'pending'
                    when final_value is null then 'unlabelled' else 'final' end as state,
               case when final_at <= $as_of then final_value end as value,
               coalesce(len(list_filter(later, lambda x: x is distinct from final_value)), 0)
                   as late_corrections
        from settled order by {columns}
        """,  # noqa: S608 - names come from the declaration, never from data
        params={"as_of": as_of},
    ).to_arrow_table()


def labelled(rows: "pa.Table", states: "pa.Table", key: tuple[str, ...]) -> "pa.Table":
    """Return the rows whose label is final, in their order, with column ``label`` (bool or double)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    final = states.filter(pc.equal(states["state"], "final")).select([*key, "value"])
    final = final.rename_columns([*key, LABEL])
    # Keys alone are joined: what is described of an entity need not be moved about for it.
    order = pa.array(np.arange(rows.num_rows))
    asked = rows.select(list(key)).append_column("_order", order)
    # A join lays out its right side, which takes twice as long of all labels as of a few rows.
    few, many = sorted((asked, final), key=lambda table: table.num_rows)
    found = many.join(few, list(key), join_type="inner").select(["_order", LABEL])
    found = found.sort_by("_order").combine_chunks()
    kept = rows if found.num_rows == rows.num_rows else rows.take(found["_order"])
    return kept.append_column(LABEL, found[LABEL]).combine_chunks()
