"""Reconciliation: what may be done about a finding, and which alarm it is."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.domain.incidents import events_of, stories
from pipelines.domain.reconciliation import Extent, Finding, Remedy
from pipelines.domain.signals import of_registry, registry_area
from pipelines.errors import Problem

AT = datetime(2026, 5, 1, tzinfo=UTC)
PROBLEM = Problem(where="champion of shop", expected="an alias", found="none", fix="Put it back.")


def finding(what: str, remedy: Remedy = "none", *, stops: bool = True) -> Finding:
    return Finding(what=what, problem=PROBLEM, remedy=remedy, stops=stops)


@pytest.mark.parametrize(
    ("extent", "allowed"),
    [
        ("look", []),
        ("freeze", ["freeze"]),
        ("repair", ["finish", "undo", "alias", "freeze", "unfreeze"]),
    ],
)
def test_an_extent_allows_its_remedies_and_no_other(extent: Extent, allowed: list[Remedy]) -> None:
    remedies: list[Remedy] = ["finish", "undo", "alias", "freeze", "unfreeze", "none"]
    assert [one for one in remedies if finding("it", one).within(extent)] == allowed


def test_what_stops_scoring_pages_together_with_the_runs_that_fail_for_it() -> None:
    signals = of_registry(
        "shop",
        [finding("alias", "alias"), finding("earlier champion 1", stops=False)],
        owner="sales",
        at=AT,
        runbook="page",
    )
    assert [(s.severity, s.about, s.which) for s in signals] == [
        ("PAGE", ("champion", "dag:shop__score"), "alias"),
        ("WARN", ("champion",), "earlier champion 1"),
    ]
    assert signals[0].text == "champion of shop: expected an alias; found none"
    assert signals[0].details == ("Put it back.",)
    assert {signal.area for signal in signals} == {registry_area("shop")}


def test_what_is_not_found_any_more_is_over() -> None:
    found = [finding("alias", "alias")]
    (signal,) = of_registry("shop", found, owner="sales", at=AT, runbook="page")
    area = [registry_area("shop")]
    opened = events_of([signal], area, [], at=AT)
    again = events_of([signal], area, list(stories(opened).values()), at=AT)
    assert (len(stories(opened)), again) == (1, [])
    a_day_later = AT + timedelta(days=1)
    over = [*opened, *events_of([], area, list(stories(opened).values()), at=a_day_later)]
    (incident,) = stories(over).values()
    assert incident.state == "mitigated"
