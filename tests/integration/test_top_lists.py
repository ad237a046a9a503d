"""Top lists: the right rows in the right order, ties by key, missing values last."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters.outputs import placed_files
from pipelines.domain.outputs import TopN
from pipelines.stages.deliver import deliver
from tests import predicted
from tests.predicted import FIRST, NAME, Row

TOP = TopN(2, name="top", consumer="desk", by="p_missed", reasons=0)

ROWS: list[Row] = [
    ("B", 2, 0.5), ("A", 9, 0.5), ("A", 3, 0.5), ("A", 1, 0.1), ("C", 1, 0.9), ("C", 2, 0.05),
]  # fmt: skip


def listed(folder: Path, output: TopN, rows: Sequence[Row] = ROWS) -> list[dict[str, Any]]:
    settings = predicted.settings_in(folder)
    predicted.publish(settings, rows)
    deliver(predicted.declared(output), settings, scored_for=[FIRST], run="test", connections=str)
    place = placed_files.folder(settings, NAME, output.name)
    content = placed_files.read(place, placed_files.file_name(FIRST, "json"))
    found: list[dict[str, Any]] = json.loads(content)["rows"]
    return found


def beds(found: list[dict[str, Any]]) -> list[tuple[int, str, int]]:
    return [(row["rank"], row["ward"], row["bed"]) for row in found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [(1, "C", 1), (2, "A", 3)]),  # of three at 0.5 the first by key
        ({"order": "lowest"}, [(1, "C", 2), (2, "A", 1)]),
        ({"per": "ward"}, [(1, "A", 3), (2, "A", 9), (1, "B", 2), (1, "C", 1), (2, "C", 2)]),
        ({"per": ["ward", "urgent"], "count": 1},
         [(1, "A", 3), (1, "B", 2), (1, "C", 1), (1, "C", 2)]),
        ({"by": "age"}, [(1, "A", 9), (2, "A", 3)]),
        ({"by": "stays", "order": "lowest", "count": 1}, [(1, "A", 1)]),
        ({"count": 99}, [(1, "C", 1), (2, "A", 3), (3, "A", 9), (4, "B", 2), (5, "A", 1), (6, "C", 2)]),
    ],
)  # fmt: skip
def test_the_first_rows_come_in_order(
    changes: dict[str, Any], expected: list[tuple[int, str, int]], tmp_path: Path
) -> None:
    assert beds(listed(tmp_path, dataclasses.replace(TOP, **changes))) == expected


@pytest.mark.parametrize("order", ["highest", "lowest"])
def test_a_row_without_the_value_it_is_ordered_by_comes_last(
    order: Any,  # noqa: ANN401 - one of two words
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ages = {1: None, 2: float("nan"), 3: 30.0, 9: 90.0}
    monkeypatch.setattr(predicted, "age_of", ages.__getitem__)
    output = dataclasses.replace(TOP, by="age", order=order, count=9)
    rows: list[Row] = [("A", bed, 0.5) for bed in (1, 2, 3, 9)]
    found = listed(tmp_path, output, rows)
    first = [9, 3] if order == "highest" else [3, 9]
    assert [row["bed"] for row in found[:2]] == first
    assert {row["bed"] for row in found[2:]} == {1, 2}
    assert [row["age"] for row in found[2:]] == [None, None], "JSON knows no NaN"


def test_rows_say_what_the_declaration_asks_and_nothing_else(tmp_path: Path) -> None:
    (first, _) = listed(tmp_path, dataclasses.replace(TOP, columns=["insurer", "urgent"]))
    assert first == {
        "rank": 1, "day": "2026-03-01", "ward": "C", "bed": 1, "p_missed": 0.9,
        "insurer": "insurer of C", "urgent": False,
    }  # fmt: skip
