"""Row reasons: the reasons of listed rows, from the models that predicted them and their features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipelines.adapters.models import answer_tags, mlflow_registry, probe
from pipelines.adapters.outputs.output_rows import FEATURE_DIGEST, Subject, feature_rows
from pipelines.adapters.outputs.top_list import Explained
from pipelines.adapters.settings import Settings
from pipelines.domain.reasons import Reason, Value, reasons
from pipelines.domain.training import FeatureColumns, answers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NO_REFERENCE = "the model was registered without usual values: train and promote it again"
OTHER_FEATURES = "their feature rows were replaced since they were scored: score the window again"

CLOSE = 1e-9
"""By how much a model may differ from itself on other batches (sums in another order): in probability,
or as a share of a number."""


class Models:
    """The models that predicted the rows of one run, each loaded and verified once."""

    def __init__(self, settings: Settings, use_case: str) -> None:
        self.settings = settings
        self._use_case = use_case
        self._loaded: dict[str, _Model] = {}

    def of(self, version: str) -> "_Model":
        """Return a model version. Raises ChampionUnresolved when its files are not as registered."""
        if version not in self._loaded:
            found = mlflow_registry.candidate(self.settings, self._use_case, version)
            columns = probe.feature_columns(found)
            reference = probe.reference(self.settings, found)
            estimator = mlflow_registry.load(self.settings, self._use_case, found)
            self._loaded[version] = _Model(
                columns=columns,
                usual={name: reference[name] for name in columns.all if name in reference},
                predict=partial(
                    answers, estimator, columns=columns, answer=answer_tags.answer(found)
                ),
            )
        return self._loaded[version]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What reasons need of one model; ``usual`` is empty where it was registered without."""

    columns: FeatureColumns
    usual: Mapping[str, Value]
    predict: "Callable[[pa.Table], np.ndarray]"


def explain(models: Models, subject: Subject, listed: "pa.Table", most: int) -> Explained:
    """Return the reasons of each row of ``listed``, which names its model and feature view.

    A row is explained only from the features it was scored with: when its model predicts another
    value from those that stand now, it has no reasons, and ``missing`` says so.
    """
    found: list[tuple[Reason, ...]] = [()] * listed.num_rows
    missing: list[str] = []
    said = listed.select(["model_version", FEATURE_DIGEST]).to_pylist()
    pairs = [(row["model_version"], row[FEATURE_DIGEST]) for row in said]
    for version, digest in dict.fromkeys(pairs):
        places = [place for place, pair in enumerate(pairs) if pair == (version, digest)]
        rows = listed.take(places)
        told = _of_one_model(models, subject, rows, (version, digest), most)
        missing += [told.missing] if told.missing else []
        for place, mine in zip(places, told.reasons, strict=True):
            found[place] = mine
    return Explained(reasons=found, missing="; ".join(dict.fromkeys(missing)))


def _of_one_model(
    models: Models, subject: Subject, listed: "pa.Table", pair: tuple[str, str], most: int
) -> Explained:
    import numpy as np
    import pyarrow as pa

    found: list[tuple[Reason, ...]] = [()] * listed.num_rows
    version, digest = pair
    model = models.of(version)
    if not model.usual:
        return Explained(reasons=found, missing=NO_REFERENCE)
    rows = feature_rows(models.settings, subject, digest, listed)
    if not rows.num_rows:  # an estimator takes no empty matrix
        return Explained(reasons=found, missing=OTHER_FEATURES)
    scored_as = listed["raw_prediction"].to_numpy()[rows["place"].to_numpy()]
    same = np.abs(model.predict(rows) - scored_as) <= CLOSE * np.maximum(1.0, np.abs(scored_as))
    kept = rows.filter(pa.array(same))
    told = reasons(model.predict, kept.select(model.columns.all), model.usual, most=most)
    for place, mine in zip(kept["place"].to_pylist(), told, strict=True):
        found[place] = mine
    complete = kept.num_rows == listed.num_rows
    return Explained(reasons=found, missing="" if complete else OTHER_FEATURES)
