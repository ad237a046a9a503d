"""Reconciliation: where ledger, alias and artifacts disagree, and what may be done about each."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipelines.errors import Problem

Remedy: TypeAlias = Literal["finish", "undo", "alias", "freeze", "unfreeze", "none"]
"""What mends a finding: a move that was cut off is finished or given up, the alias is put where the
ledger says, a champion that is not what was promoted is frozen, and one that is again is not. With
none, a person has to: each finding says how."""

Extent: TypeAlias = Literal["look", "freeze", "repair"]
"""How much may be done: nothing, what stops a model from being used, or all that mends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement. ``what`` is the same while it lasts; ``stops`` says that scoring fails.

    ``version`` is the champion that is meant, where a remedy is about it.
    """

    what: str
    problem: Problem
    remedy: Remedy
    stops: bool = True
    version: str = ""

    def within(self, extent: Extent) -> bool:
        """Tell whether its remedy may be carried out at this extent."""
        if self.remedy == "none":
            return False
        return extent == "repair" or (extent == "freeze" and self.remedy == "freeze")
