"""Probation runs: what a fault test does to a champion on probation in a process of its own."""

from pipelines.adapters.settings import Settings
from pipelines.stages.probation import probation
from pipelines.stages.score import score
from pipelines.stages.shadow import asked, shadow
from pipelines.use_case import UseCase
from tests.machines import at

DAYS = (51, 66)
"""First day that is scored after the promotion, and the one after the last."""

DECIDED = at(60, 4)
"""The labels of the seventh block are final."""


def decide(use_case: UseCase, settings: Settings) -> None:
    """Judge the probation at its first look."""
    probation(use_case, settings, as_of=DECIDED)


def let_the_shadow_score(use_case: UseCase, settings: Settings) -> None:
    """Score every day again, and let the shadow do so, too."""
    first, until = (at(day, 0) for day in DAYS)
    scored = score(use_case, settings, since=first, until=until, run="test")
    shadow(use_case, settings, windows=asked(use_case, settings, scored), run="test")
