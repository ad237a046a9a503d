"""Check plans: bounds, and how a rule's numbers are judged."""

import pytest

from pipelines.domain.check_plan import Bound, Lane, Numbers, RulePlan, judge

NAN = float("nan")


@pytest.mark.parametrize(
    ("bound", "allowed", "refused"),
    [
        (Bound(), [0, -1e300, 2**63], [None]),
        (Bound(minimum=1), [1, 1.5], [0.999, None, NAN]),
        (Bound(maximum=1), [1, -5], [1.001, NAN]),
        (Bound(minimum=1, strict_minimum=True), [1.001], [1]),
        (Bound(maximum=2**53, strict_maximum=True), [2**53 - 1], [2**53, 2**53 + 1]),
        (Bound(minimum=100, maximum=200, closely=True), [99.995, 200.015], [99.98, 200.03]),
        (Bound(minimum=0, closely=True), [-1e-9], [-1e-7, None]),
    ],
)
def test_a_bound_allows(bound: Bound, allowed: list[float], refused: list[float | None]) -> None:
    assert [bound.allows(value) for value in allowed] == [True] * len(allowed)
    assert [bound.allows(value) for value in refused] == [False] * len(refused)


def rule(lane: Lane, mostly: float = 1.0, bounds: tuple[Bound, ...] = ()) -> RulePlan:
    return RulePlan(
        rule="r",
        expectation_type="expect_r",
        columns=("a",),
        severity="critical",
        on_fail="none",
        lane=lane,
        mostly=mostly,
        bounds=bounds,
        shown=True,
    )


@pytest.mark.parametrize(
    ("mostly", "numbers", "success", "observed"),
    [
        (1.0, Numbers(evaluated=3, failed=0), True, "0 of 3 rows failed"),
        (1.0, Numbers(evaluated=3, failed=1), False, "1 of 3 rows failed"),
        (0.5, Numbers(evaluated=4, failed=2), True, "2 of 4 rows failed; a share of 0.5 must hold"),
        (1.0, Numbers(evaluated=0, failed=0), True, "no row to judge; 0 of 0 rows failed"),
    ],
)
def test_a_rule_on_rows_is_judged_by_its_share(
    *, mostly: float, numbers: Numbers, success: bool, observed: str
) -> None:
    result = judge(rule("rows", mostly), numbers)
    assert (result.success, result.observed) == (success, observed)


def test_a_rule_on_the_whole_holds_only_if_every_value_is_within_its_bound() -> None:
    bounds = (Bound(maximum=1), Bound(minimum=5))
    both = judge(rule("whole", bounds=bounds), Numbers(evaluated=9, values=(1, 5)))
    one = judge(rule("whole", bounds=bounds), Numbers(evaluated=9, values=(1, 4)))
    assert (both.success, one.success) == (True, False)
    assert (both.observed, both.rows_evaluated, both.unexpected_count) == ("observed 1", 9, 0)
