"""Feature view: a feature function, what it reads, and the identity of what it says."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.domain.block_length import BlockLength
from pipelines.domain.contract import Table
from pipelines.domain.digest import DIGESTED_IF_SET, digest_of
from pipelines.domain.labels import Label
from pipelines.domain.shared_parts import function_of, shared_parts

if TYPE_CHECKING:
    import duckdb

    from pipelines.domain.features import KnownTables


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """A feature function, the entity whose rows it describes, the tables and views it reads.

    ``block`` is that of the use case that scores with it: how far ahead the entities lie that are
    described at one time. Blocks of another length are other rows, kept apart.
    """

    entity: Table
    reads: Sequence[Table]
    function: Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]
    uses: Sequence["FeatureView"] = field(default=(), metadata=DIGESTED_IF_SET)
    block: BlockLength = field(default="day", metadata=DIGESTED_IF_SET)

    @property
    def name(self) -> str:
        """The function's name: a view that uses this one reads it under that."""
        return self.function.__name__

    @property
    def tables(self) -> tuple[Table, ...]:
        """Entity first, then the other tables read, those of used views last, each name once."""
        found: dict[str, Table] = {}
        for table in (self.entity, *self.reads, *(t for view in self.uses for t in view.tables)):
            found.setdefault(table.name, table)
        return tuple(found.values())


def features(
    *, entity: Table, reads: Sequence[Table] = (), uses: Sequence[FeatureView] = ()
) -> Callable[[Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]], FeatureView]:
    """Mark a function as the feature view of ``entity``.

    The function gets the tables as known at one time and returns a relation with the entity's key
    columns and one column per feature (string, int64, double or bool), one row per asked entity.
    Beside the tables it may read each view of the same entity that it ``uses``, under that view's
    name: the key and the view's features for every asked entity, as known at the same time.
    """

    def view(function: Callable[["KnownTables"], "duckdb.DuckDBPyRelation"]) -> FeatureView:
        return FeatureView(entity=entity, reads=tuple(reads), function=function, uses=tuple(uses))

    return view


def feature_digest(view: FeatureView, label: Label | None) -> str:
    """Return the identity of a feature view: its text, its tables' contracts, the label's rule.

    With views that it uses and what it takes from shared files, where it has such. Raises
    DeclarationError for what has no identity.
    """
    text = hashlib.sha256(inspect.getsource(function_of(view)).encode()).hexdigest()
    contracts = [(table.name, table.columns, table.key, table.event_time) for table in view.tables]
    labelled: object = label and (label.rule, label.table.name, label.final_after)
    if label and label.unit is not None:
        labelled = (labelled, label.unit)
    shared = shared_parts(view)
    return digest_of(
        {
            **({"shared": shared} if shared else {}),
            **({"block": view.block} if view.block != "day" else {}),
            "text": text,
            "contracts": contracts,
            "label": labelled,
        }
    )
