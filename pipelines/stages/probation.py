"""Probation: judge the champion on probation by final labels; roll back, let it pass, or wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.adapters.models import decisions, known, paired_predictions, probations, rollbacks
from pipelines.adapters.models.rollbacks import Asked
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import Recorded
from pipelines.domain.digest import digest_of
from pipelines.domain.features import feature_digest
from pipelines.domain.metrics import METRICS
from pipelines.domain.on_probation import (
    ACTOR,
    OnProbation,
    ProbationResult,
    last_result,
    on_probation,
)
from pipelines.domain.probation_verdict import PairedBlock, ProbationVerdict, judge, paired_blocks
from pipelines.domain.succession import succession
from pipelines.use_case import TrainedUseCase, UseCase

NOT_TESTED = {
    "other_view": (
        "Not tested: version {against} reads another feature view, so that no feature row is for both."
    ),
    "gone": "Not tested: the registry has version {against} no more.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How the champion's probation stands after this run, and why.

    ``outcome`` is "none" when nobody is on probation, or something stands in the way of judging.
    """

    outcome: Literal["none", "waiting", "rolled_back", "passed", "untested"]
    reason: str
    version: str = ""
    against: str = ""

    @property
    def is_alarming(self) -> bool:
        """Whether somebody has to know: it ended in a roll back, or without an answer."""
        return self.outcome in ("rolled_back", "untested")

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        if self.outcome == "none":
            return self.reason
        said = {
            "waiting": f"version {self.version} is on probation",
            "rolled_back": f"ROLLED BACK from version {self.version} to version {self.against}",
            "passed": f"version {self.version} passed its probation",
            "untested": f"the probation of version {self.version} ended UNTESTED",
        }
        return f"{said[self.outcome]}: {self.reason}"


def probation(use_case: UseCase, settings: Settings, *, as_of: datetime) -> Judged:
    """Judge the champion that is on probation by the labels that are final at ``as_of``.

    Worse than the version before it beyond the declared doubt: that one is put back, by the same
    steps as a roll back by a person. No worse once every block is final: "probation_passed" is
    recorded, or "probation_untested" where the last look could not tell. Run again, with the same
    ``as_of`` too, it decides nothing twice and says the same; what a kill cut off goes on. A look
    that decides nothing is recorded with its blocks ("probation_looked").
    Raises ChampionUnresolved when the version to roll back to is not what was promoted.
    """
    entries = decisions.read_all(settings, use_case.name)
    under, told = on_probation(entries), succession(entries)
    if under is None:
        return _over(entries, as_of)
    if told.unfinished is not None and probations.is_own(told.unfinished):
        return _roll_back(use_case, settings, under, told.unfinished.reason, as_of)
    if probations.is_frozen_or_moving(told):
        return Judged(
            outcome="none", reason="Not judged: `headframe reconcile` has to be run first."
        )
    if under.promoted.as_of > as_of:
        return Judged(outcome="none", reason=f"At {as_of.isoformat()} nobody was on probation.")
    if why := probations.obstacle(settings, under):
        untested = _judged(under, "untested", NOT_TESTED[why].format(against=under.against))
        return _end(settings, under, untested, (), as_of)
    blocks = final_blocks(use_case, settings, under, as_of)
    verdict = judge(
        under.rule,
        blocks,
        against=under.against,
        unit=_unit(use_case, under),
        looked=len(under.looked),
    )
    return _acted(use_case, settings, under, verdict=verdict, blocks=blocks, as_of=as_of)


def _acted(
    use_case: UseCase,
    settings: Settings,
    under: OnProbation,
    *,
    verdict: ProbationVerdict,
    blocks: Sequence[PairedBlock],
    as_of: datetime,
) -> Judged:
    match verdict.outcome:
        case "waiting":
            _look(settings, under, verdict, blocks, as_of)
            return _judged(under, "waiting", verdict.reason)
        case "worse":
            return _roll_back(use_case, settings, under, verdict.reason, as_of)
        case "no_worse":
            return _end(settings, under, _judged(under, "passed", verdict.reason), blocks, as_of)
        case "too_few":
            return _end(settings, under, _judged(under, "untested", verdict.reason), blocks, as_of)


def _look(
    settings: Settings,
    under: OnProbation,
    verdict: ProbationVerdict,
    blocks: Sequence[PairedBlock],
    as_of: datetime,
) -> None:
    """Record which blocks a look was at that decided nothing; once for each look."""
    number = int(verdict.figures.get("look", 0))
    if number <= len(under.looked):
        return
    probations.look(
        settings,
        under,
        [block.block for block in blocks[:number]],
        as_of=as_of,
        reason=verdict.reason,
        evidence_digest=digest_of(list(blocks[:number])),
    )


def _roll_back(
    use_case: UseCase, settings: Settings, under: OnProbation, reason: str, as_of: datetime
) -> Judged:
    parts = TrainedUseCase.of(use_case)
    back = Asked(
        use_case=use_case.name,
        actor=ACTOR,
        reason=reason,
        as_of=as_of,
        features=feature_digest(parts.features, parts.label),
        to=under.against,
        away_from=under.version,
    )
    rollbacks.roll_back(settings, back)
    return _judged(under, "rolled_back", reason)


def _end(
    settings: Settings,
    under: OnProbation,
    judged: Judged,
    blocks: Sequence[PairedBlock],
    as_of: datetime,
) -> Judged:
    """Record that the probation ended as judged, with the digest of what was compared."""
    kind: decisions.Kind = (
        "probation_passed" if judged.outcome == "passed" else "probation_untested"
    )
    digest = digest_of(list(blocks)) if blocks else ""
    ended = probations.end(
        settings, under, kind, as_of=as_of, reason=judged.reason, evidence_digest=digest
    )
    if ended is None:  # another decision came first
        return _over(decisions.read_all(settings, under.promoted.use_case), as_of)
    return judged


def _over(entries: Sequence[Recorded], as_of: datetime) -> Judged:
    """Return how a probation ended as of this very moment, for a run that did not get to say it."""
    found = last_result(entries)
    if found is None or found.decision.as_of != as_of:
        return Judged(outcome="none", reason="No champion is on probation.")
    return _told(found)


def last_ended(use_case: UseCase, settings: Settings) -> Judged | None:
    """Return how a probation ended, whenever that was; None when the champion moved since, or none did."""
    found = last_result(decisions.read_all(settings, use_case.name))
    return None if found is None else _told(found)


def _told(found: ProbationResult) -> Judged:
    return Judged(
        outcome=found.outcome,
        reason=found.decision.reason,
        version=found.version,
        against=found.against,
    )


def final_blocks(
    use_case: UseCase, settings: Settings, under: OnProbation, as_of: datetime
) -> list[PairedBlock]:
    """Return the blocks of a probation whose labels are all final, compared.

    Those of the last look first, as it saw them, then the others in order of time: a block that was
    scored after a look that was at later ones comes after these.
    """
    parts = TrainedUseCase.of(use_case)
    scoring_times, key = parts.scoring.times, parts.features.entity.key
    both = {
        scoring_times.block_name(time): time
        for time in paired_predictions.both_scored(settings, under)
    }
    final = {
        name: time
        for name, time in both.items()
        if scoring_times.after(time) + parts.label.final_after <= as_of
    }
    ordered = dict.fromkeys((*under.looked, *final))
    # One of the last look that was scored again in one slot alone stays, without a figure.
    names = [name for name in ordered if name in final or name not in both][: under.rule.blocks]
    if len(names) < under.rule.looks[0]:
        # No look is due: nobody asks what they cost, and no label is read.
        return [PairedBlock(block=name, rows=0, champion=None, shadow=None) for name in names]
    times = {final[name]: name for name in names if name in final}
    rows = paired_predictions.paired(settings, under, key=key, blocks=times)
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    declared = under.minimum_labels
    return paired_blocks(
        rows,
        tables.label_states(parts.features.entity, as_of),
        key=key,
        blocks=names,
        loss=str(under.rule.loss),
        minimum_labels=use_case.monitoring.minimum_labels if declared is None else declared,
    )


def _unit(use_case: UseCase, under: OnProbation) -> str:
    label = TrainedUseCase.of(use_case).label
    return METRICS[str(under.rule.loss)].of(label.unit or "").unit


def _judged(
    under: OnProbation,
    outcome: Literal["waiting", "rolled_back", "passed", "untested"],
    reason: str,
) -> Judged:
    return Judged(outcome=outcome, reason=reason, version=under.version, against=under.against)
