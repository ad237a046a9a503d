"""Approve: who is asked, what they see, and what each answer does."""

import pytest

from pipelines.adapters import decisions, notifications
from pipelines.adapters.settings import Settings
from tests import machines
from tests.dags.airflow_runs import Answer, Ended, run
from tests.machines import Variant

TRAIN = "machines__train"
GOVERNED = Variant(tier="governed")
CONF = {"as_of": "2026-02-20T12:00:00Z", "reason": "more history"}


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Return a home in which everything of the governed machines was taken in."""
    machines.deliver(settings)
    machines.take_in(machines.declare(settings, GOVERNED), settings)
    return settings


def kinds(settings: Settings) -> list[tuple[str, str]]:
    return [(e.decision.kind, e.decision.actor) for e in decisions.read_all(settings)]


def test_x(ready):
    a = Answer("Reject", user="approver", reason="not now", try_first=("dag_test", "operator"))
    r = run(TRAIN, conf=CONF, answer=a)
    print(r, a, kinds(ready))
    print(a.body)
    for n in notifications.recent(ready,5): print(n.body)
