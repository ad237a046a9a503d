"""Champion findings: ledger, registry and files held against each other, with every difference."""

from collections.abc import Iterator

from pipelines.adapters.models import (
    champion,
    champion_alias,
    data_pins,
    judged_tags,
    mlflow_registry,
    published_ledger,
)
from pipelines.adapters.models.decisions import Decision, Recorded
from pipelines.adapters.settings import Settings
from pipelines.domain.reconciliation import Finding, Remedy
from pipelines.domain.succession import Succession, succession
from pipelines.errors import HeadframeError, LakeError, Problem


def look(settings: Settings, use_case: str) -> list[Finding]:
    """Return everything that disagrees about a use case's champions, gravest first.

    The files of the champion and of the version that a roll back leads to are read and loaded, of
    earlier ones only the registry's entries. Raises ServiceUnavailable when MLflow does not answer,
    LakeError when its database is gone.
    """
    if not data_pins.has_registry(settings):
        return []
    try:
        entries = published_ledger.published_entries(settings)
        while found := list(_differences(settings, use_case, entries)):
            now = published_ledger.published_entries(settings)
            if len(now) == len(entries):
                break
            entries = now  # somebody decided meanwhile, which may be all that differed
    except LakeError as error:
        if error.retryable:
            raise
        # Nothing that the ledger says can be held against anything.
        return [
            Finding(what="ledger", problem=problem, remedy="none") for problem in error.problems
        ]
    return found


def _differences(settings: Settings, use_case: str, entries: list[Recorded]) -> Iterator[Finding]:
    told = succession([entry for entry in entries if entry.decision.use_case == use_case])
    if told.unfinished is not None:
        yield _cut_off(settings, told.unfinished)
    fault = None if told.champion is None else _fault(settings, told.champion)
    if fault is not None:
        remedy: Remedy = "freeze" if told.frozen is None else "none"
        version = told.champion.version if told.champion else ""
        yield Finding(what="champion", problem=fault, remedy=remedy, version=version)
    else:
        yield from _frozen_in_vain(told)
        if told.unfinished is None:
            yield from _astray(settings, use_case, told)
    yield from _earlier(settings, told)


def _cut_off(settings: Settings, cut: Decision) -> Finding:
    fault = _fault(settings, cut)
    move = "promotion of" if cut.kind == "promoting" else "roll back to"
    name = cut.use_case
    if fault is None:
        fix, found = f"`headframe reconcile {name} --repair` finishes it.", "one that was cut off"
    else:
        found = f"one that was cut off, and {fault.found} (expected {fault.expected})"
        fix = (
            f"`headframe reconcile {name} --repair` gives it up; the champion before it stays."
            if cut.kind == "promoting"
            else f"Name another version: `headframe rollback {name} --to VERSION --reason ...`."
        )
    given_up: Remedy = "undo" if cut.kind == "promoting" else "none"
    return Finding(
        what="unfinished",
        problem=Problem(
            where=f"champion of {name}",
            expected=f"the {move} version {cut.version} to be finished",
            found=found,
            fix=fix,
        ),
        remedy="finish" if fault is None else given_up,
    )


def _frozen_in_vain(told: Succession) -> Iterator[Finding]:
    frozen = told.frozen
    if frozen is None:
        return
    yield Finding(
        what="frozen",
        problem=Problem(
            where=f"champion of {frozen.use_case}",
            expected=f"version {frozen.version} in use: it is what was promoted",
            found=f"frozen by {frozen.actor}: {frozen.reason}",
            fix=f"`headframe reconcile {frozen.use_case} --repair` lets it be used again.",
        ),
        remedy="unfreeze",
        version=frozen.version,
    )


def _astray(settings: Settings, use_case: str, told: Succession) -> Iterator[Finding]:
    alias = champion_alias.standing(settings, use_case)
    if told.champion is None:
        if alias is not None:
            expected = "no champion alias: none was promoted"
            if told.reigns:
                expected = "no champion alias: the champion was retired"
            yield _alias(use_case, expected=expected, found="an alias set by hand")
        return
    wanted = mlflow_registry.candidate(settings, use_case, told.champion.version)
    if alias is not None and alias.is_of(use_case, wanted):
        if alias.anchor is None:
            yield Finding(what="anchor", problem=champion.unanchored(use_case), remedy="alias")
        return
    yield _alias(
        use_case,
        expected=f"the champion alias on version {wanted.version}, as the ledger says",
        found=champion.elsewhere(alias, wanted),
    )


def _alias(use_case: str, *, expected: str, found: str) -> Finding:
    return Finding(
        what="alias",
        problem=Problem(
            where=f"champion of {use_case}",
            expected=expected,
            found=found,
            fix=f"`headframe reconcile {use_case} --repair` puts it where the ledger says.",
        ),
        remedy="alias",
    )


def _earlier(settings: Settings, told: Succession) -> Iterator[Finding]:
    """Yield what is wrong with earlier champions: no reason to stop, but nothing to go back to."""
    present = told.champion.version if told.champion else None
    back_to = told.before.version if told.before else None
    last = {reign.version: reign.began.decision for reign in told.reigns}
    for version, decision in last.items():
        if version == present or _is_retired(told, version):
            continue
        fault = _fault(settings, decision, files=version == back_to)
        if fault is not None:
            yield Finding(
                what=f"earlier champion {version}", problem=fault, remedy="none", stops=False
            )


def _is_retired(told: Succession, version: str) -> bool:
    """Tell whether somebody has said already that a version is lost."""
    decision = told.withdrawn.get(version)
    return decision is not None and decision.kind == "retired"


def _fault(settings: Settings, decision: Decision, *, files: bool = True) -> Problem | None:
    """Return why a version is not the one that a decision was about; None when it is."""
    use_case = decision.use_case
    try:
        model = mlflow_registry.candidate(settings, use_case, decision.version)
        if model.artifact_sha256 != decision.artifact_sha256:
            raise champion.other_artifact(model, decision)
        judged_tags.refuse_changed(settings, use_case, model)
        if files:
            mlflow_registry.load(settings, use_case, model)
    except HeadframeError as error:
        if error.retryable:
            raise
        return error.problems[0]
    return None
