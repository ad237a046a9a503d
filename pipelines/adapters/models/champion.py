"""The champion: what ledger, alias and artifact agree on, or nothing."""

import time
from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.models import champion_alias, decisions, judged_tags, mlflow_registry, probe
from pipelines.adapters.models.champion_alias import Copy
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import rewritten
from pipelines.domain.probe import Scorer
from pipelines.domain.succession import Succession, champion_at, succession
from pipelines.errors import ChampionUnresolved, Problem

PATIENCE = (0.2, 0.8, 1.5, 2.5)
"""Seconds between looks at what a move under way explains: from its first entry to its last."""


class _Disagreement(ChampionUnresolved):
    """What a move under way explains, as long as that lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The model in production: its candidate version and the decision that put it there.

    ``promoted`` is of kind "promoted", or "rolled_back" where a roll back led to this version.
    """

    model: ModelVersion
    promoted: Decision


def resolve(settings: Settings, use_case: str) -> Champion | None:
    """Return the champion, or None when none was ever promoted.

    The ledger is the truth. Raises ChampionUnresolved when the alias or the artifact's recorded
    digest says otherwise, when the last move did not finish, and when the champion is frozen;
    LakeError when the ledger is not the one that was published with the alias. What a move under way
    explains is looked at again, for the seconds that one takes, before it is an error.
    """
    for wait in PATIENCE:
        try:
            return _resolved(settings, use_case)
        except _Disagreement:
            time.sleep(wait)
    try:
        return _resolved(settings, use_case)
    except _Disagreement as error:
        raise ChampionUnresolved(*error.problems) from None


def _resolved(settings: Settings, use_case: str) -> Champion | None:
    # The alias first: what it shows of the ledger is then in what is read of it, whoever appends.
    alias = champion_alias.standing(settings, use_case)
    entries = decisions.read_all(settings)
    told = succession([entry for entry in entries if entry.decision.use_case == use_case])
    published = [alias.anchor] if alias is not None and alias.anchor is not None else []
    if (found := rewritten(entries, published)) is not None:
        raise decisions.broken(found)
    if told.champion is None and told.unfinished is None:
        if alias is not None:
            raise _unresolved(
                use_case,
                expected="no champion alias: "
                + ("the champion was retired" if told.reigns else "none was promoted"),
                found="an alias set by hand",
                fix=f"`headframe reconcile {use_case} --repair` takes it away.",
            )
        return None
    _refuse_unusable(use_case, told)
    if told.champion is None:
        return None
    champion = _verified(settings, told.champion)
    if alias is None or not alias.is_of(use_case, champion.model):
        raise _Disagreement(
            _about(
                use_case,
                expected=f"the champion alias on version {champion.model.version}, as the ledger "
                "says",
                found=elsewhere(alias, champion.model),
                fix="Nothing is scored until they agree: "
                f"`headframe reconcile {use_case} --repair` moves the alias back.",
            )
        )
    if alias.anchor is None:
        raise ChampionUnresolved(unanchored(use_case))
    return champion


def at(settings: Settings, use_case: str, moment: datetime) -> Champion | None:
    """Return who was champion at a moment (UTC), to look at.

    None when nobody was, or a version that was rolled back from or retired since. Raises as ``resolve``.
    """
    present = resolve(settings, use_case)
    if present is not None and present.promoted.as_of <= moment:
        return present
    entries = decisions.read_all(settings, use_case)
    version = champion_at(entries, moment)
    if not version or version in succession(entries).withdrawn:
        return None
    return once(settings, use_case, version)


def pinned(settings: Settings, use_case: str, version: str) -> Champion:
    """Return a version that was the champion when a run began, as the ledger knows it.

    Raises ChampionUnresolved for a version that was never promoted, was rolled back from since, or
    is frozen.
    """
    told = told_of(settings, use_case)
    if (decision := told.withdrawn.get(version)) is not None:
        how = "retired" if decision.kind == "retired" else "rolled back from"
        raise _unresolved(
            use_case,
            expected=f"a version that was not {how}",
            found=f"version {version}, {how} by {decision.actor}: {decision.reason}",
            fix="Start the run anew: it scores with the present champion.",
        )
    if told.frozen is not None and told.frozen.version == version:
        _refuse_frozen(use_case, told.frozen)
    return once(settings, use_case, version)


def once(settings: Settings, use_case: str, version: str) -> Champion:
    """Return a version that is or was the champion, to look at and not to score with.

    Raises ChampionUnresolved for a version that was never promoted.
    """
    reign = told_of(settings, use_case).reign_of(version)
    if reign is None:
        raise _unresolved(
            use_case,
            expected="a version that was promoted",
            found=f"version {version}, which never was",
            fix="Score with the champion, or promote that version first.",
        )
    return _verified(settings, reign.began.decision)


def to_score_with(
    settings: Settings, use_case: str, *, features: str, version: str | None = None
) -> Champion:
    """Return the champion, or the version that a run pinned, for rows of a feature view.

    Raises ChampionUnresolved when there is none, or it was trained on another view.
    """
    champion = resolve(settings, use_case)
    where = f"scoring of {use_case}"
    if champion is None:
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="a champion",
                found="none: no candidate was promoted yet",
                fix=f"Train and promote one: trigger {use_case}__train.",
            )
        )
    if version is not None and champion.model.version != version:
        champion = pinned(settings, use_case, version)
    if champion.model.tags["headframe.features"] != features:
        raise ChampionUnresolved(
            Problem(
                where=where,
                expected="the feature view the champion was trained on",
                found="a feature function, contract or label rule that changed since",
                fix=f"Train and promote a model on the new view: trigger {use_case}__train.",
            )
        )
    return champion


def told_of(settings: Settings, use_case: str) -> Succession:
    """Return what the ledger says of a use case's champions."""
    return succession(decisions.read_all(settings, use_case))


def scorer(settings: Settings, use_case: str, champion: Champion) -> Scorer:
    """Return what predicts with the champion: its files verified, and its probe set predicted again.

    Raises ChampionUnresolved when the model no longer says of its probe set what it said when it
    was registered.
    """
    model = mlflow_registry.load(settings, use_case, champion.model)
    return probe.scorer(settings, use_case, champion.model, model)


def other_artifact(model: ModelVersion, promoted: Decision) -> ChampionUnresolved:
    """Return the error of a version whose digest in MLflow is not the one that was decided on."""
    return _unresolved(
        promoted.use_case,
        expected=f"the artifact that was promoted, digest {promoted.artifact_sha256[:12]}",
        found=f"digest {model.artifact_sha256[:12] or 'none'} on version {model.version} in MLflow",
        fix="Restore the version's tag, or roll back: "
        f"`headframe rollback {promoted.use_case} --reason ...`.",
    )


def elsewhere(alias: Copy | None, wanted: ModelVersion) -> str:
    """Return, in words, where an alias is that is not on the wanted version."""
    if alias is None:
        return "no alias"
    if alias.run_id == wanted.run_id:
        return "an alias on a copy that names other files"
    return "an alias on another version, moved by hand"


def unanchored(use_case: str) -> Problem:
    """Return the problem of an alias that shows nothing of the ledger, which could then be any."""
    return _about(
        use_case,
        expected=f"a digest of the decisions ledger beside the alias, as tag {champion_alias.ANCHOR}",
        found="none: it was removed, or an older release set the alias",
        fix="Hold `headframe history` against what you know; "
        f"`headframe reconcile {use_case} --repair` publishes the ledger as it is.",
    )


def _verified(settings: Settings, promoted: Decision) -> Champion:
    """Return the promoted version; its digest and its tags must be those that were promoted."""
    model = mlflow_registry.candidate(settings, promoted.use_case, promoted.version)
    if model.artifact_sha256 != promoted.artifact_sha256:
        raise other_artifact(model, promoted)
    judged_tags.refuse_changed(settings, promoted.use_case, model)
    return Champion(model=model, promoted=promoted)


def _refuse_unusable(use_case: str, told: Succession) -> None:
    """Raise ChampionUnresolved for a move that was cut off, or a champion that is frozen."""
    if (cut := told.unfinished) is not None:
        move = "promotion of" if cut.kind == "promoting" else "roll back to"
        raise _Disagreement(
            _about(
                use_case,
                expected=f"the {move} version {cut.version} to be finished",
                found="one that was cut off",
                fix="Nothing is scored until it is: clear its task, or let "
                f"`headframe reconcile {use_case} --repair` finish it.",
            )
        )
    if told.frozen is not None:
        _refuse_frozen(use_case, told.frozen)


def _refuse_frozen(use_case: str, frozen: Decision) -> None:
    raise _unresolved(
        use_case,
        expected="a champion that is what was promoted",
        found=f"version {frozen.version}, frozen by {frozen.actor}: {frozen.reason}",
        fix=f"Restore what is named and run `headframe reconcile {use_case} --repair`, or "
        f"`headframe rollback {use_case} --reason ...`; with nothing to go back to, "
        f"`headframe reconcile {use_case} --retire --reason ...`.",
    )


def _unresolved(use_case: str, *, expected: str, found: str, fix: str) -> ChampionUnresolved:
    return ChampionUnresolved(_about(use_case, expected=expected, found=found, fix=fix))


def _about(use_case: str, *, expected: str, found: str, fix: str) -> Problem:
    return Problem(where=f"champion of {use_case}", expected=expected, found=found, fix=fix)
