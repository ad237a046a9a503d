"""Scoring: the plan of a run, what each of its parts made, and what stands when it is published."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from pipelines.domain import plain_values
from pipelines.domain.digest import digest_of
from pipelines.domain.slots import SLOT
from pipelines.errors import LakeError, Problem

FIRST = "first"
"""Reason of a window's first generation."""

REPLACED = "model, features or declaration changed"
"""Reason of a later generation that no late delivery asked for."""

Outcome = Literal["written", "replaced", "unchanged", "no_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateWindow:
    """A window to be scored again because of what was delivered late, and why (one line).

    ``as_of`` equal to ``scored_for``: the whole window, as it should have been. Later: only entities
    whose event time is at or after ``as_of``; all others keep their standing rows.
    """

    scored_for: datetime
    as_of: datetime
    until: datetime
    reason: str


class Asked(TypedDict):
    """What a run is to score: every scoring time in [since, until), then ``late``.

    ``model_version`` pins a version that was promoted; without it the champion scores.
    """

    since: datetime
    until: datetime
    run: str
    model_version: NotRequired[str | None]
    late: NotRequired[Sequence[LateWindow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The window's rows in one row group of a feature file; ``rows`` counts them.

    ``whole`` says that every row of the group is the window's; otherwise they are cut by ``as_of``.
    """

    file: str
    row_group: int
    rows: int
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one part does of one window, named by its place in ``ScorePlan.windows``."""

    window: int
    units: tuple[Unit, ...]

    @property
    def rows(self) -> int:
        """Feature rows of the share."""
        return sum(unit.rows for unit in self.units)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """One window of a run, pinned: which feature rows are scored, and what they would replace.

    ``window`` is the partition of the prediction table; ``features`` names the feature table's
    folder in the lake and ``feature_version`` its version; ``tables`` are the versions of silver
    that were read, by dotted name. ``number`` counts the window's publications so far, ``layers``
    the transactions that its own publication writes. ``outcome`` is "score" where work is left.
    """

    window: str
    scored_for: datetime
    as_of: datetime
    until: datetime
    outcome: Literal["score", "unchanged", "no_rows"]
    reason: str
    feature_version: int
    rows_digest: str
    rows: int
    stale: tuple[str, ...]
    tables: Mapping[str, int]
    run_key: str
    number: int
    layers: Mapping[str, int]

    @property
    def is_late(self) -> bool:
        """Whether only the entities still ahead at a later ``as_of`` are scored."""
        return self.as_of > self.scored_for


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePlan:
    """One run of score, pinned so that any process at any time makes the same predictions.

    ``parts`` holds the shares of each part; it is empty when nothing is left to do.
    """

    use_case: str
    run: str
    model_version: str
    declaration: str
    features: str
    windows: tuple[WindowPlan, ...]
    parts: tuple[tuple[Share, ...], ...]
    slot: str = SLOT

    def to_plain(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data."""
        plain: dict[str, Any] = plain_values.to_plain(self)
        return plain

    @classmethod
    def from_plain(cls, plain: object) -> "ScorePlan":
        """Return the plan that ``to_plain`` was called on."""
        return plain_values.from_plain(cls, plain)

    def describe(self) -> str:
        """Return one line for the log."""
        outcomes = Counter(window.outcome for window in self.windows)
        rows = sum(window.rows for window in self.windows if window.outcome == "score")
        return (
            f"model {self.model_version}: {rows:,} rows of {outcomes['score']} windows in "
            f"{len(self.parts)} parts; {outcomes['unchanged']} unchanged, {outcomes['no_rows']} "
            "without rows"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """A Parquet file that no reader sees before its commit; ``statistics`` is the log's JSON of it."""

    name: str
    bytes: int
    rows: int
    statistics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredShare:
    """What became of one share: rows in, scored and refused (by reason), and the files they are in.

    ``broken`` counts the predictions outside what was promised to consumers, by the promise's words.
    """

    window: int
    rows: int
    scored: int
    refused: Mapping[str, int]
    files: tuple[PartFile, ...]
    refused_files: tuple[PartFile, ...]
    broken: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPart:
    """What one part made; nothing of it is readable until ``publish`` commits every part."""

    part: int
    shares: tuple[ScoredShare, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return the part as JSON-ready data."""
        plain: dict[str, Any] = plain_values.to_plain(self)
        return plain

    @classmethod
    def from_plain(cls, plain: object) -> "ScoredPart":
        """Return the part that ``to_plain`` was called on."""
        return plain_values.from_plain(cls, plain)

    def describe(self) -> str:
        """Return one line for the log."""
        scored = sum(share.scored for share in self.shares)
        refused = sum(count for share in self.shares for count in share.refused.values())
        return f"part {self.part}: {scored:,} rows scored, {refused:,} refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScored:
    """One window: how many predictions stand, and whether this run wrote them.

    ``rows`` stand now, of which ``carried`` were made before; ``refused`` counts rows by reason.
    """

    scored_for: datetime
    as_of: datetime
    window: str
    run_key: str
    rows: int
    carried: int
    refused: Mapping[str, int]
    outcome: Outcome
    stale: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Every window of a run, the model that scored it, and what each was ``planned`` from."""

    model_version: str
    windows: tuple[WindowScored, ...]
    planned: tuple[WindowPlan, ...] = ()

    @property
    def rows(self) -> int:
        """Predictions that stand for these windows."""
        last = {window.window: window.rows for window in self.windows}
        return sum(last.values())

    @property
    def refused(self) -> int:
        """Rows of these windows that got no prediction."""
        return sum(count for window in self.windows for count in window.refused.values())

    def to_plain(self) -> dict[str, Any]:
        """Return the outcome as JSON-ready data."""
        plain: dict[str, Any] = plain_values.to_plain(self)
        return plain

    @classmethod
    def from_plain(cls, plain: object) -> "Scored":
        """Return the outcome that ``to_plain`` was called on."""
        return plain_values.from_plain(cls, plain)

    def describe(self) -> str:
        """Return one line for the log and the terminal."""
        outcomes = Counter(window.outcome for window in self.windows)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        stale = sorted({name for window in self.windows for name in window.stale})
        flag = f"; STALE: {', '.join(stale)}" if stale else ""
        refused = f"; {self.refused:,} rows REFUSED" if self.refused else ""
        return (
            f"model {self.model_version}: {self.rows:,} predictions for {len(self.windows)} "
            f"scoring times ({counts}){refused}{flag}"
        )


def run_key(model_version: str, rows: str, declared: str, *, above: int | None = None) -> str:
    """Return what makes a window's predictions what they are: model, feature rows, declaration.

    ``declared`` is the digest of what a row takes from the declaration (``prediction_digest``).
    ``above`` is the generation on top of which a late rescore lies: it is another content then.
    """
    parts: list[object] = [model_version, rows, declared]
    return digest_of(parts if above is None else [*parts, above])


def deal(shares: Sequence[Share], parts: int) -> tuple[tuple[Share, ...], ...]:
    """Deal units to at most ``parts`` parts: contiguous, and as even in rows as whole units allow.

    Every unit is in exactly one part; no part is empty.
    """
    units = [(share.window, unit) for share in shares for unit in share.units]
    total = sum(unit.rows for _, unit in units)
    dealt: list[list[tuple[int, Unit]]] = [[] for _ in range(min(parts, len(units)))]
    before = 0
    for window, unit in units:
        # By the middle of the unit, so that a large one does not push its successors out.
        place = (before + unit.rows / 2) / max(total, 1)
        dealt[min(int(place * len(dealt)), len(dealt) - 1)].append((window, unit))
        before += unit.rows
    return tuple(
        tuple(
            Share(window=window, units=tuple(u for w, u in part if w == window))
            for window in dict.fromkeys(w for w, _ in part)
        )
        for part in dealt
        if part
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Every row of one window: those that went in, and what became of them."""

    rows: int
    scored: int
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def law(self) -> dict[str, int]:
        """Return rows in = scored + refused, as a commit tells it."""
        refused = sum(self.refused.values())
        return {"rows": self.rows, "scored": self.scored, "refused": refused}


def account(plan: ScorePlan, window: int, parts: Sequence[ScoredPart]) -> Account:
    """Return what the parts made of a window; raises LakeError unless every row is accounted for.

    A part that is missing, given twice, or lost a row breaks the law: rows in = scored + refused.
    """
    shares = [share for part in parts for share in part.shares if share.window == window]
    refused: Counter[str] = Counter()
    for share in shares:
        refused.update(share.refused)
    found = Account(
        rows=sum(share.rows for share in shares),
        scored=sum(share.scored for share in shares),
        refused=dict(sorted(refused.items())),
    )
    planned = plan.windows[window]
    asked = [n for n, part in enumerate(plan.parts) for share in part if share.window == window]
    given = sorted(part.part for part in parts for share in part.shares if share.window == window)
    filed = sum(file.rows for share in shares for file in share.files)
    set_aside = sum(file.rows for share in shares for file in share.refused_files)
    total = sum(refused.values())
    if not (
        given == asked
        and planned.rows == found.rows == found.scored + total
        and (filed, set_aside) == (found.scored, total)
    ):
        raise LakeError(
            Problem(
                where=f"scoring of {plan.use_case}, window {planned.window}",
                expected=f"{planned.rows:,} rows in = rows scored + rows refused, of parts {asked}",
                found=f"{found.rows:,} in, {found.scored:,} scored ({filed:,} in files), "
                f"{total:,} refused ({set_aside:,} in files), of parts {given}",
                fix="Nothing was published. Run score again; a part may be missing or doubled.",
            )
        )
    return found
