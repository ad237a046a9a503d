"""Deliver: bring the current predictions of windows to their consumers, each generation once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.outputs import current_outputs, output_ledger
from pipelines.adapters.outputs.current_outputs import Made, Outcome
from pipelines.adapters.outputs.output_ledger import Recorded
from pipelines.adapters.outputs.output_rows import Subject
from pipelines.adapters.outputs.row_reasons import Models
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.features import feature_digest
from pipelines.domain.output_problems import query_problems
from pipelines.domain.promises import due_at
from pipelines.errors import (
    DeclarationError,
    HeadframeError,
    OutputRefused,
    ServiceUnavailable,
)
from pipelines.use_case import TrainedUseCase, UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDelivered:
    """One output of one window: what became of it, and how many rows its consumer has now."""

    output: str
    scored_for: datetime
    outcome: Outcome
    rows: int
    place: str
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Every output of every window of one run."""

    outputs: tuple[OutputDelivered, ...]

    def describe(self) -> str:
        """Return a line per output for the log and the terminal."""
        lines = []
        for name in dict.fromkeys(output.output for output in self.outputs):
            mine = [output for output in self.outputs if output.output == name]
            outcomes = [output.outcome.replace("_", " ") for output in mine]
            counts = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
            late = sum(output.is_late for output in mine)
            rows = sum(output.rows for output in mine)
            flag = f"; {late} LATE" if late else ""
            lines.append(f"{name}: {rows:,} rows of {len(mine)} scoring times ({counts}){flag}")
        return "\n".join(lines) or "no output is declared"


def deliver(
    use_case: UseCase,
    settings: Settings,
    *,
    scored_for: Sequence[datetime],
    run: str,
    connections: Callable[[str], str],
    delivered_at: datetime | None = None,
) -> Delivered:
    """Bring the current predictions of each scoring time to every declared output.

    Running it again changes nothing; a window that was scored again is replaced. Killed anywhere, a
    consumer has the old generation or the new one, whole, and the next run finishes the work. All
    outputs are tried: what could not be delivered is raised at the end, as ServiceUnavailable where
    waiting may mend any of it. ``connections`` gives the URL of a database by its name.
    ``delivered_at`` is the moment by which promises of arrival are judged, None judges none: a late
    delivery is recorded, and told once. Raises DeclarationError for columns that do not exist.
    """
    parts = TrainedUseCase.of(use_case)
    chosen = _Chosen(
        use_case=parts,
        settings=settings,
        subject=Subject(
            use_case=parts.name,
            key=tuple(parts.features.entity.key),
            label=parts.label.name,
            features=feature_digest(parts.features, parts.label),
            kind=parts.label.kind,
        ),
    )
    _refuse_unknown_columns(chosen)
    models = Models(settings, parts.name)
    made: list[Made] = []
    failures: list[HeadframeError] = []
    for moment in sorted(set(scored_for)):
        for output in parts.scoring.outputs:
            try:
                found = current_outputs.bring(
                    settings, chosen.subject, output, moment, connections=connections, models=models
                )
                made.append(found)
            except HeadframeError as error:
                failures.append(error)
    done = _record(chosen, made, run, delivered_at)
    if failures:
        raise _all_of(failures)
    return Delivered(outputs=done)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """What every output of one run is delivered with."""

    use_case: TrainedUseCase
    settings: Settings
    subject: Subject


def _refuse_unknown_columns(chosen: _Chosen) -> None:
    """Raise DeclarationError for columns that outputs name and the feature rows do not have.

    `headframe check` says so before a deployment; this is for who did not ask it.
    """
    scoring, subject = chosen.use_case.scoring, chosen.subject
    folder = lake.features(chosen.settings, subject.use_case, subject.features)
    if not delta_tables.exists(folder):
        return  # nothing of this view was ever scored
    found = query_problems(
        (),
        scoring.outputs,
        key=subject.key,
        label=subject.label,
        kind=subject.kind,
        described=delta_tables.schema(folder),
        where=f"use case {subject.use_case!r}, scoring",
    )
    if found:
        raise DeclarationError(*found)


def _record(
    chosen: _Chosen, made: Sequence[Made], run: str, delivered_at: datetime | None
) -> tuple[OutputDelivered, ...]:
    """Add what was delivered to the ledger, once, and return it."""
    settings, name = chosen.settings, chosen.subject.use_case
    so_far = {(item.output, item.window): item for item in output_ledger.read(settings, name)}
    told: list[OutputDelivered] = []
    records: list[Recorded] = []
    for item in made:
        is_late = False
        if item.window is not None:
            # A window that is scored again was in time, or late, when it first came.
            is_first = (item.output.name, item.window.name) not in so_far
            promised = due_at(chosen.use_case.scoring.promises, item.scored_for)
            record = Recorded(
                use_case=name,
                output=item.output.name,
                kind=type(item.output).__name__,
                consumer=item.output.consumer,
                window=item.window.name,
                scored_for=item.scored_for,
                as_of=item.window.as_of,
                generation=item.window.generation,
                run_key=item.window.run_key,
                model_version=",".join(item.window.model_versions),
                rows=item.rows,
                sha256=item.sha256,
                place=item.place,
                declared=digest_of(item.output),
                delivered_at=delivered_at,
                due_at=promised if is_first else None,
                run=run,
            )
            records.append(record)
            is_late = record.is_late
        told.append(
            OutputDelivered(
                output=item.output.name,
                scored_for=item.scored_for,
                outcome=item.outcome,
                rows=item.rows,
                place=item.place,
                is_late=is_late,
            )
        )
    output_ledger.record(settings, records)
    return tuple(told)


def _all_of(failures: Sequence[HeadframeError]) -> HeadframeError:
    """Return one error with every problem, to be tried again where that may mend any of them."""
    if len(failures) == 1:
        return failures[0]
    problems = [problem for failure in failures for problem in failure.problems]
    if any(failure.retryable for failure in failures):
        return ServiceUnavailable(*problems)
    return OutputRefused(*problems)
