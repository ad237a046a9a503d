"""Promises to consumers: a range that stops a publish, and a time that does not."""

from datetime import UTC, datetime, time

import numpy as np
import pytest

from pipelines.domain.promises import (
    ArrivesBy,
    PredictionRange,
    check,
    count_broken,
    due_at,
)
from pipelines.errors import PromiseBroken

RANGE = PredictionRange(0.1, 0.9)


@pytest.mark.parametrize(
    ("prediction", "broken"),
    [
        ([0.1, 0.5, 0.9], 0),
        ([np.nextafter(0.1, 0), 0.5, np.nextafter(0.9, 1)], 2),
        ([float("nan"), 0.5], 1),
        ([], 0),
    ],
)
def test_predictions_outside_the_range_are_counted_and_its_ends_are_inside(
    prediction: list[float], broken: int
) -> None:
    found = count_broken([RANGE, ArrivesBy(time(6))], np.array(prediction))
    assert found == ({"a prediction in [0.1, 0.9]": broken} if broken else {})


def test_a_broken_range_counts_the_rows_of_all_parts_and_names_the_consumers() -> None:
    words = RANGE.describe()
    with pytest.raises(PromiseBroken) as caught:
        check(
            [RANGE],
            [{words: 1_000}, {}, {words: 234}],
            rows=5_000,
            where="scoring of shop for 2026-03-01T05:00:00+00:00",
            consumers=["desk", "planning", "desk"],
        )
    (found,) = caught.value.problems
    assert found.found == "1,234 of 5,000 predictions outside it"
    assert found.expected == "a prediction in [0.1, 0.9] in every row (promised to desk, planning)"
    assert not caught.value.retryable


def test_a_broken_range_says_which_of_the_windows_predictions_break_it() -> None:
    broken = [{RANGE.describe(): 2}]
    with pytest.raises(PromiseBroken, match="found 2 of 9 predictions that stand outside it"):
        check([RANGE], broken, rows=9, where="scoring of shop", which=" that stand")


def test_a_kept_range_raises_nothing() -> None:
    check([RANGE, ArrivesBy(time(6))], [{}, {}], rows=2, where="scoring of shop")


@pytest.mark.parametrize(
    ("promise", "scored_for", "due"),
    [
        (ArrivesBy(time(6)), "2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z"),
        (ArrivesBy(time(5)), "2026-03-01T05:00:00Z", "2026-03-02T05:00:00Z"),
        (ArrivesBy(time(4)), "2026-03-01T05:00:00Z", "2026-03-02T04:00:00Z"),
        (ArrivesBy(time(6), "Europe/Berlin"), "2026-07-01T03:00:00Z", "2026-07-01T04:00:00Z"),
        # The clock goes forward that night: 06:30 in New York is an hour earlier in UTC.
        (
            ArrivesBy(time(6, 30), "America/New_York"),
            "2026-03-08T06:00:00Z",
            "2026-03-08T10:30:00Z",
        ),
        (
            ArrivesBy(time(6, 30), "America/New_York"),
            "2026-03-07T06:00:00Z",
            "2026-03-07T11:30:00Z",
        ),
    ],
)
def test_an_output_is_due_at_the_next_such_time_of_day(
    promise: ArrivesBy, scored_for: str, due: str
) -> None:
    found = due_at([RANGE, promise], datetime.fromisoformat(scored_for))
    assert found == datetime.fromisoformat(due)


def test_of_several_promises_the_earliest_counts_and_none_is_no_moment() -> None:
    moment = datetime(2026, 3, 1, 5, tzinfo=UTC)
    assert due_at([ArrivesBy(time(9)), ArrivesBy(time(7))], moment) == moment.replace(hour=7)
    assert due_at([RANGE], moment) is None
