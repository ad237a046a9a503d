"""Unit changes: quiet days are none, and each unit that really changed is told within its first blocks."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipelines.domain.drift.column_edges import NumericEdges
from pipelines.domain.drift.converted_shapes import Shapes, shapes_of
from pipelines.domain.drift.unit_changes import FAR, UNITS, other_unit
from pipelines.domain.drift.whole_numbers import are_whole, convert_back, remain_whole
from tests.columns import OUTSIDE, Column, Numbers
from tests.quiet_days import ACCOUNT_WINS, DEPARTURES, DISTANCES, ROUTE_SPREADS

MILES = np.repeat([*DISTANCES], [*DISTANCES.values()])


def days(count: int, seed: int, *, a_day: int = 900) -> list[Numbers]:
    """Return distances of flights, so many a day."""
    rng = np.random.default_rng(seed)
    return [rng.choice(MILES, a_day) for _ in range(count)]


def converted(unit: str, *, rounded: bool = False) -> Callable[[Numbers], Numbers]:
    factor, offset = UNITS[unit]
    return lambda block: np.rint(block * factor + offset) if rounded else block * factor + offset


def test_thanksgiving_is_not_one_of_departures_in_miles() -> None:
    """Each flight has the number of its airport's, and two in three flew."""
    column = Column([np.repeat(day, day) for day in DEPARTURES], trained=62)
    assert column.told(62, range(62)) == ""
    assert [column.told(day, range(day)) for day in range(20, 62)] == [""] * 42


def test_thanksgiving_in_miles_is_told_where_flights_are_as_many_as_ever() -> None:
    """What tells it from a quiet day is not its value: 0.62 times the usual numbers, none of them whole."""
    usual = [np.repeat(day, day).astype(float) for day in DEPARTURES if min(day) > 270]
    column = Column([*usual, usual[-1] / 1.609344], trained=len(usual))
    assert column.told(len(usual), range(len(usual))) == "kilometres to miles"
    column = Column([*usual, np.rint(usual[-1] / 1.609344)], trained=len(usual))
    assert column.told(len(usual), range(len(usual))) == ""


def test_a_rate_that_shrinks_by_and_by_is_not_one_in_miles() -> None:
    """Whatever it is compared with, and also where it is told in percent, which might be another unit."""
    z = np.random.default_rng(1).standard_normal(900)
    newest = len(ROUTE_SPREADS) - 1
    for factor in (1, 100):
        column = Column([z * spread * factor for spread in ROUTE_SPREADS], trained=120)
        for day in range(130, newest + 1):
            assert column.told(day, range(day)) == ""
            assert column.told(day, range(28)) == ""
    at_once = [*ROUTE_SPREADS[:120], float(np.median(ROUTE_SPREADS[:120])) / 2.54]
    column = Column([z * spread * 100 for spread in at_once], trained=120)
    assert column.told(120, range(120)) == "centimetres to inches"


def test_wins_that_a_rival_took_are_not_told_in_miles() -> None:
    column = Column([np.repeat(range(len(week)), week) for week in ACCOUNT_WINS], trained=52)
    assert [column.told(week, range(week)) for week in range(20, 53)] == [""] * 33
    assert [column.told(week, range(26)) for week in range(27, 53)] == [""] * 26


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("unit", [name for name in UNITS if not name.startswith("divided")])
def test_every_unit_of_distances_is_told_from_its_first_block_on(
    unit: str, *, rounded: bool
) -> None:
    quiet = days(30, 2)
    changed = [converted(unit, rounded=rounded)(block) for block in days(7, 3)]
    column = Column([*quiet, *changed], trained=20)
    # What hard rules told is no reference of later blocks.
    for number in range(30, 37):
        rows = [*range(30), number]
        away, found = other_unit(
            column.edges,
            column.moments[rows],
            column.counts[rows],
            OUTSIDE,
            before=column.moments[23:30],
        )
        assert (found, away[-1] >= FAR) == (unit, True)


def test_a_day_in_kilometres_is_told_and_the_day_after_is_not() -> None:
    quiet = days(40, 4)
    blocks = [*quiet[:30], quiet[30] * 1.609344, *quiet[31:]]
    column = Column(blocks, trained=20)
    assert column.told(30, range(30)) == "miles to kilometres"
    for number in range(31, 40):
        assert column.told(number, [*range(30), *range(31, number)]) == ""
        assert column.told(number, range(number)) == ""


def test_a_unit_that_changed_at_noon_is_told_on_the_day_after() -> None:
    quiet = days(32, 5)
    noon = np.concatenate([quiet[30][:450], quiet[30][450:] * 1.609344])
    column = Column([*quiet[:30], noon, quiet[31] * 1.609344], trained=20)
    assert column.told(30, range(30)) == ""
    assert column.told(31, range(31)) == "miles to kilometres"


def test_one_block_of_both_units_hides_nothing_however_few_there_are() -> None:
    quiet = days(12, 15)
    noon = np.concatenate([quiet[10][:450], quiet[10][450:] * 2.54])
    column = Column([*quiet[:10], noon, quiet[11] * 2.54], trained=10)
    assert column.told(11, range(11)) == "inches to centimetres"


def test_what_quiet_blocks_do_is_no_unit() -> None:
    """Two days of the reference were as far on the way: so far it goes by itself."""
    quiet = days(40, 6)
    for near in (1, 2):
        blocks = [
            *quiet[: 39 - near],
            *(block * 1.5 for block in quiet[:near]),
            quiet[39] * 1.609344,
        ]
        column = Column(blocks, trained=20)
        expected = "miles to kilometres" if near == 1 else ""
        assert column.told(39, range(39), before=0) == expected


def test_the_mean_and_the_spread_of_another_unit_are_not_enough() -> None:
    """A block of two values has both, and none of the quantiles."""
    quiet = days(40, 7)
    there = quiet[39] * 1.609344
    two = np.where(np.arange(900) % 2, there.mean() - there.std(), there.mean() + there.std())
    assert Column([*quiet[:39], there], trained=20).told(39, range(39)) == "miles to kilometres"
    assert Column([*quiet[:39], two], trained=20).told(39, range(39)) == ""


@pytest.mark.parametrize(
    ("rows", "expected"), [(900, "kilometres to miles"), (720, "kilometres to miles"), (560, "")]
)
def test_where_there_is_less_of_everything_less_is_no_unit(rows: int, expected: str) -> None:
    column = Column([*days(30, 8), days(1, 9, a_day=rows)[0] / 1.609344], trained=20)
    assert column.told(30, range(30)) == expected


def test_fewer_rows_do_not_hide_a_unit_of_greater_values() -> None:
    column = Column([*days(30, 8), days(1, 9, a_day=560)[0] * 1.609344], trained=20)
    assert column.told(30, range(30)) == "miles to kilometres"


@pytest.mark.parametrize("unit", UNITS)
def test_a_share_has_no_other_unit_than_hundredths_and_the_like(unit: str) -> None:
    rng = np.random.default_rng(10)
    shares = [rng.beta(4, 6, 400) for _ in range(31)]
    column = Column([*shares[:30], converted(unit)(shares[30])], trained=20)
    assert column.told(30, range(30)) == (unit if "0" in unit else "")


def test_the_first_blocks_of_a_model_are_held_against_what_it_learned_from() -> None:
    quiet = days(24, 11)
    column = Column([*quiet, *(block * 2.54 for block in days(1, 12))], trained=20)
    assert column.told(24, [], before=0) == "inches to centimetres"
    assert column.told(24, range(20, 24)) == "inches to centimetres"
    assert column.told(23, []) == ""


def test_whole_numbers_are_known_by_cuts_and_by_sums() -> None:
    seats = np.asarray([2, 20, 55, 140, 149, 200, 330])
    column = Column([np.repeat(seats, 30)] * 2, trained=2)
    edges, moments = column.edges, Column([seats] * 3, trained=3).moments
    assert are_whole(edges)
    assert not are_whole(Column([seats / 10], trained=1).edges)
    for unit, remain, back in (
        ("miles to kilometres", False, True),
        ("times 10", True, True),
        ("divided by 1000", False, True),
        ("inches to centimetres", False, True),
        ("Celsius to Fahrenheit", False, True),
        ("Fahrenheit to Celsius", False, True),
    ):
        factor, offset = UNITS[unit]
        odd = np.asarray([2.0, 21, 55, 140, 149, 200, 330])
        moments = _moments(edges, [odd * factor + offset, odd])
        assert remain_whole(edges, moments).tolist() == [remain, True]
        assert convert_back(edges, moments, factor, offset).tolist() == [back, False]


def test_a_sum_too_great_to_be_known_to_a_thousandth_proves_nothing() -> None:
    seats = np.asarray([2.0, 20, 55, 140, 149, 200, 330])
    edges = Column([np.repeat(seats, 30)], trained=1).edges
    moments = _moments(edges, [seats / 1.609344]) * 1e10
    assert remain_whole(edges, moments).tolist() == [True]
    assert convert_back(edges, moments, 1 / 1.609344, 0.0).tolist() == [False]


def test_the_shape_of_what_was_learned_is_known_to_half_a_percent() -> None:
    blocks = days(3, 13)
    column = Column(blocks, trained=3)
    shapes = shapes_of(column.edges, column.moments, column.counts, few=True)
    learned = np.concatenate(blocks)
    below = [(learned < cut).mean() for cut in column.edges.cuts]
    assert np.abs(shapes.usual - below).max() < 0.005


@pytest.mark.parametrize(
    ("typical", "by_chance", "away", "fits"),
    [
        (0.01, 0.01, 0.09, True),  # what is alike within a tenth is alike
        (0.01, 0.01, 0.11, False),
        (0.2, 0.01, 0.29, True),  # usual blocks are hardly more alike
        (0.2, 0.01, 0.31, False),
        (0.01, 0.3, 0.29, True),  # so few rows tell no better
        (0.01, 0.3, 0.31, False),
    ],
)
def test_a_shape_fits_that_is_as_near_as_usual_ones(
    typical: float, by_chance: float, away: float, *, fits: bool
) -> None:
    """Moved by a half, a share below a cut is between the usual ones below that cut and the one before."""
    usual = np.asarray([0.0, 0.2, 0.4, 0.6, 0.8])
    for third in (0.4 + away, 0.2 - away):
        shapes = Shapes(
            cuts=np.arange(1.0, 6.0),
            below=np.asarray([[0.0, 0.2, third, 0.6, 0.8]]),
            usual=usual,
            typical=typical,
            by_chance=np.asarray([by_chance]),
            whole=None,
        )
        assert shapes.fit(1.0, 0.5).tolist() == [fits]
        assert shapes.steady.tolist() == [typical <= max(0.1, by_chance)]


def test_whole_numbers_that_are_rounded_keep_their_quantiles() -> None:
    """Of 0, 1 and 2 in three thirds: 0, 2 and 3 rounded, 0, 1 and 3 cut off, and nothing between otherwise."""
    usual = Column([np.repeat([0, 1, 2], 300)] * 10, trained=10)
    for values, fits in (
        ([0, 2, 3], True),
        ([0, 1, 3], True),
        ([0, 1.609344, 3.218688], True),
        ([0, 0, 3], False),
        ([1, 2, 3], False),
    ):
        block = Column([np.repeat([0, 1, 2], 300), np.repeat(values, 300)], trained=1)
        shapes = shapes_of(
            block.edges,
            np.vstack([usual.moments, block.moments[1:]]),
            np.vstack([usual.counts, block.counts[1:]]),
            few=False,
        )
        assert shapes.fit(1.609344, 0.0).tolist()[-1] is fits


def _moments(edges: NumericEdges, blocks: Sequence[Numbers]) -> Numbers:
    scores = [(block - edges.centre) / edges.scale for block in blocks]
    return np.asarray([[len(of), of.sum(), of @ of] for of in scores])
