"""What a contract's types and schemas are, and how rows are split by it."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.contract import (
    COLUMN_TYPES,
    STAMPS,
    Column,
    Files,
    Table,
    arrow_schema,
    arrow_type,
    as_quarantine,
    conform,
    quarantine_schema,
    silver_schema,
)

READINGS = Table(
    name="readings",
    source=Files(pattern="*.csv"),
    columns=[
        Column("number", "int64"),
        Column("value", "double"),
        Column("note", "string", nullable=True),
    ],
    key=("number",),
)


def readings(*rows: tuple[int | None, float | None, str | None]) -> pa.Table:
    listed = [dict(zip(READINGS.column_names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(listed, schema=arrow_schema(READINGS))


def test_every_contract_type_has_one_arrow_type_and_no_two_share_one() -> None:
    assert {name: str(arrow_type(name)) for name in COLUMN_TYPES} == {
        "string": "string",
        "int64": "int64",
        "double": "double",
        "bool": "bool",
        "date": "date32[day]",
        "timestamp[UTC]": "timestamp[us, tz=UTC]",
    }


def test_a_type_outside_the_contract_has_none() -> None:
    with pytest.raises(KeyError):
        arrow_type("timestamp")


def test_silver_is_the_contract_and_its_stamps() -> None:
    assert silver_schema(READINGS).names == ["number", "value", "note", *STAMPS]
    assert quarantine_schema().names == [*STAMPS, "_failed", "_payload"]


def test_a_column_that_may_not_be_empty_sets_its_row_aside_with_every_reason() -> None:
    split = conform(
        readings(
            (1, 1.5, "a"), (None, 2.5, "b"), (3, None, None), (None, None, "d"), (5, 5.5, None)
        ),
        READINGS,
    )
    assert split.accepted.to_pylist() == [
        {"number": 1, "value": 1.5, "note": "a"},
        {"number": 5, "value": 5.5, "note": None},
    ]
    number, value = "contract:not_null:number", "contract:not_null:value"
    assert split.rejected.to_pylist() == [
        {"number": None, "value": 2.5, "note": "b", "_failed": [number]},
        {"number": 3, "value": None, "note": None, "_failed": [value]},
        {"number": None, "value": None, "note": "d", "_failed": [number, value]},
    ]


@pytest.mark.parametrize("rows", [[], [(1, 1.5, None)]])
def test_rows_that_keep_the_contract_pass_unchanged(rows: list[Any]) -> None:
    split = conform(readings(*rows), READINGS)
    assert split.accepted.equals(readings(*rows))
    assert split.rejected.num_rows == 0
    assert split.rejected.schema.names == [*READINGS.column_names, "_failed"]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 9),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.text(max_size=2),
        )
    )
)
def test_the_two_parts_are_all_rows_in_their_order(rows: list[Any]) -> None:
    split = conform(readings(*rows), READINGS)
    good = [row for row in rows if row[0] is not None and row[1] is not None]
    assert [tuple(row.values()) for row in split.accepted.to_pylist()] == good
    bad = [row for row in rows if row[0] is None or row[1] is None]
    assert [tuple(row.values())[:3] for row in split.rejected.to_pylist()] == bad


def test_a_quarantined_row_says_when_where_why_and_what() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    rows = pa.Table.from_pylist(
        [
            {
                "number": 1, "value": float("nan"), "note": "é", "known_at": moment,
                "_file": "a.csv", "_row": 7, "_sha256": "abc", "_failed": ["rule"],
            }
        ],
        schema=silver_schema(READINGS).append(pa.field("_failed", pa.list_(pa.string()))),
    )  # fmt: skip
    set_aside = as_quarantine(rows, READINGS)
    assert set_aside.schema == quarantine_schema()
    (row,) = set_aside.to_pylist()
    payload = json.loads(row.pop("_payload"), parse_constant=pytest.fail)
    assert payload == {"number": 1, "value": "nan", "note": "é"}
    assert row == {
        "known_at": moment, "_file": "a.csv", "_row": 7, "_sha256": "abc", "_failed": ["rule"]
    }  # fmt: skip
