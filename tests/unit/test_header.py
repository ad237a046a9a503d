"""Which column of a file is which of the contract, and what is said when that cannot be told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.header import Header, match_header, normal
from pipelines.errors import FileRefused

TABLE = Table(
    name="flights",
    source=Files(pattern="*.csv"),
    columns=[
        Column("flight", "int64"),
        Column("arr_delay", "double", nullable=True),
        Column("note", "string", nullable=True),
    ],
    key=("flight",),
)
IGNORING = replace(TABLE, on_new_column="ignore")
FILLING = replace(TABLE, on_missing_column="fill")


def refusal(found: list[str], table: Table = TABLE) -> list[tuple[str, str]]:
    with pytest.raises(FileRefused) as caught:
        match_header(found, table, "landing/f.csv")
    return [(problem.expected, problem.found) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("Arr-Delay", "arr_delay"),
        (" arr delay ", "arr_delay"),
        ("ARR_DELAY", "arr_delay"),
        ("arr \t-\n delay", "arr_delay"),
        ("arr__delay", "arr__delay"),
        ("arrDelay", "arrdelay"),
        ("", ""),
    ],
)
def test_a_name_is_compared_without_case_spaces_and_hyphens(found: str, expected: str) -> None:
    assert normal(found) == expected


def test_columns_are_matched_by_name_in_any_order() -> None:
    found = match_header(["Note", "Flight", "Arr Delay"], TABLE, "landing/f.csv")
    assert found == Header(columns=("note", "flight", "arr_delay"), ignored=(), missing=())


def test_new_columns_are_refused_or_ignored_as_the_file_spells_them() -> None:
    found = ["Size ", "flight", "note", "arr_delay", ""]
    assert refusal(found) == [("no other columns than the contract's", "also 'Size ', ''")]
    assert match_header(found, IGNORING, "landing/f.csv") == Header(
        columns=(None, "flight", "note", "arr_delay", None), ignored=("Size ", ""), missing=()
    )


def test_only_a_nullable_column_may_be_filled() -> None:
    assert match_header(["flight"], FILLING, "landing/f.csv") == Header(
        columns=("flight",), ignored=(), missing=("arr_delay", "note")
    )
    assert refusal(["note"], FILLING) == [("column 'flight'", "columns 'note'")]
    assert [expected for expected, _ in refusal(["flight"])] == [
        "column 'arr_delay'",
        "column 'note'",
    ]


def test_a_likely_new_name_of_a_missing_column_is_asked_for() -> None:
    (_, found), _ = refusal(["flight", "arr_dely", "note"])
    assert found.endswith("(did the source rename it to 'arr_dely'?)")


def test_a_column_of_the_contract_is_not_taken_for_the_new_name_of_another() -> None:
    names = [Column("arr_delay", "double"), Column("dep_delay", "double")]
    ((_, found),) = refusal(["dep_delay"], replace(TABLE, columns=names))
    assert "rename" not in found


def test_two_spellings_of_one_name_are_the_same_column_twice() -> None:
    assert refusal(["flight", "Flight", "arr_delay", "note"]) == [
        ("column 'flight' once", "it 2 times")
    ]
    # Also where it would be ignored: its cells could not be told apart in quarantine.
    twice = ["flight", "arr_delay", "note", "x", "X "]
    assert refusal(twice, IGNORING) == [("column 'x' once", "it 2 times")]


def test_all_problems_are_given_at_once_and_cut_short() -> None:
    found = [f"{n}, Jane Doe, Long Street 4" for n in range(99)]
    problems = refusal(found)
    assert len(problems) == 4
    assert len(str(problems)) < 3000
    assert "Street 4" not in str(problems)
    assert "..." in problems[-1][1]


@given(st.lists(st.text(max_size=12), max_size=6), st.booleans(), st.booleans())
def test_any_header_is_matched_or_refused(
    found: list[str],
    ignoring: bool,  # noqa: FBT001 - hypothesis gives it
    filling: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    table = replace(
        TABLE,
        on_new_column="ignore" if ignoring else "refuse",
        on_missing_column="fill" if filling else "refuse",
    )
    names = [*found, "FLIGHT"]
    try:
        header = match_header(names, table, "landing/f.csv")
    except FileRefused:
        return
    told = [column for column in header.columns if column is not None]
    assert sorted([*told, *header.missing]) == sorted(table.column_names)
    assert [n for n, c in zip(names, header.columns, strict=True) if c is None] == [*header.ignored]
