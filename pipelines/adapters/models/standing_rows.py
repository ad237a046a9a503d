"""Standing rows: those that stay when a late rescore makes only some of a window anew."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.models import prediction_store
from pipelines.adapters.models.prediction_files import PredictionFile, prediction_file
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile, ScoredShare, ScorePlan, WindowPlan
from pipelines.domain.sql_text import quoted, read_parquet

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 65_536

MEMORY = "256MB"
"""What the search for rows made anew may hold before it goes to the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Rows of the current generation, copied for the next one: predictions, and refused rows."""

    files: tuple[PartFile, ...] = ()
    refused: tuple[PartFile, ...] = ()

    @property
    def rows(self) -> int:
        """Predictions that are carried."""
        return sum(file.rows for file in self.files)

    @property
    def refused_rows(self) -> int:
        """Refused rows that are carried."""
        return sum(file.rows for file in self.refused)


def carried(
    settings: Settings,
    plan: ScorePlan,
    window: WindowPlan,
    *,
    key: "Sequence[pa.Field]",
    made: Sequence[ScoredShare],
) -> Carried:
    """Write the rows of a window's current generation whose entities were not scored anew.

    Predictions and refused rows are carried into the next generation as they are, with their own
    ``as_of``: so each entity of a window is in one of the two, once. None of a window that is
    scored whole.
    """
    if not window.is_late:
        return Carried()
    import duckdb

    table = lake.predictions(settings, plan.use_case)
    aside = lake.refused_predictions(settings, plan.use_case)
    standing = prediction_store.current(settings, plan.use_case, window.window)
    refused = prediction_store.standing_refused(settings, plan.use_case, window.window)
    anew = [(table, file.name) for share in made for file in share.files]
    anew += [(aside, file.name) for share in made for file in share.refused_files]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="headframe-")))
        connection = stack.enter_context(duckdb.connect(":memory:", config={"threads": 1}))
        connection.execute(f"set TimeZone = 'UTC'; set memory_limit = '{MEMORY}'")
        connection.execute(f"set temp_directory = '{scratch / 'spilled'}'")
        keys = ", ".join(quoted(field.name) for field in key)
        others = ""
        if anew:
            new = read_parquet(_here(anew, scratch))
            others = f"anti join (select {keys} from {new}) as anew using ({keys})"  # noqa: S608 - names are quoted
        kept = []
        for folder, names, layout in (
            (table, standing.files if standing else (), prediction_store.layout(key)),
            (aside, refused, prediction_store.refused_layout(key)),
        ):
            chosen = layout.in_files
            file = stack.enter_context(
                prediction_file(folder, chosen, scored_for=window.scored_for)
            )
            if names:
                old = read_parquet(_here([(folder, name) for name in names], scratch))
                columns = ", ".join(quoted(name) for name in chosen.names)
                found = connection.sql(f"select {columns} from {old} as standing {others}")  # noqa: S608 - as above
                _add_all(file, found, chosen)
            kept.append(file.finish())
    return Carried(files=kept[0], refused=kept[1])


def _add_all(file: PredictionFile, found: "duckdb.DuckDBPyRelation", schema: "pa.Schema") -> None:
    import pyarrow as pa

    for batch in found.to_arrow_reader(BATCH_ROWS):
        file.add(pa.Table.from_batches([batch]).cast(schema), {})


def _here(files: Sequence[tuple[Folder, str]], scratch: Path) -> list[Path]:
    """Return files where DuckDB reads them: in place, or copied from a store."""
    found = []
    for folder, name in files:
        place = folder / name
        if isinstance(place, Path):
            found.append(place)
        else:
            copy = scratch / place.name
            object_store.fetch(place, copy)
            found.append(copy)
    return found
