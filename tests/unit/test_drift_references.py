"""References: the blocks that a window is compared with."""

from datetime import date, timedelta

from pipelines.domain.drift.references import frozen, season_matched, trailing

FIRST = date(2011, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(3 * 365)]


def test_a_trailing_reference_ends_where_the_window_begins() -> None:
    chosen = trailing(DAYS, window=7, blocks=150)
    assert chosen.current == tuple(range(len(DAYS) - 7, len(DAYS)))
    assert chosen.reference == tuple(range(len(DAYS) - 157, len(DAYS) - 7))
    assert chosen.seasons is not None
    assert chosen.seasons[:3] == (5, 6, 0)


def test_a_short_history_is_all_there_is() -> None:
    chosen = trailing(DAYS[:10], window=7)
    assert (chosen.reference, chosen.current) == ((0, 1, 2), tuple(range(3, 10)))
    assert trailing(DAYS[:3], window=7).reference == ()


def test_a_season_is_matched_with_the_same_weeks_of_other_years_only() -> None:
    chosen = season_matched(DAYS, window=7, reach_days=30)
    days = [DAYS[row] for row in chosen.reference]
    middle = DAYS[-4]
    for day in days:
        away = min(
            abs((day - (middle - timedelta(days=round(365.2425 * back)))).days)
            for back in (1, 2, 3)
        )
        assert away <= 30
    assert not set(chosen.reference) & set(chosen.current)
    of_year = [
        sum(day >= date(year, 6, 1) for day in days if day < date(year + 1, 6, 1))
        for year in (2011, 2012)
    ]
    assert of_year == [61, 61]
    assert max(days) < DAYS[-1] - timedelta(days=300)


def test_a_season_that_history_cuts_off_is_matched_as_far_on_both_sides() -> None:
    days = [date(2012, 6, 1) + timedelta(days=number) for number in range(380)]
    chosen = season_matched(days, window=7)
    middle = days[-4] - timedelta(days=365)
    assert [days[row] for row in chosen.reference] == [
        middle + timedelta(days=away) for away in range(-11, 12)
    ]


def test_less_than_a_year_has_no_season_to_match() -> None:
    assert season_matched(DAYS[:300], window=7).reference == ()


def test_a_frozen_reference_is_the_training_window_and_never_the_current_one() -> None:
    chosen = frozen(DAYS, window=7, first=date(2011, 2, 1), until=date(2011, 3, 1))
    assert [DAYS[row] for row in chosen.reference] == [date(2011, 2, day) for day in range(1, 29)]
    late = frozen(DAYS, window=7, first=date(2013, 12, 1), until=date(2014, 6, 1))
    assert not set(late.reference) & set(late.current)


def test_without_weekdays_all_blocks_are_of_one_kind() -> None:
    assert trailing(DAYS, window=7, weekdays=False).seasons is None
    assert "weekday" not in trailing(DAYS, window=7, weekdays=False).assumes
