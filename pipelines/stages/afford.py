"""Afford: hold a training against what its use case may still spend this month, before it begins."""

from datetime import datetime

from pipelines.adapters.platform import cost_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.budget import Affordable, month_of
from pipelines.domain.training import Asked
from pipelines.errors import BudgetSpent, Problem
from pipelines.use_case import TrainedUseCase, UseCase


def afford(
    use_case: UseCase, settings: Settings, *, now: datetime, run: str, asked: Asked
) -> Affordable | None:
    """Return whether the training that is asked for fits in; None where no budget is declared.

    ``now`` is the time on the wall: a run that stands for another year costs today. A search counts
    with all the CPU seconds that it may spend. Raises BudgetSpent for what is declared to be refused.
    """
    if use_case.budget is None:
        return None
    training = asked.of(TrainedUseCase.of(use_case).training)
    since = month_of(now)
    cost_ledger.fold(settings, run=run)
    costs = cost_ledger.read(settings, since=since, use_case=use_case.name)
    found = Affordable(
        budget=use_case.budget,
        month=f"{since:%Y-%m}",
        spent=sum(cost.cpu_seconds for cost in costs if cost.at <= now),
        planned=training.cpu_seconds if training.searches else 0.0,
    )
    if found.level == "refuse":
        cheaper = (
            ""
            if found.spent >= found.budget.cpu_seconds_per_month
            else "Lower Training.cpu_seconds, or train without a search (`--trials 0`). "
        )
        raise BudgetSpent(
            Problem(
                where=f"training of {use_case.name}",
                expected="one that fits in what is left of the month's budget",
                found=found.describe(),
                fix=f"{cheaper}Raise budget.cpu_seconds_per_month, or wait for the next month. "
                f"`headframe costs {use_case.name}` says what was spent.",
                about="budget",
            )
        )
    return found
