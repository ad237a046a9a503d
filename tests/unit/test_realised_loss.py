"""Realised loss: the mean of the newest labelled blocks with its interval, or too few of them."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.block_estimate import mean_estimate
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import BlockLosses
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.realised_loss import realised_loss

NAN = float("nan")


def losses(values: list[float], rows: list[int] | None = None) -> BlockLosses:
    """Return blocks named after their number, with these mean losses."""
    number = len(values)
    return BlockLosses(
        blocks=tuple(f"2026-01-{place:02}" for place in range(1, number + 1)),
        rows=np.asarray(rows or [100] * number),
        loss=np.asarray(values),
        residual=np.zeros(number),
        segments=(),
        contrast=np.zeros((number, 0)),
    )


def reference(values: list[float]) -> ModelReference:
    return ModelReference(
        model_version="1",
        prediction="p",
        edges=edges_of(pa.table({"p": [0.1, 0.9]}), columns=["p"]),
        importance={},
        training_window=("2025-01-01", "2025-06-01"),
        losses=losses(values),
        calibration=None,
    )


def test_the_newest_28_labelled_blocks_are_averaged_row_by_row() -> None:
    values = [9.0, NAN, *[0.4, 0.5] * 14, NAN]  # 9.0 is older than the window
    rows = [100, 100, *[300, 100] * 14, 100]
    found = realised_loss(losses(values, rows), reference([0.3] * 20))
    assert found is not None
    expected = mean_estimate([0.4, 0.5] * 14, [300, 100] * 14)
    assert expected is not None
    figures = found.result.figures
    assert (found.block, found.result.outcome) == ("2026-01-30", "measured")
    assert (found.level, found.fires) == ("none", False)
    assert figures["mean"] == pytest.approx(0.425)  # (300 x 0.4 + 100 x 0.5) / 400
    assert (figures["low"], figures["high"]) == (expected.at_least(0.95), expected.at_most(0.95))
    assert figures["low"] < 0.425 < figures["high"]
    assert (figures["held_out"], figures["held_out_low"]) == pytest.approx((0.3, 0.3))
    assert found.result.reason == (
        f"The mean log loss of the last 28 labelled blocks is 0.425 ({figures['low']:.4g} to "
        f"{figures['high']:.4g} at 90 %); that of 20 held-out blocks is 0.3 (0.3 to 0.3 at 90 %)."
    )


@pytest.mark.parametrize(("number", "bounded"), [(19, False), (20, True)])
def test_below_twenty_blocks_there_is_a_mean_and_no_interval(number: int, *, bounded: bool) -> None:
    found = realised_loss(losses([0.4] * number), reference([NAN]))
    assert found is not None
    assert ("low" in found.result.figures) is bounded
    assert found.result.figures["mean"] == pytest.approx(0.4)
    assert found.result.outcome == ("measured" if bounded else "not_tested")
    assert ("too few for an interval (20 are needed)" in found.result.reason) is not bounded
    assert "that of 0 held-out blocks is not known" in found.result.reason


def test_without_a_labelled_block_nothing_is_said() -> None:
    assert realised_loss(losses([NAN, NAN]), reference([0.3])) is None


def lost(generator: np.random.Generator, memory: float) -> list[float]:
    """Return the losses of 28 blocks around 0.45 of which ``memory`` is that of the one before."""
    away = [float(generator.normal())]
    for _ in range(27):
        away.append(memory * away[-1] + float(generator.normal()) * np.sqrt(1 - memory**2))
    return [0.45 + 0.05 * each for each in away]


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_the_interval_misses_the_mean_in_one_of_ten_also_where_blocks_depend_on_each_other(
    memory: float,
) -> None:
    generator = np.random.default_rng(3)
    found = [realised_loss(losses(lost(generator, memory)), reference([0.3])) for _ in range(150)]
    bounds = [(one.result.figures["low"], one.result.figures["high"]) for one in found if one]
    missed = sum(not low <= 0.45 <= high for low, high in bounds)
    assert 3 <= missed <= 27  # of 150: 27 or fewer at 10 % with a probability of 99.9 %
