"""History: the decisions about a use case told in order, and what was in production at a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import shorten

from pipelines.domain.decision import Decision, Kind, Recorded
from pipelines.domain.succession import STARTS, succession

REASON_CHARACTERS = 160
"""Of a reason in a line of the timeline; the ledger and ``--json`` have all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line of the timeline: entry number, moment (UTC), who, what in words, and why in full."""

    sequence: int
    as_of: datetime
    kind: str
    version: str
    actor: str
    text: str
    reason: str
    evidence_digest: str

    def describe(self) -> str:
        """Return the line; a long reason is cut short."""
        why = f": {shorten(self.reason, REASON_CHARACTERS, placeholder=' ...')}"
        told = f"{self.actor} {self.text}{why if self.reason else ''}"
        return f"{self.sequence:>4}  {self.as_of:%Y-%m-%d %H:%M}  {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """What was in production at a moment (UTC), by the ledger; ``version`` is empty for nothing.

    ``since`` is when it became champion, ``by`` who promoted it or rolled back to it, ``approver``
    the person who said yes to that evidence (empty where the gates alone decide). ``data_versions``
    are those that it was trained on, None where its evidence cannot be read any more: ``lost`` says
    why. ``stopped`` says why nothing was scored with it just then; empty otherwise.
    """

    use_case: str
    at: datetime
    version: str = ""
    since: datetime | None = None
    began: str = ""
    by: str = ""
    approver: str = ""
    evidence_digest: str = ""
    artifact_sha256: str = ""
    data_versions: Mapping[str, int] | None = None
    lost: str = ""
    stopped: str = ""

    def describe(self) -> str:
        """Return the answer in one sentence."""
        when = f"At {self.at:%Y-%m-%d %H:%M} UTC"
        if not self.version or self.since is None:
            return f"{when} {self.use_case} had no champion{self._stopped()}."
        approved = (
            f"approved by {self.approver}" if self.approver else "approved by its gates alone"
        )
        how = "promoted" if self.began == "promoted" else "put back"
        return (
            f"{when} {self.use_case} was served by version {self.version}, champion since "
            f"{self.since:%Y-%m-%d %H:%M} ({how} by {self.by}), {approved} on evidence "
            f"{self.evidence_digest[:12]}, artifact {self.artifact_sha256[:12]}, trained on "
            f"{self._data()}{self._stopped()}."
        )

    def _data(self) -> str:
        if self.data_versions is None:
            return f"data that is no longer known ({self.lost})"
        return ", ".join(f"{name} {number}" for name, number in sorted(self.data_versions.items()))

    def _stopped(self) -> str:
        return f"; nothing was scored then: {self.stopped}" if self.stopped else ""


TEXTS: dict[Kind, str] = {
    "accepted": "accepted the declaration {on}",
    "consented": "recorded that a consumer agrees to a changed declaration",
    "requested": "asked for version {version}",
    "evaluated": "judged version {version}, evidence {on}",
    "approved": "approved version {version} on evidence {on}",
    "rejected": "rejected version {version} on evidence {on}",
    "promoting": "began to promote version {version}, which was cut off",
    "promoted": "made version {version} the champion{after}",
    "undone": "gave up the move to version {version}",
    "probation_declared": "put version {version} on probation",
    "probation_looked": "looked at version {version} on probation, which goes on",
    "probation_passed": "saw version {version} pass its probation",
    "probation_untested": "saw the probation of version {version} end untested",
    "rolling_back": "began to roll back to version {version}, which was cut off",
    "rolled_back": "rolled back to version {version}, withdrawing version {before}",
    "frozen": "froze version {version}: nothing is scored with it",
    "repaired": "let version {version} be used again",
    "retired": "retired version {version}: no champion follows it",
}
"""What a line says that somebody did, by the kind of decision."""


def timeline(entries: Sequence[Recorded]) -> list[Told]:
    """Return the lines about one use case, in order; of a move that was ended, its last entry."""
    lines, before = [], ""
    starts = [entry.sequence for entry in entries if entry.decision.kind in STARTS]
    cut_off = starts[-1:] if succession(entries).unfinished is not None else []
    for entry in entries:
        decision = entry.decision
        if decision.kind in STARTS and entry.sequence not in cut_off:
            continue
        text = TEXTS[decision.kind].format(
            version=decision.version,
            on=decision.evidence_digest[:12],
            before=before,
            after=f" after version {before}" if before else "",
        )
        lines.append(
            Told(
                sequence=entry.sequence,
                as_of=decision.as_of,
                kind=decision.kind,
                version=decision.version,
                actor=decision.actor,
                text=text,
                reason=decision.reason,
                evidence_digest=decision.evidence_digest,
            )
        )
        if decision.kind in STARTS.values():
            before = decision.version
        elif decision.kind == "retired":
            before = ""
    return lines


def production(use_case: str, entries: Sequence[Recorded], at: datetime) -> Production:
    """Return what the ledger says was in production at a moment (UTC), its data versions apart."""
    then = [entry for entry in entries if entry.decision.as_of <= at]
    told = succession(then)
    stopped = ""
    if told.unfinished is not None:
        stopped = f"version {told.unfinished.version} was about to take over"
    elif told.frozen is not None:
        stopped = f"it was frozen by {told.frozen.actor}, {told.frozen.reason}"
    if told.champion is None:
        return Production(use_case=use_case, at=at, stopped=stopped)
    champion = told.champion
    return Production(
        use_case=use_case,
        at=at,
        version=champion.version,
        since=champion.as_of,
        began=champion.kind,
        by=champion.actor,
        approver=_approver(then, champion),
        evidence_digest=champion.evidence_digest,
        artifact_sha256=champion.artifact_sha256,
        stopped=stopped,
    )


def _approver(entries: Sequence[Recorded], champion: Decision) -> str:
    """Return who approved the evidence that a champion was promoted on; empty for nobody."""
    answers = [
        entry.decision
        for entry in entries
        if entry.decision.kind in ("approved", "rejected")
        and entry.decision.version == champion.version
        and entry.decision.evidence_digest == champion.evidence_digest
    ]
    return answers[-1].actor if answers and answers[-1].kind == "approved" else ""
