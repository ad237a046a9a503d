"""New blocks: what broke before a champion's service hides nothing that breaks in it, and alarms nobody."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.drift.block_profile import scan
from pipelines.domain.drift.column_edges import edges_of
from pipelines.domain.drift.losses import losses_of
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Judged, Profiled, standing
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.new_blocks import judge_new, left_out_of

FIRST = date(2026, 1, 1)
TRAINED, SERVED, BLOCKS = 20, 60, 70
"""Numbers of the first block after training, of the first that is served, and of all."""
ROWS = 400
MONITORING = Monitoring(alarms_per_quarter=1)

Change = Callable[[pa.Table], pa.Table]


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def without(column: str, share: float) -> Change:
    def changed(rows: pa.Table) -> pa.Table:
        kept = [None] * round(share * ROWS) + rows[column].to_pylist()[round(share * ROWS) :]
        return rows.set_column(
            rows.column_names.index(column), column, pa.array(kept, pa.float64())
        )

    return changed


def in_kilometres(rows: pa.Table) -> pa.Table:
    return rows.set_column(0, "miles", pa.array(1.609344 * rows["miles"].to_numpy()))


def block(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    return pa.table(
        {
            "miles": rng.gamma(4.0, 250.0, ROWS),
            "height": rng.normal(0, 1, ROWS),
            "score": rng.uniform(0, 1, ROWS),
        }
    )


def world(
    changes: Mapping[int, Change], *, source: str = ""
) -> tuple[list[Profiled], ModelReference]:
    """Return days of a model that learned from the first TRAINED and serves from SERVED on."""
    tables = [changes.get(number, lambda rows: rows)(block(number)) for number in range(BLOCKS)]
    columns = tables[0].column_names
    edges = edges_of(pa.concat_tables(map(block, range(TRAINED))), columns=columns)
    model = ModelReference(
        model_version="2",
        prediction=columns[-1],
        edges=edges,
        importance={},
        training_window=(day(0), day(TRAINED - 1)),
        losses=losses_of("log_loss", label=[], probability=[], blocks=[], of_row=[]),
        calibration=None,
    )
    profiled = [
        Profiled(
            block=day(number),
            scored_for=datetime.combine(FIRST + timedelta(days=number), datetime.min.time(), UTC),
            source=source,
            published=number >= SERVED,
            stale_tables="",
            estimated_loss=None,
            profile=scan(rows.to_batches(), edges, block=day(number)),
        )
        for number, rows in enumerate(tables)
    ]
    return profiled, model


def told(judged: list[Judged]) -> tuple[list[int], list[int]]:
    """Return numbers of the blocks that hard rules told: as a fact, and as an alarm."""
    return tuple(  # type: ignore[return-value]  # two lists
        [
            (date.fromisoformat(one.block) - FIRST).days
            for one in judged
            if one.breaks and one.level == level
        ]
        for level in ("INFO", "PAGE")
    )


LESSER = {68: without("height", 0.05)}
"""Missing where hardly any ever were: less than what any of the days below holds."""


@pytest.mark.parametrize(
    ("broken", "facts"),
    [
        ({40: without("miles", 1.0)}, [40]),
        ({40: in_kilometres}, [40]),
        ({number: without("miles", 1.0) for number in (40, 41, 42)}, [40, 41, 42]),
        ({number: without("miles", 1.0) for number in range(40, 55)}, [*range(40, 55)]),
        ({TRAINED: without("miles", 1.0)}, [TRAINED]),  # nothing is before it
        ({TRAINED + 1: in_kilometres, TRAINED + 2: in_kilometres}, [TRAINED + 1, TRAINED + 2]),
        ({SERVED - 1: without("miles", 1.0)}, [SERVED - 1]),
    ],
)
def test_a_grave_break_before_the_service_hides_no_lesser_one_in_it(
    broken: Mapping[int, Change], facts: list[int]
) -> None:
    profiled, model = world({**broken, **LESSER})
    judged = judge_new(profiled, model, MONITORING, {})
    assert told(judged) == (facts, [68])
    assert not standing(judged, "day"), "the day after keeps all rules, and a fact is no alarm"
    assert len(left_out_of(judged)) == len(facts)
    assert left_out_of(judged)[0].startswith(f"block {day(facts[-1])}: in it ")


def test_what_is_left_out_is_told_in_words() -> None:
    profiled, model = world({45: in_kilometres, 55: without("miles", 1.0)})
    assert left_out_of(judge_new(profiled, model, MONITORING, {})) == (
        f"block {day(55)}: in it 100 % of miles are missing, and hardly any ever were",
        f"block {day(45)}: in it miles looks converted: miles to kilometres",
    )


def test_quiet_blocks_of_before_are_looked_at_once_and_what_was_learned_from_never() -> None:
    profiled, model = world({5: without("miles", 1.0)})
    judged = judge_new(profiled, model, MONITORING, {})
    assert told(judged) == ([], [])
    of_rules = [one.block for one in judged if one.name == "HardRules"]
    assert of_rules == [day(number) for number in range(TRAINED, BLOCKS)]
    assert {one.block for one in judged if one.name != "HardRules"} == {
        day(number) for number in range(SERVED, BLOCKS)
    }
    assert judge_new(profiled, model, MONITORING, {"2": judged}) == []
    again, _ = world({40: without("miles", 1.0)}, source="scored again")
    assert told(judge_new(again, model, MONITORING, {"2": judged}))[0] == [40]


def test_what_was_left_out_once_stays_so_for_blocks_that_come_later() -> None:
    profiled, model = world({40: without("miles", 1.0), **LESSER})
    first = judge_new(profiled[: SERVED + 1], model, MONITORING, {})
    later = judge_new(profiled, model, MONITORING, {"2": first})
    assert (told(first), told(later)) == (([40], []), ([], [68]))


def test_breaks_that_the_budget_does_not_pay_for_are_the_sources_own_also_before_the_service() -> (
    None
):
    habit = {number: without("miles", 0.5) for number in (42, 52, 68)}
    profiled, model = world(habit)
    # Two breaks in half a year are more than one alarm a quarter pays for: the next is nothing new.
    assert told(judge_new(profiled, model, MONITORING, {})) == ([42, 52], [])
    once, model = world({42: without("miles", 0.5), 68: without("miles", 0.5)})
    assert told(judge_new(once, model, MONITORING, {})) == ([42], [68])


def test_the_first_blocks_are_held_against_later_ones_while_hardly_any_are_before_them() -> None:
    profiled, model = world(
        {number: without("height", 0.3) for number in range(BLOCKS)}  # it always is so
    )
    assert told(judge_new(profiled, model, MONITORING, {})) == ([], [])
