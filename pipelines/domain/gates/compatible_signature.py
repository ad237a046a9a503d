"""The gate that asks whether whoever feeds the champion can feed a challenger, too."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from pipelines.domain.evidence import Evidence
from pipelines.domain.verdict import Verdict

MOST_NAMED = 3
"""Inputs named in one reason."""


@dataclass(frozen=True, slots=True)
class CompatibleSignature:
    """Pass when a challenger reads nothing that the champion did not, and reads it as the same kind.

    Consumers who load the registered model under its alias give it the champion's inputs: a further
    one, or a text where there was a number, breaks them; one less does not (Liskov and Wing, 1994: a
    replacement may ask for less, never for more). ``consented`` names inputs that they agreed to.
    It compares names and makes no error of chance. Without a champion it is not applicable.

    >>> CompatibleSignature(consented=("wind_speed",)).problems()
    ()
    """

    _: KW_ONLY
    consented: tuple[str, ...] = ()

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the argument; empty when the gate can judge."""
        sound = isinstance(self.consented, tuple) and all(self.consented)
        return () if sound else (f"consented {self.consented!r} is no tuple of names of inputs",)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge from the examination's inputs."""
        if evidence.champion is None:
            return Verdict(
                gate="CompatibleSignature",
                outcome="not_applicable",
                reason="There is no champion whose inputs anyone could rely on yet.",
                figures={},
            )
        inputs = evidence.examination.inputs if evidence.examination else {}
        if not {"challenger", "champion"} <= set(inputs):
            return Verdict(
                gate="CompatibleSignature",
                outcome="too_few",
                reason="Not tested: the evidence lacks the inputs of challenger or champion.",
                figures={},
            )
        before, after = inputs["champion"], inputs["challenger"]
        added = [name for name in after if name not in before]
        turned = [name for name in after if name in before and after[name] != before[name]]
        broken = [name for name in (*added, *turned) if name not in self.consented]
        gone = len(set(before) - set(after))
        return Verdict(
            gate="CompatibleSignature",
            outcome="failed" if broken else "passed",
            reason=(
                f"Whoever feeds the champion lacks {_named(broken, after)}: name them as consented"
                " when every consumer agrees."
            )
            if broken
            else (
                f"Of {len(after)} inputs none is new to those who feed the champion, {gone} of its"
                " own are no longer needed."
            ),
            figures={
                "inputs": float(len(after)),
                "added": float(len(added)),
                "turned": float(len(turned)),
                "gone": float(gone),
                "not_consented": float(len(broken)),
            },
        )


def _named(names: Sequence[str], kinds: Mapping[str, str]) -> str:
    told = [f"{name} ({kinds[name]})" for name in names[:MOST_NAMED]]
    more = len(names) - MOST_NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")
