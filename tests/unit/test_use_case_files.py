"""The use-case files of this repository: each says its own, and none is a copy of another."""

from itertools import combinations
from pathlib import Path

import pytest

DAGS = Path(__file__).parents[2] / "dags"
FILES = sorted(path.stem for path in DAGS.glob("*.py") if not path.stem.startswith("platform__"))
LONGEST_COPY = 5
"""Lines in a row that two files may have in common: imports, mostly."""


def blocks(name: str) -> set[tuple[str, ...]]:
    """Return every run of one line more than that; empty lines are none."""
    text = (DAGS / f"{name}.py").read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    length = LONGEST_COPY + 1
    return {tuple(lines[at : at + length]) for at in range(len(lines) - length + 1)}


def test_there_are_at_least_two() -> None:
    assert {"flight_delays", "sales_opportunities"} <= set(FILES)


@pytest.mark.parametrize(("first", "second"), list(combinations(FILES, 2)))
def test_no_two_files_share_a_block_of_lines(first: str, second: str) -> None:
    assert blocks(first) & blocks(second) == set()
    assert len(blocks(first) & blocks(first)) > LONGEST_COPY


def test_the_library_knows_no_use_case() -> None:
    library = DAGS.parent / "pipelines"
    named = [
        path.relative_to(library).as_posix()
        for path in library.rglob("*.py")
        if "sales" in path.read_text("utf-8").casefold()
    ]
    assert named == []
