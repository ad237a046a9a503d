"""Training rows: the feature rows with final labels that a model learns from and is held to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.settings import Settings
from pipelines.domain.features import AS_OF, FeatureView, feature_digest, feature_names
from pipelines.domain.kind_problems import label_problem, value_problem
from pipelines.domain.labels import LABEL, Label, labelled
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.search import FoldRows
from pipelines.domain.training import (
    FeatureColumns,
    Training,
    feature_columns,
    feature_frame,
    refuse_other_answers,
)
from pipelines.domain.windows import (
    Fold,
    Split,
    forward_split,
    validation_folds,
    windowed,
)
from pipelines.errors import DeclarationError, NotEnoughData, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LEAST_FOLD_BLOCKS = 14
"""Blocks that a trial learns from at least (decision): of days each weekday twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """The rows to train on with their label, the held-out ones, and the split they come from.

    Rows are in canonical order. ``folds`` are empty where nothing is searched; their rows lie in
    ``labelled``, which holds no row that is held out. ``versions`` are those of the tables that all
    of them were read from, by dotted name.
    """

    rows: "pa.Table"
    held_out: "pa.Table"
    label: "np.ndarray"
    columns: FeatureColumns
    split: Split
    folds: tuple[Fold, ...]
    labelled: "pa.Table"
    features: str
    versions: Mapping[str, int]

    def window(self, times: ScoringTimes) -> tuple[str, str]:
        """Return first and last training block by local ISO date."""
        return _window(self.split.training, times)

    def held_out_window(self, times: ScoringTimes) -> tuple[str, str]:
        """Return first and last held-out block by local ISO date."""
        return _window(self.split.held_out, times)

    def fold_rows(self, training: Training) -> tuple[FoldRows, ...]:
        """Return what each trial learns from and is judged on."""
        return tuple(self._fold(fold, training) for fold in self.folds)

    def _fold(self, fold: Fold, training: Training) -> FoldRows:
        learned, judged = at(self.labelled, fold.training), at(self.labelled, fold.validation)
        return FoldRows(
            learned=feature_frame(learned, self.columns),
            label=label_of(learned),
            weight=training.weights.weigh(learned) if training.weights else None,
            judged=feature_frame(judged, self.columns),
            happened=label_of(judged),
        )


def choose(
    settings: Settings,
    use_case: str,
    *,
    view: FeatureView,
    label: Label,
    training: Training,
    times: ScoringTimes,
    as_of: datetime,
) -> TrainingRows:
    """Return the rows that a training at ``as_of`` is about, described where they were not yet.

    Raises NotEnoughData when too few blocks have final labels, or all labels are the same.
    """
    import pyarrow.compute as pc

    versions = known.silver_versions(settings, use_case, view)
    digest = feature_digest(view, label)
    folder = lake.features(settings, use_case, digest)
    blocks = _final_blocks(label, training, times, as_of)
    unread = known.unread(settings, use_case, view, at=versions)
    tables = None
    if feature_store.is_described(folder, unread, blocks):
        version, rows = feature_store.described_rows_at(folder, view, blocks)
    else:
        tables = known.load(settings, use_case, view, label, at=versions)
        version, rows = feature_store.versioned_rows_at(folder, view, tables, blocks)
    if rows is None:
        raise _too_few(use_case, 0, training, times, gap=_gap(as_of, label, times))
    columns = feature_columns(rows, feature_names(rows, view.entity))
    _refuse_other_kind(use_case, label, rows, columns)
    refuse_other_answers(training, columns, label.kind)
    final = None
    if tables is None:
        final = known.labelled_once(
            settings, use_case, rows, view=view, label=label, at=versions, as_of=as_of
        )
    if final is None:
        tables = tables or known.for_labels(settings, use_case, view, label, at=versions)
        states = tables.label_states(view.entity, as_of)
        final = labelled(rows, states, tuple(view.entity.key))
    _refuse_other_label(use_case, label, final)
    found = [(start, times.after(start)) for start in sorted(pc.unique(final[AS_OF]).to_pylist())]
    split = forward_split(found, training.split, gap=label.final_after)
    if len(split.training) < MINIMUM_BLOCKS:
        gap = _gap(split.held_out[0] if split.held_out else as_of, label, times)
        raise _too_few(use_case, len(found), training, times, gap=gap)
    folds: tuple[Fold, ...] = ()
    if training.searches:
        learnable = [block for block in found if block[0] in set(split.training)]
        folds = validation_folds(
            learnable, training.split, gap=label.final_after, window=training.window
        )
        if len(folds[0].training) < LEAST_FOLD_BLOCKS:
            raise _too_few_to_search(use_case, len(folds[0].training), training, times)
    held_out = at(final, split.held_out)
    learnable_rows = at(final, split.training)
    split = Split(training=windowed(split.training, training.window), held_out=split.held_out)
    chosen = at(learnable_rows, split.training)
    for part in (chosen, *(at(learnable_rows, fold.training) for fold in folds)):
        _refuse_one_class(use_case, label, part)
    return TrainingRows(
        rows=chosen,
        held_out=held_out,
        label=label_of(chosen),
        columns=columns,
        split=split,
        folds=folds,
        labelled=learnable_rows,
        features=digest,
        versions={**versions, f"gold.features.{use_case}": version},
    )


def at(rows: "pa.Table", times: Sequence[datetime]) -> "pa.Table":
    """Return the rows of some scoring times, in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(times), pa.timestamp("us", tz="UTC"))
    chosen = pc.is_in(rows[AS_OF], wanted)
    first, count = pc.index(chosen, True).as_py(), pc.sum(chosen).as_py() or 0
    # Rows that lie together are shared and not copied: a training may hold most of the memory.
    if pc.all(chosen.slice(max(first, 0), count)).as_py():
        return rows.slice(max(first, 0), count).combine_chunks()
    return rows.filter(chosen).combine_chunks()


def label_of(rows: "pa.Table") -> "np.ndarray":
    """Return the labels of labelled rows as 0 and 1, or as the numbers that they are."""
    import pyarrow as pa

    column = rows[LABEL]
    kind = "float64" if pa.types.is_floating(column.type) else "int8"
    found: np.ndarray = column.to_numpy(zero_copy_only=False).astype(kind)
    return found


def _window(opened: Sequence[datetime], times: ScoringTimes) -> tuple[str, str]:
    return times.block_name(opened[0]), times.block_name(opened[-1])


def _final_blocks(
    label: Label, training: Training, times: ScoringTimes, as_of: datetime
) -> list[tuple[datetime, datetime]]:
    """Return the blocks whose every label was final at ``as_of``, from the declared start."""
    last = as_of - label.final_after
    return [block for block in times.blocks(training.start, last) if block[1] <= last]


def _gap(opened: datetime, label: Label, times: ScoringTimes) -> int:
    """Return how many blocks were over when a block ``opened``, with labels that were not final yet."""
    # A block ends as the next one opens: what counts the ends counts the blocks.
    instant = timedelta(microseconds=1)
    return len(times.between(opened - label.final_after + instant, opened + instant))


def _too_few(
    use_case: str, found: int, training: Training, times: ScoringTimes, *, gap: int
) -> NotEnoughData:
    in_the_gap = f", {gap} in the gap" if gap else ""
    return NotEnoughData(
        Problem(
            where=f"training of {use_case}",
            expected=f"at least {MINIMUM_BLOCKS} training blocks{in_the_gap} and "
            f"{training.split.test_days} held-out ones",
            found=f"{found} blocks with final labels",
            fix="Ingest more history, wait for labels to become final, or hold out fewer "
            f"{times.block}s.",
        )
    )


def _too_few_to_search(
    use_case: str, found: int, training: Training, times: ScoringTimes
) -> NotEnoughData:
    days = training.split.validation_days
    return NotEnoughData(
        Problem(
            where=f"search for the parameters of {use_case}",
            expected=f"at least {LEAST_FOLD_BLOCKS} training blocks before {days} validation ones",
            found=f"{found} blocks with final labels",
            fix=f"Ingest more history, validate on fewer {times.block}s, or train with trials=0 until "
            "then.",
        )
    )


def _refuse_one_class(use_case: str, label: Label, rows: "pa.Table") -> None:
    """Raise NotEnoughData unless there are rows of both classes, or of more than one number."""
    values = label_of(rows)
    if values.min() != values.max():
        return
    always = "true" if values[0] else "false"
    raise NotEnoughData(
        Problem(
            where=f"training of {use_case}, label {label.name!r}",
            expected="rows where it is true and rows where it is not"
            if label.unit is None
            else "rows with more than one number",
            found=f"{always if label.unit is None else 'the same'} in all {len(values)} rows",
            fix=f"Look at the rule {label.rule!r}, or wait for more labels.",
        )
    )


def _refuse_other_label(use_case: str, label: Label, rows: "pa.Table") -> None:
    """Raise DeclarationError where a label without a unit is no condition."""
    where = f"training of {use_case}, label {label.name!r}"
    if (wrong := label_problem(label, str(rows.schema.field(LABEL).type), where)) is not None:
        raise DeclarationError(wrong)


def _refuse_other_kind(
    use_case: str, label: Label, rows: "pa.Table", columns: FeatureColumns
) -> None:
    """Raise DeclarationError unless the value of a ranking is a numeric feature."""
    if label.value is None:
        return
    numbers = [name for name in columns.numeric if str(rows.schema.field(name).type) != "bool"]
    if label.value.column not in numbers:
        raise DeclarationError(value_problem(f"training of {use_case}", label.value, numbers))
