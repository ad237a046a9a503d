"""Watched units: a feature that moves by and by is in no other unit, whatever its blocks are compared with."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.block_statistics import statistics_of
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import losses_of
from pipelines.domain.model_reference import ModelReference, with_margin
from pipelines.domain.monitored import HARD_RULES, Profiled
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.watch import judge_inputs

FIRST = date(2026, 1, 1)
TRAINED, HELD_OUT = 10, 28
SERVED = TRAINED + HELD_OUT
ROWS = 400


def told(
    factors: Sequence[float], monitoring: Monitoring, *, first: int = SERVED
) -> dict[int, str]:
    """Return what hard rules told of each block from ``first`` on, by its number.

    A block's load is the usual times its factor.
    """
    rng = np.random.default_rng(4)
    tables = [
        pa.table({"load": factor * rng.gamma(9, 8.0, ROWS), "p_late": rng.uniform(0, 1, ROWS)})
        for factor in factors
    ]
    names = [f"{FIRST + timedelta(days=number)}" for number in range(len(tables))]
    edges = with_margin(edges_of(pa.concat_tables(tables[:TRAINED]), columns=["load", "p_late"]))
    model = ModelReference(
        model_version="1",
        prediction="p_late",
        edges=edges,
        importance={},
        training_window=(names[0], names[TRAINED - 1]),
        losses=losses_of("log_loss", label=[], probability=[], blocks=[], of_row=[]),
        calibration=None,
    )
    profiled = [
        Profiled(
            block=name,
            scored_for=datetime.combine(date.fromisoformat(name), time(5), UTC),
            source="",
            published=number >= SERVED,
            stale_tables="",
            estimated_loss=None,
            profile=scan(table.to_batches(), edges, block=name),
        )
        for number, (name, table) in enumerate(zip(names, tables, strict=True))
    ]
    statistics = statistics_of([one.profile for one in profiled], edges)
    broken: set[str] = set()
    found = {}
    for upto in range(first, len(profiled)):
        judged = judge_inputs(profiled, statistics, model, monitoring, upto=upto, broken=broken)
        hard = next(one for one in judged if one.name == HARD_RULES)
        if hard.fires:
            broken.add(hard.block)
            found[upto] = hard.result.reason
    return found


REFERENCES = ["trailing", "frozen"]
KILOMETRES = "In the newest block load looks converted: miles to kilometres."


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_comes_by_steps_is_not_told(reference: str) -> None:
    """Within twelve days to where another unit would be, and there it stays."""
    steps = np.linspace(1.0, 1.609344, 12).tolist()
    factors = [1.0] * SERVED + steps + [1.609344] * 3
    assert told(factors, Monitoring(reference=reference)) == {}  # type: ignore[arg-type]


def test_two_weeks_of_steps_are_enough_however_many_blocks_there_were_before() -> None:
    """Of 180 blocks nine may be as far, more than the steps are: the week before tells."""
    factors = [1.0] * 200 + np.linspace(1.0, 1.609344, 14).tolist()
    assert told(factors, Monitoring(reference="trailing"), first=205) == {}
    assert told([*factors[:200], 1.609344], Monitoring(), first=200) == {200: KILOMETRES}


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_comes_at_once_is_told_for_as_long_as_it_lasts(reference: str) -> None:
    changed = range(SERVED + 8, SERVED + 16)
    factors = [1.609344 if number in changed else 1.0 for number in range(SERVED + 20)]
    found = told(factors, Monitoring(reference=reference))  # type: ignore[arg-type]
    assert found == dict.fromkeys(changed, KILOMETRES)
