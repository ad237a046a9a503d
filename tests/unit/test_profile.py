"""Profile: bins of a round width, quantiles that are there, and numbers as a person reads them."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.suites import profile_page
from pipelines.domain.profile import (
    DAY,
    MOST_BINS,
    Bin,
    Bins,
    Cell,
    ColumnProfile,
    Frequent,
    Profile,
    bars,
    bins_between,
    counted,
    cut,
    quantiles_of,
    share,
    shown,
)

DISTANCE = ColumnProfile(
    name="distance",
    type="int64",
    nullable=False,
    rows=100,
    missing=0,
    distinct=3,
    minimum=17,
    maximum=4983,
    mean=1040.0,
    deviation=733.2,
    quantiles=((0.01, 17), (0.5, 872), (0.99, 4983)),
    frequent=(
        Frequent(value=872, rows=98),
        Frequent(value=17, rows=1),
        Frequent(value=4983, rows=1),
    ),
    frequent_are_all=True,
    bins=(Bin(low=0, high=2500, rows=99), Bin(low=2500, high=5000, rows=1)),
    examples=(872, 17),
)
FLIGHTS = Profile(
    use_case="flights",
    table="schedule",
    source="silver.flights.schedule, version 3",
    as_of=None,
    rows=100,
    deliveries=4,
    keys=98,
    repeated_keys=1,
    most_versions=3,
    known_from=datetime(2013, 1, 1, 20, tzinfo=UTC),
    known_until=datetime(2013, 3, 31, 20, tzinfo=UTC),
    columns=(DISTANCE,),
)


@pytest.mark.parametrize(
    ("low", "high", "column_type", "bins"),
    [
        (17, 4983, "int64", Bins(start=0, width=250, count=20)),
        (0, 4, "int64", Bins(start=0, width=1, count=5)),
        (7, 7, "int64", Bins(start=7, width=1, count=1)),
        (0.0, 0.0, "double", Bins(start=0, width=1, count=1)),
        (-0.31, 0.42, "double", Bins(start=-0.35, width=0.05, count=16)),
        (0, 6 * DAY, "date", Bins(start=0, width=DAY, count=7)),
        (0, DAY - 1, "timestamp[UTC]", Bins(start=0, width=3 * DAY / 24, count=8)),
    ],
)
def test_bins_have_a_round_width(low: float, high: float, column_type: str, bins: Bins) -> None:
    found = bins_between(low, high, column_type)
    assert found.count == bins.count
    assert found.start == pytest.approx(bins.start)
    assert found.width == pytest.approx(bins.width)


@given(
    ends=st.tuples(
        *[st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False) for _ in range(2)]
    )
)
def test_bins_hold_both_ends_and_are_few(ends: tuple[float, float]) -> None:
    low, high = sorted(ends)
    bins = bins_between(low, high, "double")
    assert 1 <= bins.count <= MOST_BINS
    near = abs(bins.width) * 1e-6
    assert bins.start <= low + near
    assert bins.start + bins.count * bins.width >= high - near


@given(
    ends=st.tuples(*[st.integers(-(2**63), 2**63 - 1) for _ in range(2)]),
    column_type=st.sampled_from(["int64", "timestamp[UTC]"]),
)
def test_bins_of_whole_numbers_and_moments_are_few_too(
    ends: tuple[int, int], column_type: str
) -> None:
    bins = bins_between(min(ends), max(ends), column_type)
    assert 1 <= bins.count <= MOST_BINS
    assert bins.width >= 1


def test_an_empty_bin_is_counted_as_empty_between_the_others() -> None:
    assert counted(Bins(start=0, width=2.5, count=3), {0: 4, 2: 1}, "double") == (
        Bin(low=0, high=2.5, rows=4),
        Bin(low=2.5, high=5, rows=0),
        Bin(low=5, high=7.5, rows=1),
    )


def test_bins_of_days_are_told_as_days() -> None:
    (found,) = counted(Bins(start=DAY, width=7 * DAY, count=1), {0: 3}, "date")
    assert found == Bin(low=date(1970, 1, 2), high=date(1970, 1, 9), rows=3)


def test_a_quantile_is_a_value_that_is_there() -> None:
    assert quantiles_of({3: 1, 1: 1, 2: 2}) == (
        (0.01, 1), (0.05, 1), (0.25, 1), (0.5, 2), (0.75, 2), (0.95, 3), (0.99, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1400, "1,400"),
        (12.01845, "12.02"),
        (1234567.8, "1,234,568"),
        (-1e200, "-1e+200"),
        (True, "True"),
        ("", ""),
        (date(2013, 1, 2), "2013-01-02"),
        (datetime(2013, 1, 2, 3, 4, tzinfo=UTC), "2013-01-02 03:04"),
        (datetime(2013, 1, 2, 3, 4, 5, tzinfo=UTC), "2013-01-02 03:04:05"),
        (None, ""),
    ],
)
def test_values_are_shown_as_a_person_reads_them(value: Cell | None, text: str) -> None:
    assert shown(value) == text


def test_a_single_row_of_many_never_looks_like_none_or_all() -> None:
    assert share(1, 1_000_000) == "<0.1 %"
    assert share(999_999, 1_000_000) == ">99.9 %"
    assert (share(0, 5), share(5, 5)) == ("0 %", "100 %")


def test_a_bin_with_a_single_row_is_seen_beside_a_full_one() -> None:
    assert bars([1, 0, 1_000_000]) == "▁ █"
    assert bars([]) == ""


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert cut("x" * 60) == "x" * 60
    assert cut("x" * 61) == "x" * 60 + "…"


def test_a_profile_says_what_its_numbers_rest_on() -> None:
    assert FLIGHTS.over() == "100 rows over 90 days"
    assert replace(FLIGHTS, known_from=None, known_until=None).over() == "100 rows of one file"


def test_a_profile_is_json_with_iso_moments() -> None:
    found = FLIGHTS.as_json()
    assert found["known_from"] == "2013-01-01T20:00:00+00:00"
    assert found["columns"][0]["bins"][1] == {"low": 2500, "high": 5000, "rows": 1}  # type: ignore[index] # JSON


def test_the_page_holds_no_script_and_nothing_from_elsewhere() -> None:
    page = profile_page.render(FLIGHTS)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert [
        part for part in ("http://", "https://", "url(", "@import", 'src="') if part in page
    ] == []
    assert "prefers-color-scheme: dark" in page


def test_every_drawing_on_the_page_has_a_name() -> None:
    page = profile_page.render(FLIGHTS)
    assert page.count("<svg") == page.count('role="img"') == 2
    assert '<title id="title-1">Histogram of distance</title>' in page
    assert "2 bins from 0 to 5,000; the fullest holds 99 rows." in page
    assert "<title>2,500 to below 5,000: 1 rows</title>" in page


def test_what_a_table_holds_is_escaped_on_the_page() -> None:
    nasty = "<script>alert('x')</script>"
    column = replace(
        DISTANCE,
        name='n"<b>',
        type="string",
        minimum=nasty,
        frequent=(Frequent(value=nasty, rows=2), Frequent(value="", rows=1)),
        examples=(nasty,),
        frequent_are_all=False,
    )
    page = profile_page.render(replace(FLIGHTS, columns=(column,), source=nasty))
    assert "<script" not in page
    assert "<b>" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") == 5
    assert "empty text" in page


def test_a_page_of_thirty_columns_stays_below_300_kilobytes() -> None:
    bins = tuple(
        Bin(low=n * 1000.5, high=(n + 1) * 1000.5, rows=n * 1001) for n in range(MOST_BINS)
    )
    frequent = tuple(Frequent(value="w" * 60 + "…", rows=1000 - n) for n in range(25))
    wide = replace(
        DISTANCE, bins=bins, frequent=frequent, examples=("w" * 60,) * 5, frequent_are_all=False
    )
    page = profile_page.render(replace(FLIGHTS, columns=(wide,) * 30))
    assert len(page.encode()) < 300_000
