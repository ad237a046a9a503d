"""Standing rows: those that stay when a late rescore makes only some of a window anew."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from pipelines.adapters import lake
from pipelines.adapters.delta import pinned_files
from pipelines.adapters.models import prediction_store
from pipelines.adapters.models.prediction_files import PredictionFile, prediction_file
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.business_rules import PREDICTION
from pipelines.domain.promises import Promise, count_broken, ranges
from pipelines.domain.scoring import PartFile, ScoredPart, ScoredShare, ScorePlan, WindowPlan
from pipelines.domain.slots import slot_of
from pipelines.domain.sql_text import quoted, read_parquet

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Left: TypeAlias = Callable[[Folder, Sequence[str], Collection[str]], duckdb.DuckDBPyRelation]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How many predictions were looked at, and how many break each promise, by its words."""

    rows: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)


def judged(
    settings: Settings,
    plan: ScorePlan,
    parts: Sequence[ScoredPart],
    key: Sequence[str],
    promises: Sequence[Promise],
) -> dict[str, Judged]:
    """Judge, by what is promised now, the predictions of each window that a plan leaves as they are.

    They are those of entities that no part scored; a window that is scored whole has none. One
    column is read; which rows stay is asked only where one of all breaks a promise, so where none
    does all are counted.
    """
    found: dict[str, Judged] = {}
    if not ranges(promises):
        return found
    for name in dict.fromkeys(window.window for window in plan.windows):
        mine = {n: window for n, window in enumerate(plan.windows) if window.window == name}
        if any(w.outcome == "score" and not w.is_late for w in mine.values()):
            continue
        made = [share for part in parts for share in part.shares if share.window in mine]
        found[name] = _judged(settings, plan.use_case, name, key=key, made=made, promises=promises)
    return found


def carried(
    settings: Settings,
    plan: ScorePlan,
    window: WindowPlan,
    *,
    key: "Sequence[pa.Field]",
    made: Sequence[ScoredShare],
    valued: bool = False,
) -> Carried:
    """Write the rows of a window's current generation whose entities were not scored anew.

    Predictions and refused rows are carried into the next generation as they are, with their own
    ``as_of``: so each entity of a window is in one of the two, once. None of a window that is
    scored whole. ``valued`` says that rows have a value, as a ranking's do.
    """
    if not window.is_late:
        return Carried()
    table = lake.predictions(settings, plan.use_case, plan.slot)
    aside = lake.refused_predictions(settings, plan.use_case, plan.slot)
    standing = prediction_store.current(settings, plan.use_case, window.window)
    refused = prediction_store.standing_refused(settings, plan.use_case, window.window)
    with ExitStack() as stack:
        names = [column.name for column in key]
        left = stack.enter_context(_left(table, aside, names, made))
        kept = []
        chosen_layout = prediction_store.layout(key, valued=valued)
        for folder, files, layout in (
            (table, standing.files if standing else (), chosen_layout),
            (aside, refused, prediction_store.refused_layout(key)),
        ):
            chosen = layout.in_files
            file = stack.enter_context(
                prediction_file(folder, chosen, scored_for=window.scored_for)
            )
            if files:
                _add_all(file, left(folder, files, chosen.names), chosen)
            kept.append(file.finish())
    return Carried(files=kept[0], refused=kept[1])


def _judged(
    settings: Settings,
    use_case: str,
    window: str,
    *,
    key: Sequence[str],
    made: Sequence[ScoredShare],
    promises: Sequence[Promise],
) -> Judged:
    found = prediction_store.current(settings, use_case, window)
    if found is None:
        return Judged()
    slot = slot_of(window)
    table = lake.predictions(settings, use_case, slot)
    standing = _judge(_predictions(table, found.files), promises)
    if not standing.broken or not made:
        return standing
    with _left(table, lake.refused_predictions(settings, use_case, slot), key, made) as left:
        rows = left(table, found.files, [PREDICTION])
        return _judge(rows.to_arrow_reader(BATCH_ROWS), promises)


@contextmanager
def _left(
    table: Folder, aside: Folder, key: Sequence[str], made: Sequence[ScoredShare]
) -> Iterator["Left"]:
    """Lend a question for columns of the rows, in files of a folder, whose entity is not in ``made``.

    Those lie in the folders of predictions and of refused rows.
    """
    import duckdb

    anew = [(table, file.name) for share in made for file in share.files]
    anew += [(aside, file.name) for share in made for file in share.refused_files]
    with (
        TemporaryDirectory(prefix="headframe-") as folder,
        duckdb.connect(":memory:", config={"threads": 1}) as connection,
    ):
        scratch = Path(folder)
        connection.execute(f"set TimeZone = 'UTC'; set memory_limit = '{MEMORY}'")
        connection.execute(f"set temp_directory = '{scratch / 'spilled'}'")
        keys, others = ", ".join(map(quoted, key)), ""
        if anew:
            new = read_parquet(_here(anew, scratch))
            others = f"anti join (select {keys} from {new}) as anew using ({keys})"  # noqa: S608 - names are quoted

        def left(
            place: Folder, names: Sequence[str], columns: Collection[str]
        ) -> "duckdb.DuckDBPyRelation":
            old = read_parquet(_here([(place, name) for name in names], scratch))
            chosen = ", ".join(map(quoted, columns))
            return connection.sql(f"select {chosen} from {old} as standing {others}")  # noqa: S608 - as above

        yield left


def _predictions(table: Folder, files: Sequence[str]) -> "Iterator[pa.RecordBatch]":
    for name in files:
        with pinned_files.opened(table, name) as opened:
            yield from opened.iter_batches(BATCH_ROWS, columns=[PREDICTION])


def _judge(batches: "Iterable[pa.RecordBatch]", promises: Sequence[Promise]) -> Judged:
    rows, broken = 0, Counter[str]()
    for batch in batches:
        rows += batch.num_rows
        broken.update(count_broken(promises, batch.column(0).to_numpy(zero_copy_only=False)))
    return Judged(rows=rows, broken=dict(broken))


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
