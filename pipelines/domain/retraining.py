"""Retraining: what a use case declares about when a challenger is trained unasked."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Literal, TypeAlias

from pipelines.domain.digest import DIGESTED_IF_SET
from pipelines.errors import Problem

CauseKind: TypeAlias = Literal["harm", "drift", "labels", "schedule", "by hand"]
"""What calls for a training."""

QUARTER = timedelta(days=90)
"""What the budget is about: the last 90 days, as the budget of alarms is (decision 0012)."""

LONGEST_COOLDOWN = timedelta(days=365)

SOUND = "A sound declaration is Retraining(schedule='@monthly', on_harm=True)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """When a challenger is trained unasked; as it stands: never.

    ``schedule`` is a cron expression or preset. After each monitoring one is trained early when
    final labels show harm (``on_harm``), when inputs, the prediction or the loss inside a segment
    drifted with a consequence (``on_drift``), or when as many labels as ``on_labels`` became final since
    the last training. An early training never comes within ``cooldown`` of another training, nor
    more than ``per_quarter`` times in 90 days. After ``give_up_after`` trainings in a row that did not
    help against the same harm or drift of the same champion no other is made for it.
    """

    schedule: str | None = None
    on_harm: bool = field(default=False, metadata=DIGESTED_IF_SET)
    on_drift: bool = field(default=False, metadata=DIGESTED_IF_SET)
    on_labels: int | None = field(default=None, metadata=DIGESTED_IF_SET)
    cooldown: timedelta = field(default=timedelta(days=14), metadata=DIGESTED_IF_SET)
    per_quarter: int = field(default=4, metadata=DIGESTED_IF_SET)
    give_up_after: int = field(default=2, metadata=DIGESTED_IF_SET)

    @property
    def is_triggered(self) -> bool:
        """Tell whether anything beside the schedule and a person starts a training."""
        return self.on_harm or self.on_drift or self.on_labels is not None

    def problems(
        self, where: str, *, period: timedelta | None, answered_within: timedelta | None
    ) -> list[Problem]:
        """Return what is wrong with the declaration.

        ``period`` is the time between two trainings on schedule, where it is known, and
        ``answered_within`` how long a person's approval may take; None where none is asked.
        """
        return [
            Problem(where=f"{where}, {name}", expected=expected, found=found, fix=fix)
            for name, expected, found, fix in (
                *self._out_of_range(),
                *(self._contradictions(period, answered_within) if self.is_triggered else ()),
                *self._idle(),
            )
        ]

    def _out_of_range(self) -> Iterator[tuple[str, str, str, str]]:
        if self.on_labels is not None and self.on_labels < 1:
            found = str(self.on_labels)
            yield "on_labels", "a number of labels of at least 1, or None", found, SOUND
        if not timedelta(days=1) <= self.cooldown <= LONGEST_COOLDOWN:
            fix = "Harm is judged by whole blocks: a day tells nothing new. Usual are two weeks."
            yield "cooldown", "from 1 to 365 days", _days(self.cooldown), fix
        if not 1 <= self.per_quarter <= QUARTER.days:
            fix = "Leave the triggers out for no early training at all."
            yield "per_quarter", f"from 1 to {QUARTER.days}", str(self.per_quarter), fix
        if self.give_up_after < 1:
            fix = "2 stops after two trainings that did not help."
            yield "give_up_after", "at least 1", str(self.give_up_after), fix

    def _contradictions(
        self, period: timedelta | None, answered_within: timedelta | None
    ) -> Iterator[tuple[str, str, str, str]]:
        if period is not None and self.cooldown >= period:
            yield (
                "cooldown",
                f"less than the time between two trainings on schedule ({_days(period)})",
                _days(self.cooldown),
                "Otherwise no training comes early: shorten it, or leave the triggers out.",
            )
        if answered_within is not None and answered_within > self.cooldown:
            yield (
                "cooldown",
                f"no less than approval_expires ({_days(answered_within)})",
                _days(self.cooldown),
                "An approval must be answered or expire before the next challenger comes.",
            )

    def _idle(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what is declared about early trainings where there are none."""
        if self.is_triggered:
            return
        usual = {one.name: one.default for one in fields(self)}
        for name in ("cooldown", "per_quarter", "give_up_after"):
            if getattr(self, name) != usual[name]:
                found = "a value, and none of these"
                fix = "Declare what starts an early training, or remove it."
                yield name, "on_harm, on_drift or on_labels beside it", found, fix


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g} days"
