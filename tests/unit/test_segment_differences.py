"""Segment differences: a table of rows in, a table of levels out."""

import pytest

from pipelines.domain.segment_differences import MISSING, MOST_LEVELS, segment_differences


def test_levels_come_with_their_rows_and_the_mean_difference() -> None:
    levels = ["EWR", "EWR", "JFK", "EWR", None, "JFK"]
    worsening = [0.1, 0.3, -0.2, 0.5, 9.0, -0.4]
    blocks = ["1", "1", "1", "2", "2", "2"]
    found = segment_differences(levels, worsening, blocks)
    assert [(level.level, level.rows) for level in found] == [
        ("EWR", 3),
        ("JFK", 2),
        (MISSING, 1),
    ]
    first, second, third = (level.worsening for level in found)
    assert first is not None
    assert second is not None
    assert first.estimate == pytest.approx(0.3)
    assert second.estimate == pytest.approx(-0.3)
    assert (first.blocks, second.blocks, third) == (2, 2, None)


def test_the_most_frequent_levels_are_kept() -> None:
    names = [f"{number:03}" for number in range(MOST_LEVELS + 5) for _ in range(1 + number)]
    found = segment_differences(names, [0.0] * len(names), ["1"] * len(names))
    assert len(found) == MOST_LEVELS
    assert found[0].level == f"{MOST_LEVELS + 4:03}"
    assert found[-1].level == "005"


def test_blocks_count_in_the_order_of_time() -> None:
    days = [f"2013-05-{day:02}" for day in range(1, 29)]
    weeks = [0.0] * 7 + [1.0] * 7 + [0.5] * 7 + [0.1] * 7
    mixed = [(day * 11) % 28 for day in range(28)]
    straight = segment_differences(["a"] * 28, weeks, days)[0].worsening
    shuffled = segment_differences(
        ["a"] * 28, [weeks[day] for day in mixed], [days[day] for day in mixed]
    )[0].worsening
    assert straight is not None
    assert straight == shuffled
    assert straight.autocorrelation > 0.5
