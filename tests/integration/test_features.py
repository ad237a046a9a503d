"""Features of the real example: nothing known later is seen, every asked entity is described once."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from examples import flight_delays
from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder, local
from pipelines.domain.contract import STAMPS, Table
from pipelines.domain.features import (
    FeatureView,
    KnownTables,
    compute_features,
    feature_digest,
    feature_names,
    features,
    rows_digest,
)
from pipelines.errors import DeclarationError, NotEnoughData
from pipelines.stages.ingest import ingest
from pipelines.use_case import TrainedUseCase, load
from tests.goldens import assert_golden

if TYPE_CHECKING:
    import duckdb

Versions = dict[str, pa.Table]

SECOND = timedelta(seconds=1)


@dataclasses.dataclass(frozen=True)
class Example:
    """A week of the example, ingested, and the parts of its declaration."""

    settings: Settings
    parts: TrainedUseCase
    versions: Versions

    @property
    def tables(self) -> Mapping[str, Table]:
        return {table.name: table for table in self.parts.features.tables}

    def blocks(self, *days: int) -> list[tuple[datetime, datetime]]:
        """Return the blocks of these days of January, from 05:00 in New York."""
        found = self.parts.scoring.times.blocks(
            datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 9, tzinfo=UTC)
        )
        return [found[day - 1] for day in days]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("flights")
    settings = Settings(home=folder, expectations=folder / "none")
    flight_delays.deliver(
        local(settings.landing), first_day=date(2013, 1, 1), until=date(2013, 1, 9)
    )
    use_case = load(Path("dags/flight_delays.py"))
    ingest(use_case, settings, as_of=datetime(2014, 1, 1, tzinfo=UTC), run="test")
    parts = TrainedUseCase.of(use_case)
    versions = lake.versions(settings, use_case.name, parts.features.tables)
    return Example(settings, parts, versions)


def described(example: Example, view: FeatureView, versions: Versions, day: int) -> pa.Table:
    """Describe one day's flights from these versions of the tables."""
    tables = KnownTables(versions, view.tables, example.parts.label)
    tables.prepare_labels(view.entity)
    ((as_of, until),) = example.blocks(day)
    return compute_features(tables, view, as_of=as_of, until=until)


def differently(rows: pa.Table, keep: tuple[str, ...] = ()) -> pa.Table:
    """Return the rows with another value in every column but the stamps and those to keep."""
    for index, field in enumerate(rows.schema):
        if field.name in (*STAMPS, *keep):
            continue
        column = rows[field.name]
        if pa.types.is_string(field.type):
            other = pc.utf8_reverse(pc.fill_null(column, "none"))
            other = pc.binary_join_element_wise(other, "?", "")
        elif pa.types.is_timestamp(field.type):
            other = pc.add(column, pa.scalar(timedelta(hours=2)))
        elif pa.types.is_date(field.type):
            other = pc.cast(
                pc.add(pc.cast(column, pa.int32()), pa.scalar(1, pa.int32())), field.type
            )
        else:
            other = pc.cast(pc.add(pc.fill_null(column, 0), 7), field.type)
        rows = rows.set_column(index, field, other.cast(field.type))
    return rows


def later(rows: pa.Table, as_of: datetime) -> pa.Table:
    """Return the rows as versions that become known a second after ``as_of``."""
    when = pa.array([as_of + SECOND] * rows.num_rows, pa.timestamp("us", tz="UTC"))
    return rows.set_column(rows.column_names.index("known_at"), "known_at", when)


def split(rows: pa.Table, as_of: datetime) -> tuple[pa.Table, pa.Table]:
    """Return the rows known at ``as_of``, and those known later."""
    known_then = pc.less_equal(rows["known_at"], pa.scalar(as_of, pa.timestamp("us", tz="UTC")))
    return rows.filter(known_then), rows.filter(pc.invert(known_then))


Change = Callable[[pa.Table, pa.Table, Table, datetime], pa.Table]

CHANGES: dict[str, Change] = {
    "dropped": lambda past, _future, _table, _as_of: past,
    "changed": lambda past, future, table, _as_of: pa.concat_tables(
        [past, differently(future, tuple(table.key))]
    ),
    "under other keys": lambda past, future, _table, _as_of: pa.concat_tables(
        [past, differently(future)]
    ),
    "corrections of everything known": lambda past, future, table, as_of: pa.concat_tables(
        [past, future, later(differently(past, tuple(table.key)), as_of)]
    ),
    "as many new entities": lambda past, future, _table, as_of: pa.concat_tables(
        [past, future, later(differently(past), as_of)]
    ),
}
"""What may be done to rows known after as_of: (rows known then, rows known later) -> all rows."""


def futures(example: Example, change: Change, day: int) -> Versions:
    ((as_of, _),) = example.blocks(day)
    return {
        name: change(*split(rows, as_of), example.tables[name], as_of)
        for name, rows in example.versions.items()
    }


def differing(example: Example, view: FeatureView, day: int) -> list[str]:
    """Return the changes of the future that change a day's features: each is a leak."""
    present = rows_digest(described(example, view, example.versions, day))
    return [
        name
        for name, change in CHANGES.items()
        if rows_digest(described(example, view, futures(example, change, day), day)) != present
    ]


@pytest.mark.parametrize("day", [2, 5, 8])
def test_features_are_the_same_bytes_whatever_becomes_known_later(
    day: int, example: Example
) -> None:
    assert differing(example, example.parts.features, day) == []


def test_every_change_of_the_future_above_does_change_the_lake(example: Example) -> None:
    for name, change in CHANGES.items():
        for table, rows in futures(example, change, 5).items():
            same = rows.num_rows == example.versions[table].num_rows and rows.equals(
                example.versions[table]
            )
            if table == "planes" and name in ("dropped", "changed", "under other keys"):
                assert same, "planes land once, before every day"
            else:
                assert not same, (name, table)


def test_a_feature_function_that_reads_raw_versions_is_caught_by_the_same_harness(
    example: Example,
) -> None:
    schedule, arrivals = example.tables["schedule"], example.tables["arrivals"]

    @features(entity=schedule, reads=[arrivals])
    def leaking(known: KnownTables) -> "duckdb.DuckDBPyRelation":
        return known.sql("""
            select a.flight_date, a.carrier, a.flight, a.origin, a.sched_dep_time,
                   max(r.arr_delay) as delay
            from asked a left join arrivals__versions r
                using (flight_date, carrier, flight, origin, sched_dep_time)
            group by all
        """)

    assert differing(example, leaking, 5) == ["dropped", "changed", "under other keys"]


def test_changing_what_is_known_changes_the_features(example: Example) -> None:
    view = example.parts.features
    ((as_of, _),) = example.blocks(8)
    present = rows_digest(described(example, view, example.versions, 8))
    for name, rows in example.versions.items():
        past, future = split(rows, as_of)
        other = differently(past, (*example.tables[name].key, "sched_dep_at"))
        versions = {**example.versions, name: pa.concat_tables([other, future])}
        assert rows_digest(described(example, view, versions, 8)) != present, name


def test_a_row_is_known_at_the_very_moment_of_its_delivery(example: Example) -> None:
    view, rows = example.parts.features, example.versions["planes"]
    ((as_of, _),) = example.blocks(8)
    at = rows.column_names.index("known_at")

    def delivered(moment: datetime) -> Versions:
        column = pa.array([moment] * rows.num_rows, pa.timestamp("us", tz="UTC"))
        return {**example.versions, "planes": rows.set_column(at, "known_at", column)}

    then = described(example, view, delivered(as_of), 8)
    after = described(example, view, delivered(as_of + timedelta(microseconds=1)), 8)
    assert then["seats"].null_count < then.num_rows
    assert after["seats"].null_count == after.num_rows


def test_the_order_of_the_rows_in_silver_does_not_matter(example: Example) -> None:
    view = example.parts.features
    reversed_rows = {
        name: rows.take(pa.array(range(rows.num_rows - 1, -1, -1)))
        for name, rows in example.versions.items()
    }
    present = rows_digest(described(example, view, example.versions, 8))
    assert rows_digest(described(example, view, reversed_rows, 8)) == present


def test_every_flight_of_the_day_is_described_once_in_types_a_model_can_take(
    example: Example,
) -> None:
    view = example.parts.features
    rows = described(example, view, example.versions, 8)
    ((as_of, until),) = example.blocks(8)
    scheduled = [
        row
        for row in example.versions["schedule"].to_pylist()
        if as_of <= row["sched_dep_at"] < until and row["known_at"] <= as_of
    ]
    assert rows.num_rows == len(scheduled) > 500
    allowed = {pa.string(), pa.int64(), pa.float64(), pa.bool_()}
    names = feature_names(rows, view.entity)
    assert len(names) == 19
    assert {rows.schema.field(name).type for name in names} <= allowed
    assert set(rows["as_of"].to_pylist()) == {as_of}


WRONG = {
    "drops": "select {key}, 1.0::double as one from asked where carrier <> 'UA'",
    "doubles": "select {key}, 1.0::double as one from asked, range(2)",
    "drops_and_doubles_as_many": """
        select {key}, 1.0::double as one from asked where carrier not in ('B6', 'UA')
        union all (
            select {key}, 2.0::double from asked where carrier not in ('B6', 'UA')
            limit (select count(*) from asked where carrier in ('B6', 'UA')))
    """,
    "adds": "select {key}, 1.0::double from asked union all "
    "select flight_date, carrier, flight, origin, -sched_dep_time, 1.0 from asked",
    "no_key": "select carrier, flight, 1.0::double as one from asked",
    "no_feature": "select {key} from asked",
    "types": "select {key}, sum(distance) as total, now() as clock, 1 as small from asked group by all",
    "reserved": "select {key}, 1.0::double as as_of, true as label from asked",
    "unknown_column": "select {key}, distnce from asked",
    "unknown_table": "select {key}, w.temp from asked join wether w using (origin)",
    "cannot_cast": "select {key}, cast(carrier as bigint) as number from asked",
    "no_date": "select {key}, date_diff('day', carrier::date, flight_date) as days from asked",
}
KEY = "flight_date, carrier, flight, origin, sched_dep_time"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_feature_function_is_refused_as_the_golden_text_says(
    name: str, example: Example
) -> None:
    @features(entity=example.tables["schedule"], reads=[example.tables["arrivals"]])
    def wrong_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
        return known.sql(WRONG[name].format(key=KEY))

    with pytest.raises(DeclarationError) as caught:
        described(example, wrong_features, example.versions, 8)
    assert_golden(f"features/{name}", str(caught.value))


def test_a_feature_function_that_returns_no_relation_is_refused(example: Example) -> None:
    @features(entity=example.tables["schedule"], reads=[example.tables["arrivals"]])
    def forgot_to_return(known: KnownTables) -> "duckdb.DuckDBPyRelation":
        known.sql("select 1")
        return None

    with pytest.raises(DeclarationError) as caught:
        described(example, forgot_to_return, example.versions, 8)
    assert_golden("features/no_relation", str(caught.value))


def test_rehearsing_finds_wrong_queries_and_rules_without_a_row(example: Example) -> None:
    view, label = example.parts.features, example.parts.label

    @features(entity=example.tables["schedule"], reads=[example.tables["arrivals"]])
    def misspelt(known: KnownTables) -> "duckdb.DuckDBPyRelation":
        return known.sql(f"select {KEY}, distnce from asked")

    wrong_rule = dataclasses.replace(label, rule="arr_dely > 15")
    assert known.rehearse(view, label) == []
    problems = [*known.rehearse(misspelt, label), *known.rehearse(view, wrong_rule)]
    assert_golden("features/rehearsed", "\n".join(str(problem) for problem in problems))


@pytest.fixture
def store(example: Example, tmp_path: Path) -> Folder:
    return lake.features(Settings(home=tmp_path), "flight_delays", "0" * 64)


def loaded(example: Example) -> KnownTables:
    parts = example.parts
    return known.load(example.settings, "flight_delays", parts.features, parts.label)


def nothing_known(example: Example) -> KnownTables:
    view = example.parts.features
    empty = {name: rows.slice(0, 0) for name, rows in example.versions.items()}
    tables = KnownTables(empty, view.tables, example.parts.label)
    tables.prepare_labels(view.entity)
    return tables


def test_features_are_computed_once_and_read_again(example: Example, store: Folder) -> None:
    view, blocks = example.parts.features, example.blocks(5, 6)
    first = feature_store.rows_at(store, view, loaded(example), blocks)
    again = feature_store.rows_at(store, view, nothing_known(example), blocks)
    assert first is not None
    assert again is not None
    assert first.equals(again)
    assert len(delta_tables.history(store)) == 2  # the table, and one commit of both blocks


def test_only_missing_times_are_computed(example: Example, store: Folder) -> None:
    view = example.parts.features
    feature_store.rows_at(store, view, loaded(example), example.blocks(5))
    both = feature_store.rows_at(store, view, loaded(example), example.blocks(5, 6))
    other = local(store).with_name("other")
    at_once = feature_store.rows_at(other, view, loaded(example), example.blocks(5, 6))
    assert both is not None
    assert at_once is not None
    assert rows_digest(both) == rows_digest(at_once)


def test_a_time_without_entities_stays_open(example: Example, store: Folder) -> None:
    view, blocks = example.parts.features, example.blocks(5)
    assert feature_store.rows_at(store, view, nothing_known(example), blocks) is None
    found = feature_store.rows_at(store, view, loaded(example), blocks)
    assert found is not None


def test_rows_of_an_earlier_view_are_read_or_their_absence_is_said(
    example: Example, store: Folder
) -> None:
    view = example.parts.features
    written = feature_store.rows_at(store, view, loaded(example), example.blocks(5, 6))
    assert written is not None
    assert feature_store.written_rows_at(store, view, example.blocks(5, 6)).equals(written)
    with pytest.raises(NotEnoughData) as caught:
        feature_store.written_rows_at(store, view, example.blocks(5, 6, 7))
    assert_golden("features/not_written", str(caught.value))
    with pytest.raises(NotEnoughData):
        feature_store.written_rows_at(local(store).with_name("never"), view, example.blocks(5))


def test_the_digest_of_a_view_follows_its_text_its_contracts_and_the_label(
    example: Example,
) -> None:
    view, label = example.parts.features, example.parts.label
    schedule = example.tables["schedule"]
    other_contract = dataclasses.replace(schedule, columns=schedule.columns[:-1])

    def function(known: KnownTables) -> "duckdb.DuckDBPyRelation":
        return known.sql("select 1")

    digests = [
        feature_digest(view, label),
        feature_digest(dataclasses.replace(view, function=function), label),
        feature_digest(dataclasses.replace(view, reads=view.reads[:-1]), label),
        feature_digest(dataclasses.replace(view, entity=other_contract), label),
        feature_digest(view, dataclasses.replace(label, rule="arr_delay > 16")),
        feature_digest(view, dataclasses.replace(label, final_after=timedelta(hours=73))),
    ]
    assert len(set(digests)) == len(digests)
    assert feature_digest(view, dataclasses.replace(label, expected_after=SECOND)) == digests[0]
