"""The use cases that come with the project: neither is a copy of the other, nor known elsewhere."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST, SECOND = "flight_delays", "sales_opportunities"
LONGEST_COPY = 5
"""Lines in a row that two files may have in common: imports, mostly."""


def blocks(name: str) -> set[tuple[str, ...]]:
    """Return every run of one line more than that; empty lines are none."""
    text = (ROOT / "dags" / f"{name}.py").read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    length = LONGEST_COPY + 1
    return {tuple(lines[at : at + length]) for at in range(len(lines) - length + 1)}


def test_the_two_files_share_no_block_of_lines() -> None:
    assert blocks(FIRST) & blocks(SECOND) == set()
    assert len(blocks(FIRST) & blocks(FIRST)) > LONGEST_COPY


@pytest.mark.parametrize("folder", ["pipelines", "headframe", "plugins"])
def test_the_library_knows_nothing_of_the_second(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".j2", ".html"}]
    assert files
    named = [path for path in files if "sales" in path.read_text("utf-8").casefold()]
    assert named == []
