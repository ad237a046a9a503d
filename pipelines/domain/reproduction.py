"""Reproduction: whether a model made again is the same one, and which layer differs where not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.domain.feature_query import AS_OF
from pipelines.domain.labels import LABEL
from pipelines.domain.recipe import Recipe, different_packages
from pipelines.domain.refitted import KEY, Refitted
from pipelines.domain.row_marks import changes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Layer: TypeAlias = Literal["data", "code", "environment", "seed", "threads", "unknown"]

Outcome: TypeAlias = Literal["identical", "differs", "not_rebuilt", "not_recorded"]
"""``not_rebuilt``: it could not be fitted at all; ``not_recorded``: an older release kept no recipe."""

EXAMPLES = 3
"""Rows named in one finding; PACKAGES_SHOWN packages."""

PACKAGES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What differs in one layer, and whether putting it back gave the recorded predictions.

    ``cause`` is None where that was not tried.
    """

    layer: Layer
    evidence: str
    cause: bool | None = None

    def describe(self) -> str:
        """Return it as a line."""
        tried = {
            True: ": put back, the predictions are the recorded ones",
            False: ": put back, they differ still",
            None: "",
        }
        return f"{self.layer}: {self.evidence}{tried[self.cause]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Probe rows predicted again: how many, how many differ in any bit, and by how much at most."""

    rows: int
    differing: int
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """The answer about one version. ``layer`` is None unless it differs or could not be made.

    ``environment`` says where it was fitted: "here", or in one of the recorded lock. ``notes`` are
    differences that play no part.
    """

    use_case: str
    version: str
    as_of: datetime
    outcome: Outcome
    layer: Layer | None
    findings: tuple[Finding, ...]
    compared: Compared
    threads: int
    environment: str
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The answer in a sentence or two."""
        seen, threads = (
            self.compared,
            "1 thread" if self.threads == 1 else f"{self.threads} threads",
        )
        if self.outcome == "not_recorded":
            return "Not tested: the release that registered it recorded no recipe. Train again."
        if self.outcome == "identical":
            return (
                f"Fitted again {self.environment} on {threads}, it predicts all {seen.rows:,} probe "
                "rows as it did, bit for bit."
            )
        named = [found for found in self.findings if found.layer == self.layer]
        because = "; ".join(found.describe() for found in named)
        if self.outcome == "not_rebuilt":
            return f"It cannot be made again: {because}."
        return (
            f"Fitted again {self.environment} on {threads}, it predicts {seen.differing:,} of "
            f"{seen.rows:,} probe rows otherwise, by up to {seen.largest:.3g}: "
            f"{because or 'in nothing that was recorded does it differ'}."
        )

    def describe(self) -> str:
        """Return verdict, reason, and what else differs, for the log and the terminal."""
        verdict = self.outcome.replace("_", " ")
        others = [found for found in self.findings if found.layer != self.layer]
        return "\n".join(
            [
                f"{self.use_case} version {self.version}: {verdict}. {self.reason}",
                *(f"  also {found.describe()}" for found in others),
                *(f"  {note}" for note in self.notes),
            ]
        )


def compare(expected: "np.ndarray", found: "np.ndarray") -> Compared:
    """Compare predictions (float64) bit for bit; the largest difference is of finite ones."""
    import numpy as np

    apart = np.abs(found - expected)
    return Compared(
        rows=len(expected),
        differing=int((found.view("i8") != expected.view("i8")).sum()),
        largest=float(np.nanmax(apart, initial=0.0)),
    )


def data_finding(
    recipe: Recipe, found: Refitted, recorded: "pa.Table", versions: Mapping[str, int]
) -> Finding | None:
    """Return where the training rows are not the recorded ones; None when they are.

    ``recorded`` are the marks kept beside the model, ``versions`` the table versions it names.
    """
    assert found.columns is not None  # noqa: S101 - it came to fit
    assert found.marks is not None  # noqa: S101 - as above
    names = sorted({*recipe.columns, *found.columns})
    other = [name for name in names if recipe.columns.get(name) != found.columns.get(name)]
    if not other:
        return None
    seen = changes(recorded, found.marks)
    use_case = found.order.use_case
    sources = {
        f"gold.features.{use_case}" if name != LABEL else f"silver.{use_case}.{found.label_table}"
        for name in other
    }
    tables = " and ".join(f"{name} at version {versions.get(name)}" for name in sorted(sources))
    total = found.marks.num_rows
    if seen.moved:
        return Finding(layer="data", evidence=f"{tables}: the same rows in another order")
    told = [f"{', '.join(other)} in {len(seen.changed):,} of {total:,} rows"]
    if total != recipe.rows:
        told.append(f"{recipe.rows:,} rows were recorded")
    if gone := seen.gone - len(seen.changed):
        told.append(f"{max(gone, 0):,} are gone") if gone > 0 else None
    if seen.changed:
        told.append(f"such as {_named(found.marks, seen.changed)}")
    return Finding(layer="data", evidence=f"{tables}: {'; '.join(told)}")


def environment_finding(recipe: Recipe, found: Refitted) -> Finding | None:
    """Return what the fit ran with that it was not recorded with; None when all is the same.

    Of packages those that the fit imported count, and not any other that is installed.
    """
    assert found.surroundings is not None  # noqa: S101 - it came to fit
    was, now = recipe.surroundings, found.surroundings
    other = list(different_packages(was.packages, now.packages, loaded=found.loaded))
    if was.python != now.python:
        other.insert(0, f"Python {was.python} there, {now.python} here")
    shown = other[:PACKAGES_SHOWN]
    if len(other) > PACKAGES_SHOWN:
        shown.append(f"and {len(other) - PACKAGES_SHOWN} more")
    if was.processor != now.processor:
        shown.append(f"processor {was.processor} there, {now.processor} here")
    return Finding(layer="environment", evidence=", ".join(shown)) if shown else None


def environment_notes(recipe: Recipe, found: Refitted) -> tuple[str, ...]:
    """Return what differs around the fit without touching it: the lock, and packages not imported."""
    assert found.surroundings is not None  # noqa: S101 - it came to fit
    was, now = recipe.surroundings, found.surroundings
    installed = frozenset({*was.packages, *now.packages})
    other = different_packages(
        was.packages, now.packages, loaded=installed - (found.loaded or frozenset())
    )
    notes = []
    if was.lock_sha256 != now.lock_sha256:
        there, here = (text[:12] or "none" for text in (was.lock_sha256, now.lock_sha256))
        notes.append(f"lock {there} there, {here} here")
    if other:
        more = f", and {len(other) - EXAMPLES} more" if len(other) > EXAMPLES else ""
        notes.append(f"not imported by the fit: {', '.join(other[:EXAMPLES])}{more}")
    return tuple(notes)


def seed_finding(recipe: Recipe, found: Refitted) -> Finding | None:
    """Return that the recorded seed is not the one that the archived declaration has."""
    if found.declared_seed in (None, recipe.seed):
        return None
    evidence = f"{recipe.seed} recorded, {found.declared_seed} declared in the archive"
    return Finding(layer="seed", evidence=evidence)


def threads_finding(recipe: Recipe, found: Refitted) -> Finding | None:
    """Return that the fit had more or fewer threads than recorded."""
    if found.order.threads == recipe.threads:
        return None
    evidence = f"{found.order.threads} used, {recipe.threads} recorded"
    return Finding(layer="threads", evidence=evidence)


def _named(marks: "pa.Table", places: Sequence[int]) -> str:
    """Name rows by scoring time and key."""
    names = [name for name in marks.column_names if name.startswith(KEY)]
    rows = marks.take(list(places[:EXAMPLES])).to_pylist()
    return ", ".join(
        f"({row[AS_OF]:%Y-%m-%d %H:%M} UTC, {', '.join(str(row[name]) for name in names)})"
        for row in rows
    )
