"""Hard rules: what is broken in one block is named, and nothing else is."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import poisson

from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import ReferenceEdges, edges_of
from pipelines.domain.drift.drift_result import DriftEvidence, DriftResult
from pipelines.domain.drift.hard_rules import HardRules
from pipelines.domain.drift.unit_changes import UNITS

ROWS = 400


def block(rng: np.random.Generator, factor: float = 1.0, offset: float = 0.0) -> pa.Table:
    """One block whose level is its own; ``height`` is then in another unit."""
    height = rng.normal(66, 4, ROWS) + rng.normal(0, 0.3)
    return pa.table(
        {
            "height": height * factor + offset,
            "income": rng.lognormal(3 + rng.normal(0, 0.05), 0.5, ROWS),
            "origin": rng.choice(["EWR", "JFK", "LGA"], ROWS),
        }
    )


def with_column(rows: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = rows.column_names.index(name)
    return rows.set_column(place, name, pa.array(values, rows[name].type))


RNG = np.random.default_rng(41)
EDGES = edges_of(
    pa.concat_tables([block(RNG) for _ in range(20)]), columns=["height", "income", "origin"]
)
QUIET = [block(RNG) for _ in range(40)]


def judged(
    newest: pa.Table, reference: list[pa.Table] | None = None, edges: ReferenceEdges = EDGES
) -> DriftResult:
    before = QUIET if reference is None else reference
    profiles = [
        scan(rows.to_batches(), edges, block=str(number))
        for number, rows in enumerate([*before, newest])
    ]
    return HardRules().judge(
        DriftEvidence(
            reference=tuple(range(len(before))),
            current=(len(before),),
            profiles=tuple(profiles),
            edges=edges,
        )
    )


def told(result: DriftResult) -> list[tuple[str, str]]:
    return [(shift.column, shift.family) for shift in result.per_column]


@pytest.mark.parametrize("reference", [0, 3, 40])
def test_a_usual_block_breaks_no_rule(reference: int) -> None:
    result = judged(block(np.random.default_rng(42)), QUIET[:reference])
    assert (result.outcome, told(result)) == ("quiet", [])


@pytest.mark.parametrize("reference", [0, 3, 40])
@pytest.mark.parametrize("unit", UNITS)
def test_every_change_of_unit_is_named(unit: str, reference: int) -> None:
    factor, offset = UNITS[unit]
    result = judged(block(np.random.default_rng(43), factor, offset), QUIET[:reference])
    assert result.outcome == "drifted"
    assert ("height", "units") in told(result)
    assert f"height looks converted: {unit}" in result.reason


@pytest.mark.parametrize("factor", [1.3, 2.0, 5.0])
def test_a_shift_that_is_no_unit_is_not_called_one(factor: float) -> None:
    result = judged(block(np.random.default_rng(44), factor))
    assert ("height", "units") not in told(result)


def test_a_foggy_day_is_not_one_in_another_unit() -> None:
    """Ten miles can be seen on most days, and less in fog: as if told in another unit."""
    rng = np.random.default_rng(58)

    def seen(clear: float, middle: float) -> pa.Table:
        miles = np.clip(rng.normal(middle, 1.5, ROWS), 0.0, 10.0)
        miles[rng.random(ROWS) < clear] = 10.0
        return pa.table({"miles": miles})

    usual = [seen(rng.uniform(0.7, 1.0), rng.uniform(5.0, 9.0)) for _ in range(40)]
    edges = edges_of(pa.concat_tables(usual), columns=["miles"])
    # Its mean and spread are near those of kilometres in miles, and a sixth of it sees ten.
    assert told(judged(seen(0.15, 5.0), usual, edges)) == []
    clear = np.asarray(seen(0.8, 7.0)["miles"])
    in_miles = pa.table({"miles": clear / 1.609344})
    assert told(judged(in_miles, usual, edges)) == [("miles", "units")]


def test_values_never_seen_are_told_from_two_percent_on() -> None:
    rows = block(np.random.default_rng(45))
    for share, outcome in ((0.01, "quiet"), (0.03, "drifted")):
        new = rows["origin"].to_pylist()
        new[: int(share * ROWS)] = ["ZZZ"] * int(share * ROWS)
        result = judged(with_column(rows, "origin", new))
        assert result.outcome == outcome
        assert told(result) == ([("origin", "unseen")] if outcome == "drifted" else [])
    assert "3 % of origin are values never seen before" in result.reason


def test_a_jump_of_what_is_missing_is_told_against_the_usual_share() -> None:
    rng = np.random.default_rng(46)

    def gappy(share: float) -> pa.Table:
        rows = block(rng)
        gaps = [None if rng.random() < share else value for value in rows["income"].to_pylist()]
        return with_column(rows, "income", gaps)

    usual = [gappy(0.6) for _ in range(30)]
    assert judged(gappy(0.6), usual).outcome == "quiet"
    assert told(judged(gappy(0.9), usual)) == [("income", "missing")]
    assert told(judged(gappy(0.6), usual[:0])) == [("income", "missing")]


def with_gaps(rows: pa.Table, share: float) -> pa.Table:
    gone = int(share * ROWS)
    return with_column(rows, "income", [None] * gone + rows["income"].to_pylist()[gone:])


@pytest.mark.parametrize(
    ("share", "before", "expected"),
    [
        (0.03, QUIET, [("income", "gaps")]),  # none ever was missing
        (0.01, QUIET, []),  # too few to matter
        (0.03, QUIET[:28], [("income", "gaps")]),  # four weeks are enough to say "never"
        (0.03, QUIET[:27], []),
        (0.03, [*QUIET, with_gaps(QUIET[0], 0.01)], []),  # some were: a jump must be one
        (0.03, [*QUIET, with_gaps(QUIET[0], 0.0025)], []),
        (0.9, [with_gaps(rows, 0.1) for rows in QUIET], [("income", "missing")]),
        (0.9, QUIET, [("income", "gaps")]),  # told once
    ],
)
def test_a_value_missing_where_none_ever_was_is_told_like_one_never_seen(
    share: float, before: list[pa.Table], expected: list[tuple[str, str]]
) -> None:
    result = judged(with_gaps(block(np.random.default_rng(56)), share), before)
    assert told(result) == expected
    assert (result.outcome == "drifted") == bool(expected)
    if ("income", "gaps") in expected:
        assert (
            f"{100 * share:.3g} % of income are missing, and hardly any ever were" in result.reason
        )


def test_gaps_of_one_block_hide_neither_another_unit_nor_a_value_never_seen() -> None:
    rows = block(np.random.default_rng(57))
    new = rows["origin"].to_pylist()
    new[: ROWS // 20] = ["ZZZ"] * (ROWS // 20)
    before = [*QUIET, with_gaps(QUIET[0], 0.5)]
    assert judged(with_column(rows, "origin", new), before).outcome == "drifted"
    beyond = rows["income"].to_pylist()
    beyond[: ROWS // 10] = [-1.0] * (ROWS // 10)
    # It is graver than numbers beyond the range: one block of all is told.
    assert judged(with_column(rows, "income", beyond), before).outcome == "quiet"


def test_numbers_beyond_the_reference_are_told() -> None:
    rows = block(np.random.default_rng(47))
    income = rows["income"].to_pylist()
    income[: ROWS // 10] = [-1.0] * (ROWS // 10)
    assert told(judged(with_column(rows, "income", income))) == [("income", "outside")]


def test_a_reference_that_holds_a_block_as_bad_makes_it_old_news() -> None:
    bad = block(np.random.default_rng(48), 2.54)
    result = judged(bad, [*QUIET, bad])
    assert result.outcome == "quiet"
    assert "The reference holds a block that is as bad" in result.reason
    # Equally bad blocks hold no record, neither of them.
    assert result.figures["reference_records"] == 0.0


def test_a_column_that_once_was_missing_hides_nothing_of_another() -> None:
    rows = block(np.random.default_rng(52))
    gone = with_column(rows, "income", [None] * ROWS)
    new = rows["origin"].to_pylist()
    new[: ROWS // 20] = ["ZZZ"] * (ROWS // 20)
    result = judged(with_column(rows, "origin", new), [*QUIET, gone])
    assert (result.outcome, told(result)) == ("drifted", [("origin", "unseen")])
    assert result.figures["reference_records"] == 0.0


def test_one_block_of_all_is_told_the_one_that_breaks_the_gravest_rule() -> None:
    rng = np.random.default_rng(54)
    converted = block(rng, 2.54)
    gone = with_column(block(rng), "income", [None] * ROWS)
    result = judged(gone, [*QUIET, converted])
    assert (result.outcome, told(result)) == ("quiet", [("income", "gaps")])
    assert "The reference holds a block that is as bad" in result.reason
    assert result.figures["reference_records"] == 1.0
    assert ("height", "units") in told(judged(converted, [*QUIET, gone]))


def test_of_two_that_break_one_kind_of_rule_the_one_farther_beyond_the_others_is_told() -> None:
    rng = np.random.default_rng(55)
    rows = block(rng)
    half = with_column(
        rows, "income", [None] * (ROWS // 2) + rows["income"].to_pylist()[ROWS // 2 :]
    )
    gone = with_column(block(rng), "origin", [None] * ROWS)
    assert told(judged(gone, [*QUIET, half])) == [("origin", "gaps")]
    assert judged(gone, [*QUIET, half]).outcome == "drifted"
    assert judged(half, [*QUIET, gone]).outcome == "quiet"


def test_what_is_new_is_told_and_what_is_as_bad_as_before_is_not() -> None:
    rows = block(np.random.default_rng(53))
    gone = with_column(rows, "income", [None] * ROWS)
    result = judged(with_column(gone, "origin", ["ZZZ"] * ROWS), [*QUIET, gone])
    assert (result.outcome, told(result)) == ("drifted", [("origin", "unseen")])


def test_a_block_without_rows_is_not_tested() -> None:
    assert judged(QUIET[0].slice(0, 0)).outcome == "not_tested"


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_a_problem(share: float) -> None:
    (problem,) = dataclasses.replace(HardRules(), missing_jump=share).problems()
    assert "missing_jump" in problem


@pytest.mark.parametrize("runs", [15, pytest.param(600, marks=pytest.mark.prove)])
def test_exchangeable_blocks_are_told_as_often_as_one_of_all_is_the_newest(
    runs: int,
) -> None:
    """Even with blocks so wild that nearly each would break a rule by its thresholds alone."""
    rng, reference = np.random.default_rng(49), 19
    found, expected = 0, 0.0
    for _ in range(runs):
        blocks = [block(rng, float(np.exp(rng.standard_t(2)))) for _ in range(reference + 1)]
        result = judged(blocks[-1], blocks[:-1])
        found += result.outcome == "drifted"
        records = result.figures["reference_records"] + (result.outcome == "drifted")
        expected += records / (reference + 1)
    assert expected > 0
    assert poisson.ppf(0.001, expected) <= found <= poisson.ppf(0.999, expected)
