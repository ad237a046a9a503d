"""Ingest of every kind of file: the same rows, packed and written in any way, are the same in silver."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.lineage import Law
from pipelines.use_case import UseCase
from tests import shop
from tests.shop import at

SALES = Table(
    name="sales",
    source=Files(pattern="sales/*"),
    columns=[
        Column("sale_id", "int64"),
        Column("amount", "double", nullable=True),
        Column("sold_at", "timestamp[UTC]"),
        Column("note", "string", nullable=True),
    ],
    key=("sale_id",),
    maximum_quarantined=0.5,
)
ROWS: list[dict[str, Any]] = [
    {"sale_id": 1, "amount": 1.5, "sold_at": "2026-03-01T10:00:00Z", "note": "naïve, “quoted”"},
    {"sale_id": 2, "amount": None, "sold_at": "2026-03-01T12:00:00+02:00", "note": None},
    {"sale_id": 2, "amount": None, "sold_at": "2026-03-01T12:00:00+02:00", "note": None},
    {"sale_id": "three", "amount": 1.0, "sold_at": "2026-03-01T10:00:00Z", "note": "bad"},
]
IN_SILVER = [
    (1, 1.5, datetime(2026, 3, 1, 10, tzinfo=UTC), "naïve, “quoted”"),
    (2, None, datetime(2026, 3, 1, 10, tzinfo=UTC), None),
]


def as_csv() -> bytes:
    lines = ["Sale ID,amount,sold_at,note"]
    for row in ROWS:
        note = "" if row["note"] is None else f'"{row["note"]}"'
        lines.append(f"{row['sale_id']},{row['amount'] or ''},{row['sold_at']},{note}")
    return "".join(f"{line}\n" for line in lines).encode()


def as_json_lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def as_parquet() -> bytes:
    """Return the rows, the bad one as far as a typed file can be bad: an id that is no whole number."""
    moments = [datetime.fromisoformat(str(row["sold_at"])).astimezone(UTC) for row in ROWS]
    table = pa.table(
        {
            "sale_id": pa.array([1.0, 2.0, 2.0, 3.5]),
            "amount": pa.array([row["amount"] for row in ROWS], pa.float32()),
            "sold_at": pa.array(moments, pa.timestamp("ms", tz="UTC")),
            "note": pa.array([row["note"] for row in ROWS]).dictionary_encode(),
        }
    )
    packed = io.BytesIO()
    pq.write_table(table, packed)
    return packed.getvalue()


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sales.txt", content)
    return packed.getvalue()


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zip": zipped,
    ".zst": zstd,
}
WRITTEN = {"csv": as_csv, "jsonl": as_json_lines, "parquet": as_parquet}
KINDS = [
    (form, packing)
    for form in ("csv", "jsonl", "parquet")
    for packing in (PACKED if form != "parquet" else [""])
]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def shop_of(table: Table) -> UseCase:
    return UseCase(name="shop", owner="till", tables=[table])


def land(home: Settings, name: str, content: bytes, *, told: bool = True) -> None:
    path = home.root / "landing" / "shop" / "sales" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if told:
        sidecar = json.dumps({"delivered_at": at(1).isoformat()})
        path.with_name(f"{name}.delivered.json").write_text(sidecar, "utf-8")
    path.write_bytes(content)


@pytest.mark.parametrize(("form", "packing"), KINDS)
def test_the_same_rows_are_the_same_in_silver_however_written_and_packed(
    home: Settings, form: str, packing: str
) -> None:
    table = replace(SALES, source=Files(pattern="sales/*", format=form))  # type: ignore[arg-type] # of KINDS
    land(home, f"march.{form}{packing}", PACKED[packing](WRITTEN[form]()))
    taken = shop.take_in(home, use_case=shop_of(table))["sales"]
    assert taken.refused == ()
    assert taken.law == Law(landed=4, accepted=2, repeated=1, quarantined=1, unparsed=0)
    assert taken.reasons == {"contract:type:sale_id:int64": 1}
    rows = delta_tables.read(lake.silver(home, "shop", "sales")).to_pylist()
    found = [tuple(row[name] for name in SALES.column_names) for row in rows]
    assert sorted(found, key=str) == sorted(IN_SILVER, key=str)
    assert {(row["known_at"], row["_row"]) for row in rows} == {(at(1), 1), (at(1), 3)}
    (aside,) = delta_tables.read(lake.quarantine(home, "shop", "sales")).to_pylist()
    assert (aside["_row"], aside["_failed"]) == (4, ["contract:type:sale_id:int64"])
    assert json.loads(aside["_payload"])["note"] == "bad"


def test_a_declared_column_may_say_when_each_row_was_known(home: Settings) -> None:
    table = replace(SALES, known_at="sold_at")
    lines = [
        "sale_id,amount,sold_at,note",
        "1,1,2026-02-01T00:00:00Z,",
        "2,x,2026-02-02T00:00:00Z,",
    ]
    land(home, "march.csv", "".join(f"{line}\n" for line in lines).encode())
    shop.take_in(home, use_case=shop_of(table))
    (row,) = delta_tables.read(lake.silver(home, "shop", "sales")).to_pylist()
    assert row["known_at"] == datetime(2026, 2, 1, tzinfo=UTC)
    (aside,) = delta_tables.read(lake.quarantine(home, "shop", "sales")).to_pylist()
    assert aside["known_at"] == at(1)  # of a row that is not understood only its delivery is known


def test_a_commit_notes_every_delivery_with_its_law(home: Settings) -> None:
    land(home, "march.csv", as_csv())
    shop.take_in(home, use_case=shop_of(SALES))
    newest = delta_tables.history(lake.silver(home, "shop", "sales"), 1)[0]
    (noted,) = json.loads(newest["headframe.deliveries"])
    assert noted.pop("sha256")
    assert noted == {
        "name": "sales/march.csv", "delivered_at": at(1).isoformat(),
        "landed": 4, "accepted": 2, "repeated": 1, "quarantined": 1, "unparsed": 0,
    }  # fmt: skip


def test_a_file_that_is_still_being_written_waits(home: Settings) -> None:
    source = Files(pattern="sales/*", quiet=timedelta(hours=1))
    land(home, "march.csv", as_csv(), told=False)
    taken = shop.take_in(home, use_case=shop_of(replace(SALES, source=source)))["sales"]
    assert (taken.files, taken.waiting) == (0, 1)
