"""Lateness: what makes a window late, and what never does."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.feed_slots import is_stale
from pipelines.domain.lateness import (
    MOST_MOMENTS,
    UNFINISHED,
    Block,
    Feed,
    Mark,
    Segment,
    changed,
    fresh_from,
    late,
    late_refused,
    missing_came,
    rescored_at,
)

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
WEATHER = Table(
    name="weather",
    source=Files(pattern="weather/*.csv"),
    columns=[Column("place", "string")],
    key=("place",),
    arrives_every=timedelta(hours=6),
)
PLAN = replace(WEATHER, name="plan", arrives_every=None, arrives_by=time(20))


def came_of(table: Table, newest: datetime | None, later: Iterable[datetime]) -> list[datetime]:
    feed = Feed(table=table, newest=newest, later=tuple(sorted(later)))
    return missing_came(feed, scored_for=at(5))


def at(hour: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def mark(number: int, since: float, reason: str = "ingest") -> Mark:
    return Mark(number=number, reason=reason, since=at(since), taken_in=at(11))


def segment(hour: float, digest: str = "a", generation: int = 1) -> Segment:
    return Segment(
        scored_for=at(5),
        as_of=at(hour),
        features="f",
        digest=digest,
        stale=("weather",),
        generation=generation,
    )


def block(hour: float, digest: str, seen: int, edition: int = 1) -> Block:
    return Block(as_of=at(hour), digest=digest, seen={"weather": seen}, edition=edition)


CHANGES: list[tuple[str, list[Block], list[Mark], str]] = [
    ("nothing came", [block(5, "a", 3)], [mark(3, 4)], ""),
    ("what came was not known then", [block(5, "a", 3)], [mark(3, 4), mark(4, 6)], ""),
    (
        "a row known then came after",
        [block(5, "a", 3)],
        [mark(3, 4), mark(4, 4.5)],
        "late: weather delivered 2026-03-02 04:30 UTC, taken in 2026-03-02 11:00 UTC",
    ),
    (
        "a row known at that very moment came after",
        [block(5, "a", 0)],
        [mark(1, 5)],
        "late: weather delivered 2026-03-02 05:00 UTC, taken in 2026-03-02 11:00 UTC",
    ),
    (
        "what was set aside came back",
        [block(5, "a", 3)],
        [mark(4, 2, "replay")],
        "late: replay of weather at 2026-03-02 11:00 UTC, from 2026-03-02 02:00 UTC on",
    ),
    (
        "the rows were made again by somebody else",
        [block(5, "a", 3), block(5, "b", 4, 2)],
        [mark(4, 4.5)],
        "late: weather delivered 2026-03-02 04:30 UTC, taken in 2026-03-02 11:00 UTC",
    ),
    ("they were, and are the same", [block(5, "a", 3), block(5, "a", 4, 2)], [mark(4, 4.5)], ""),
    (
        "they were, were the same, and then more came",
        [block(5, "a", 3), block(5, "a", 4, 2)],
        [mark(4, 4.5), mark(5, 4.75)],
        "late: weather delivered 2026-03-02 04:45 UTC, taken in 2026-03-02 11:00 UTC",
    ),
    (
        "they changed, and changed back",
        [block(5, "a", 1), block(5, "b", 2, 2), block(5, "a", 3, 3)],
        [mark(2, 4), mark(3, 4)],
        "",
    ),
    ("an older release made them", [], [mark(4, 4.5)], ""),
]


@pytest.mark.parametrize(
    ("blocks", "marks", "why"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_segment_is_late_when_its_rows_are_no_more_what_was_known(
    blocks: list[Block], marks: list[Mark], why: str
) -> None:
    assert changed(segment(5), blocks, {"weather": marks, "plan": []}) == why


def test_other_tables_that_came_late_are_named() -> None:
    marks = {"weather": [mark(4, 4.5)], "plan": [mark(2, 4.25)], "planes": [mark(7, 6)]}
    assert changed(segment(5), [block(5, "a", 3)], marks) == (
        "late: plan delivered 2026-03-02 04:15 UTC, taken in 2026-03-02 11:00 UTC; also weather"
    )


def listed(
    segments: Sequence[Segment],
    blocks: Sequence[Block],
    marks: Sequence[Mark] = (),
    came: Sequence[float] = (),
    as_of: float = 24,
) -> list[tuple[float, float]]:
    """Return the first and last hour of event time that are to be scored again."""
    found = late(
        segments,
        {s.as_of: [b for b in blocks if b.as_of == s.as_of] for s in segments},
        {"weather": marks},
        {at(hour): ["weather"] for hour in came},
        until=at(29),
        as_of=at(as_of),
    )
    assert {window.scored_for for window in found} <= {at(5)}
    hours = [(window.as_of - MIDNIGHT, window.until - MIDNIGHT) for window in found]
    return [
        (round(low / timedelta(hours=1), 3), round(high / timedelta(hours=1), 3))
        for low, high in hours
    ]


def test_a_window_whose_rows_were_all_there_is_not_late() -> None:
    assert listed([segment(5)], [block(5, "a", 3)], [mark(3, 4), mark(4, 5.1)]) == []


def test_a_row_known_at_its_time_makes_the_whole_window_late() -> None:
    assert listed([segment(5)], [block(5, "a", 3)], [mark(4, 5)]) == [(5, 29)]


def test_what_was_missing_makes_the_entities_ahead_late() -> None:
    assert listed([segment(5)], [block(5, "a", 3)], came=[9, 9.5]) == [(9, 29), (9.5, 29)]


def test_what_comes_after_the_window_or_after_now_makes_nothing_late() -> None:
    standing = [segment(5)], [block(5, "a", 3)]
    assert listed(*standing, came=[29, 30], as_of=40) == []
    assert listed(*standing, came=[9], as_of=8.9) == []


def test_what_was_scored_again_is_late_no_more() -> None:
    again = Segment(
        scored_for=at(5),
        as_of=rescored_at(at(9)),
        features="f",
        digest="b",
        stale=(),
        generation=2,
    )
    blocks = [
        block(5, "a", 3),
        Block(as_of=again.as_of, digest="b", seen={"weather": 4}, edition=1),
    ]
    assert listed([segment(5), again], blocks, [mark(4, 9)], came=[9]) == []
    assert listed([segment(5), again], blocks, [mark(4, 9), mark(5, 8)], came=[9]) == [(9, 29)]
    # It lies on what was made as of the window's own time, and follows it.
    assert listed([segment(5), again], blocks, [mark(4, 9), mark(5, 4)], came=[9]) == [
        (5, 29),
        (9, 29),
    ]


def test_a_rescore_that_was_cut_off_before_the_later_part_is_finished() -> None:
    segments = [segment(5, "a", 3), segment(9, "b", 2)]
    blocks = [block(5, "a", 4), block(9, "b", 4)]
    assert listed(segments, blocks, [mark(4, 4)]) == [(9, 29)]
    found = late(
        segments,
        {s.as_of: [b for b in blocks if b.as_of == s.as_of] for s in segments},
        {},
        {},
        until=at(29),
        as_of=at(24),
    )
    assert [window.reason for window in found] == [UNFINISHED]


def test_the_reason_says_what_was_missing_and_when_it_came() -> None:
    found = late([segment(5)], {}, {}, {at(9.5): ["plan", "weather"]}, until=at(29), as_of=at(24))
    assert [window.reason for window in found] == [
        "late: plan, weather missing at 2026-03-02 05:00 UTC, delivered 2026-03-02 09:30 UTC"
    ]


def test_a_table_that_was_not_stale_lacked_nothing() -> None:
    assert came_of(WEATHER, at(0), [at(6), at(12)]) == []
    assert came_of(PLAN, at(-4), [at(6)]) == []


def test_a_sender_that_catches_up_has_all_its_files_in_and_its_next_delivery_is_no_news() -> None:
    came = [at(9), at(9.1), at(12), at(12.1), at(18)]
    assert came_of(WEATHER, at(-8), came) == came[:3]
    assert came_of(WEATHER, None, came[::-1]) == came[:3]
    assert came_of(PLAN, at(-24), [at(8), at(20), at(20.1)]) == [
        at(8),
        at(20),
    ]


def test_a_burst_of_files_has_as_many_moments_as_are_scored_and_its_last() -> None:
    came = [at(9) + timedelta(seconds=second) for second in range(50)]
    found = came_of(WEATHER, None, came)
    assert found == [*came[: MOST_MOMENTS - 1], came[-1]]
    assert came_of(WEATHER, None, came[:MOST_MOMENTS]) == came[:MOST_MOMENTS]


def test_a_late_time_is_never_a_scoring_time() -> None:
    assert rescored_at(at(9)) == at(9) + timedelta(microseconds=1)
    odd = at(9) + timedelta(microseconds=7)
    assert rescored_at(odd) == odd


@given(
    table=st.sampled_from([WEATHER, PLAN, replace(PLAN, arrives_timezone="America/New_York")]),
    hours=st.floats(-400, 400),
    ago=st.floats(0, 200),
)
def test_what_is_looked_at_decides_whether_a_table_was_stale(
    table: Table, hours: float, ago: float
) -> None:
    now, newest = at(hours), at(hours - ago)
    seen = newest if newest >= fresh_from(table, now) else None
    assert is_stale(table, newest, now) == is_stale(table, seen, now)


def refused(
    newest: float | None, later: Sequence[float], marks: Sequence[Mark] = (), as_of: float = 24
) -> tuple[datetime, str] | None:
    """Return as of when a window that was refused is to be scored, and why."""
    weather = Feed(
        table=WEATHER,
        newest=None if newest is None else at(newest),
        later=tuple(at(hour) for hour in later),
    )
    plan = Feed(table=PLAN, newest=at(-4), later=())
    found = late_refused(
        [plan, weather],
        {"weather": marks, "plan": []},
        scored_for=at(5),
        until=at(29),
        as_of=at(as_of),
    )
    return (found.as_of, found.reason) if found else None


def test_a_refused_window_is_late_once_nothing_is_missing_any_more() -> None:
    missing = "late: weather missing at 2026-03-02 05:00 UTC, delivered 2026-03-02 09:00 UTC"
    assert refused(-8, []) is None
    assert refused(-8, [9, 15], as_of=8) is None
    assert refused(-8, [9, 15]) == (rescored_at(at(9)), missing)
    assert refused(None, [9, 15]) == (rescored_at(at(9)), missing)


def test_a_refused_window_is_scored_as_of_its_time_where_all_was_delivered_by_then() -> None:
    in_time = "late: weather delivered 2026-03-02 04:00 UTC, taken in 2026-03-02 11:00 UTC"
    assert refused(4, [], [mark(1, -20), mark(2, 4)]) == (at(5), in_time)
    taken_in_before = replace(mark(2, 4), taken_in=at(4.5))
    assert refused(4, [], [taken_in_before]) is None, "it was not scored for another reason"
    assert refused(4, [9], [mark(3, 9)]) is None


def test_what_is_taken_in_after_this_look_makes_no_refused_window_late() -> None:
    assert refused(4, [], [mark(2, 4)], as_of=10) is None
    assert refused(4, [], [mark(2, 4)], as_of=11) is not None
