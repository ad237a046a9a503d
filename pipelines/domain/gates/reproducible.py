"""The gate that asks whether a challenger can be made again."""

from dataclasses import dataclass
from typing import ClassVar

from pipelines.domain.evidence import Evidence
from pipelines.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Reproducible:
    """Pass when the model fitted again predicts its probe rows as it did, bit by bit.

    Same rows from the recorded Delta versions, same code, same seed, one thread, same machine: any
    difference is chance that nobody wrote down (Pineau et al., 2021). It makes no error of chance
    where the fit is deterministic.

    >>> Reproducible().problems()
    ()
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reproduction"})

    def problems(self) -> tuple[str, ...]:
        """Return nothing: there are no arguments."""
        return ()

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's reproduction."""
        found = evidence.examination.reproduction if evidence.examination else None
        if found is None or not found.rows:
            return Verdict(
                gate="Reproducible",
                outcome="too_few",
                reason="Not tested: the model was not fitted again.",
                figures={},
            )
        passed = found.differing == 0
        return Verdict(
            gate="Reproducible",
            outcome="passed" if passed else "failed",
            reason=f"Fitted again it predicts all {found.rows} probe rows as before, bit by bit."
            if passed
            else (
                f"Fitted again it predicts {found.differing} of {found.rows} probe rows otherwise, by"
                f" up to {found.largest:.3g}."
            ),
            figures={
                "rows": float(found.rows),
                "differing": float(found.differing),
                "largest": found.largest,
            },
        )
