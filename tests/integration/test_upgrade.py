"""Upgrades: older tables are brought to this release's format, newer and foreign ones refused."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from pipelines.adapters.delta import delta_tables, table_formats
from pipelines.adapters.delta.table_formats import Migration, planned, upgrade
from pipelines.adapters.platform import process_state
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.cli import app
from pipelines.errors import LakeError
from tests import lakes
from tests.lakes import SCHEMA, append, orders, rows

OLD = pa.schema([("count", pa.int32())])
"""Columns of the made-up format 0: format 1 calls them otherwise, and counts further."""


def rewrite(name: str, table: Folder) -> None:
    """Turn format 0 into format 1; what a killed run did already is left as it is."""
    assert name
    handle = DeltaTable(str(table))
    if [field.name for field in handle.schema().fields] == SCHEMA.names:
        return
    old = pa.table(pa.RecordBatchReader.from_stream(handle.scan()))
    write_deltalake(
        handle,
        old.rename_columns(["number"]).cast(SCHEMA),
        mode="overwrite",
        schema_mode="overwrite",
    )


FROM_ZERO = Migration(old="0", new="1", summary="count becomes number", change=rewrite)


def make(table: Path, version: str | None, *values: int) -> Path:
    """Make a table as another release left it."""
    table.mkdir(parents=True)
    configuration = {} if version is None else {"headframe.format": version}
    DeltaTable.create(str(table), OLD, configuration=configuration, raise_if_key_not_exists=False)
    write_deltalake(str(table), pa.table({"count": list(values)}, schema=OLD), mode="append")
    return table


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return lakes.settings_in(tmp_path)


def test_an_older_table_is_brought_to_this_format_with_its_rows(home: Settings) -> None:
    table = make(orders(home), "0", 1, 2)
    with pytest.raises(LakeError, match="format 0"):
        rows(table)
    steps = upgrade({"silver.shop.orders": table}, [FROM_ZERO])
    assert [step.describe() for step in steps] == [
        "silver.shop.orders: format 0 to 1, count becomes number"
    ]
    assert rows(table) == [1, 2]
    assert append(table, 3) > 0
    signed = delta_tables.history(table)[1]
    assert (signed["headframe.stage"], signed["headframe.from"]) == ("upgrade", "0")


def test_steps_follow_one_another_and_a_second_upgrade_does_nothing(home: Settings) -> None:
    table = make(orders(home), "-1", 1)
    first = Migration(old="-1", new="0", summary="nothing", change=lambda *_: None)
    tables: dict[str, Folder] = {"silver.shop.orders": table}
    assert [(s.old, s.new) for s in upgrade(tables, [FROM_ZERO, first])] == [
        ("-1", "0"),
        ("0", "1"),
    ]
    version = delta_tables.version(table)
    assert upgrade(tables, [FROM_ZERO, first]) == []
    assert delta_tables.version(table) == version


def test_newer_and_foreign_tables_are_refused_before_any_change(home: Settings) -> None:
    tables: dict[str, Folder] = {
        "old": make(home.root / "lake" / "old", "0", 1),
        "newer": make(home.root / "lake" / "newer", "2", 1),
        "foreign": make(home.root / "lake" / "foreign", None, 1),
        "ancient": make(home.root / "lake" / "ancient", "-7", 1),
    }
    with pytest.raises(LakeError) as caught:
        upgrade(tables, [FROM_ZERO])
    told = str(caught.value)
    assert "table newer: expected Headframe table format 1 or an older one" in told
    assert "format 2, which is newer" in told
    assert "a table without a format" in told
    assert "format -7, from which no step leads here" in told
    assert table_formats.format_of(tables["old"]) == "0"


def test_a_plan_changes_nothing(home: Settings) -> None:
    table = make(orders(home), "0", 1)
    before = lakes.tree(table)
    assert [step.new for step in planned({"silver.shop.orders": table}, [FROM_ZERO])] == ["1"]
    assert lakes.tree(table) == before


def test_the_command_lists_and_finds_nothing_to_do_on_tables_of_this_release(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(orders(home), 1)
    monkeypatch.setenv("HEADFRAME_HOME", str(home.root))
    assert CliRunner().invoke(app, ["upgrade", "--dry-run"]).output == "1 tables, 0 steps to do\n"
    done = CliRunner().invoke(app, ["upgrade", "--json"])
    assert (done.exit_code, json.loads(done.output)) == (0, {"tables": 1, "steps": []})
    make(home.root / "lake" / "silver" / "shop" / "newer", "2", 1)
    refused = CliRunner().invoke(app, ["upgrade"])
    assert refused.exit_code == 1
    assert "newer" in refused.output


def test_the_command_refuses_while_the_platform_runs(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    append(orders(home), 1)
    monkeypatch.setenv("HEADFRAME_HOME", str(home.root))
    marks = {
        process_state.HOME_MARKER: str(home.root),
        process_state.PROCESS_MARKER: "scheduler",
    }
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env=marks, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused = CliRunner().invoke(app, ["upgrade"])
        process.kill()
    assert (refused.exit_code, "platform that is stopped" in refused.output) == (1, True)
    assert CliRunner().invoke(app, ["upgrade"]).exit_code == 0
