"""Champion rows: feature rows with what the champion says of them, published or said again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, moment_groups
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import feature_store, prediction_store, probe
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import made_marks
from pipelines.adapters.stores.object_store import Folder
from pipelines.adapters.threads import one_thread
from pipelines.domain.features import AS_OF, FeatureView, KnownTables
from pipelines.domain.probe import Scorer
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.domain.slots import SLOT, window_name
from pipelines.domain.training import FeatureColumns

if TYPE_CHECKING:
    import pyarrow as pa

SCORED_FOR = "scored_for"
STALE = "stale_tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionRows:
    """Where the rows of a champion's blocks are: its features, and the predictions it published.

    ``prediction`` names the column that holds what the model itself says, before business rules.
    """

    settings: Settings
    use_case: str
    view: FeatureView
    champion: Champion
    prediction: str
    times: ScoringTimes

    @property
    def version(self) -> str:
        """Return the model version."""
        return self.champion.model.version

    @property
    def columns(self) -> FeatureColumns:
        """Return the features that the model reads."""
        return probe.feature_columns(self.champion.model)

    @property
    def folder(self) -> Folder:
        """Return where its feature view's rows are."""
        digest = self.champion.model.tags["headframe.features"]
        return lake.features(self.settings, self.use_case, digest)

    @property
    def key(self) -> list[str]:
        """Return the entity's key."""
        return list(self.view.entity.key)

    @property
    def held_out(self) -> list[datetime]:
        """Return the scoring times that the model was judged on."""
        told = json.loads(self.champion.model.tags["headframe.held_out"])
        return [datetime.fromisoformat(moment) for moment in told]

    def states_at_training(self, tables: KnownTables) -> "pa.Table":
        """Return the state of every label as it was known when the model was trained."""
        as_of = self.champion.model.tags["headframe.as_of"]
        return tables.label_states(self.view.entity, datetime.fromisoformat(as_of))

    def block(self, scored_for: datetime) -> str:
        """Return the name of a scoring time's block."""
        return self.times.block_name(scored_for)

    def sources(self, *, since: datetime, until: datetime) -> dict[datetime, str]:
        """Return what each described block of [since, until] is made of, by scoring time, sorted.

        It changes when the block is described or scored again. From the logs of the two tables.
        """
        until += timedelta(microseconds=1)
        times = self.times.between(since, until)
        described = feature_store.digests(self.folder, self.view, times)
        standing = prediction_store.standing(self.settings, self.use_case)
        keys = {window.window: window.run_key for window in standing}
        return {
            start: f"{keys.get(window_name(SLOT, start), '')}/{described[start]}"
            for start in times
            if start in described
        }

    def feature_editions(
        self, times: Sequence[datetime]
    ) -> dict[datetime, list[tuple[datetime, int]]]:
        """Return by scoring time which rows of features its predictions are of: their times and editions.

        An edition rises when the rows are made again. From the logs of the two tables.
        """
        made = made_marks.segments(self.settings, self.use_case)
        editions = feature_store.editions(self.folder)
        return {
            start: [
                (as_of, editions.get(as_of, 0))
                for as_of in sorted({start, *(segment.as_of for segment in made.get(start, ()))})
            ]
            for start in times
        }

    def scorer(self) -> Scorer:
        """Return what predicts with the model, verified."""
        return champions.scorer(self.settings, self.use_case, self.champion)

    def described(self, times: Sequence[datetime]) -> "pa.Table":
        """Return the feature rows of blocks, with ``scored_for``; sorted by it and the key."""
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._features(times, self.columns.all)
        wanted = pa.array(list(times), pa.timestamp("us", tz="UTC"))
        rows = rows.filter(pc.is_in(rows[AS_OF], wanted))
        return self._sorted(rows.append_column(SCORED_FOR, rows[AS_OF]))

    def said_again(self, times: Sequence[datetime], scorer: Scorer) -> "pa.Table":
        """Return the feature rows of blocks with what the model says of them now."""
        import pyarrow as pa

        rows = self.described(times)
        with one_thread():
            said = scorer.answers(rows.select(self.columns.all).combine_chunks())
        return rows.append_column(self.prediction, pa.array(said, pa.float64()))

    def published(self, times: Sequence[datetime], columns: Sequence[str]) -> "pa.Table":
        """Return what this model published for blocks, with these features of each row.

        Sorted by ``scored_for`` and key; also has ``stale_tables``. Blocks that another model scored
        are not in it.
        """
        import pyarrow.compute as pc

        wanted = set(times)
        windows = [
            window
            for window in prediction_store.standing(self.settings, self.use_case)
            if window.scored_for in wanted
        ]
        if not windows:  # nor is there a table, before the first
            return self._none(columns)
        said = prediction_store.rows(
            self.settings,
            self.use_case,
            windows,
            [*self.key, AS_OF, SCORED_FOR, STALE, "raw_prediction", "model_version"],
        )
        said = said.filter(pc.equal(said["model_version"], self.version))
        if not said.num_rows:
            return self._none(columns)
        said = said.drop_columns(["model_version"])
        said = said.rename_columns(
            [self.prediction if name == "raw_prediction" else name for name in said.column_names]
        )
        if columns:
            # A late rescore's rows are those of its own time.
            features = self._features(said[AS_OF].unique().to_pylist(), columns)
            said = with_features(said, features, [*self.key, AS_OF])
        return self._sorted(said)

    def _features(self, times: Sequence[datetime], columns: Sequence[str]) -> "pa.Table":
        """Return these features of all rows described at some times; others may be among them."""
        return moment_groups.read(
            self.folder, AS_OF, times, columns=list(dict.fromkeys([*self.key, AS_OF, *columns]))
        )

    def _sorted(self, rows: "pa.Table") -> "pa.Table":
        order = [(SCORED_FOR, "ascending"), *((name, "ascending") for name in self.key)]
        return rows.sort_by(order).combine_chunks()

    def _none(self, columns: Sequence[str]) -> "pa.Table":
        import pyarrow as pa

        kinds = delta_tables.schema(self.folder)
        moment = pa.timestamp("us", tz="UTC")
        return pa.schema(
            [
                *(kinds.field(name) for name in dict.fromkeys([*self.key, AS_OF, *columns])),
                (SCORED_FOR, moment),
                (STALE, pa.string()),
                (self.prediction, pa.float64()),
            ]
        ).empty_table()


def with_features(said: "pa.Table", features: "pa.Table", identity: Sequence[str]) -> "pa.Table":
    """Return what was said with the features of each row, known by ``identity``.

    Both were written in the same order, and mostly are of the same rows: then nothing is looked up.
    """
    if not all(said[name].equals(features[name]) for name in identity):
        return said.join(features, list(identity), join_type="inner")
    for name in features.column_names:
        if name not in identity:
            said = said.append_column(features.schema.field(name), features[name])
    return said


def by_block(rows: "pa.Table") -> Mapping[datetime, "pa.Table"]:
    """Return the rows of each scoring time; ``rows`` are sorted by it."""
    import numpy as np

    if not rows.num_rows:
        return {}
    times = rows[SCORED_FOR].to_numpy()
    starts = [0, *(np.flatnonzero(times[1:] != times[:-1]) + 1).tolist(), len(times)]
    return {
        rows[SCORED_FOR][start].as_py(): rows.slice(start, end - start)
        for start, end in pairwise(starts)
    }
