"""The drift test without statistics: what is broken by any standard, found in one block."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.block_profile import BlockProfile
from pipelines.domain.drift.column_edges import CategoryEdges, ReferenceEdges
from pipelines.domain.drift.drift_result import ColumnShift, DriftEvidence, DriftResult
from pipelines.domain.drift.unit_changes import FAR, other_unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

NEVER_BLOCKS = 28
"""Other blocks, four weeks, that must tell of a column that its values never are missing."""

NEVER = 0.1
"""As a share of ``never_missing``, what other blocks may miss of a column that never is missing."""

BLOCKS_BEFORE = 7
"""Blocks just before the newest that tell whether a column came to where it is by steps."""

FAMILIES = ("unseen", "missing", "outside", "units", "gaps")
GAPS = FAMILIES.index("gaps")
GRAVEST = ("units", "unseen", "gaps", "outside", "missing")
"""Rules, the one that a quiet source breaks most rarely first: values go missing for a day and come
back, units do not (decision)."""


@dataclass(frozen=True, slots=True)
class HardRules:
    """Find what is broken in the newest block alone: rules that need no statistics.

    Current blocks before it only tell, with the reference's last, whether another unit came by steps.
    Each asks of a column whether it

    ``unseen``: has a share of at least ``unseen_share`` of values the reference never had;
    ``missing``: misses ``missing_jump`` more of its values, as a share, than usual blocks;
    ``gaps``: misses a share of at least ``never_missing`` of its values, and no other block a tenth
    of that: a value that never was missing is as odd as one that never was seen;
    ``outside``: has a share of at least ``outside_share`` beyond the reference's range;
    ``units``: looks as the usual ones would in another unit (``other_unit``): near to a factor or an
    affine change of UNITS in mean, spread and all quantiles, at a stroke, and not as quiet days are: a
    foggy day is not one in miles, and a holiday's counts are none in kilometres. Factors are exact by
    definition (International Yard and Pound Agreement, 1959; Celsius: BIPM, "The International
    System of Units", 2019).

    No rule needs a number of reference blocks: these are what is left while others are learning.
    A rule of a column is told only if the block breaks it worse than every block of the reference,
    and only if no block of the reference holds a graver record of its own: in GRAVEST order of the
    rules, then by how far it is beyond the next block. So one column that was missing for a day
    hides neither another unit nor values never seen, and of m + 1 exchangeable blocks one at most is
    told: the newest with probability at most 1 / (m + 1), whatever the thresholds are. They make it
    far less. The figure ``reference_records`` is 1 if a block of the reference has taken that place:
    tests that share the level of single blocks pay for it.

    Volume and freshness are told by feeds and performance.

    >>> HardRules().problems()
    ()
    """

    _: KW_ONLY
    unseen_share: float = 0.02
    missing_jump: float = 0.2
    never_missing: float = 0.02
    outside_share: float = 0.05
    minimum_blocks: int = 0

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the test can judge."""
        return tuple(
            f"{name} {value!r} is not a share in (0, 1]"
            for name, value in (
                ("unseen_share", self.unseen_share),
                ("missing_jump", self.missing_jump),
                ("never_missing", self.never_missing),
                ("outside_share", self.outside_share),
            )
            if not 0 < value <= 1
        )

    def judge(self, evidence: DriftEvidence) -> DriftResult:
        """Judge the newest current block; "not_tested" without profiles or with an empty block."""
        import numpy as np

        reference = [evidence.profiles[row] for row in evidence.reference if evidence.profiles]
        newest = [evidence.profiles[row] for row in evidence.current[-1:] if evidence.profiles]
        edges = evidence.edges
        if edges is None or not newest or not newest[0].rows:
            return _result("not_tested", "Not tested: the newest block has no rows.", 0, ())
        earlier = sorted({*evidence.reference, *evidence.current[:-1]})
        before = [evidence.profiles[row] for row in earlier[-BLOCKS_BEFORE:]]
        measured = self._measured([*reference, *newest], edges, before)
        records = _records(measured.severity)
        gravest = _gravest(measured.severity, records)
        record = gravest == len(reference)
        broken = np.argwhere(records[-1] if record else measured.severity[-1] >= 1)
        shifts = sorted(
            (
                _shift(edges, measured, column, family)
                for column, family in broken.tolist()
                # What never was missing is told once.
                if FAMILIES[family] != "missing" or [column, GAPS] not in broken.tolist()
            ),
            key=lambda shift: (FAMILIES.index(shift.family), shift.column),
        )
        if not shifts:
            told = "No rule is broken by the newest block."
        else:
            told = "; ".join(map(_told, shifts[:3]))
            told = f"In the newest block {told}{', and more' if len(shifts) > 3 else ''}."
        if shifts and not record:
            told += " The reference holds a block that is as bad, so this is not new."
        outcome = "drifted" if record else "quiet"
        of_reference = int(gravest is not None and not record)
        return _result(outcome, told, len(reference), tuple(shifts), of_reference)

    def _measured(
        self,
        profiles: Sequence[BlockProfile],
        edges: ReferenceEdges,
        before: Sequence[BlockProfile],
    ) -> "_Measured":
        """Return what every rule finds in every block, by measures that treat all blocks alike.

        But for those just ``before`` the newest: they may take a unit from it, and never give it one.
        """
        import numpy as np

        counts = np.stack([profile.counts for profile in profiles]).astype(np.float64)
        outside = np.stack([profile.outside for profile in profiles]).astype(np.float64)
        moments = np.stack([profile.moments for profile in profiles])
        recent = np.stack([profile.moments for profile in before]) if before else moments[:0]
        found = np.zeros((len(profiles), len(edges.columns), len(FAMILIES)))
        severity = np.zeros_like(found)
        unit_of: dict[str, str] = {}
        for number, column in enumerate(edges.columns):
            own = counts[:, edges.places[column.column]]
            rows, missing = np.maximum(own.sum(axis=1), 1), own[:, -1]
            present = np.maximum(rows - missing, 1)
            found[:, number, 1] = missing / rows - _usual(missing / rows)
            severity[:, number, 1] = found[:, number, 1] / self.missing_jump
            found[:, number, GAPS] = _where_never(missing / rows, self.never_missing * NEVER)
            severity[:, number, GAPS] = found[:, number, GAPS] / self.never_missing
            if isinstance(column, CategoryEdges):
                found[:, number, 0] = own[:, -2] / present
                severity[:, number, 0] = found[:, number, 0] / self.unseen_share
            else:
                found[:, number, 2] = outside[:, number].sum(axis=1) / present
                severity[:, number, 2] = found[:, number, 2] / self.outside_share
                away, unit = other_unit(
                    column,
                    moments[:, number],
                    own,
                    self.outside_share,
                    before=recent[:, number],
                )
                found[:, number, 3] = away
                severity[:, number, 3] = away / FAR
                unit_of[column.column] = unit
        return _Measured(found=found, severity=severity, unit_of=unit_of)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Measured:
    """``found`` and ``severity`` (blocks, columns, rules); 1 is the threshold of a severity."""

    found: "Floats"
    severity: "Floats"
    unit_of: Mapping[str, str]


def _records(severity: "Floats") -> "NDArray[np.bool_]":
    """Tell of (blocks, columns, rules) where a block breaks a rule worse than every other block.

    It is the same for every block, so that which one is the newest makes no difference to it.
    """
    import numpy as np

    if len(severity) == 1:
        return severity >= 1
    # A tie is nobody's record, so the next one below the greatest is what a block must pass.
    ordered = np.sort(severity, axis=0)
    most, next_to = ordered[-1], ordered[-2]
    holds: NDArray[np.bool_] = (severity >= 1) & (severity == most) & (most > next_to)
    return holds


def _gravest(severity: "Floats", records: "NDArray[np.bool_]") -> int | None:
    """Return the number of the block that holds the gravest record; None where there is none.

    Equally grave ones, which only equal blocks hold, go to the oldest.
    """
    import numpy as np

    held = np.argwhere(records)
    if not len(held):
        return None
    beyond = severity[records] - (
        np.sort(severity, axis=0)[-2][tuple(held[:, 1:].T)] if len(severity) > 1 else 0.0
    )
    order = np.asarray([GRAVEST.index(FAMILIES[rule]) for rule in held[:, 2].tolist()])
    return int(held[np.lexsort((held[:, 0], -beyond, order))[0], 0])


def _usual(shares: "Floats") -> float:
    """Return the median over the blocks, the newest among them; of one block alone, nothing."""
    import numpy as np

    return float(np.median(shares)) if len(shares) > 1 else 0.0


def _where_never(shares: "Floats", hardly: float) -> "Floats":
    """Return each block's share where all others miss at most ``hardly``, else 0."""
    import numpy as np

    if len(shares) <= NEVER_BLOCKS:
        return np.zeros_like(shares)
    most, next_to = np.sort(shares)[[-1, -2]]
    of_others = np.where(shares == most, next_to, most)
    never: Floats = np.where(of_others <= hardly, shares, 0.0)
    return never


def _shift(edges: ReferenceEdges, measured: _Measured, column: int, family: int) -> ColumnShift:
    name = edges.columns[column].column
    return ColumnShift(
        column=name,
        family=FAMILIES[family],
        effect=float(measured.found[-1, column, family]),
        p_value=None,
        direction="changed" if FAMILIES[family] == "units" else "up",
        unit=measured.unit_of.get(name, "") if FAMILIES[family] == "units" else "",
    )


def _told(shift: ColumnShift) -> str:
    share = f"{100 * shift.effect:.3g} %"
    return {
        "unseen": f"{share} of {shift.column} are values never seen before",
        "missing": f"{share} more of {shift.column} are missing than usual",
        "gaps": f"{share} of {shift.column} are missing, and hardly any ever were",
        "outside": f"{share} of {shift.column} are outside the reference's range",
        "units": f"{shift.column} looks converted: {shift.unit}",
    }[shift.family]


def _result(
    outcome: str, reason: str, reference: int, shifts: tuple[ColumnShift, ...], records: int = 0
) -> DriftResult:
    return DriftResult(
        test="HardRules",
        outcome="drifted"
        if outcome == "drifted"
        else "quiet"
        if outcome == "quiet"
        else "not_tested",
        reason=reason,
        window_blocks=0 if outcome == "not_tested" else 1,
        reference_blocks=reference,
        per_column=shifts,
        figures={"reference_records": float(records)},
    )
