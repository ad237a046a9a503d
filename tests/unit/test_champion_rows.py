"""Champion rows: what a model said, with the features of each row."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipelines.adapters.models.champion_rows import with_features

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2)]
IDENTITY = ["carrier", "flight", "as_of"]
MOMENTS = pa.array([DAYS[0], DAYS[0], DAYS[1], DAYS[1]], pa.timestamp("us", tz="UTC"))
SAID = pa.table(
    {
        "carrier": ["AA", "UA", "AA", "UA"],
        "flight": [1, 1, 1, 1],
        "as_of": MOMENTS,
        "p_late": [0.1, 0.2, 0.3, 0.4],
    }
)
FEATURES = pa.table(
    {
        "carrier": pa.chunked_array([["AA"], ["UA", "AA", "UA"]]),
        "flight": [1, 1, 1, 1],
        "as_of": MOMENTS,
        "wind": [5.0, None, 7.0, 8.0],
        "origin": ["EWR", "JFK", "LGA", None],
    }
)


@pytest.mark.parametrize(
    ("said", "features"),
    [
        (range(4), range(4)),
        (range(4), (3, 1, 0, 2)),
        (range(4), (1, 0, 3, 2)),
        ((2, 0), range(4)),
        (range(4), (0, 1)),
        ((0, 1), (2, 3)),
        ((), range(4)),
    ],
)
def test_each_row_gets_its_own_features(said: list[int], features: list[int]) -> None:
    found = with_features(
        SAID.take(pa.array(list(said), "i8")),
        FEATURES.take(pa.array(list(features), "i8")),
        IDENTITY,
    )
    assert found.column_names == ["carrier", "flight", "as_of", "p_late", "wind", "origin"]
    assert found.sort_by("p_late").to_pylist() == [
        SAID.slice(row, 1).to_pylist()[0] | FEATURES.slice(row, 1).to_pylist()[0]
        for row in range(4)
        if row in said and row in features
    ]
