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
from pipelines.domain.on_probation import ACTOR, OnProbation, last_result, on_probation
from pipelines.domain.probation_verdict import PairedBlock, ProbationVerdict, judge, paired_blocks
from pipelines.domain.succession import succession
from pipelines.domain.windows import block_name, next_scoring_time
from pipelines.use_case import TrainedUseCase, UseCase

OTHER_VIEW = (
    "Not tested: version {against} reads another feature view, so that no feature row is for both."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How the champion's probation stands after this run, and why.

    ``outcome`` is "none" when nobody is on probation, or something stands in the way of judging.
    """

    outcome: Literal["none", "waiting", "rolled_back", "passed", "untested"]
    reason: str
    version: str = ""
    against: str = ""

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
    ``as_of`` too, it decides nothing twice and says the same; what a kill cut off goes on.
    Raises ChampionUnresolved when the version to roll back to is not what was promoted.
    """
    entries = decisions.read_all(settings, use_case.name)
    under, told = on_probation(entries), succession(entries)
    if under is None:
        return _over(entries, as_of)
    if told.unfinished is not None and probations.is_own(told.unfinished):
        return _roll_back(use_case, settings, under, told.unfinished.reason, told.unfinished.as_of)
    if probations.is_frozen_or_moving(told):
        return Judged(
            outcome="none", reason="Not judged: `headframe reconcile` has to be run first."
        )
    if under.promoted.as_of > as_of:
        return Judged(outcome="none", reason=f"At {as_of.isoformat()} nobody was on probation.")
    if not probations.is_comparable(settings, under):
        untested = _judged(under, "untested", OTHER_VIEW.format(against=under.against))
        return _end(settings, under, untested, (), as_of)
    blocks = _final_blocks(use_case, settings, under, as_of)
    verdict = judge(under.rule, blocks, against=under.against, unit=_unit(use_case, under))
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
            return _judged(under, "waiting", verdict.reason)
        case "worse":
            return _roll_back(use_case, settings, under, verdict.reason, as_of)
        case "no_worse":
            return _end(settings, under, _judged(under, "passed", verdict.reason), blocks, as_of)
        case "too_few":
            return _end(settings, under, _judged(under, "untested", verdict.reason), blocks, as_of)


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
    return Judged(
        outcome=found.outcome,
        reason=found.decision.reason,
        version=found.version,
        against=found.against,
    )


def _final_blocks(
    use_case: UseCase, settings: Settings, under: OnProbation, as_of: datetime
) -> list[PairedBlock]:
    """Return the blocks of a probation whose labels are all final, compared, in order of time."""
    parts = TrainedUseCase.of(use_case)
    scoring, key = parts.scoring, parts.features.entity.key
    both = paired_predictions.both_scored(settings, under)[: under.rule.blocks]
    times = [
        time
        for time in both
        if next_scoring_time(time, scoring.at, scoring.timezone) + parts.label.final_after <= as_of
    ]
    names = [block_name(time, scoring.timezone) for time in times]
    if len(times) < under.rule.looks[0]:
        # No look is due: nobody asks what they cost, and no label is read.
        return [PairedBlock(block=name, rows=0, champion=None, shadow=None) for name in names]
    rows = paired_predictions.paired(
        settings, under, key=key, blocks=dict(zip(times, names, strict=True))
    )
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    return paired_blocks(
        rows,
        tables.label_states(parts.features.entity, as_of),
        key=key,
        blocks=names,
        loss=str(under.rule.loss),
        minimum_labels=use_case.monitoring.minimum_labels,
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
