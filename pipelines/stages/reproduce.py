"""Reproduce: make a registered model again from what was recorded, and name what differs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.models import (
    champion,
    code_archive,
    decisions,
    environments,
    mlflow_registry,
    probe,
    recipes,
    refit_process,
    registered_versions,
    reproductions,
)
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.diagnosis import blamed, explained, stopped
from pipelines.domain.evidence import Evidence
from pipelines.domain.probe import digest_of
from pipelines.domain.recipe import Recipe, different_files
from pipelines.domain.refitted import Order, Refitted
from pipelines.domain.reproduction import (
    Compared,
    Finding,
    Outcome,
    Reproduced,
    compare,
    data_finding,
    environment_finding,
    environment_notes,
    seed_finding,
    threads_finding,
)
from pipelines.errors import (
    ChampionUnresolved,
    CodeChanged,
    HeadframeError,
    LakeError,
    PlatformError,
    Problem,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

HERE = "here"
REBUILT = "in an environment of the recorded lock"

AS_JUDGED = {
    "declaration_digest": "headframe.declaration",
    "code_digest": "headframe.code",
    "recipe_digest": recipes.DIGEST,
    "probe_digest": probe.DIGEST,
}
"""Facts of the frozen evidence, whose digest the decisions ledger has -> the tags that repeat them.
Evidence of an older release lacks the last two."""

DATA = "headframe.data_versions"


def reproduce(
    use_case: str,
    settings: Settings,
    *,
    version: str,
    as_of: datetime,
    run: str,
    threads: int | None = None,
    rebuild: bool = False,
) -> Reproduced:
    """Fit a version again, compare what it says of its probe set bit for bit, and record the answer.

    ``threads`` are those of the fit, None as recorded. ``rebuild`` fits with the packages of the
    recorded lock, which are installed once. Only what was recorded is read: neither today's
    declaration nor today's code plays a part. Raises ChampionUnresolved when MLflow does not have
    the version or its files, NotEnoughData when it was never judged, so that the decisions ledger
    vouches for none of its code, LakeError when what it recorded was changed since, PlatformError
    when an environment cannot be rebuilt, ServiceUnavailable when waiting may help.
    """
    model, frozen = registered_versions.judged(settings, use_case, version)
    _refuse_other_tags(use_case, model, frozen)
    recipe = recipes.read(settings, model)
    found = Reproduced(
        use_case=use_case,
        version=version,
        as_of=as_of,
        outcome="not_recorded",
        layer=None,
        findings=(),
        compared=Compared(rows=0, differing=0, largest=0.0),
        threads=threads or 1,
        environment=REBUILT if rebuild else HERE,
    )
    if recipe is not None:
        case = _Case(
            settings=settings, use_case=use_case, model=model, recipe=recipe, frozen=frozen
        )
        found = case.judged(replace(found, threads=threads or recipe.threads), rebuild=rebuild)
    reproductions.keep(settings, found, run=run)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What the proof of one use case's champion came to: the answer, or why there is none."""

    use_case: str
    reproduced: Reproduced | None
    trouble: str = ""

    @property
    def wrong(self) -> str:
        """What is wrong with the champion's reproduction; empty where nothing is."""
        if self.reproduced is None:
            return self.trouble
        found = self.reproduced
        broken = found.outcome in ("differs", "not_rebuilt")
        return f"version {found.version}: {found.reason}" if broken else ""

    def describe(self) -> str:
        """Return the answer for the log."""
        if self.reproduced is None:
            return f"{self.use_case}: {self.trouble or 'no champion any more'}"
        return self.reproduced.describe()


def prove_champions(settings: Settings, *, as_of: datetime, run: str) -> Iterator[Proven]:
    """Make the champion of every use case again that has one, and yield each answer as it is known.

    One's trouble keeps back no other. Raises LakeError where the decisions ledger cannot be
    trusted: then nobody knows the champions; after the last, the first error that may pass.
    """
    promoted = {
        entry.decision.use_case
        for entry in decisions.read_all(settings)
        if entry.decision.kind == "promoted"
    }
    may_pass: list[HeadframeError] = []
    for name in sorted(promoted):
        try:
            proven = _proven(name, settings, as_of, run)
        except HeadframeError as error:
            may_pass.append(error)
        else:
            yield proven
    if may_pass:
        raise may_pass[0]


def _proven(use_case: str, settings: Settings, as_of: datetime, run: str) -> Proven:
    try:
        standing = champion.resolve(settings, use_case)
        if standing is None:
            return Proven(use_case=use_case, reproduced=None)
        version = standing.model.version
        found = reproduce(use_case, settings, version=version, as_of=as_of, run=run)
    except HeadframeError as error:
        if error.retryable:
            raise
        return Proven(use_case=use_case, reproduced=None, trouble=str(error.problems[0]))
    return Proven(use_case=use_case, reproduced=found)


@dataclass(kw_only=True)
class _Case:
    """One version under test: what was recorded of it, read once."""

    settings: Settings
    use_case: str
    model: ModelVersion
    recipe: Recipe
    frozen: Evidence
    interpreter: Path | None = field(default=None)

    def judged(self, asked: Reproduced, *, rebuild: bool) -> Reproduced:
        """Return the answer: ``asked`` says on how many threads and where."""
        if (other := self._other_code()) is not None:
            return _ended(asked, "not_rebuilt", other)
        if rebuild:
            self.interpreter = self._rebuilt()
        order = self._order(asked.threads, self.recipe.seed)
        first = self._fitted(order)
        if first.predictions is None:
            return _ended(asked, "not_rebuilt", *stopped(first, self._findings(first)))
        if first.code != self.model.tags["headframe.code"]:
            evidence = f"its process ran other code ({first.code[:12]}) than the archive's"
            return _ended(asked, "not_rebuilt", Finding(layer="code", evidence=evidence))
        compared = compare(self._expected, first.predictions)
        asked = replace(asked, compared=compared, notes=environment_notes(self.recipe, first))
        findings = self._findings(first)
        if not compared.differing:
            return replace(asked, outcome="identical", findings=tuple(findings))
        found = explained(self.recipe, self._expected, first, findings, self._fitted)
        return _ended(asked, "differs", *found)

    def _findings(self, found: Refitted) -> list[Finding]:
        """Return what differs from the recipe, whether or not it plays a part."""
        recipe, versions = self.recipe, self.frozen.data_versions
        several = [seed_finding(recipe, found), threads_finding(recipe, found)]
        if found.columns is not None and found.columns != recipe.columns:
            marks = recipes.row_marks(self.settings, self.model)
            several.insert(0, data_finding(recipe, found, marks, versions))
        if found.surroundings is None and self.interpreter is None:
            # It could not begin: then every package that is installed here may be the reason.
            found = replace(found, surroundings=environments.surroundings(), loaded=None)
        if found.surroundings is not None:
            several.append(environment_finding(recipe, found))
        return [one for one in several if one is not None]

    def _fitted(self, order: Order) -> Refitted:
        found = refit_process.refit(
            self.settings, self._held, order, self._probe[0], interpreter=self.interpreter
        )
        if found.surroundings is None or self.interpreter is not None:
            return found
        # Beside the archived code lies the archived lock; what the packages here come from is ours.
        lock, project = environments.lock_digests()
        here = replace(found.surroundings, lock_sha256=lock, project_sha256=project)
        return replace(found, surroundings=here)

    def _order(self, threads: int, seed: int) -> Order:
        tags = dict(self.model.tags)
        return Order(use_case=self.use_case, tags=tags, seed=seed, threads=threads)

    def _other_code(self) -> Finding | None:
        """Return how the archive is not the code that was trained with; such code is not run."""
        try:
            files = code_archive.files_of(self._held)
        except (CodeChanged, ChampionUnresolved) as error:
            return Finding(layer="code", evidence=error.problems[0].found)
        if code_archive.digest_of_files(files) == self.model.tags["headframe.code"]:
            return None
        other = different_files(self.recipe.files, files)
        return Finding(layer="code", evidence=f"the archive beside it: {', '.join(other)}")

    def _rebuilt(self) -> Path:
        """Return the interpreter of the recorded lock.

        Raises PlatformError where none was kept, or the evidence names no recipe that names it.
        """
        recorded = self.recipe.surroundings
        if not self.frozen.recipe_digest:
            raise PlatformError(
                Problem(
                    where=f"{self.use_case} version {self.model.version}",
                    expected="evidence that says which lock it was trained with",
                    found="evidence of an older release: nothing vouches for the lock in its archive",
                    fix="Train and judge a version with this release, or reproduce without "
                    "--rebuild-environment.",
                )
            )
        if not recorded.lock_sha256:
            raise PlatformError(
                Problem(
                    where=f"{self.use_case} version {self.model.version}",
                    expected="the lock that it was trained with, in its archive",
                    found="none: it was trained where no uv.lock lies beside the package",
                    fix="Install the packages that its recipe names by hand, and reproduce there.",
                )
            )
        lock, project = (
            self._held.get(name, b"") for name in (code_archive.LOCK, code_archive.PROJECT)
        )
        found = [hashlib.sha256(content).hexdigest() for content in (lock, project)]
        if found != [recorded.lock_sha256, recorded.project_sha256]:
            raise _changed(self.use_case, self.model.version, "another lock in its archive")
        return environments.rebuilt(self.settings, lock=lock, project=project)

    @cached_property
    def _held(self) -> dict[str, bytes]:
        archived = mlflow_registry.artifact(self.settings, self.model.run_id, code_archive.FILE)
        return code_archive.contents(archived)

    @cached_property
    def _probe(self) -> "tuple[pa.Table, np.ndarray]":
        """The probe set and what the model said of it. Raises LakeError where that was changed."""
        kept = probe.kept(self.settings, self.model)
        if kept is None:  # every release that writes recipes writes probes
            raise _changed(self.use_case, self.model.version, f"no tag {probe.DIGEST}")
        if digest_of(kept[1]) != self.model.tags[probe.DIGEST]:
            raise _changed(self.use_case, self.model.version, "its probe set, another")
        return kept

    @property
    def _expected(self) -> "np.ndarray":
        return self._probe[1]


def _ended(asked: Reproduced, outcome: Outcome, *findings: Finding) -> Reproduced:
    return replace(asked, outcome=outcome, layer=blamed(findings), findings=findings)


def _refuse_other_tags(use_case: str, model: ModelVersion, frozen: Evidence) -> None:
    """Raise LakeError where a version's tags say otherwise than its frozen evidence, or are gone."""
    other = [
        tag
        for name, tag in AS_JUDGED.items()
        if getattr(frozen, name) not in ("", model.tags.get(tag))
    ]
    if _versions(model) != dict(frozen.data_versions):
        other.append(DATA)
    if other:
        raise _changed(use_case, model.version, f"tags that say otherwise: {', '.join(other)}")


def _versions(model: ModelVersion) -> object:
    """Return the table versions that a version is tagged with; None where the tag is unreadable."""
    try:
        return json.loads(model.tags[DATA])
    except (KeyError, ValueError):
        return None


def _changed(use_case: str, version: str, found: str) -> LakeError:
    return LakeError(
        Problem(
            where=f"{use_case} version {version} in MLflow",
            expected="what was recorded when it was registered, as it was judged",
            found=found,
            fix="Restore MLflow's database and artifacts from a backup.",
        )
    )
