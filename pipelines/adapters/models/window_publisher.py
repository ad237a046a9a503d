"""The window publisher: what the parts of a plan made of a window, committed once, and what stands then."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import prediction_store, standing_rows
from pipelines.adapters.settings import Settings
from pipelines.domain.scoring import (
    Account,
    Outcome,
    ScoredPart,
    ScoredShare,
    ScorePlan,
    WindowPlan,
    WindowScored,
)

if TYPE_CHECKING:
    import pyarrow as pa


def shares(parts: Sequence[ScoredPart], number: int) -> list[ScoredShare]:
    """Return what all parts made of the window at this place of the plan."""
    return [share for part in parts for share in part.shares if share.window == number]


def publish(
    settings: Settings,
    plan: ScorePlan,
    number: int,
    *,
    key: Sequence[str],
    parts: Sequence[ScoredPart],
    made: Account,
    valued: bool = False,
) -> WindowScored:
    """Commit the window at this place of the plan, once; one that this plan published stays.

    ``made`` is its account, ``key`` the entity's; ``valued`` says that rows tell what they are worth.
    Raises PlanOvertaken as ``prediction_store.publish``.
    """
    window = plan.windows[number]
    if window.outcome != "score" or prediction_store.is_published(settings, plan.use_case, window):
        return _as_it_stands(settings, plan, number)
    fields = _key_fields(settings, plan, key)
    mine = shares(parts, number)
    carried = standing_rows.carried(settings, plan, window, key=fields, made=mine, valued=valued)
    commit = prediction_store.publish(
        settings,
        plan.use_case,
        window,
        files=[*(file for share in mine for file in share.files), *carried.files],
        refused=[*(file for share in mine for file in share.refused_files), *carried.refused],
        key=fields,
        valued=valued,
        metadata={
            "stage": "score",
            "run": plan.run,
            "scored_for": window.scored_for.isoformat(),
            "as_of": window.as_of.isoformat(),
            "until": window.until.isoformat(),
            "rows": made.scored + carried.rows,
            "carried": carried.rows,
            "carried_refused": carried.refused_rows,
            "law": made.law,
            "refused": dict(made.refused),
            "model_version": plan.model_version,
            "declaration": plan.declaration,
            "features": plan.features,
            "feature_version": window.feature_version,
            "stale": list(window.stale),
            "tables": dict(window.tables),
        },
    )
    if not commit.written:
        return _as_it_stands(settings, plan, number)
    return WindowScored(
        scored_for=window.scored_for,
        as_of=window.as_of,
        window=window.window,
        run_key=window.run_key,
        rows=made.scored + carried.rows,
        carried=carried.rows,
        refused=made.refused,
        outcome=_outcome(window, made.scored),
        stale=window.stale,
        version=commit.version,
    )


def _outcome(window: WindowPlan, rows: int) -> Outcome:
    if window.number:
        return "replaced"
    return "written" if rows else "no_rows"


def _as_it_stands(settings: Settings, plan: ScorePlan, number: int) -> WindowScored:
    """Return a window that this run has nothing to do for."""
    window = plan.windows[number]
    found = prediction_store.current(settings, plan.use_case, window.window)
    return WindowScored(
        scored_for=window.scored_for,
        as_of=window.as_of,
        window=window.window,
        run_key=found.run_key if found else "",
        rows=found.rows if found else 0,
        carried=0,
        refused={},
        outcome="unchanged" if found else "no_rows",
        stale=window.stale,
        version=delta_tables.version(lake.predictions(settings, plan.use_case, plan.slot)),
    )


def _key_fields(settings: Settings, plan: ScorePlan, key: Sequence[str]) -> "list[pa.Field]":
    schema = delta_tables.schema(lake.features(settings, plan.use_case, plan.features))
    return [schema.field(name) for name in key]
