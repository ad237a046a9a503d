"""A Delta table of somebody else lands version by version: what was added, or all of it, and why."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pipelines.adapters.landing.extracts import Extracted, extract, last_asked
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Column, DeltaFolder, Table
from pipelines.errors import DeclarationError, ServiceUnavailable

TABLE = Table(
    name="orders",
    source=DeltaFolder(location=""),
    columns=[Column("id", "int64"), Column("region", "string", nullable=True)],
    key=("id",),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a table of two rows, partitioned by a column whose values need escapes."""
    path = tmp_path / "their lake" / "orders"
    path.parent.mkdir()
    append(path, (1, "x y"), (2, "b%/é"))
    return path


def append(path: Path, *rows: tuple[int, str | None]) -> None:
    write_deltalake(str(path), rows_of(*rows), mode="append", partition_by=["region"])


def rows_of(*rows: tuple[int, str | None]) -> pa.Table:
    ids, regions = zip(*rows, strict=True)
    return pa.table({"id": pa.array(ids, pa.int64()), "region": pa.array(regions, pa.string())})


def ask(settings: Settings, path: Path) -> Extracted:
    table = replace(TABLE, source=DeltaFolder(location=str(path)))
    return extract(settings, "shop", table, connections=no_connections)


def no_connections(name: str) -> str:
    raise AssertionError(name)


def folder(settings: Settings) -> Path:
    return settings.root / "landing" / "shop" / "orders"


def landed(settings: Settings, found: Extracted) -> list[tuple[Any, ...]]:
    rows = pq.read_table(folder(settings) / found.name).to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def told(settings: Settings, found: Extracted) -> dict[str, Any]:
    text = (folder(settings) / f"{found.name}.delivered.json").read_text("utf-8")
    return dict(json.loads(text))


def contents(settings: Settings, found: Extracted) -> tuple[str, str]:
    sidecar = told(settings, found)
    return sidecar["contents"], sidecar["because"]


def test_the_first_extract_is_the_whole_table(settings: Settings, foreign: Path) -> None:
    found = ask(settings, foreign)
    assert landed(settings, found) == [(1, "x y"), (2, "b%/é")]
    schema = pq.read_schema(folder(settings) / found.name)
    assert schema.types == [pa.int64(), pa.string()]
    sidecar = told(settings, found)
    assert sidecar.pop("delivered_at")
    assert sidecar == {
        "source": "delta",
        "source_version": 0,
        "source_table": str(DeltaTable(str(foreign)).metadata().id),
        "contents": "whole table",
        "because": "it is the first extract",
        "watermark_from": None,
        "watermark_to": "0",
        "rows": 2,
    }


def test_versions_that_only_append_are_extracted_alone(settings: Settings, foreign: Path) -> None:
    ask(settings, foreign)
    append(foreign, (3, "x y"), (3, "x y"))
    append(foreign, (4, None), (5, "b%/é"))
    found = ask(settings, foreign)
    assert landed_with_nulls(settings, found) == [(3, "x y"), (3, "x y"), (4, ""), (5, "b%/é")]
    assert (found.watermark_from, found.watermark_to) == ("0", "2")
    assert contents(settings, found)[0] == "added rows"


def landed_with_nulls(settings: Settings, found: Extracted) -> list[tuple[Any, ...]]:
    rows = pq.read_table(folder(settings) / found.name).to_pylist()
    return sorted((row["id"], row["region"] or "") for row in rows)


def test_a_table_that_did_not_change_lands_nothing(settings: Settings, foreign: Path) -> None:
    ask(settings, foreign)
    found = ask(settings, foreign)
    assert (found.name, found.rows) == ("", 0)
    asked = last_asked(settings, "shop", TABLE)
    assert asked is not None
    assert asked.rows == 0


def test_compaction_lands_nothing_and_hides_nothing(settings: Settings, foreign: Path) -> None:
    ask(settings, foreign)
    append(foreign, (3, "x y"))
    append(foreign, (4, "x y"))
    DeltaTable(str(foreign)).optimize.compact()
    append(foreign, (5, "x y"))
    found = ask(settings, foreign)
    assert landed(settings, found) == [(3, "x y"), (4, "x y"), (5, "x y")]
    assert contents(settings, found)[0] == "added rows"
    DeltaTable(str(foreign)).optimize.compact()
    assert ask(settings, foreign).name == ""


def test_files_that_were_vacuumed_after_compaction_make_it_the_whole_table(
    settings: Settings, foreign: Path
) -> None:
    ask(settings, foreign)
    append(foreign, (3, "x y"))
    table = DeltaTable(str(foreign))
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    found = ask(settings, foreign)
    assert landed(settings, found) == [(1, "x y"), (2, "b%/é"), (3, "x y")]
    assert "vacuumed files" in contents(settings, found)[1]


def delete(path: Path) -> None:
    DeltaTable(str(path)).delete("id = 1")


def update(path: Path) -> None:
    DeltaTable(str(path)).update(updates={"id": "7"}, predicate="id = 1")


def overwrite(path: Path) -> None:
    write_deltalake(str(path), rows_of((9, "z")), mode="overwrite")


def merge(path: Path) -> None:
    DeltaTable(str(path)).merge(
        rows_of((1, "q")), "t.id = s.id", source_alias="s", target_alias="t"
    ).when_matched_update_all().execute()


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (delete, [(2, "b%/é")]),
        (update, [(2, "b%/é"), (7, "x y")]),
        (overwrite, [(9, "z")]),
        (merge, [(1, "q"), (2, "b%/é")]),
    ],
)
def test_any_other_change_extracts_the_whole_table_and_says_so(
    settings: Settings,
    foreign: Path,
    change: Callable[[Path], None],
    rows: list[tuple[int, str]],
) -> None:
    ask(settings, foreign)
    append(foreign, (3, "x y"))
    change(foreign)
    found = ask(settings, foreign)
    expected = rows if change is overwrite else sorted([*rows, (3, "x y")])
    assert landed(settings, found) == expected
    assert contents(settings, found) == ("whole table", "version 2 changed or removed rows")
    append(foreign, (4, "x y"))
    assert landed(settings, ask(settings, foreign)) == [(4, "x y")]


def test_a_new_column_extracts_the_whole_table(settings: Settings, foreign: Path) -> None:
    ask(settings, foreign)
    more = rows_of((3, "x y")).append_column("note", pa.array(["n"]))
    write_deltalake(str(foreign), more, mode="append", schema_mode="merge")
    found = ask(settings, foreign)
    assert landed(settings, found)[-1] == (3, "x y", "n")
    assert found.rows == 3
    assert contents(settings, found)[1] == "version 1 changed the table itself (metaData)"


def test_times_without_a_zone_stay_without_one(settings: Settings, tmp_path: Path) -> None:
    foreign = tmp_path / "orders"
    moment = datetime(2026, 3, 1, 10)  # noqa: DTZ001 - it has no zone
    rows = pa.table({"id": [1], "at": pa.array([moment], pa.timestamp("us"))})
    write_deltalake(str(foreign), rows)
    assert "timestampNtz" in (DeltaTable(str(foreign)).protocol().reader_features or [])
    for _ in range(2):
        found = ask(settings, foreign)
        assert landed(settings, found) == [(1, moment)]
        assert pq.read_schema(folder(settings) / found.name).types[1] == pa.timestamp("us")
        write_deltalake(str(foreign), rows, mode="append")


def test_another_table_in_the_same_place_is_extracted_whole(
    settings: Settings, foreign: Path
) -> None:
    append(foreign, (3, "x y"))
    ask(settings, foreign)
    shutil.rmtree(foreign)
    append(foreign, (8, "w"))
    found = ask(settings, foreign)
    assert landed(settings, found) == [(8, "w")]
    assert contents(settings, found)[1] == "another table lies there now"


def test_a_log_that_was_cleaned_makes_it_the_whole_table(settings: Settings, foreign: Path) -> None:
    ask(settings, foreign)
    append(foreign, (3, "x y"))
    append(foreign, (4, "x y"))
    DeltaTable(str(foreign)).create_checkpoint()
    for version in (0, 1):
        (foreign / "_delta_log" / f"{version:020}.json").unlink()
    found = ask(settings, foreign)
    assert found.rows == 4
    assert contents(settings, found)[1] == "the log of version 1 is gone"


def test_a_table_that_is_not_there_may_be_waited_for_and_its_place_is_not_told(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        ask(settings, tmp_path / "their-lake")
    assert "their-lake" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def rewrite_log(path: Path, version: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Put one commit of the log in the words of another writer."""
    log = path / "_delta_log" / f"{version:020}.json"
    actions = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    for action in actions:
        change(action)
    log.write_text("".join(f"{json.dumps(action)}\n" for action in actions), "utf-8")


@pytest.mark.parametrize("by_feature", [True, False])
def test_a_table_whose_columns_have_other_names_in_its_files_is_refused(
    settings: Settings, tmp_path: Path, *, by_feature: bool
) -> None:
    def map_columns(action: dict[str, Any]) -> None:
        if "protocol" in action and by_feature:
            features = {"readerFeatures": ["columnMapping"], "writerFeatures": ["columnMapping"]}
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
        elif "protocol" in action:
            action["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}
        if "metaData" in action:
            action["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"
            schema = json.loads(action["metaData"]["schemaString"])
            for number, field in enumerate(schema["fields"]):
                field["metadata"] = {
                    "delta.columnMapping.id": number + 1,
                    "delta.columnMapping.physicalName": f"col-{number}",
                }
            action["metaData"]["schemaString"] = json.dumps(schema)

    foreign = tmp_path / "orders"
    write_deltalake(str(foreign), rows_of((1, "a")))
    rewrite_log(foreign, 0, map_columns)
    with pytest.raises(DeclarationError, match="columnMapping"):
        ask(settings, foreign)
    assert not list(folder(settings).glob("[!.]*"))


def test_rows_that_a_deletion_vector_removed_are_not_extracted(
    settings: Settings, tmp_path: Path
) -> None:
    foreign = tmp_path / "orders"
    write_deltalake(str(foreign), rows_of((1, "a"), (2, "b"), (3, "c")))
    ask(settings, foreign)
    remove_by_vector(foreign, row=1)
    found = ask(settings, foreign)
    assert landed(settings, found) == [(1, "a"), (3, "c")]
    # The table's protocol changed as well, so that is what is said first.
    assert contents(settings, found)[0] == "whole table"
    append_to_it(foreign)
    found = ask(settings, foreign)
    assert landed(settings, found) == [(1, "a"), (3, "c"), (4, "d")]
    assert "deletion vectors" in contents(settings, found)[1]


def remove_by_vector(path: Path, row: int) -> None:
    """Commit, as Spark does, that ``row`` of the table's one file is deleted, by an inline vector."""
    first = path / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text("utf-8").splitlines()]
    added = next(action["add"] for action in actions if "add" in action)
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    data = vector(row)
    inline = {
        "storageType": "i",
        "pathOrInlineDv": z85(data),
        "sizeInBytes": len(data),
        "cardinality": 1,
    }
    removed = {"path": added["path"], "dataChange": True, "deletionTimestamp": 1}
    commit = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"remove": removed},
        {"add": {**added, "deletionVector": inline}},
    ]
    log = path / "_delta_log" / f"{1:020}.json"
    log.write_text("".join(f"{json.dumps(action)}\n" for action in commit), "utf-8")


def append_to_it(path: Path) -> None:
    """Commit a new file, as Spark does, to a table with deletion vectors; delta-rs will not."""
    file = path / "part-new.parquet"
    pq.write_table(rows_of((4, "d")), file)
    size = file.stat().st_size
    added = {
        "path": file.name,
        "size": size,
        "partitionValues": {},
        "modificationTime": 1,
        "dataChange": True,
    }
    (path / "_delta_log" / f"{2:020}.json").write_text(json.dumps({"add": added}) + "\n", "utf-8")


def vector(row: int) -> bytes:
    """Return Delta's roaring bitmap array that holds one row below 2**16."""
    bitmap = (
        (12346).to_bytes(4, "little")  # a roaring bitmap without run containers
        + (1).to_bytes(4, "little")  # of one container
        + (0).to_bytes(2, "little")  # for the rows below 2**16
        + (0).to_bytes(2, "little")  # of one value
        + (16).to_bytes(4, "little")  # which lies behind this header
        + row.to_bytes(2, "little")
    )
    magic = (1681511377).to_bytes(4, "little")
    found = magic + (1).to_bytes(8, "little") + (0).to_bytes(4, "little") + bitmap
    return found + bytes(-len(found) % 4)


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    """Return bytes, in fours, as Z85 (ZeroMQ RFC 32)."""
    text = ""
    for start in range(0, len(data), 4):
        number = int.from_bytes(data[start : start + 4], "big")
        text += "".join(Z85[number // 85**power % 85] for power in (4, 3, 2, 1, 0))
    return text


def test_z85_is_that_of_its_specification() -> None:
    assert z85(bytes([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B])) == "HelloWorld"
