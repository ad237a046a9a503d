"""Feeds: expected slots, what is missing of them, and bands of rows, on literal deliveries."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.domain.contract import Column, Files, Query, Table
from pipelines.domain.contract_problems import table_problems
from pipelines.domain.feed_slots import Arrived, is_stale, slots
from pipelines.domain.feeds import FeedFinding, findings, volumes
from pipelines.domain.volume_bands import band

NEW_YORK = ZoneInfo("America/New_York")
DAILY = Table(
    name="sales",
    source=Files(pattern="sales/*.csv"),
    columns=[Column("id", "int64")],
    key=("id",),
    arrives_by=time(20),
    arrives_timezone="America/New_York",
    grace=timedelta(hours=2),
)
SIX_HOURLY = replace(
    DAILY, arrives_by=None, arrives_every=timedelta(hours=6), grace=timedelta(hours=2)
)


def local(text: str) -> datetime:
    """Return a local time of New York in 2026, as "03-07 20:00", in UTC."""
    return (
        datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK).astimezone(UTC)
    )


def came(*moments: str, rows: int | None = 100) -> list[Arrived]:
    return [Arrived(local(moment), rows) for moment in moments]


def states(
    table: Table, arrived: Sequence[Arrived], as_of: str, **more: datetime
) -> list[tuple[str, str]]:
    return [
        (slot.name[5:], slot.state) for slot in slots(table, arrived, as_of=local(as_of), **more)
    ]


def found(table: Table, arrived: Sequence[Arrived], as_of: datetime) -> tuple[FeedFinding, ...]:
    return findings(
        table, slots(table, arrived, as_of=as_of), use_case="shop", owner="till", as_of=as_of
    )


def test_a_day_whose_delivery_is_not_there_after_grace_is_missing() -> None:
    deliveries = came("03-02 19:50", "03-03 19:58")
    assert states(DAILY, deliveries, "03-04 22:00") == [
        ("03-02", "arrived"),
        ("03-03", "arrived"),
        ("03-04", "awaited"),
    ]
    assert states(DAILY, deliveries, "03-04 22:01")[-2:] == [
        ("03-04", "missing"),
        ("03-05", "awaited"),
    ]


def test_a_missing_finding_says_which_day_since_when_where_and_whose_it_is() -> None:
    (finding,) = found(DAILY, came("03-02 19:50"), local("03-05 23:00"))
    assert (finding.kind, finding.slot, finding.since) == (
        "missing",
        "2026-03-03",
        local("03-03 20:00"),
    )
    assert finding.text == (
        "MISSING 2026-03-03 to 2026-03-05, 3 deliveries: expected by 20:00 America/New_York since "
        "2026-03-04 01:00 UTC, with grace until 2026-03-04 03:00 UTC, in landing/shop/sales/*.csv; "
        "the last delivery before came 2026-03-03 00:50 UTC; owner till"
    )


def test_an_outage_keeps_its_slot_however_long_it_lasts() -> None:
    deliveries = came("03-02 19:50")
    moments = [local(f"03-{day:02} 23:00") for day in range(3, 31)]
    moments.append(local("03-03 23:00") + timedelta(days=900))
    first = [found(DAILY, deliveries, moment)[0] for moment in moments]
    assert {(one.kind, one.slot) for one in first} == {("missing", "2026-03-03")}


@pytest.mark.parametrize(
    ("fourth", "expected"),
    [
        ("03-04 02:00", ["arrived", "arrived", "arrived"]),  # eighteen hours early
        ("03-04 21:59", ["arrived", "arrived", "arrived"]),  # within grace
        ("03-05 03:00", ["arrived", "late", "awaited"]),  # five hours late
        ("03-05 07:59", ["arrived", "late", "awaited"]),  # nearer to the day it was for
        ("03-05 14:00", ["arrived", "missing", "arrived"]),  # nearer to the next
    ],
)
def test_a_delivery_belongs_to_the_day_it_comes_nearest_to(
    fourth: str, expected: list[str]
) -> None:
    deliveries = came("03-02 20:00", "03-03 20:00", fourth)
    until = "03-04 23:00" if fourth.startswith("03-04") else "03-05 19:00"
    shown = [state for _, state in states(DAILY, deliveries, until)][1:4]
    assert shown == ([*expected[:2], "awaited"] if fourth.startswith("03-04") else expected)


def test_a_feed_that_is_always_early_loses_one_day_and_not_every_day_after_it() -> None:
    early = came("03-02 04:00", "03-03 04:00", "03-05 04:00", "03-06 04:00", "03-07 04:00")
    assert [state for _, state in states(DAILY, early, "03-07 12:00")] == [
        *("arrived", "arrived", "missing", "arrived", "arrived", "arrived")
    ]


def test_a_sender_that_catches_up_at_once_fills_the_days_it_missed() -> None:
    deliveries = came("03-02 20:00", "03-06 20:00", "03-06 20:01", "03-06 20:02")
    assert [state for _, state in states(DAILY, deliveries, "03-06 21:00")] == [
        *("arrived", "late", "late", "missing", "arrived")
    ]
    whole = [*deliveries, *came("03-06 20:03")]
    assert "missing" not in dict(states(DAILY, whole, "03-06 21:00")).values()


def test_the_order_in_which_deliveries_are_given_does_not_matter() -> None:
    deliveries = came("03-02 20:00", "03-03 19:00", "03-05 03:00", "03-05 20:00", "03-08 10:00")
    first = slots(DAILY, deliveries, as_of=local("03-09 12:00"))
    for seed in range(20):
        shuffled = random.Random(seed).sample(deliveries, len(deliveries))  # noqa: S311 - a test
        assert slots(DAILY, shuffled, as_of=local("03-09 12:00")) == first


def test_nothing_after_as_of_is_known_at_it() -> None:
    deliveries = came("03-02 20:00", "03-04 01:00", "03-04 20:00")
    assert states(DAILY, deliveries, "03-03 23:00")[1] == ("03-03", "missing")
    assert states(DAILY, deliveries, "03-04 01:00")[1] == ("03-03", "late")
    assert slots(DAILY, deliveries, as_of=local("03-01 20:00")) == []


def test_a_table_that_never_delivered_misses_what_was_due_since_it_is_waited_for() -> None:
    since = local("03-03 20:01")  # a minute after the deadline of the day
    assert states(DAILY, [], "03-04 21:00", watched_since=since) == [("03-04", "awaited")]
    assert states(DAILY, [], "03-04 23:00", watched_since=since)[0] == ("03-04", "missing")
    assert slots(DAILY, [], as_of=local("03-04 23:00")) == []
    assert slots(DAILY, [], as_of=local("03-02 23:00"), watched_since=since) == []
    expected = slots(DAILY, [], as_of=local("03-04 23:00"), watched_since=since)
    (finding,) = findings(
        DAILY, expected, use_case="shop", owner="till", as_of=local("03-04 23:00")
    )
    assert "it never delivered" in finding.text


def test_a_table_that_lands_once_expects_nothing() -> None:
    once = replace(DAILY, arrives_by=None)
    assert slots(once, came("03-02 20:00"), as_of=local("12-31 20:00")) == []
    assert not is_stale(once, None, local("12-31 20:00"))


@pytest.mark.parametrize(
    ("by", "days", "hours"),
    [
        (time(20), "03-07 03-08 03-09", [24, 23, 24]),  # spring: the night of the 8th is short
        (time(20), "10-31 11-01 11-02", [24, 25, 24]),
        (time(2, 30), "03-07 03-08 03-09", [24, 24, 23]),  # 02:30 of the 8th does not exist
        (time(1, 30), "10-31 11-01 11-02", [24, 24, 25]),  # 01:30 of the 1st comes twice
    ],
)
def test_a_night_that_changes_the_clock_has_one_slot_a_day(
    by: time, days: str, hours: list[int]
) -> None:
    table = replace(DAILY, arrives_by=by)
    first, last = local(f"{days[:5]} 12:00"), local(f"{days[-5:]} 23:30")
    deliveries = [Arrived(first - timedelta(days=2), 100)]
    places = [s for s in slots(table, deliveries, as_of=last) if s.name[5:] in days.split()]
    assert [place.name[5:] for place in places] == days.split()
    before = slots(table, deliveries, as_of=last)
    limits = {slot.name: slot.expected_at for slot in before}
    names = list(limits)
    lengths = [
        (limits[name] - limits[names[names.index(name) - 1]]) / timedelta(hours=1)
        for name in (place.name for place in places)
    ]
    assert lengths == hours


def test_a_delivery_at_the_local_deadline_is_on_time_on_both_sides_of_the_change() -> None:
    strict = replace(DAILY, grace=timedelta(0))
    days = came(*(f"03-{day:02} 20:00" for day in range(5, 12)))
    assert {state for _, state in states(strict, days, "03-11 20:00")} == {"arrived"}


def test_nothing_is_expected_after_the_data_end() -> None:
    deliveries = came("03-02 20:00", "03-03 20:00")
    ends = datetime(2026, 3, 5, tzinfo=UTC)
    assert states(DAILY, deliveries, "03-20 20:00", until=ends) == [
        ("03-02", "arrived"),
        ("03-03", "arrived"),
    ]


def test_several_deliveries_a_day_have_a_slot_each_and_files_that_come_together_share_it() -> None:
    deliveries = came("03-02 00:30", "03-02 00:31", "03-02 06:30", "03-02 18:30", "03-03 00:40")
    shown = slots(SIX_HOURLY, deliveries, as_of=local("03-03 00:40"))
    assert [(slot.name, slot.state, len(slot.arrived)) for slot in shown] == [
        ("2026-03-02 00:30", "arrived", 2),
        ("2026-03-02 06:30", "arrived", 1),
        ("2026-03-02 12:30", "missing", 0),
        ("2026-03-02 18:30", "arrived", 1),
        ("2026-03-03 00:40", "arrived", 1),
    ]


def test_a_feed_of_six_hours_is_missing_a_slot_after_grace_and_not_before() -> None:
    deliveries = came("03-02 00:30")
    assert states(SIX_HOURLY, deliveries, "03-02 08:30")[-1] == ("03-02 06:30", "awaited")
    assert states(SIX_HOURLY, deliveries, "03-02 08:31")[-1] == ("03-02 06:30", "missing")


def test_the_local_hours_of_a_feed_stay_on_the_night_the_clock_changes() -> None:
    hours = ("00:30", "06:30", "12:30", "18:30")
    for days in (("03-07", "03-08", "03-09"), ("10-31", "11-01", "11-02")):
        shown = states(
            SIX_HOURLY, came(*(f"{d} {h}" for d in days for h in hours)), f"{days[-1]} 18:30"
        )
        assert shown == [(f"{day} {hour}", "arrived") for day in days for hour in hours]


def test_a_source_that_was_asked_and_had_nothing_new_is_not_missing() -> None:
    query = replace(DAILY, source=Query(connection="till", sql="select 1"))
    deliveries = came("03-02 20:00")
    shown = states(query, deliveries, "03-05 23:00", asked_at=local("03-04 21:00"))
    assert [state for _, state in shown] == [
        *("arrived", "nothing_new", "nothing_new", "missing", "awaited")
    ]
    expected = slots(query, deliveries, as_of=local("03-05 23:00"), asked_at=local("03-04 21:00"))
    (finding,) = findings(
        query, expected, use_case="shop", owner="till", as_of=local("03-05 23:00")
    )
    assert finding.slot == "2026-03-05"
    assert "from connection till" in finding.text


def daily_rows(counts: Sequence[int | None]) -> tuple[list[Arrived], datetime]:
    """Return a delivery a day with these rows, and the end of the last day's grace."""
    first = local("01-05 20:00")
    moments = [first.astimezone(NEW_YORK) + timedelta(days=n) for n in range(len(counts))]
    deliveries = [Arrived(m.astimezone(UTC), n) for m, n in zip(moments, counts, strict=True)]
    return deliveries, deliveries[-1].delivered_at + timedelta(hours=2, minutes=1)


def test_an_empty_file_is_a_delivery_of_no_rows_and_not_a_missing_one() -> None:
    usual = [1000 + number % 5 for number in range(63)]
    deliveries, as_of = daily_rows([*usual, 0])
    (finding,) = found(DAILY, deliveries, as_of)
    assert (finding.kind, finding.text) == (
        "empty",
        "EMPTY 2026-03-09: delivered, 1 file with 0 rows; usual are 1,002, between 911 and 1,102",
    )
    (missing,) = found(DAILY, deliveries[:-1], as_of)
    assert missing.kind == "missing"


def test_half_the_rows_are_unusual_and_nine_tenths_are_not() -> None:
    usual = [1000 + number % 5 for number in range(63)]
    for rows, kinds in ((500, ["volume"]), (920, []), (1080, []), (2000, ["volume"])):
        deliveries, as_of = daily_rows([*usual, rows])
        assert [finding.kind for finding in found(DAILY, deliveries, as_of)] == kinds


def test_a_weekday_is_held_against_the_same_weekday() -> None:
    week = [1000, 1000, 1000, 1000, 1000, 100, 50]  # the first day is a Monday
    deliveries, as_of = daily_rows([*week * 9, *week])
    assert found(DAILY, deliveries, as_of) == ()
    deliveries, as_of = daily_rows([*week * 9, *week[:-1], 1000])  # a Sunday like a Monday
    assert [finding.slot for finding in found(DAILY, deliveries, as_of)] == ["2026-03-15"]


def test_below_eight_deliveries_of_a_season_nothing_is_an_alarm() -> None:
    for days, outcome in ((7 * 8 - 1, "learning"), (7 * 8, "empty")):
        deliveries, as_of = daily_rows([*[1000] * days, 0])
        last = volumes(DAILY, slots(DAILY, deliveries, as_of=as_of))[-1]
        assert last.outcome == outcome


def test_a_file_that_was_not_taken_in_came_but_says_nothing_of_rows() -> None:
    deliveries, as_of = daily_rows([*[1000] * 63, None])
    assert found(DAILY, deliveries, as_of) == ()


def test_a_slot_is_judged_when_its_usual_files_are_there_or_its_time_is_over() -> None:
    days = [f"03-{day:02} {hour}:30" for day in range(1, 15) for hour in ("00", "06", "12", "18")]
    pairs = [Arrived(local(day), 9) for day in days for _ in range(2)]
    half = [*pairs, Arrived(local("03-15 00:30"), 9)]
    assert found(SIX_HOURLY, half, local("03-15 00:31")) == ()
    (finding,) = found(SIX_HOURLY, half, local("03-15 04:00"))
    assert finding.text.startswith("2026-03-15 00:30: delivered, 1 file with 9 rows; usual are 18")


def test_a_short_night_has_fewer_rows_and_is_no_finding() -> None:
    hours = {"00:30": 18, "06:30": 18, "12:30": 18, "18:30": 18}
    days = [f"{day:%m-%d}" for day in (local("02-20 12:00") + timedelta(days=n) for n in range(17))]
    table = replace(SIX_HOURLY, grace=timedelta(hours=1))
    usual = [Arrived(local(f"{day} {hour}"), rows) for day in days for hour, rows in hours.items()]
    assert days[-1] == "03-08"
    short = [replace(d, rows=15) if d.delivered_at == local("03-08 06:30") else d for d in usual]
    assert found(table, short, local("03-08 23:00")) == ()
    other = [replace(d, rows=15) if d.delivered_at == local("03-07 06:30") else d for d in usual]
    assert [f.slot for f in found(table, other, local("03-08 23:00"))] == ["2026-03-07 06:30"]


def test_what_ended_more_than_a_week_ago_is_history() -> None:
    moments = [f"03-{day:02} 20:00" for day in (2, 3, 5, 6, 7, 8, 9, 10, 11, 12)]
    assert [f.slot for f in found(DAILY, came(*moments), local("03-11 20:00"))] == ["2026-03-04"]
    assert found(DAILY, came(*moments), local("03-12 20:00")) == ()


def poisson(chance: random.Random, mean: float) -> int:
    return max(0, round(chance.gauss(mean, mean**0.5)))


STABLE: dict[str, Callable[[random.Random], int]] = {
    "poisson of 1,000": lambda chance: poisson(chance, 1000),
    "poisson of 50": lambda chance: poisson(chance, 50),
    "log-normal of 30 %": lambda chance: round(1000 * chance.lognormvariate(0, 0.3)),
    "log-normal of 60 %": lambda chance: round(1000 * chance.lognormvariate(0, 0.6)),
    "negative binomial": lambda chance: poisson(chance, chance.gammavariate(5, 200)),
    "mostly constant": lambda chance: 18 - (chance.random() < 0.05),
}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize(("history", "most"), [(8, 0.0075), (12, 0.004)])
def test_a_stable_feed_is_flagged_as_seldom_as_the_band_says(
    name: str, history: int, most: float
) -> None:
    chance, draw, trials = random.Random(f"{name} {history}"), STABLE[name], 8000  # noqa: S311 - a simulation
    outside = 0
    for _ in range(trials):
        usual = band([draw(chance) for _ in range(history)])
        assert usual is not None
        outside += not usual.holds(draw(chance))
    # The stated rates are 1 in 200 and 1 in 400; above them is three standard errors.
    assert outside / trials <= most


def test_a_stable_feed_with_heavy_tails_is_flagged_more_often_as_the_band_says() -> None:
    chance = random.Random(9)  # noqa: S311 - a simulation
    rates = {}
    for history in (8, 12):
        outside = 0
        for _ in range(8000):
            draws = [
                max(0, round(1000 + 71 * (chance.expovariate(1) - chance.expovariate(1))))
                for _ in range(history + 1)
            ]
            usual = band(draws[:-1])
            assert usual is not None
            outside += not usual.holds(draws[-1])
        rates[history] = outside / 8000
    assert 0.005 <= rates[8] <= 0.02
    assert 0.002 <= rates[12] <= 0.014


def test_a_feed_that_breaks_is_flagged_however_much_it_varies() -> None:
    chance = random.Random(5)  # noqa: S311 - a simulation
    flagged = 0
    for _ in range(500):
        usual = band([round(1000 * chance.lognormvariate(0, 0.3)) for _ in range(12)])
        assert usual is not None
        flagged += not usual.holds(0)
    assert flagged == 500


@pytest.mark.parametrize("seed", range(30))
def test_one_lost_delivery_is_one_missing_slot_wherever_it_falls(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test
    noise = [timedelta(minutes=chance.uniform(-90, 90)) for _ in range(120)]
    first = local("02-01 18:00").astimezone(NEW_YORK)
    whole = [
        Arrived((first + timedelta(days=n) + noise[n]).astimezone(UTC), 100) for n in range(60)
    ]
    lost = chance.randrange(1, 58)
    rest = whole[:lost] + whole[lost + 1 :]
    rhythm = replace(DAILY, arrives_by=None, arrives_every=timedelta(days=1))
    for table in (DAILY, replace(rhythm, grace=timedelta(hours=4))):
        shown = slots(table, rest, as_of=whole[-1].delivered_at)
        missing = [slot.name for slot in shown if slot.state == "missing"]
        assert missing == [str((first + timedelta(days=lost)).date())]
        complete = slots(table, whole, as_of=whole[-1].delivered_at)
        assert {slot.state for slot in complete} == {"arrived"}


def test_stale_is_what_missed_its_last_delivery() -> None:
    assert not is_stale(DAILY, local("03-02 19:00"), local("03-03 21:59"))
    assert not is_stale(DAILY, local("03-02 19:00"), local("03-03 22:00"))
    assert is_stale(DAILY, local("03-02 19:00"), local("03-03 22:01"))
    assert is_stale(DAILY, None, local("03-03 22:01"))
    assert not is_stale(SIX_HOURLY, local("03-02 00:30"), local("03-02 08:30"))
    assert is_stale(SIX_HOURLY, local("03-02 00:30"), local("03-02 08:31"))


@pytest.mark.parametrize(
    ("change", "where", "found_there"),
    [
        ({"arrives_every": timedelta(days=1)}, "arrives_by", "both"),
        ({"arrives_by": time(20, tzinfo=UTC)}, "arrives_by", "datetime.time(20, 0, tzinfo="),
        ({"grace": timedelta(days=1)}, "grace", "1 day, 0:00:00"),
        (
            {"arrives_timezone": "America/New_Yorc"},
            "arrives_timezone",
            "'America/New_Yorc' (did you mean 'America/New_York'?)",
        ),
    ],
)
def test_a_wrong_declaration_of_arrival_is_a_problem(
    change: dict[str, object], where: str, found_there: str
) -> None:
    (problem,) = table_problems(replace(DAILY, **change), "use case 'shop'")  # type: ignore[arg-type] # as declared
    assert problem.where.endswith(where)
    assert problem.found.startswith(found_there)


def test_the_declarations_of_this_test_are_sound() -> None:
    assert [*table_problems(DAILY, "shop"), *table_problems(SIX_HOURLY, "shop")] == []
