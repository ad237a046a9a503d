"""The label ledger: settled once, late corrections appended, twice as once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import label_ledger
from pipelines.adapters.settings import Settings

DAY = datetime(2026, 5, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("machine", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("final_at", pa.timestamp("us", tz="UTC")),
        ("state", pa.string()),
        ("value", pa.bool_()),
        ("late_corrections", pa.int64()),
    ]
)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def states(*rows: tuple[str, str, bool | None, int]) -> pa.Table:
    names = ("machine", "state", "value", "late_corrections")
    listed = [dict(zip(names, row, strict=True), event_time=DAY, final_at=DAY) for row in rows]
    return pa.Table.from_pylist(listed, schema=SCHEMA)


def settle(home: Settings, *rows: tuple[str, str, bool | None, int]) -> int:
    return label_ledger.settle(home, "machines", states(*rows), as_of=DAY, run="test")


def ledger(home: Settings) -> list[tuple[Any, ...]]:
    rows = delta_tables.read(lake.labels(home, "machines")).to_pylist()
    return sorted(
        (row["machine"], row["state"], row["value"], row["late_corrections"]) for row in rows
    )


def test_settled_labels_are_written_and_pending_ones_wait(home: Settings) -> None:
    written = settle(
        home, ("A", "final", True, 0), ("B", "unlabelled", None, 0), ("C", "pending", None, 0)
    )
    assert written == 2
    assert ledger(home) == [("A", "final", True, 0), ("B", "unlabelled", None, 0)]


def test_nothing_settled_writes_no_table(home: Settings) -> None:
    assert settle(home, ("C", "pending", None, 0)) == 0
    assert not delta_tables.exists(lake.labels(home, "machines"))


def test_settling_twice_is_settling_once(home: Settings) -> None:
    rows = [("A", "final", True, 1), ("B", "unlabelled", None, 0)]
    assert settle(home, *rows) == 3
    first, version = ledger(home), delta_tables.version(lake.labels(home, "machines"))
    assert settle(home, *rows) == 0
    assert ledger(home) == first
    assert delta_tables.version(lake.labels(home, "machines")) == version


def test_a_label_that_becomes_final_later_is_added(home: Settings) -> None:
    settle(home, ("A", "final", False, 0), ("B", "pending", None, 0))
    assert settle(home, ("A", "final", False, 0), ("B", "final", True, 0)) == 1
    assert ledger(home) == [("A", "final", False, 0), ("B", "final", True, 0)]


def test_late_corrections_are_rows_of_their_own_and_change_nothing_settled(home: Settings) -> None:
    settle(home, ("A", "final", True, 0))
    assert settle(home, ("A", "final", True, 1)) == 1
    assert settle(home, ("A", "final", True, 3)) == 1
    assert settle(home, ("A", "final", True, 3)) == 0
    assert ledger(home) == [
        ("A", "final", True, 0),
        ("A", "late_correction", True, 1),
        ("A", "late_correction", True, 3),
    ]


def test_a_file_ingested_after_its_label_was_settled_does_not_settle_it_again(
    home: Settings,
) -> None:
    settle(home, ("A", "unlabelled", None, 0))
    assert settle(home, ("A", "final", True, 0)) == 0
    assert ledger(home) == [("A", "unlabelled", None, 0)]
