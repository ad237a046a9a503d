"""Repeats: what the streaming search finds is what comparing every row with every row finds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.staged_files import Staging
from pipelines.adapters.silver import repeats
from pipelines.adapters.silver.repeats import Repeats
from pipelines.domain.contract import Column, Files, Table, silver_schema
from pipelines.domain.lineage import unrepeated

PRICES = Table(
    name="prices",
    source=Files(pattern="*.csv"),
    columns=[Column("product", "string"), Column("price", "double", nullable=True)],
    key=("product",),
)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - rows of a test, not a secret


def versions(count: int, products: int, file: str, random: Random) -> pa.Table:
    """Return rows of few products, prices and moments, so that many are equal."""
    listed = [
        {
            "product": f"p{random.randrange(products)}",
            "price": random.choice([None, 1.0, 2.0]),
            "known_at": MONDAY + timedelta(hours=random.randrange(3)),
            "_file": file,
            "_row": row,
            "_sha256": f"sha of {file}",
        }
        for row in range(1, count + 1)
    ]
    return pa.Table.from_pylist(listed, schema=silver_schema(PRICES))


def found(rows: pa.Table, existing: pa.Table, folder: Path) -> set[tuple[str, int]]:
    silver = folder / "silver"
    if existing.num_rows:
        delta_tables.commit_rows(silver, existing, transactions={}, metadata={})
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    search = Repeats(PRICES, scratch)
    staging = Staging(folder / "staged", rows.schema)
    staging.see = search.see
    for first in range(0, rows.num_rows, 50):
        staging.write(rows.slice(first, 50))
        staging.files()
    names = search.find([staged.path for staged in staging.files()], silver)
    return {(row["_file"], row["_row"]) for row in names.to_pylist()}


def expected(rows: pa.Table, existing: pa.Table) -> set[tuple[str, int]]:
    kept, _ = unrepeated(rows, existing, PRICES)
    names = [{(r["_file"], r["_row"]) for r in t.to_pylist()} for t in (rows, kept)]
    return names[0] - names[1]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("held", [1 << 20, 40])
def test_the_search_finds_what_comparing_all_with_all_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, held: int
) -> None:
    monkeypatch.setattr(repeats, "HELD_HASHES", held)
    monkeypatch.setattr(repeats, "COMPARED_HASHES", 7)
    random = seeded(seed)
    existing = versions(60, 40, "old.csv", random)
    existing, _ = unrepeated(existing, existing.slice(0, 0), PRICES)
    rows = pa.concat_tables(
        [versions(200, 150, "a.csv", random), versions(90, 150, "b.csv", random)]
    )
    assert found(rows, existing, tmp_path) == expected(rows, existing)
    assert expected(rows, existing)


def test_of_clean_files_no_row_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_: object) -> None:
        raise AssertionError("rows were compared")

    monkeypatch.setattr(repeats, "unrepeated", compare)
    clean = pa.concat_tables([versions(1, 1, f"{n}.csv", seeded(n)) for n in range(2)])
    clean = clean.set_column(0, "product", pa.array(["tea", "milk"]))
    assert found(clean, clean.slice(0, 0), tmp_path / "first") == set()
    again = pa.concat_tables([clean, clean])
    with pytest.raises(AssertionError, match="compared"):
        found(again, clean.slice(0, 0), tmp_path / "second")


def test_a_row_known_later_repeats_nothing(tmp_path: Path) -> None:
    rows = versions(1, 1, "a.csv", seeded(1))
    later = rows.set_column(
        2, "known_at", pa.array([MONDAY + timedelta(days=9)], rows.schema.field("known_at").type)
    )
    assert found(later, rows, tmp_path) == set()
