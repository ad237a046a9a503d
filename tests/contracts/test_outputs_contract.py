"""What every kind of output promises, asked of each class of pipelines.domain.outputs."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest

from pipelines.adapters.databases import connections
from pipelines.adapters.outputs import output_ledger, placed_files
from pipelines.adapters.settings import Settings
from pipelines.domain.outputs import CsvFile, Output, ParquetFile, PostgresTable, TopN
from pipelines.domain.promises import ArrivesBy
from pipelines.errors import HeadframeError
from pipelines.stages.deliver import Delivered, deliver
from tests import postgres, predicted
from tests.postgres import PASSWORD, Server
from tests.predicted import FIRST, NAME, NEXT, Row

pytestmark = pytest.mark.needs_postgres

COLUMNS = ("ward", "bed", "p_missed", "age", "insurer", "stays", "urgent", "generation")
"""Columns that every output of these tests shows: key, prediction, one feature of each type."""

OUTPUTS: dict[type[Any], Output] = {
    TopN: TopN(1_000, name="first", consumer="desk", by="p_missed", columns=COLUMNS, reasons=0),
    CsvFile: CsvFile(name="desk", consumer="desk", columns=COLUMNS),
    ParquetFile: ParquetFile(name="programs", consumer="planning", columns=COLUMNS),
    PostgresTable: PostgresTable(
        name="warehouse", consumer="planning", connection="house", table="visits", columns=COLUMNS
    ),
}
"""One output of each kind that lists every row; a new kind adds itself, or a test fails."""

every_kind = pytest.mark.parametrize("kind", get_args(Output), ids=lambda kind: kind.__name__)

ROWS: list[Row] = [("B", 2, 0.25), ("A", 1, 0.75), ("A", 3, 0.5)]
AFTER: list[Row] = [("A", 1, 0.8), ("C", 9, 0.1), ("A", 3, 0.5)]
"""Another generation: one row changed, one gone, one new, one the same."""

STRANGE = [
    "=1+1", "+1", "-1", "@a", "\tb", "\rc", "\nd", "'=e", "''", "", " ", "a,b;c", 'say "no"',
    "two\nlines", "two\r\nlines", "Zoë 😀 \u202e\u00a0", "\\N", "NULL", "\\.", "\uff0d1", "x'y",
]  # fmt: skip
"""Texts that a format may break over."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres.serving() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HEADFRAME_CONNECTION_HOUSE", server.url)
    server.run("drop table if exists visits, headframe_deliveries")
    return predicted.settings_in(tmp_path)


def delivered(settings: Settings, output: Output, *moments: datetime, **more: Any) -> Delivered:  # noqa: ANN401 - the stage's own
    return deliver(
        predicted.declared(output, promises=more.pop("promises", ())),
        settings,
        scored_for=moments or (FIRST,),
        run="test",
        connections=connections.resolver(),
        **more,
    )


def outcomes(settings: Settings, output: Output, *moments: datetime) -> list[str]:
    return [found.outcome for found in delivered(settings, output, *moments).outputs]


Cells = dict[tuple[str, int], dict[str, Any]]


def content(settings: Settings, output: Output, server: Server, moment: datetime = FIRST) -> Cells:
    """Return what a consumer finds of a window, by ward and bed; texts as they were scored."""
    rows = READERS[type(output)](settings, output, server, moment)
    return {(row["ward"], row["bed"]): {n: row[n] for n in COLUMNS} for row in rows}


def file(settings: Settings, output: Output, ending: str, moment: datetime) -> Path:
    folder = placed_files.folder(settings, NAME, output.name)
    assert isinstance(folder, Path)
    return folder / placed_files.file_name(moment, ending)


def read_json(s: Settings, output: Output, _: Server, moment: datetime) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(file(s, output, "json", moment).read_bytes())["rows"]
    return rows


def read_csv(s: Settings, output: Output, _: Server, moment: datetime) -> list[dict[str, Any]]:
    with file(s, output, "csv", moment).open(encoding="utf-8", newline="") as opened:
        found = list(csv.DictReader(opened))
    casts: dict[str, Callable[[str], Any]] = {
        "bed": int, "p_missed": float, "age": lambda cell: float(cell) if cell else None, "stays": int, "generation": int,
        "urgent": {"true": True, "false": False}.__getitem__, "ward": undefused,
        "insurer": lambda cell: undefused(cell) or None,
    }  # fmt: skip
    return [{n: casts[n](row[n]) for n in COLUMNS} for row in found]


def undefused(text: str) -> str:
    """Take the mark away that the docstring of the CSV writer says is there."""
    import pyarrow as pa

    from pipelines.adapters.outputs.csv_file import defused

    marked = text[:1] == "'" and defused(pa.array([text[1:]]))[0].as_py() == text
    return text[1:] if marked else text


def read_parquet(s: Settings, output: Output, _: Server, moment: datetime) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file(s, output, "parquet", moment)).to_pylist()
    return rows


def read_table(
    _: Settings, output: Output, server: Server, moment: datetime
) -> list[dict[str, Any]]:
    assert isinstance(output, PostgresTable)
    with closing(server.connect()) as session, session.cursor() as cursor:
        names = ", ".join(COLUMNS)
        cursor.execute(f"select {names} from {output.table} where scored_for = %s", (moment,))
        return [dict(zip(COLUMNS, row, strict=True)) for row in cursor.fetchall()]


READERS: dict[type[Any], Callable[[Settings, Output, Server, datetime], list[dict[str, Any]]]] = {
    TopN: read_json,
    CsvFile: read_csv,
    ParquetFile: read_parquet,
    PostgresTable: read_table,
}


def expected(rows: list[Row], generation: int) -> Cells:
    return {
        (ward, bed): {
            "ward": ward, "bed": bed, "p_missed": prediction, "age": 20.5 + bed,
            "insurer": f"insurer of {ward}", "stays": bed * 2, "urgent": bed % 2 == 0,
            "generation": generation,
        }
        for ward, bed, prediction in rows
    }  # fmt: skip


def test_each_kind_is_among_those_tested() -> None:
    assert set(OUTPUTS) == set(READERS) == set(get_args(Output))


@every_kind
def test_it_has_a_name_a_consumer_and_a_docstring(kind: type[Any]) -> None:
    assert {"name", "consumer"} <= {field.name for field in fields(kind)}
    assert not (kind.__doc__ or "").startswith(f"{kind.__name__}("), "that is the signature again"


@every_kind
def test_its_consumer_gets_every_row_whole(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    assert outcomes(settings, OUTPUTS[kind]) == ["delivered"]
    assert content(settings, OUTPUTS[kind], server) == expected(ROWS, 1)


@every_kind
def test_the_same_again_touches_nothing(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind])
    before = traces(settings, server)
    assert outcomes(settings, OUTPUTS[kind]) == ["unchanged"]
    assert traces(settings, server) == before


def traces(settings: Settings, server: Server) -> dict[str, Any]:
    """Return what any write would change: times of files, row versions of tables, the ledger."""
    folder = settings.root / "outputs"
    found: dict[str, Any] = {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    with closing(server.connect()) as session, session.cursor() as cursor:
        for table in ("visits", "headframe_deliveries"):
            cursor.execute("select to_regclass(%s) is not null", (table,))
            if cursor.fetchone() == (True,):
                cursor.execute(f"select ctid::text, xmin::text from {table} order by ctid")
                found[table] = cursor.fetchall()
    found["ledger"] = output_ledger.read(settings, NAME)
    return found


@every_kind
def test_a_new_generation_takes_the_place_of_the_old_one(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind])
    predicted.publish(settings, AFTER)
    assert outcomes(settings, OUTPUTS[kind]) == ["replaced"]
    assert content(settings, OUTPUTS[kind], server) == expected(AFTER, 2)


@every_kind
def test_a_window_stands_apart_from_the_others(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    predicted.publish(settings, AFTER, scored_for=NEXT)
    assert outcomes(settings, OUTPUTS[kind], FIRST, NEXT) == ["delivered", "delivered"]
    predicted.publish(settings, ROWS[:1], scored_for=NEXT)
    assert outcomes(settings, OUTPUTS[kind], NEXT) == ["replaced"]
    assert content(settings, OUTPUTS[kind], server) == expected(ROWS, 1)
    assert content(settings, OUTPUTS[kind], server, NEXT) == expected(ROWS[:1], 2)


@every_kind
def test_a_window_that_lost_its_last_row_is_delivered_empty(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind])
    predicted.publish(settings, [])
    assert outcomes(settings, OUTPUTS[kind]) == ["replaced"]
    assert content(settings, OUTPUTS[kind], server) == {}
    assert outcomes(settings, OUTPUTS[kind]) == ["unchanged"]


@every_kind
def test_a_window_that_never_was_scored_is_not_delivered(
    kind: type[Any], settings: Settings
) -> None:
    assert outcomes(settings, OUTPUTS[kind]) == ["not_scored"]
    predicted.publish(settings, ROWS)
    assert outcomes(settings, OUTPUTS[kind], NEXT) == ["not_scored"]
    assert output_ledger.read(settings, NAME) == []


@every_kind
def test_strange_texts_arrive_as_they_were(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    rows = [(text, bed, 0.5) for bed, text in enumerate(STRANGE)]
    predicted.publish(settings, rows)
    delivered(settings, OUTPUTS[kind])
    assert content(settings, OUTPUTS[kind], server) == expected(rows, 1)


@every_kind
def test_numbers_arrive_bit_for_bit(kind: type[Any], settings: Settings, server: Server) -> None:
    numbers = {2**60 + n: p for n, p in enumerate((0.1, 1 / 3, 5e-324, 1 - 2**-53, 0.0, 1.0))}
    predicted.publish(settings, [("A", bed, number) for bed, number in numbers.items()])
    delivered(settings, OUTPUTS[kind])
    found = content(settings, OUTPUTS[kind], server)
    assert {bed: row["p_missed"].hex() for (_, bed), row in found.items()} == {
        bed: number.hex() for bed, number in numbers.items()
    }


@every_kind
def test_another_declaration_is_delivered_anew(
    kind: type[Any], settings: Settings, server: Server
) -> None:
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind])
    assert outcomes(settings, replace(OUTPUTS[kind], consumer="night shift")) == ["replaced"]
    assert content(settings, OUTPUTS[kind], server) == expected(ROWS, 1)
    consumers = [item.consumer for item in output_ledger.read(settings, NAME)]
    assert sorted(consumers) == sorted([OUTPUTS[kind].consumer, "night shift"])


@every_kind
def test_a_delivery_is_recorded_once_with_its_place_and_no_secret(
    kind: type[Any], settings: Settings
) -> None:
    predicted.publish(settings, ROWS)
    for _ in range(2):
        delivered(settings, OUTPUTS[kind])
    predicted.publish(settings, AFTER)
    delivered(settings, OUTPUTS[kind])
    first, second = output_ledger.read(settings, NAME)
    assert (first.generation, second.generation) == (1, 2)
    assert (first.rows, first.kind, first.consumer) == (3, kind.__name__, OUTPUTS[kind].consumer)
    assert (first.as_of, first.run_key, first.model_version) == (FIRST, "key of 1", "1")
    assert first.sha256 != second.sha256
    assert len(first.sha256) == 64
    for text in (PASSWORD, "127.0.0.1", str(settings.root)):
        assert text not in str(first)
    assert OUTPUTS[kind].name in first.place or "house" in first.place


@every_kind
def test_what_comes_late_is_told_once_and_recorded(kind: type[Any], settings: Settings) -> None:
    promises = [ArrivesBy(datetime(2026, 1, 1, 6).time(), "Europe/Berlin")]  # noqa: DTZ001 - a time of day
    predicted.publish(settings, ROWS)  # at 05:00 UTC, 06:00 in Berlin: promised for the day after
    due = datetime(2026, 3, 2, 5, tzinfo=UTC)
    late = due.replace(minute=1)
    for moment in (late, late.replace(hour=9)):
        found = delivered(settings, OUTPUTS[kind], promises=promises, delivered_at=moment)
        assert [item.outcome for item in found.outputs] in (["delivered"], ["unchanged"])
    (recorded,) = output_ledger.read(settings, NAME)
    assert (recorded.due_at, recorded.delivered_at, recorded.is_late) == (due, late, True)
    (told,) = (settings.root / "notifications.log").read_text("utf-8").splitlines()
    assert "1 output was delivered late" in told
    predicted.publish(settings, AFTER)
    delivered(settings, OUTPUTS[kind], promises=promises, delivered_at=late.replace(hour=20))
    assert output_ledger.read(settings, NAME)[-1].is_late is False, "it was there before"


@every_kind
def test_what_comes_in_time_is_not_told(kind: type[Any], settings: Settings) -> None:
    promises = [ArrivesBy(datetime(2026, 1, 1, 6).time())]  # noqa: DTZ001 - a time of day
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind], promises=promises, delivered_at=FIRST.replace(hour=6))
    (recorded,) = output_ledger.read(settings, NAME)
    assert (recorded.due_at, recorded.is_late) == (FIRST.replace(hour=6), False)
    assert not (settings.root / "notifications.log").exists()


@every_kind
def test_one_output_that_fails_keeps_none_of_the_others_back(
    kind: type[Any], settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "HEADFRAME_CONNECTION_NOWHERE", f"postgresql://x:{PASSWORD[:6]}@127.0.0.1:1/x"
    )
    broken = PostgresTable(name="broken", consumer="x", connection="nowhere", table="x")
    predicted.publish(settings, ROWS)
    with pytest.raises(HeadframeError) as caught:
        deliver(
            predicted.declared(broken, OUTPUTS[kind]),
            settings,
            scored_for=[FIRST],
            run="test",
            connections=connections.resolver(),
        )
    assert caught.value.retryable
    assert PASSWORD[:6] not in str(caught.value)
    assert content(settings, OUTPUTS[kind], server) == expected(ROWS, 1)
    assert [item.output for item in output_ledger.read(settings, NAME)] == [OUTPUTS[kind].name]


@every_kind
def test_an_output_that_is_declared_later_joins_those_that_were_delivered(
    kind: type[Any], settings: Settings
) -> None:
    predicted.publish(settings, ROWS)
    delivered(settings, OUTPUTS[kind])
    later = CsvFile(name="later", consumer="x")
    found = deliver(
        predicted.declared(OUTPUTS[kind], later),
        settings,
        scored_for=[FIRST],
        run="test",
        connections=connections.resolver(),
    )
    assert [item.outcome for item in found.outputs] == ["unchanged", "delivered"]
    recorded = {item.output for item in output_ledger.read(settings, NAME)}
    assert recorded == {OUTPUTS[kind].name, "later"}


@every_kind
def test_a_missing_value_arrives_as_missing_and_an_empty_text_as_empty(
    kind: type[Any], settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicted, "age_of", {1: None, 2: 7.5}.__getitem__)
    monkeypatch.setattr(predicted, "insurer_of", {"": None, "B": "i"}.__getitem__)
    predicted.publish(settings, [("", 1, 0.5), ("B", 2, 0.5)])
    delivered(settings, OUTPUTS[kind])
    found = content(settings, OUTPUTS[kind], server)
    assert {key: (row["age"], row["insurer"]) for key, row in found.items()} == {
        ("", 1): (None, None),
        ("B", 2): (7.5, "i"),
    }
