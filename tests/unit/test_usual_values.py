"""Usual values: the median of a number and the most frequent text, of all rows or of some taken evenly."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain import probe
from pipelines.domain.probe import usual_values
from pipelines.domain.training import FeatureColumns


def test_missing_and_infinite_numbers_are_not_usual() -> None:
    load = [3.0, None, 1.0, float("inf"), float("nan"), 2.0, 5.0]
    assert usual_values(
        pa.table({"load": load}), FeatureColumns(numeric=("load",), categorical=())
    ) == {"load": 2.5}


def test_of_texts_as_frequent_the_first_is_usual() -> None:
    rows = pa.table({"family": ["b", None, "a", None, "a", "b", None]})
    assert usual_values(rows, FeatureColumns(numeric=(), categorical=("family",))) == {
        "family": "a"
    }


def test_where_all_are_missing_nothing_is_usual() -> None:
    rows = pa.table(
        {"load": pa.array([None, None], pa.int64()), "family": pa.array([None] * 2, pa.string())}
    )
    found = usual_values(rows, FeatureColumns(numeric=("load",), categorical=("family",)))
    assert found == {"load": None, "family": None}


def test_of_many_rows_some_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "USUAL_ROWS", 10)
    rows = pa.table(
        {
            "as_of": [datetime(2026, 1, 1, tzinfo=UTC)] * 95,
            "load": np.arange(95),
            "family": ["rare" if place % 10 == 0 else "common" for place in range(95)],
        }
    )
    found = usual_values(rows, FeatureColumns(numeric=("load",), categorical=("family",)))
    assert found == {"load": 45.0, "family": "rare"}
    monkeypatch.setattr(probe, "USUAL_ROWS", 95)
    found = usual_values(rows, FeatureColumns(numeric=("load",), categorical=("family",)))
    assert found == {"load": 47.0, "family": "common"}


def test_the_median_of_some_is_near_that_of_all() -> None:
    """Rows come sorted by time, and what they hold drifts with it."""
    generator = np.random.default_rng(5)
    rows = 250_000
    load = generator.normal(size=rows) + np.linspace(0, 3, rows)
    found = usual_values(
        pa.table({"load": load}), FeatureColumns(numeric=("load",), categorical=())
    )["load"]
    assert isinstance(found, float)
    assert abs(float((load < found).mean()) - 0.5) < 0.006
