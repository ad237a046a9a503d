"""Roll backs: a version that was champion before takes over, and the one it replaces is withdrawn."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import champion, champion_moves, mlflow_registry
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.succession import Succession
from pipelines.errors import Problem, PromotionRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """The candidate version now in production, the one that was, and whether this run did it."""

    version: str
    withdrawn: str
    changed: bool

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        already = "" if self.changed else " (already)"
        return f"champion is version {self.version}, back from version {self.withdrawn}{already}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A roll back as it is asked for: of which use case, by whom, why, as of when (UTC).

    ``features`` is the digest of the feature view that is scored. ``to`` is a version that was
    champion before; None: the last one that was not rolled back from. ``away_from`` is the champion
    that is meant: another one stays.
    """

    use_case: str
    actor: str
    reason: str
    as_of: datetime
    features: str
    to: str | None = None
    away_from: str | None = None

    @property
    def where(self) -> str:
        """What a problem with it is about."""
        return f"roll back of {self.use_case}"


def roll_back(settings: Settings, asked: Asked) -> RolledBack:
    """Make an earlier champion the champion again, in one step; the ledger first, then the alias.

    One that was cut off is finished by running this again. Raises PromotionRefused, and changes
    nothing, when there is no version to go back to that was champion, was not rolled back from
    itself, and reads the present feature view, or when the champion is there by a roll back already
    and neither ``to`` nor ``away_from`` is given; ChampionUnresolved when that version or its files
    are gone or changed, or a promotion is unfinished.
    """
    told = champion.told_of(settings, asked.use_case)
    if (done := _done(asked, told)) is not None:
        return done
    target = _target(asked, told)
    model = _sound(settings, asked, target)
    first = Decision(
        use_case=asked.use_case,
        kind="rolling_back",
        version=target.version,
        actor=asked.actor,
        as_of=asked.as_of,
        reason=asked.reason,
        artifact_sha256=target.artifact_sha256,
        evidence_digest=target.evidence_digest,
    )
    from_version = _standing(asked, told).version

    def allowed(now: Succession) -> None:
        standing = _standing(asked, now)
        if standing.version != from_version or _target(asked, now).version != target.version:
            raise _refused(
                asked,
                expected=f"version {from_version} to be the champion still",
                found=f"version {standing.version}, which became it meanwhile",
                fix="Look at `headframe history`, and decide again.",
            )

    begun = champion_moves.begin(settings, first, allowed)
    champion_moves.finish(settings, begun, model, as_of=asked.as_of)
    return RolledBack(version=target.version, withdrawn=from_version, changed=True)


def _done(asked: Asked, told: Succession) -> RolledBack | None:
    """Return what an earlier run did, where it is known which champion was meant."""
    if asked.away_from is None or told.unfinished is not None:
        return None
    standing = _standing(asked, told)
    if standing.version == asked.away_from:
        return None
    if asked.away_from in told.withdrawn:
        return RolledBack(version=standing.version, withdrawn=asked.away_from, changed=False)
    raise _refused(
        asked,
        expected=f"version {asked.away_from} to be the champion",
        found=f"version {standing.version}",
        fix="Nothing is rolled back: another version has replaced it already.",
    )


def _standing(asked: Asked, told: Succession) -> Decision:
    if told.champion is None:
        raise _refused(
            asked,
            expected="a champion",
            found="none: the last one was retired"
            if told.reigns
            else "none: no candidate was promoted yet",
            fix=f"Train and promote one: trigger {asked.use_case}__train.",
        )
    return told.champion


def _target(asked: Asked, told: Succession) -> Decision:
    """Return the decision that made the version champion to which this goes back."""
    standing = _standing(asked, told)
    cut, to = told.unfinished, asked.to
    if to is None and cut is not None and cut.kind == "rolling_back":
        to = cut.version
    if to is None:
        if told.before is None:
            raise _refused(
                asked,
                expected="a champion before the present one",
                found=f"none but version {standing.version}, or versions rolled back from",
                fix="There is nothing to go back to. Train and promote a version, or pause "
                f"{asked.use_case}__score.",
            )
        _refuse_further_step(asked, told)
        return told.before
    reign = told.reign_of(to)
    if to == standing.version or reign is None or to in told.withdrawn:
        found = f"version {to}, which "
        if to == standing.version:
            found += "is the champion"
        elif reign is None:
            found += "never was champion"
        else:
            how = "retired" if told.withdrawn[to].kind == "retired" else "rolled back from"
            found += f"was {how} by {told.withdrawn[to].actor}"
        raise _refused(
            asked,
            expected="a version that was champion and was not rolled back from",
            found=found,
            fix=f"`headframe history {asked.use_case}` lists them; leave --to out for the last.",
        )
    return reign.began.decision


def _refuse_further_step(asked: Asked, told: Succession) -> None:
    """Raise PromotionRefused where the last move was a step back and nobody named what to leave now.

    The same command twice is then one step, whether a person or a retry gave it again.
    """
    standing = _standing(asked, told)
    if standing.kind == "rolled_back" and asked.away_from is None:
        left = told.reigns[-2].version
        raise _refused(
            asked,
            expected=f"word that version {standing.version} is the one to go back from",
            found=f"a champion that is already back from version {left}, by {standing.actor}",
            fix=f"Say --from {standing.version} to go further back.",
        )


def _sound(settings: Settings, asked: Asked, target: Decision) -> ModelVersion:
    """Return the version after its files were verified, loaded, and found to fit what is scored."""
    model = champion.once(settings, asked.use_case, target.version).model
    if model.tags["headframe.features"] != asked.features:
        raise _refused(
            asked,
            expected="a version trained on the feature view that is scored",
            found=f"version {model.version}, trained on another",
            fix="Deploy the declaration it was trained with, or name another version with --to.",
        )
    mlflow_registry.load(settings, asked.use_case, model)
    return model


def _refused(asked: Asked, *, expected: str, found: str, fix: str) -> PromotionRefused:
    return PromotionRefused(Problem(where=asked.where, expected=expected, found=found, fix=fix))
