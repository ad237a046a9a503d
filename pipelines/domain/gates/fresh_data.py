"""The gate that asks whether a challenger was judged on recent days."""

from dataclasses import dataclass
from datetime import date, datetime

from pipelines.domain.evidence import Evidence
from pipelines.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class FreshData:
    """Pass when the newest held-out block is at most ``days`` older than the evidence.

    A model trained while a feed or its labels stood still was judged on a world that may be gone:
    staleness costs accuracy (Breck et al., 2017, "The ML Test Score", test Model 4). The evidence is
    as old as the training: where people approve, ``approval_expires`` says how long it may wait then.
    It compares two dates and makes no error of chance. Count the days that labels take to become
    final, too. A block's first day counts: of a weekly one count the week, too.

    >>> FreshData(14).problems()
    ()
    """

    days: int

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the argument; empty when the gate can judge."""
        return () if self.days >= 1 else (f"days {self.days!r} is not at least 1",)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the held-out window's last day and the time of the evidence."""
        newest = date.fromisoformat(evidence.held_out_window[1])
        age = (datetime.fromisoformat(evidence.as_of).date() - newest).days
        passed = age <= self.days
        return Verdict(
            gate="FreshData",
            outcome="passed" if passed else "failed",
            reason=(
                f"The newest day it was judged on, {newest}, is {age} days old, which is"
                f" {'within' if passed else 'beyond'} {self.days}."
            ),
            figures={"age_days": float(age), "days": float(self.days)},
        )
