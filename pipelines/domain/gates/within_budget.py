"""The gate that asks whether a challenger is quick and small enough to serve."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from pipelines.domain.evidence import Evidence
from pipelines.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class WithinBudget:
    """Pass when 1,000 predictions cost at most so much CPU, and the model's files at most so many MB.

    CPU milliseconds on one thread, the median of several passes over the probe rows, through the form
    that scoring uses; measured once and frozen with the evidence. CPU time and not the wall clock, so
    that a busy machine refuses nothing (Breck et al., 2017, "The ML Test Score", test Infra 7). 1 MB is
    1,000,000 bytes.

    >>> WithinBudget(milliseconds_per_1000=50, megabytes=20).problems()
    ()
    """

    _: KW_ONLY
    milliseconds_per_1000: float
    megabytes: float | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"footprint"})

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the gate can judge."""
        return tuple(
            f"{name} {value!r} is not above 0"
            for name, value in (
                ("milliseconds_per_1000", self.milliseconds_per_1000),
                ("megabytes", self.megabytes),
            )
            if value is not None and not value > 0.0
        )

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's footprint."""
        found = evidence.examination.footprint if evidence.examination else None
        if found is None:
            return Verdict(
                gate="WithinBudget",
                outcome="too_few",
                reason="Not tested: cost and size of the model were not measured.",
                figures={},
            )
        small = self.megabytes is None or found.megabytes <= self.megabytes
        passed = small and found.milliseconds_per_1000 <= self.milliseconds_per_1000
        room = "" if self.megabytes is None else f" and {self.megabytes:g} MB"
        return Verdict(
            gate="WithinBudget",
            outcome="passed" if passed else "failed",
            reason=(
                f"1,000 predictions take {found.milliseconds_per_1000:.3g} CPU milliseconds and the"
                f" model {found.megabytes:.3g} MB, which is {'within' if passed else 'beyond'}"
                f" {self.milliseconds_per_1000:g} milliseconds{room}."
            ),
            figures={
                "milliseconds_per_1000": found.milliseconds_per_1000,
                "megabytes": found.megabytes,
                "milliseconds_allowed": self.milliseconds_per_1000,
                **({} if self.megabytes is None else {"megabytes_allowed": self.megabytes}),
            },
        )
