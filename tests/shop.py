"""The shop: a use case of two small tables, for tests of the lake."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.stages.ingest import TableIngested, ingest
from pipelines.use_case import Column, Files, Table, UseCase

NAME = "shop"
NEVER_ENDS = datetime(2030, 1, 1, tzinfo=UTC)

ORDERS = Table(
    name="orders",
    source=Files(pattern="orders/*.csv*"),
    columns=[
        Column("order_id", "int64"),
        Column("amount", "double"),
        Column("sold_at", "timestamp[UTC]"),
        Column("day", "date", nullable=True),
        Column("paid", "bool", nullable=True),
        Column("note", "string", nullable=True),
    ],
    key=("order_id",),
    event_time="sold_at",
    maximum_quarantined=0.6,
)
PRICES = Table(
    name="prices",
    source=Files(pattern="prices/*.csv"),
    columns=[Column("product", "string"), Column("price", "double")],
    key=("product",),
    on_new_column="ignore",
)
SHOP = UseCase(name=NAME, owner="till", tables=[ORDERS, PRICES])

ORDERS_HEADER = "order_id,amount,sold_at,day,paid,note"
PRICES_HEADER = "product,price"


def settings_in(folder: Path) -> Settings:
    """Return settings whose every path lies below ``folder``."""
    return Settings(home=folder, dags=folder / "dags", expectations=folder / "expectations")


def at(day: int, hour: int = 12) -> datetime:
    """Return ``hour`` UTC of a day of March 2026."""
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def order(number: int, amount: str = "1.5", note: str = "") -> str:
    """Return one line of an orders file."""
    return f"{number},{amount},2026-03-01T10:00:00Z,2026-03-01,true,{note}"


def csv_of(header: str, lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


def land(settings: Settings, name: str, content: bytes, at: datetime | None = None) -> Path:
    """Deliver a file, packed where its name says so, with a sidecar unless ``at`` is None."""
    path = local(settings.landing) / NAME / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if at is not None:
        told = json.dumps({"delivered_at": at.isoformat()})
        path.with_name(f"{path.name}.delivered.json").write_text(told, "utf-8")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def land_orders(settings: Settings, name: str, lines: Sequence[str], at: datetime) -> Path:
    return land(settings, f"orders/{name}", csv_of(ORDERS_HEADER, lines), at)


def take_in(
    settings: Settings, as_of: datetime = NEVER_ENDS, use_case: UseCase = SHOP
) -> dict[str, TableIngested]:
    """Ingest, and return what each table took in."""
    results = ingest(use_case, settings, as_of=as_of, run="test")
    return {result.table: result for result in results}


def silver(settings: Settings, table: str = "orders") -> pa.Table:
    """Return all versions in silver; no rows where the table does not exist."""
    (found,) = lake.versions(settings, NAME, [SHOP.table(table)]).values()
    return found


def quarantine(settings: Settings, table: str = "orders") -> list[dict[str, object]]:
    """Return the rows set aside, by file and row."""
    path = lake.quarantine(settings, NAME, table)
    rows = delta_tables.read(path).to_pylist() if delta_tables.exists(path) else []
    return sorted(rows, key=lambda row: (row["_file"], row["_row"]))


def versions(settings: Settings) -> dict[str, int]:
    """Return the Delta version of every table of the lake."""
    return {name: delta_tables.version(path) for name, path in lake.table_paths(settings).items()}
