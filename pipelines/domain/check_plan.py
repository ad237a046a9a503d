"""Check plan: a suite as SQL and bounds, and how its numbers are judged."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.domain.quality import ExpectationResult, OnFail, Severity

Lane = Literal["rows", "groups", "whole", "great_expectations"]
"""How a rule is evaluated: a predicate on each row; rows whose key repeats; numbers of the whole
table; by Great Expectations itself."""

STAGED = "staged"
"""Name of the relation that every SQL text of a plan reads."""

CLOSE_SHARE, CLOSE_BY = 1e-4, 1e-8
"""Relative and absolute tolerance at the bounds of a quantile (great_expectations 1.24)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where a value must lie; None is no limit. ``closely`` also allows for a relative 1e-4."""

    minimum: float | None = None
    maximum: float | None = None
    strict_minimum: bool = False
    strict_maximum: bool = False
    closely: bool = False

    def allows(self, value: float | None) -> bool:
        """Return whether ``value`` lies within; a value that does not exist never does.

        >>> Bound(minimum=0, maximum=1, strict_maximum=True).allows(1)
        False
        """
        if value is None:
            return False
        limits = [limit for limit in (self.minimum, self.maximum) if limit is not None]
        if self.closely and any(
            abs(value - limit) <= CLOSE_BY + CLOSE_SHARE * abs(limit) for limit in limits
        ):
            return True
        low, high = self.minimum, self.maximum
        if low is not None and not (value > low if self.strict_minimum else value >= low):
            return False
        return high is None or (value < high if self.strict_maximum else value <= high)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """One expectation, compiled.

    ``reads`` names the columns its SQL needs. ``evaluated`` is an aggregate: how many rows it
    judges. Lane "rows": ``failing`` is the predicate of a failing row. Lane "groups": ``keys`` must
    not repeat together among the rows of which the predicate ``domain`` holds. Lane "whole":
    ``values`` are aggregates, taken from ``source`` where the rows must be prepared first, and
    each must lie in its bound; ``shown`` says whether the first may be told.
    """

    rule: str
    expectation_type: str
    columns: tuple[str, ...]
    severity: Severity
    on_fail: OnFail
    lane: Lane
    reads: tuple[str, ...] = ()
    evaluated: str = "count(*)"
    failing: str = ""
    domain: str = ""
    keys: tuple[str, ...] = ()
    source: str = ""
    values: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    shown: bool = False
    mostly: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """A suite's rules, compiled, in the suite's order."""

    suite: str
    rules: tuple[RulePlan, ...]

    def of(self, *lanes: Lane) -> list[RulePlan]:
        """Return the rules of some lanes."""
        return [rule for rule in self.rules if rule.lane in lanes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a rule's SQL gave: rows judged, rows that failed, and the values of the whole."""

    evaluated: int
    failed: int = 0
    values: tuple[float | None, ...] = ()


def judge(rule: RulePlan, numbers: Numbers) -> ExpectationResult:
    """Return the verdict of one compiled rule on its numbers."""
    evaluated, failed = numbers.evaluated, numbers.failed
    if rule.lane == "whole":
        pairs = zip(rule.bounds, numbers.values, strict=True)
        success = all(bound.allows(value) for bound, value in pairs)
        observed = observed_whole(numbers.values[0] if rule.shown else None)
    else:
        success = evaluated == 0 or (evaluated - failed) / evaluated >= rule.mostly
        observed = observed_rows(failed, evaluated, rule.mostly)
    return judged(rule, success=success, evaluated=evaluated, failed=failed, observed=observed)


def judged(
    rule: RulePlan, *, success: bool, evaluated: int, failed: int, observed: str
) -> ExpectationResult:
    """Return what was found for a rule, whoever counted its rows."""
    return ExpectationResult(
        rule=rule.rule,
        expectation_type=rule.expectation_type,
        columns=rule.columns,
        severity=rule.severity,
        on_fail=rule.on_fail,
        success=success,
        rows_evaluated=evaluated,
        unexpected_count=failed,
        observed=observed if evaluated else f"no row to judge; {observed}",
    )


def observed_rows(failed: int, evaluated: int, mostly: float) -> str:
    """Return in words how many rows failed.

    >>> observed_rows(1, 2_000, 0.9)
    '1 of 2,000 rows failed; a share of 0.9 must hold'
    """
    tolerance = f"; a share of {mostly:g} must hold" if mostly < 1 else ""
    return f"{failed:,} of {evaluated:,} rows failed{tolerance}"


def observed_whole(value: object) -> str:
    """Return in words what was seen of a table; only a number is told, never a row's content."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"observed {value:,.10g}" if is_number else "judged as a whole"


def plan_as_json(plan: CheckPlan) -> dict[str, Any]:
    """Return a plan as JSON-ready data."""
    return {"suite": plan.suite, "rules": [dataclasses.asdict(rule) for rule in plan.rules]}


def plan_from_json(found: Mapping[str, Any]) -> CheckPlan:
    """Return the plan that ``plan_as_json`` gave. Raises KeyError or TypeError for other data."""
    return CheckPlan(
        suite=found["suite"],
        rules=tuple(_rule_from_json(rule) for rule in found["rules"]),
    )


def _rule_from_json(found: Mapping[str, Any]) -> RulePlan:
    texts = {key: _texts(found[key]) for key in ("columns", "reads", "keys", "values")}
    bounds = tuple(Bound(**bound) for bound in found["bounds"])
    return RulePlan(**{**found, **texts, "bounds": bounds})


def _texts(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(found)
