"""Durable: what a commit reports as done has been forced to the disk, in an order that can be read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.delta.commit_entries import entries

ROOT = Path(__file__).parent.parent.parent

COMMIT = """
import sys
from pathlib import Path
import pyarrow as pa
from pipelines.adapters.delta import delta_tables
table, rows = Path(sys.argv[1]), pa.table({"number": [1]})
if sys.argv[2] == "staged":
    with delta_tables.stage(table, rows.schema) as staging:
        staging.write(rows)
        delta_tables.commit_staged(
            table, staging.files(), table_schema=rows.schema, transactions={"t": 1}, metadata={}
        )
else:
    delta_tables.commit_rows(table, rows, transactions={"t": 1}, metadata={})
Path("/committed").exists()
"""
"""Commits once, and then makes a system call that tells that the commit function has returned."""


def calls(table: Path, way: str, *, fsync: bool) -> list[str]:
    """Return, in order, what was synced or published below ``table``, until the commit returned."""
    trace = table.parent / "trace"
    command = [
        *("strace", "-f", "-y", "-qq", "-o", str(trace)),
        *("-e", "trace=fsync,fdatasync,linkat,link,stat,newfstatat,statx"),
        *(sys.executable, "-c", COMMIT, str(table), way),
    ]
    table.parent.mkdir(parents=True)
    environment = {**os.environ, "HEADFRAME_FSYNC": str(fsync).lower()}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    found: list[str] = []
    for line in trace.read_text().splitlines():
        if '"/committed"' in line:
            return found
        if synced := re.search(r"fsync\(\d+<(.*?)>\)", line):
            path = Path(synced[1])
            found.append(f"fsync {path.relative_to(table)}" if path.is_relative_to(table) else "")
        elif published := re.search(r'link(?:at)?\(.*, "(.*?)"(?:, 0)?\)', line):
            found.append(f"publish {Path(published[1]).name}")
    raise AssertionError("the commit did not return")


@pytest.mark.needs_strace
@pytest.mark.parametrize("way", ["staged", "rows"])
def test_a_commit_returns_once_its_data_its_log_entry_and_their_names_are_on_the_disk(
    tmp_path: Path, way: str
) -> None:
    table = tmp_path / "lake" / "t"
    done = calls(table, way, fsync=True)
    (data,) = (Path(path).name for path in delta_tables.files(table))
    entry = f"{1:020}.json"
    published = done.index(f"publish {entry}")
    synced = {f"fsync {data}", "fsync .", f"fsync _delta_log/{entry}", "fsync _delta_log"}
    assert synced <= set(done[published:] if way == "rows" else done)
    if way == "staged":
        # A log entry never survives a power loss that its data does not.
        assert done.index(f"fsync {data}") < published
        assert {f"fsync _delta_log/{entry}", "fsync _delta_log"} <= set(done[published:])
    assert f"fsync _delta_log/{0:020}.json" in done[:published]


@pytest.mark.needs_strace
def test_nothing_is_synced_where_it_is_turned_off(tmp_path: Path) -> None:
    done = calls(tmp_path / "lake" / "t", "staged", fsync=False)
    assert [call for call in done if call.startswith("fsync")] == []
    assert f"publish {1:020}.json" in done


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x1e", "\x0b", "\r"])
def test_a_value_that_holds_a_line_separator_is_committed(tmp_path: Path, separator: str) -> None:
    """The log entry holds the least and greatest texts of its file, as they are."""
    rows = pa.table({"text": [f"a{separator}b"]})
    for number in (1, 2):
        delta_tables.commit_rows(tmp_path / "t", rows, transactions={"t": number}, metadata={})
    assert delta_tables.read(tmp_path / "t")["text"].to_pylist() == [f"a{separator}b"] * 2
    assert len(list(entries(tmp_path / "t"))) == len(delta_tables.history(tmp_path / "t"))
