"""Losses of blocks: the same to the bit, measured apart or together, and of one number while it stands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipelines.domain.drift.losses import (
    MEASURE_OF_LOSSES,
    BlockLosses,
    joined,
    losses_of,
    taken,
)
from pipelines.domain.prediction_kinds import BINARY, REGRESSION

METRICS = (*BINARY.losses, *REGRESSION.losses)
BLOCKS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SEGMENTS = (("depot", "north"), ("depot", "south"), ("kind", "north"))

MEASURED = {
    1: {
        "rows": [5, 3, 1],
        "log_loss": [0.385104, 0.741875, None],
        "brier": [0.118, 0.286667, None],
        "absolute_error": [0.3, 0.466667, None],
        "squared_error": [0.118, 0.286667, None],
        "residual": [0.1, -0.066667, None],
        "contrast": [[-0.128351, 0.128351], [None, None], [None, None]],
    }
}
"""What each number of MEASURE_OF_LOSSES says of the same nine rows; the contrast is of log loss."""


@pytest.mark.parametrize("metric", METRICS)
def test_losses_of_the_same_rows_are_of_one_number(metric: str) -> None:
    """Kept losses are measured again only when MEASURE_OF_LOSSES is raised: raise it, and add what it says."""
    found = losses_of(
        metric,
        label=[1, 0, 1, 0, 1, 1, 0, 0, 1],
        probability=[0.9, 0.4, 0.5, 0.1, 0.6, 0.4, 0.7, 0.1, 0.5],
        blocks=BLOCKS[:3],
        of_row=[0, 0, 0, 0, 0, 1, 1, 1, 2],
        segments={"depot": ["north", "north", "south", "south", "south", *["north"] * 3, None]},
        levels=SEGMENTS[:2],
        minimum_rows=2,
    )
    expected = MEASURED[MEASURE_OF_LOSSES]
    assert found.rows.tolist() == expected["rows"]
    assert rounded(found.loss) == expected[metric]
    assert rounded(found.residual) == expected["residual"]
    if metric == "log_loss":
        assert [rounded(row) for row in found.contrast] == expected["contrast"]


def rounded(values: np.ndarray) -> list[float | None]:
    """Return numbers to six places, None for NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


@given(
    seed=some.integers(0, 2**32 - 1),
    rows=some.integers(0, 400),
    apart=some.sets(some.sampled_from(range(len(BLOCKS)))),
    metric=some.sampled_from(METRICS),
)
def test_blocks_that_are_measured_apart_have_the_same_losses_to_the_bit(
    seed: int, rows: int, apart: set[int], metric: str
) -> None:
    chance = np.random.default_rng(seed)
    of_row = np.sort(chance.integers(0, len(BLOCKS), rows))
    label, probability = chance.integers(0, 2, rows), chance.random(rows)
    levels = np.array(["north", "south", None], object)
    segments = {name: chance.choice(levels, rows) for name in ("depot", "kind")}

    def measured(places: list[int]) -> BlockLosses:
        chosen = np.isin(of_row, places)
        return losses_of(
            metric,
            label=label[chosen],
            probability=probability[chosen],
            blocks=[BLOCKS[place] for place in places],
            of_row=np.searchsorted(places, of_row[chosen]),
            segments={name: values[chosen].tolist() for name, values in segments.items()},
            levels=SEGMENTS,
            minimum_rows=10,
        )

    every = range(len(BLOCKS))
    order = [*sorted(apart), *(place for place in every if place not in apart)]
    parts = joined(measured(order[: len(apart)]), measured(order[len(apart) :]))
    found, expected = taken(parts, [order.index(place) for place in every]), measured([*every])
    assert (found.blocks, found.segments) == (expected.blocks, expected.segments)
    for name in ("rows", "loss", "residual", "contrast"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
