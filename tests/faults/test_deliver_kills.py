"""Kill -9 in the middle of a delivery: the consumer has the old generation or the new one, whole."""

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.adapters import failpoints
from pipelines.adapters.databases import connections
from pipelines.adapters.outputs import output_ledger, placed_files
from pipelines.adapters.settings import Settings
from pipelines.domain.outputs import CsvFile, Output, ParquetFile, PostgresTable, TopN
from pipelines.stages.deliver import deliver
from tests import postgres, predicted
from tests.faults.forked import end, processes
from tests.postgres import Server
from tests.predicted import FIRST, NAME, Row

pytestmark = pytest.mark.needs_postgres

LONGEST_SECONDS = 60
COLUMNS = ("ward", "bed", "p_missed", "generation")
OUTPUTS: dict[str, Output] = {
    "json": TopN(999, name="json", consumer="x", by="p_missed", columns=COLUMNS, reasons=0),
    "csv": CsvFile(name="csv", consumer="x", columns=COLUMNS),
    "parquet": ParquetFile(name="parquet", consumer="x", columns=COLUMNS),
    "table": PostgresTable(
        name="table", consumer="x", connection="house", table="visits", columns=COLUMNS
    ),
}
FILE_PLACES = (
    "deliver.before_file",
    "deliver.between_file_and_sidecar",
    "deliver.before_record",
)
TABLE_PLACES = (
    "deliver.between_copy_and_upsert",
    "deliver.before_commit",
    "deliver.before_record",
)
CASES = [
    pytest.param(name, place, marks=[] if name in ("csv", "table") else [pytest.mark.prove])
    for name in OUTPUTS
    for place in (TABLE_PLACES if name == "table" else FILE_PLACES)
]
"""All files are placed by one writer: those of other formats are for the long proofs."""

OLD: list[Row] = [("A", bed, 0.25) for bed in range(200)]
NEW: list[Row] = [("A", bed, 0.75) for bed in range(100, 400)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres.serving() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HEADFRAME_CONNECTION_HOUSE", server.url)
    server.run("drop table if exists visits, headframe_deliveries")
    return predicted.settings_in(tmp_path)


def run(settings: Settings, server: Server, name: str, kill_at: str = "") -> tuple[bool, list[str]]:
    """Deliver in a process of its own; tell whether it was killed, and the failpoints it reached."""
    reached = settings.root / "reached"
    reached.unlink(missing_ok=True)
    arguments = (settings.root, server.url, name, kill_at, reached)
    process = processes().Process(target=_child, args=arguments)
    process.start()
    exit_code = end(process, LONGEST_SECONDS)
    assert exit_code in (0, -signal.SIGKILL)
    return exit_code != 0, reached.read_text().split() if reached.exists() else []


def _child(folder: Path, url: str, name: str, kill_at: str, reached: Path) -> None:
    os.environ[failpoints.ARMED] = kill_at
    os.environ[failpoints.REACHED] = str(reached)
    os.environ["HEADFRAME_CONNECTION_HOUSE"] = url
    settings = predicted.settings_in(folder)
    if name == "naive":
        _write_naively(settings)
        return
    deliver(
        predicted.declared(OUTPUTS[name]),
        settings,
        scored_for=[FIRST],
        run="test",
        connections=connections.resolver(),
    )


def _write_naively(settings: Settings) -> None:
    """Write the rows of the new generation into the file itself: the control."""
    path = _file(settings, "csv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, row in enumerate(NEW):
            if number == len(NEW) // 2:
                file.flush()
                failpoints.failpoint("deliver.before_file")
            writer.writerow((*row, 2))


Rows = set[tuple[str, int, float, int]]


def found(settings: Settings, server: Server, name: str) -> Rows:
    """Return what the consumer has."""
    return {(str(w), int(b), float(p), int(g)) for w, b, p, g in READERS[name](settings, server)}


def _file(settings: Settings, name: str) -> Path:
    folder = placed_files.folder(settings, NAME, name)
    assert isinstance(folder, Path)
    return folder / placed_files.file_name(FIRST, name)


def _json(settings: Settings, _: Server) -> list[tuple[Any, ...]]:
    rows = json.loads(_file(settings, "json").read_bytes())["rows"]
    return [tuple(row[name] for name in COLUMNS) for row in rows]


def _csv(settings: Settings, _: Server) -> list[tuple[Any, ...]]:
    with _file(settings, "csv").open(newline="") as file:
        return [tuple(row) for row in list(csv.reader(file))[1:]]


def _parquet(settings: Settings, _: Server) -> list[tuple[Any, ...]]:
    rows = pq.read_table(_file(settings, "parquet")).to_pylist()
    return [tuple(row[name] for name in COLUMNS) for row in rows]


def _table(_: Settings, server: Server) -> list[tuple[Any, ...]]:
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"select {', '.join(COLUMNS)} from visits")
        return list(cursor.fetchall())


READERS: dict[str, Callable[[Settings, Server], list[tuple[Any, ...]]]] = {
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "table": _table,
}


def rows_of(rows: list[Row], generation: int) -> Rows:
    return {(*row, generation) for row in rows}


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_killed_delivery_leaves_old_or_new_whole_and_the_next_one_finishes_it(
    name: str, place: str, settings: Settings, server: Server
) -> None:
    predicted.publish(settings, OLD)
    assert run(settings, server, name) == (False, [])
    assert found(settings, server, name) == rows_of(OLD, 1)
    predicted.publish(settings, NEW)
    assert run(settings, server, name, kill_at=place) == (True, [place])
    is_new = place in ("deliver.between_file_and_sidecar", "deliver.before_record")
    left = rows_of(NEW, 2) if is_new else rows_of(OLD, 1)
    assert found(settings, server, name) == left
    assert [item.generation for item in output_ledger.read(settings, NAME)] == [1]
    for _ in range(2):
        assert run(settings, server, name) == (False, [])
        assert found(settings, server, name) == rows_of(NEW, 2)
        recorded = output_ledger.read(settings, NAME)
        assert [item.generation for item in recorded] == [1, 2]
        assert recorded[-1].rows == len(NEW)
    assert not list((settings.root / "outputs").rglob(".unfinished*"))


@pytest.mark.parametrize("place", ["deliver.before_file", "deliver.between_file_and_sidecar"])
def test_a_first_delivery_that_is_killed_shows_nothing_or_all(
    place: str, settings: Settings, server: Server
) -> None:
    predicted.publish(settings, OLD)
    assert run(settings, server, "csv", kill_at=place) == (True, [place])
    assert _file(settings, "csv").exists() == (place == "deliver.between_file_and_sidecar")
    assert run(settings, server, "csv") == (False, [])
    assert found(settings, server, "csv") == rows_of(OLD, 1)


def test_control_a_writer_into_the_file_itself_fails_in_the_same_harness(
    settings: Settings, server: Server
) -> None:
    predicted.publish(settings, OLD)
    run(settings, server, "csv")
    assert run(settings, server, "naive", kill_at="deliver.before_file") == (
        True,
        ["deliver.before_file"],
    )
    assert found(settings, server, "csv") not in (rows_of(OLD, 1), rows_of(NEW, 2))
