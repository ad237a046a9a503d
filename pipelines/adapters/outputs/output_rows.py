"""Output rows: the current predictions of one window, in a stable order, beside their features."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, pinned_files
from pipelines.adapters.outputs.scored_features import scored_features
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.feature_query import AS_OF
from pipelines.domain.outputs import TopN, kept_columns, prediction_column
from pipelines.domain.prediction_kinds import BINARY, Kind
from pipelines.domain.slots import SLOT, window_name
from pipelines.domain.sql_text import delta_moment, literal, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY = "256MB"
"""What sorting and joining may hold before DuckDB goes on in files."""

BATCH_ROWS = 16_384
"""Rows of one batch that a writer holds as Python values: some 20 MB of a dozen columns."""

ROWS = "output_rows"
"""View over the rows of one window, with every column an output may show."""

FEATURE_DIGEST = "__feature_digest"
"""Which feature view described a row: a column of ``output_rows`` that no feature can be named as."""

RANK = "rank"
"""Place of a row in its list, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose predictions: use case, entity key, the label's name and kind, the feature view's digest."""

    use_case: str
    key: tuple[str, ...]
    label: str
    features: str
    kind: Kind = BINARY

    @property
    def prediction(self) -> str:
        """The column under which outputs show the final prediction."""
        return prediction_column(self.label, self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The current generation of one scoring time, pinned.

    Where no row stands, ``run_key`` is "", ``as_of`` None and there are no model versions. Else
    ``as_of`` is the latest of its rows: some may have been kept from an earlier generation.
    """

    name: str
    scored_for: datetime
    generation: int
    run_key: str
    rows: int
    version: int
    as_of: datetime | None
    model_versions: tuple[str, ...]

    @property
    def where(self) -> str:
        """The condition of its rows."""
        return _of_window(self.name)


def current(settings: Settings, use_case: str, scored_for: datetime) -> Window | None:
    """Return what stands for a scoring time; None where it never was scored.

    A window that was scored, and has no row any more, is one of no rows.
    """
    table, name = lake.predictions(settings, use_case), window_name(SLOT, scored_for)
    version = delta_tables.version(table)
    if version < 0:
        return None
    files = [
        file
        for file in pinned_files.pinned(table, version)
        if file.partition["prediction_window"] == name
    ]
    if not files and not (number := delta_tables.transaction(table, f"score:{name}")):
        return None
    said = files[0].partition if files else {"run_key": "", "generation": str(number)}
    made = _distinct(table, version, name, ("as_of", "model_version")) if files else set()
    return Window(
        name=name,
        scored_for=scored_for,
        generation=int(said["generation"]),
        run_key=said["run_key"],
        rows=sum(file.rows for file in files),
        version=version,
        as_of=max((as_of for as_of, _ in made), default=None),
        model_versions=tuple(sorted({model for _, model in made})),
    )


@contextmanager
def opened(
    settings: Settings, subject: Subject, window: Window, features: Sequence[str] = ()
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Lend a DuckDB in which view ``output_rows`` holds the window's rows, to be read once.

    Columns: key, the prediction as ``p_<label>``, what ``kept_columns`` names, and ``features``. A
    row's features are those of its own ``as_of`` and feature view; one that has no such feature
    gets an empty cell.
    """
    import duckdb

    predictions = lake.predictions(settings, subject.use_case)
    with (
        TemporaryDirectory(prefix="headframe-") as scratch,
        duckdb.connect(":memory:", config={"threads": 1}) as connection,
    ):
        connection.execute(
            f"set TimeZone = 'UTC'; set memory_limit = {literal(MEMORY)}; "
            f"set temp_directory = {literal(scratch)}"
        )
        reader = delta_tables.read_batches(
            predictions, where=window.where, at_version=window.version
        )
        connection.register("predicted", reader)
        names = ", ".join(
            f"p.{quoted(name)}" for name in (*subject.key, *kept_columns(subject.kind))
        )
        joined = ""
        if features:
            _register_features(connection, settings, subject, window, features)
            key = " and ".join(f"f.{quoted(n)} = p.{quoted(n)}" for n in (*subject.key, AS_OF))
            joined = f"left join described f on {key} and f.feature_digest = p.feature_digest"
            names += "".join(f", f.{quoted(name)}" for name in features)
        connection.execute(
            f"create view {ROWS} as select {names}, "  # noqa: S608 - names of the declaration
            f"p.prediction as {quoted(subject.prediction)}, "
            f"p.feature_digest as {FEATURE_DIGEST} from predicted p {joined}"
        )
        yield connection


def sorted_rows(
    connection: "duckdb.DuckDBPyConnection", subject: Subject, columns: Sequence[str]
) -> "pa.RecordBatchReader":
    """Return every row with these columns, sorted by key, a batch at a time."""
    names = ", ".join(quoted(name) for name in columns)
    order = ", ".join(quoted(name) for name in subject.key)
    return connection.sql(
        f"select {names} from {ROWS} order by {order}"  # noqa: S608 - names of the declaration
    ).to_arrow_reader(BATCH_ROWS)


def top_rows(
    connection: "duckdb.DuckDBPyConnection",
    subject: Subject,
    output: TopN,
    columns: Sequence[str],
) -> "pa.Table":
    """Return the rows of a top list: ``rank`` and these columns, sorted by group and rank.

    A row without the value it is ordered by comes last; ties are broken by key.
    """
    direction = "desc" if output.order == "highest" else "asc"
    by = quoted(output.by)
    order = ", ".join(
        [
            f"{by} is null or isnan({by}::double)",
            f"{by} {direction}",
            *map(quoted, subject.key),
        ]
    )
    groups = ", ".join(map(quoted, output.groups))
    partition = f"partition by {groups} " if groups else ""
    names = ", ".join(dict.fromkeys(quoted(name) for name in columns))
    return connection.sql(
        f"select row_number() over ({partition}order by {order}) as {RANK}, {names} "  # noqa: S608 - as above
        f"from {ROWS} qualify {RANK} <= {output.count} "
        f"order by {f'{groups}, ' if groups else ''}{RANK}"
    ).to_arrow_table()


def feature_rows(
    settings: Settings, subject: Subject, digest: str, listed: "pa.Table"
) -> "pa.Table":
    """Return the feature rows of a few listed rows (key and ``as_of``), in their order.

    A row whose features are gone has none here; ``place`` is its number in ``listed``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    folder, columns = lake.features(settings, subject.use_case, digest), [*subject.key, AS_OF]
    wanted = listed.select(columns)
    wanted = wanted.append_column("place", pa.array(range(listed.num_rows), pa.int64()))
    none = delta_tables.schema(folder).empty_table()
    found = [none.join(wanted, columns, join_type="inner")]
    for moment in pc.unique(listed[AS_OF]).to_pylist():
        where = f"{AS_OF} = {delta_moment(moment)}"
        for batch in delta_tables.read_batches(folder, where=where):
            rows = pa.Table.from_batches([batch])
            found.append(rows.join(wanted, columns, join_type="inner"))
    return pa.concat_tables(found).sort_by("place").combine_chunks()


def _register_features(
    connection: "duckdb.DuckDBPyConnection",
    settings: Settings,
    subject: Subject,
    window: Window,
    features: Sequence[str],
) -> None:
    """Create view ``described``: the feature rows of every view and time that the window's rows have."""
    parts = []
    pairs = [
        (digest, moment)
        for digest, moments in _views_and_times(settings, subject, window).items()
        for moment in moments
    ]
    for number, (digest, moment) in enumerate(pairs or [(subject.features, None)]):
        schema = delta_tables.schema(lake.features(settings, subject.use_case, digest))
        has = [name for name in features if name in schema.names]
        columns = [*subject.key, AS_OF, *has]
        reader = None
        if moment is not None:
            reader = scored_features(
                settings,
                subject.use_case,
                digest,
                columns,
                scored_for=window.scored_for,
                generation=window.generation,
                as_of=moment,
            )
        name = f"features_{number}"
        connection.register(name, reader or schema.empty_table().select(columns))
        lacking = "".join(f", null as {quoted(name)}" for name in features if name not in has)
        parts.append(f"select *{lacking}, {literal(digest)} as feature_digest from {name}")  # noqa: S608 - as above
    connection.execute(f"create view described as {' union all by name '.join(parts)}")


def _views_and_times(
    settings: Settings, subject: Subject, window: Window
) -> dict[str, list[datetime]]:
    """Return feature digest -> the moments as of which rows of the window were described."""
    found: dict[str, list[datetime]] = {}
    table = lake.predictions(settings, subject.use_case)
    pairs = _distinct(table, window.version, window.name, ("feature_digest", AS_OF))
    for digest, moment in sorted(pairs):
        found.setdefault(digest, []).append(moment)
    return found


def _distinct(
    table: Folder, version: int, window: str, columns: Sequence[str]
) -> set[tuple[Any, ...]]:
    """Return the combinations of values that these columns have in a window, a batch at a time."""
    import pyarrow as pa

    reader = delta_tables.read_batches(
        table, columns=columns, where=_of_window(window), at_version=version
    )
    return {
        tuple(row[name] for name in columns)
        for batch in reader
        for row in pa.Table.from_batches([batch]).group_by(list(columns)).aggregate([]).to_pylist()
    }


def _of_window(name: str) -> str:
    return f"prediction_window = {delta_tables.quoted(name)}"
