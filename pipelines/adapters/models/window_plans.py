"""Window plans: what is left to score of a window, given what its table's log says was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pipelines.adapters.models import feature_batches
from pipelines.adapters.models.prediction_store import Layers, bits
from pipelines.adapters.silver import made_marks
from pipelines.domain.scoring import (
    FIRST,
    REPLACED,
    LateWindow,
    ScorePlan,
    Share,
    Unit,
    WindowPlan,
    deal,
    run_key,
)
from pipelines.domain.slots import SLOT, window_name

if TYPE_CHECKING:
    from pipelines.adapters.stores.object_store import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What every window of one run is planned with, looked up once.

    ``features`` is the digest of the view, ``digests`` identifies the feature rows of each time that
    was described; ``stale`` names the tables that were late at each. ``declared`` is the digest of
    what a prediction row takes from the declaration.
    """

    folder: "Folder"
    features: str
    feature_version: int
    digests: Mapping[datetime, str]
    stale: Mapping[datetime, tuple[str, ...]]
    layers: Layers
    tables: Mapping[str, int]
    model_version: str
    declared: str
    slot: str = SLOT


def score_plan(
    pinned: Pinned,
    wanted: Sequence[LateWindow],
    *,
    use_case: str,
    declaration: str,
    run: str,
    parts: int,
) -> ScorePlan:
    """Return the plan of a run: its windows, and who scores which of their units, in ``parts``.

    ``declaration`` is the digest of the one that is planned with.
    """
    planned = _windows(pinned, wanted)
    shares = [
        Share(window=number, units=units) for number, (_, units) in enumerate(planned) if units
    ]
    return ScorePlan(
        use_case=use_case,
        run=run,
        model_version=pinned.model_version,
        declaration=declaration,
        features=pinned.features,
        windows=tuple(window for window, _ in planned),
        parts=deal(shares, parts),
        slot=pinned.slot,
    )


def _windows(
    pinned: Pinned, wanted: Sequence[LateWindow]
) -> list[tuple[WindowPlan, tuple[Unit, ...]]]:
    """Return each window's plan with the units that are left to score, in the order asked.

    One window may come several times, at several ``as_of``: each lies on what the one before it in
    the list will have published.
    """
    layers, found = pinned.layers, []
    for window in wanted:
        planned, units = _plan(pinned, layers, window)
        if planned.outcome == "score":
            layers = layers.after(planned.window, planned.layers)
        found.append((planned, units))
    return found


def _plan(
    pinned: Pinned, layers: Layers, wanted: LateWindow
) -> tuple[WindowPlan, tuple[Unit, ...]]:
    name = window_name(pinned.slot, wanted.scored_for)
    digest = pinned.digests.get(wanted.as_of, "")
    is_late = wanted.as_of > wanted.scored_for
    key = run_key(
        pinned.model_version,
        digest,
        pinned.declared,
        above=layers.below(name, wanted.as_of) if is_late else None,
    )
    number = layers.numbers.get(f"score:{name}", 0)
    units: tuple[Unit, ...] = ()
    outcome: Literal["score", "unchanged", "no_rows"]
    if not digest:
        outcome = "no_rows"
    elif layers.scored.get(f"scored:{name}@{wanted.as_of.isoformat()}") == bits(key):
        outcome = "unchanged"
    else:
        outcome = "score"
        units = tuple(
            feature_batches.units(
                pinned.folder, at_version=pinned.feature_version, as_of=wanted.as_of
            )
        )
    return (
        WindowPlan(
            window=name,
            scored_for=wanted.scored_for,
            as_of=wanted.as_of,
            until=wanted.until,
            outcome=outcome,
            reason=wanted.reason or (REPLACED if number else FIRST),
            feature_version=pinned.feature_version,
            rows_digest=digest,
            rows=sum(unit.rows for unit in units),
            stale=pinned.stale[wanted.as_of],
            tables=pinned.tables,
            run_key=key,
            number=number,
            layers={
                f"scored:{name}@{wanted.as_of.isoformat()}": bits(key),
                f"layer:{name}@{wanted.as_of.isoformat()}": number + 1,
                **made_marks.segment(
                    name,
                    wanted.as_of,
                    features=pinned.features,
                    digest=digest,
                    stale=pinned.stale[wanted.as_of],
                    generation=number + 1,
                ),
            },
        ),
        units,
    )
