"""Model rows: the labelled feature rows that a challenger was taught and that it is judged on."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.models.training_rows import label_of
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.expected_value import Ranked, RankedList, Value
from pipelines.domain.feature_differences import differences
from pipelines.domain.features import (
    AS_OF,
    FeatureView,
    KnownTables,
    compute_features,
    feature_digest,
)
from pipelines.domain.kind_problems import value_problem
from pipelines.domain.labels import Label, labelled
from pipelines.domain.refits import Lesson
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.errors import DeclarationError, NotEnoughData, Problem

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRows:
    """Where a challenger's blocks are, and the lake as it is to describe them from.

    Labels are those that were final at the challenger's ``as_of``: ``states`` tells them.
    """

    settings: Settings
    use_case: str
    view: FeatureView
    label: Label
    times: ScoringTimes
    challenger: ModelVersion
    tables: KnownTables
    states: "pa.Table"

    @classmethod
    def of(
        cls,
        settings: Settings,
        use_case: str,
        challenger: ModelVersion,
        *,
        view: FeatureView,
        label: Label,
        times: ScoringTimes,
    ) -> "ModelRows":
        """Read the tables of the view and tell the labels, once."""
        tables = known.load(settings, use_case, view, label)
        as_of = datetime.fromisoformat(challenger.tags["headframe.as_of"])
        return cls(
            settings=settings,
            use_case=use_case,
            view=view,
            label=label,
            times=times,
            challenger=challenger,
            tables=tables,
            states=tables.label_states(view.entity, as_of),
        )

    @property
    def blocks(self) -> list[tuple[datetime, datetime]]:
        """Return (scoring time, end) of every held-out block, sorted."""
        times = map(datetime.fromisoformat, json.loads(self.challenger.tags["headframe.held_out"]))
        return [(start, self.times.after(start)) for start in sorted(times)]

    def held_out(self, model: ModelVersion) -> "pa.Table":
        """Return the held-out rows with labels, made by the model's own feature view.

        Raises NotEnoughData where an earlier view never described them.
        """
        digest = model.tags["headframe.features"]
        folder = lake.features(self.settings, self.use_case, digest)
        if digest == feature_digest(self.view, self.label):
            rows = feature_store.rows_at(folder, self.view, self.tables, self.blocks)
        else:
            rows = feature_store.written_rows_at(folder, self.view, self.blocks)
        return self._labelled(rows)

    def training(self) -> "pa.Table":
        """Return the rows that the challenger was taught, with labels, in the same order."""
        first, last = map(
            date.fromisoformat, json.loads(self.challenger.tags["headframe.training_window"])
        )
        blocks = self.times.blocks_of(first, last)
        return self._labelled(
            feature_store.rows_at(self._described, self.view, self.tables, blocks)
        )

    def lesson(self, rows: "pa.Table") -> Lesson:
        """Return labelled rows with their labels as 0 and 1 and the name of each row's block."""
        return Lesson(
            rows=rows,
            label=label_of(rows),
            blocks=self.times.block_names(rows[AS_OF]),
        )

    def described_again(self) -> tuple[int, int]:
        """Return how many held-out rows were described again, and how many came out otherwise.

        The first and the last block are described from tables that hold nothing that became known
        after their scoring time, and compared, cell by cell, with the rows the challenger is judged
        on; sums may be rounded otherwise. An entity that is in one of the two only counts as one that
        differs, and so does every entity where the features are others.
        """
        described = differing = 0
        for start, until in sorted({self.blocks[0], self.blocks[-1]}):
            stored = feature_store.rows_at(
                self._described, self.view, self.tables, [(start, until)]
            )
            again = compute_features(self.tables.before(start), self.view, as_of=start, until=until)
            held = again.slice(0, 0) if stored is None else stored
            described += held.num_rows
            if set(held.column_names) != set(again.column_names):
                differing += max(held.num_rows, again.num_rows)
                continue
            again = again.select(held.column_names)
            differing += differences(held, again, self.view.entity.key, rests=True).num_rows
        return described, differing

    @property
    def _described(self) -> Folder:
        """The feature rows of the view that the challenger was trained with."""
        features = self.challenger.tags["headframe.features"]
        return lake.features(self.settings, self.use_case, features)

    def _labelled(self, rows: "pa.Table | None") -> "pa.Table":
        if rows is None:
            raise NotEnoughData(
                Problem(
                    where=f"evaluation of {self.use_case} candidate {self.challenger.version}",
                    expected="the feature rows that it was trained with",
                    found="none in the lake any more",
                    fix="Put the feature table back, or train again.",
                )
            )
        return labelled(rows, self.states, tuple(self.view.entity.key))


def ranked(rows: "pa.Table", value: Value, listed: RankedList) -> Ranked:
    """Return what the lists of these rows are judged with.

    Raises DeclarationError for a value or a group that the rows do not have.
    """
    import pyarrow as pa

    if unknown := [name for name in (value.column, *listed.per) if name not in rows.column_names]:
        wanted = Value(unknown[0], value.unit)
        raise DeclarationError(
            value_problem("the list by expected value", wanted, rows.column_names)
        )
    groups = rows.select(list(listed.per)).to_pylist()
    return Ranked(
        listed=listed,
        value=rows[value.column].cast(pa.float64()).to_numpy(zero_copy_only=False),
        group=[tuple(row.values()) for row in groups] if listed.per else [()] * rows.num_rows,
    )
