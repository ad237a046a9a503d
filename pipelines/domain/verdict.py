"""Verdicts: what a gate says about a challenger, and when a set of them lets it through."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from pipelines.errors import HeadframeError, Problem

Outcome: TypeAlias = Literal["passed", "failed", "not_applicable", "too_few"]
"""``too_few`` is "not tested": neither passed nor failed, and not promotable."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's outcome, with one sentence a person understands and the finite figures behind it.

    Raises HeadframeError for an outcome it does not know.
    """

    gate: str
    outcome: Outcome
    reason: str
    figures: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise HeadframeError(
                Problem(
                    where=f"verdict of {self.gate}",
                    expected=" or ".join(repr(outcome) for outcome in OUTCOMES),
                    found=repr(self.outcome),
                    fix="Evaluate the challenger again with this version of Headframe.",
                )
            )

    def to_plain(self) -> dict[str, Any]:
        """Values that JSON knows; ``from_plain`` gives an equal verdict back."""
        return {
            "gate": self.gate,
            "outcome": self.outcome,
            "reason": self.reason,
            "figures": {name: float(value) for name, value in self.figures.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Verdict":
        """Read what ``to_plain`` wrote; KeyError or TypeError when it is something else."""
        return cls(
            gate=plain["gate"],
            outcome=plain["outcome"],
            reason=plain["reason"],
            figures={name: float(value) for name, value in plain["figures"].items()},
        )


def promotable(verdicts: Iterable[Verdict]) -> bool:
    """Return True when a verdict passed, and each of the others passed or is not applicable.

    Where none is applicable nothing was judged: a first model that was asked only whether it is
    better than a champion.

    >>> promotable([])
    False
    """
    found = tuple(verdicts)
    return any(verdict.outcome == "passed" for verdict in found) and not stopping(found)


def stopping(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts that stop a promotion, whatever the others say: failed or not tested."""
    return tuple(verdict for verdict in verdicts if verdict.outcome in ("failed", "too_few"))
