"""A drop of volume: told of a block that is small beside the whole week before, quiet days among it."""

import numpy as np
import pytest

from pipelines.domain.performance import volume_drop

QUIET = {"weekends": (5, 6), "Sundays": (6,), "no day": ()}


@pytest.mark.parametrize("days", QUIET.values(), ids=QUIET)
def test_a_week_with_quiet_days_is_no_drop_though_one_of_them_is_missing(
    days: tuple[int, ...],
) -> None:
    random = np.random.default_rng(3)
    volumes, told = [], []
    for day in range(140):
        if day == 72:  # nothing was scored
            continue
        volumes.append(int(random.poisson(300 if day % 7 in days else 1000)))
        told.append(volume_drop(volumes, 0.5))
    assert not any(told)


@pytest.mark.parametrize(
    ("volumes", "told"),
    [
        ([900] * 7 + [449], "449 rows, against 900 or more in the 7 blocks before"),
        ([900] * 7 + [450], None),
        ([1000] * 5 + [300, 310, 140], "140 rows, against 300 or more in the 7 blocks before"),
        ([20] + [900] * 7 + [300], "300 rows, against 900 or more in the 7 blocks before"),
        ([900] * 6 + [300], None),
    ],
)
def test_a_block_is_held_against_the_smallest_of_the_week_before(
    volumes: list[int], told: str | None
) -> None:
    assert volume_drop(volumes, 0.5) == told
