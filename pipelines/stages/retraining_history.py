"""Retraining history: which trainings were asked for and held back, and what is left of the budget."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import decisions, retraining_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.retrain_attempts import attempts
from pipelines.domain.retrain_history import Line, history
from pipelines.domain.retrain_policy import Facts, budget_left, cooldown_until
from pipelines.use_case import UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The history up to ``as_of`` (UTC); what the budget leaves and until when the cooldown lasts.

    ``budget_left`` is None where nothing but a schedule and persons start a training; ``cooldown`` is
    empty where there is none.
    """

    lines: tuple[Line, ...]
    budget_left: int | None
    per_quarter: int
    cooldown: str

    def describe(self) -> str:
        """Return in one line what an early training may count on."""
        if self.budget_left is None:
            return "No early training is declared: on_harm, on_drift or on_labels would start one."
        left = f"{self.budget_left} of {self.per_quarter} early trainings left in 90 days"
        return f"{left}; {self.cooldown or 'no cooldown'}"


def retraining_history(use_case: UseCase, settings: Settings, *, as_of: datetime) -> Told:
    """Tell what happened by ``as_of``, by the ledgers of retraining and of decisions."""
    declared = use_case.retraining
    known = retraining_ledger.read(settings, use_case.name)
    entries = [entry for entry in known if entry.at <= as_of]
    decided = decisions.read_all(settings, use_case.name, until=as_of)
    tried = attempts(entries, decided)
    facts = Facts(as_of=as_of, champion="", block="", attempts=tried)
    return Told(
        lines=tuple(history(entries, decided)),
        budget_left=budget_left(tried, declared, as_of) if declared.is_triggered else None,
        per_quarter=declared.per_quarter,
        cooldown=cooldown_until(facts, declared) if declared.is_triggered else "",
    )
