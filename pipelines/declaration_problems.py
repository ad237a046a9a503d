"""Declaration problems: everything that is wrong with a use case, found at once."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pipelines.domain.block_length import BLOCK_DAYS
from pipelines.domain.contract_problems import (
    NAME,
    choice_problems,
    near,
    problem,
    table_problems,
    time_problems,
    timezone_problems,
)
from pipelines.domain.kind_problems import kind_problems
from pipelines.domain.output_problems import scoring_problems
from pipelines.domain.prediction_kinds import BINARY
from pipelines.domain.training_problems import training_problems
from pipelines.domain.view_problems import view_problems
from pipelines.errors import Problem

if TYPE_CHECKING:
    from pipelines.use_case import UseCase

PERIODS = {
    "@hourly": timedelta(hours=1),
    "@daily": timedelta(days=1),
    "@weekly": timedelta(days=7),
    "@monthly": timedelta(days=28),
    "@yearly": timedelta(days=365),
}
"""Cron presets, and the shortest time between two of their moments."""

MOST_PARTS = 1_000
"""Airflow makes no more than 1,024 tasks of one (its ``max_map_length``)."""

MOST_RESCORE_DAYS = 92
"""Days of windows that every ingest may look back on: a quarter, as performance is judged."""

TIERS = ("explore", "scheduled", "governed")
RESERVED_KEYS = (
    *("as_of", "event_time", "final_at", "label", "state", "value", "late_corrections"),
    *("scored_for", "slot", "prediction", "generation", "run_key", "model_version", "model_run"),
    *("raw_prediction", "rule", "reason", "run", "stale_tables", "prediction_window"),
    *("artifact_sha256", "evidence_digest", "feature_digest", "declaration_digest"),
    *("replaced_because", "expected_value"),
)
"""Columns that stand beside an entity's key in features, labels and predictions."""

NEEDED_TO_TRAIN = ("features", "label", "training", "gates", "scoring")


def problems_of(use_case: "UseCase") -> list[Problem]:
    """Return every problem of the declaration, in the order of its fields."""
    where = f"use case {use_case.name!r}"
    return [
        *_naming(use_case, where),
        *choice_problems(use_case, where),
        *_tiers(use_case, where),
        *_schedules(use_case, where),
        *(found for table in use_case.tables for found in table_problems(table, where)),
        *_features(use_case, where),
        *_label(use_case, where),
        *_training(use_case, where),
        *_kind(use_case, where),
        *_scoring(use_case, where),
        *_probation(use_case, where),
        *_retraining(use_case, where),
        *(use_case.budget.problems(f"{where}, budget") if use_case.budget else ()),
        *_identity(use_case, where),
    ]


def _naming(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if not NAME.fullmatch(use_case.name):
        yield problem(
            f"{where}, name",
            "lower-case words joined by single underscores",
            repr(use_case.name),
            "Rename it: the name becomes DAG ids and folders.",
        )
    if not use_case.owner:
        yield problem(
            f"{where}, owner", "the team that answers for it", "nothing", "Name the owning team."
        )
    if not use_case.tables:
        yield problem(f"{where}, tables", "at least one table", "none", "Declare a Table.")
    names = [table.name for table in use_case.tables]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield problem(
            f"{where}, tables", "each name once", f"{name!r} twice", "Rename one of the tables."
        )
    if use_case.ends_before is not None:
        try:
            date.fromisoformat(use_case.ends_before)
        except ValueError:
            yield problem(
                f"{where}, ends_before",
                "an ISO date such as '2014-01-01'",
                repr(use_case.ends_before),
                "Write year-month-day.",
            )


def _tiers(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.tier not in TIERS:
        return  # reported as a choice that does not exist
    given = [name for name in NEEDED_TO_TRAIN if getattr(use_case, name)]
    if use_case.tier == "explore" and given:
        yield problem(
            f"{where}, tier",
            "tables and quality only in tier 'explore'",
            f"also {', '.join(given)}",
            "Set tier='scheduled' or tier='governed', or remove them.",
        )
    missing = [name for name in NEEDED_TO_TRAIN if name not in given]
    if use_case.tier != "explore" and missing:
        yield problem(
            f"{where}, tier",
            f"{', '.join(NEEDED_TO_TRAIN)} in tier {use_case.tier!r}",
            f"no {', '.join(missing)}",
            "Declare them, or set tier='explore'.",
        )
    if use_case.tier == "governed" and not use_case.roles.approver:
        yield problem(
            f"{where}, roles",
            "an approver role in tier 'governed'",
            "none",
            "Name the role whose users may approve.",
        )


def _schedules(use_case: "UseCase", where: str) -> Iterator[Problem]:
    retraining = use_case.retraining.schedule
    for field, text in (("ingest_schedule", use_case.ingest_schedule), ("retraining", retraining)):
        if text is not None and text not in PERIODS and len(text.split()) != 5:
            yield problem(
                f"{where}, {field}",
                f"a cron expression of five fields, or one of {', '.join(PERIODS)}",
                f"{text!r}{near(text, tuple(PERIODS))}",
                "'*/15 * * * *' means every quarter of an hour.",
            )
    yield from time_problems(where, approval_expires=use_case.approval_expires)
    period = PERIODS.get(retraining or "")
    if use_case.tier == "governed" and period and use_case.approval_expires >= period:
        yield problem(
            f"{where}, approval_expires",
            f"less than the time between two trainings ({_days(period)})",
            _days(use_case.approval_expires),
            "An approval must be answered or expire before the next challenger comes.",
        )


def _features(use_case: "UseCase", where: str) -> Iterator[Problem]:
    view = use_case.features
    if view is None:
        return
    names = tuple(table.name for table in use_case.tables)
    for table in view.tables:
        if table.name not in names:
            yield problem(
                f"{where}, features",
                f"tables of this use case ({', '.join(names)})",
                f"{table.name!r}{near(table.name, names)}",
                "Add the table to tables=[...], or stop reading it.",
            )
    yield from view_problems(view, {t.name: t for t in use_case.tables}, f"{where}, features")
    for name in view.entity.key:
        if name in RESERVED_KEYS:
            yield problem(
                f"{where}, features",
                f"an entity whose key has none of {', '.join(RESERVED_KEYS)}",
                f"{name!r} of table {view.entity.name!r}",
                "Rename the column: features, labels and predictions have one of that name.",
            )
    if view.entity.event_time is None:
        yield problem(
            f"{where}, features",
            "an entity with an event_time",
            f"table {view.entity.name!r} without one",
            "Declare event_time on the table: it decides which rows a scoring time asks for.",
        )


def _label(use_case: "UseCase", where: str) -> Iterator[Problem]:
    label = use_case.label
    if label is None:
        return
    where = f"{where}, label {label.name!r}"
    if not NAME.fullmatch(label.name):
        fix = "Rename it: features read the label under this name."
        yield problem(where, "a lower-case name", repr(label.name), fix)
    if not label.rule.strip():
        yield problem(
            f"{where}, rule", "an SQL condition", "nothing", "Write one, such as 'amount > 0'."
        )
    yield from time_problems(
        where, expected_after=label.expected_after, final_after=label.final_after
    )
    if label.expected_after > label.final_after:
        yield problem(
            where,
            "expected_after to come no later than final_after",
            f"{label.expected_after} after {label.final_after}",
            "A label is expected before it is final: swap or correct them.",
        )
    if use_case.features is not None:
        entity = use_case.features.entity
        if label.name in (*entity.key, "event_time"):
            expected = f"a name other than event_time and the key of {entity.name!r}"
            fix = "Rename it: features read the label beside those columns."
            yield problem(where, expected, repr(label.name), fix)
        missing = [name for name in entity.key if name not in label.table.column_names]
        if missing and not set(label.table.key) <= set(entity.key):
            yield problem(
                where,
                f"table {label.table.name!r} to hold the key of {entity.name!r}, or to have a part of"
                " it for its own key",
                f"no {', '.join(missing)}",
                "A label is joined to its entity by key: deliver those columns, or make the table's"
                " key a part of the entity's, where one row labels several entities.",
            )
        if label.table.name not in {table.name for table in use_case.features.tables}:
            yield problem(
                where,
                f"table {label.table.name!r} among the tables the features read",
                f"{', '.join(table.name for table in use_case.features.tables)}",
                f"Add it to reads=[...] of {use_case.features.function.__name__}.",
            )


def _training(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.training is None:
        return
    yield from training_problems(use_case.training, f"{where}, training")
    for gate in use_case.gates:
        for found in gate.problems() if hasattr(gate, "problems") else ():
            yield problem(
                f"{where}, gate {type(gate).__name__}",
                "arguments it can judge by",
                found,
                "Correct the gate's arguments.",
            )


def _kind(use_case: "UseCase", where: str) -> Iterator[Problem]:
    if use_case.label is not None:
        yield from kind_problems(
            use_case.label,
            training=use_case.training,
            gates=use_case.gates,
            outputs=use_case.scoring.outputs if use_case.scoring else (),
            where=where,
        )


def _scoring(use_case: "UseCase", where: str) -> Iterator[Problem]:
    yield from choice_problems(use_case.monitoring, f"{where}, monitoring")
    yield from use_case.monitoring.problems(f"{where}, monitoring")
    if use_case.scoring is None:
        return
    yield from choice_problems(use_case.scoring, f"{where}, scoring")
    days = use_case.scoring.rescore_days
    if not 1 <= days <= MOST_RESCORE_DAYS:
        yield problem(
            f"{where}, scoring, rescore_days",
            f"from 1 to {MOST_RESCORE_DAYS} days",
            str(days),
            "Every ingest looks at that many windows; on_late='keep' looks at none.",
        )
    if not 1 <= use_case.scoring.parts <= MOST_PARTS:
        yield problem(
            f"{where}, scoring, parts",
            f"from 1 to {MOST_PARTS}",
            str(use_case.scoring.parts),
            "Each part is a task: as many as make one work for a minute or more. 1 needs no other.",
        )
    yield from timezone_problems(use_case.scoring.timezone, f"{where}, scoring")
    block = use_case.scoring.times.block
    if use_case.monitoring.block != block and use_case.monitoring.block in BLOCK_DAYS:
        yield problem(
            f"{where}, monitoring, block",
            f"{block!r}, as the use case scores {use_case.scoring.times.describe()}",
            repr(use_case.monitoring.block),
            f"Declare Monitoring(block={block!r}): a block is what is scored at one time.",
        )
    scoring, view, label = use_case.scoring, use_case.features, use_case.label
    yield from scoring_problems(
        scoring.rules,
        scoring.outputs,
        scoring.promises,
        key=view.entity.key if view else (),
        label=label.name if label else None,
        kind=label.kind if label else BINARY,
        where=f"{where}, scoring",
    )


def _probation(use_case: "UseCase", where: str) -> Iterator[Problem]:
    rule, label = use_case.probation, use_case.label
    if rule is None:
        return
    if use_case.tier == "explore":
        yield problem(
            f"{where}, probation",
            "no probation in tier 'explore', which has no champion",
            "one",
            "Set tier='scheduled' or tier='governed', or remove it.",
        )
    yield from rule.problems(f"{where}, probation", (label.kind if label else BINARY).losses)


def _retraining(use_case: "UseCase", where: str) -> Iterator[Problem]:
    declared, governed = use_case.retraining, use_case.tier == "governed"
    if use_case.tier == "explore" and declared.is_triggered:
        yield problem(
            f"{where}, retraining",
            "nothing that starts a training in tier 'explore', which trains nothing",
            "something",
            "Set tier='scheduled' or tier='governed', or remove it.",
        )
    yield from declared.problems(
        f"{where}, retraining",
        period=PERIODS.get(declared.schedule or ""),
        answered_within=use_case.approval_expires if governed else None,
    )


def _identity(use_case: "UseCase", where: str) -> Iterator[Problem]:
    try:
        use_case.digest()
    except (TypeError, ValueError) as error:
        yield problem(
            where,
            "values with a canonical form: dataclasses, texts, numbers, times, functions",
            str(error),
            "Make it a frozen dataclass: models and predictions record the declaration's digest.",
        )


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g} days"
