"""Costs: what the stages of use cases cost in a period, against the period before and the budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.platform import cost_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.budget import Affordable, month_of
from pipelines.domain.cost_report import CostReport, reports
from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsTold:
    """A report a use case; the budgets of those that declare one; how many tries were not noted."""

    reports: tuple[CostReport, ...]
    budgets: dict[str, Affordable]
    lost: int


def costs(
    settings: Settings,
    *,
    since: datetime,
    now: datetime,
    use_case: str = "",
    declared: Sequence[UseCase] = (),
) -> CostsTold:
    """Report [``since``, ``now``) of one use case, or of all, beside the period as long before.

    ``declared`` are those whose budget is told: that of the calendar month (UTC) of ``now``.
    Raises ValueError when ``since`` is not before ``now``.
    """
    month = month_of(now)
    first = min(since - (now - since), month)
    found = cost_ledger.read(settings, since=first, use_case=use_case)
    budgets = {}
    for one in declared:
        if one.budget is None or use_case not in {"", one.name}:
            continue
        mine = [cost for cost in found if cost.use_case == one.name and month <= cost.at < now]
        budgets[one.name] = Affordable(
            budget=one.budget,
            month=f"{month:%Y-%m}",
            spent=sum(cost.cpu_seconds for cost in mine),
            planned=0.0,
        )
    return CostsTold(
        reports=reports(found, since=since, until=now),
        budgets=budgets,
        lost=cost_ledger.lost(settings),
    )
