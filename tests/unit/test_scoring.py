"""Scoring: plans travel as JSON, units are dealt whole, every row is accounted for or refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.predicted import NOT_A_PROBABILITY, predict
from pipelines.domain.probe import Scorer
from pipelines.domain.scoring import (
    PartFile,
    Scored,
    ScoredPart,
    ScoredShare,
    ScorePlan,
    Share,
    Unit,
    WindowPlan,
    WindowScored,
    account,
    deal,
    run_key,
)
from pipelines.domain.training import FeatureColumns
from pipelines.errors import LakeError

AT = datetime(2026, 2, 18, 4, tzinfo=UTC)


def unit(number: int, rows: int = 10) -> Unit:
    return Unit(file=f"part-{number}.parquet", row_group=number, rows=rows, whole=True)


def window(**changes: object) -> WindowPlan:
    plan = WindowPlan(
        window="champion/2026-02-18T04:00:00+00:00",
        scored_for=AT,
        as_of=AT,
        until=AT + timedelta(days=1),
        outcome="score",
        reason="first",
        feature_version=3,
        rows_digest="ab" * 16,
        rows=30,
        stale=("outcome",),
        tables={"silver.machines.plan": 7},
        run_key="cd" * 32,
        number=0,
        layers={"scored:champion/2026-02-18T04:00:00+00:00": 17},
    )
    return replace(plan, **changes)  # type: ignore[arg-type]  # whatever a test changes


def plan(*windows: WindowPlan) -> ScorePlan:
    shares = [Share(window=0, units=(unit(0), unit(1), unit(2)))]
    return ScorePlan(
        use_case="machines",
        run="manual__1",
        model_version="1",
        declaration="ef" * 32,
        features="01" * 32,
        windows=windows or (window(),),
        parts=deal(shares, 2),
    )


def file(rows: int, name: str = "part-a.parquet") -> PartFile:
    return PartFile(name=name, bytes=100, rows=rows, statistics='{"numRecords": 1}')


def part(number: int, rows: int, scored: int, refused: dict[str, int] | None = None) -> ScoredPart:
    lost = sum((refused or {}).values())
    share = ScoredShare(
        window=0,
        rows=rows,
        scored=scored,
        refused=refused or {},
        files=(file(scored),) if scored else (),
        refused_files=(file(lost),) if lost else (),
        broken={},
    )
    return ScoredPart(part=number, shares=(share,))


def test_a_plan_a_part_and_an_outcome_survive_json() -> None:
    scored = Scored(
        model_version="1",
        windows=(
            WindowScored(
                scored_for=AT,
                as_of=AT + timedelta(hours=1, microseconds=1),
                window="champion/2026-02-18T04:00:00+00:00",
                run_key="cd" * 32,
                rows=30,
                carried=2,
                refused={"x": 1},
                outcome="written",
                stale=(),
                version=4,
            ),
        ),
    )
    for value in (plan(), part(1, 20, 18, {"feature load is infinite": 2}), scored):
        kind = type(value)
        assert kind.from_plain(json.loads(json.dumps(value.to_plain()))) == value


def test_a_plan_of_another_release_is_refused() -> None:
    plain = plan().to_plain()
    with pytest.raises(TypeError, match="ScorePlan has no colour"):
        ScorePlan.from_plain({**plain, "colour": "red"})
    del plain["run"]
    with pytest.raises(KeyError, match="run"):
        ScorePlan.from_plain(plain)


@given(st.lists(st.lists(st.integers(1, 1000), max_size=8), max_size=5), st.integers(1, 6))
def test_every_unit_is_dealt_once_in_order_and_no_part_is_empty(
    sizes: list[list[int]], parts: int
) -> None:
    shares = [
        Share(window=number, units=tuple(unit(place, rows) for place, rows in enumerate(of_window)))
        for number, of_window in enumerate(sizes)
    ]
    dealt = deal(shares, parts)
    flat = [(share.window, u) for each in dealt for share in each for u in share.units]
    assert flat == [(share.window, u) for share in shares for u in share.units]
    assert len(dealt) <= parts
    assert all(share.units for each in dealt for share in each)
    assert all(each for each in dealt)


@pytest.mark.parametrize(
    ("sizes", "parts", "expected"),
    [
        ([10, 10, 10, 10], 2, [20, 20]),
        ([10, 10, 10, 10], 3, [10, 20, 10]),
        ([100, 1, 1, 1], 2, [100, 3]),
        ([1, 1, 1, 100], 2, [3, 100]),
        ([5], 4, [5]),
        ([], 4, []),
    ],
)
def test_parts_are_as_even_as_whole_units_allow(
    sizes: list[int], parts: int, expected: list[int]
) -> None:
    share = Share(window=0, units=tuple(unit(place, rows) for place, rows in enumerate(sizes)))
    assert [sum(s.rows for s in each) for each in deal([share], parts)] == expected


def test_rows_in_are_rows_scored_and_rows_refused() -> None:
    made = account(plan(), 0, [part(0, 10, 9, {"a": 1}), part(1, 20, 18, {"a": 1, "b": 1})])
    assert (made.rows, made.scored, made.refused) == (30, 27, {"a": 2, "b": 1})
    assert made.law == {"rows": 30, "scored": 27, "refused": 3}


@pytest.mark.parametrize(
    "parts",
    [
        [part(0, 10, 10)],
        [part(0, 10, 10), part(1, 20, 20), part(1, 20, 20)],
        [part(0, 15, 15), part(0, 15, 15)],
        [part(0, 10, 10), part(1, 20, 19)],
        [],
    ],
    ids=[
        "a part is missing",
        "a part came twice",
        "a part came in place of another as large",
        "a row was lost",
        "no part",
    ],
)
def test_a_row_that_is_not_accounted_for_stops_publishing(parts: Sequence[ScoredPart]) -> None:
    with pytest.raises(LakeError, match="expected 30 rows in = rows scored"):
        account(plan(), 0, parts)


def test_rows_that_are_in_no_file_stop_publishing() -> None:
    share = replace(part(1, 20, 20).shares[0], files=(file(19),))
    with pytest.raises(LakeError, match=r"29 in files"):
        account(plan(), 0, [part(0, 10, 10), ScoredPart(part=1, shares=(share,))])


def test_a_run_key_tells_model_rows_declaration_and_what_lies_below_apart() -> None:
    keys = {
        run_key("1", "a", "d"),
        run_key("2", "a", "d"),
        run_key("1", "b", "d"),
        run_key("1", "a", "e"),
        run_key("1", "a", "d", above=1),
        run_key("1", "a", "d", above=2),
    }
    assert len(keys) == 6
    assert run_key("1", "a", "d") == run_key("1", "a", "d")


class Echo:
    """A model whose answer is its feature ``load``."""

    def predict_proba(self, X: "np.ndarray") -> "np.ndarray":  # noqa: N803 - sklearn's name
        load = np.asarray(X["load"], dtype=float)
        return np.column_stack([1 - load, load])


ECHO = Scorer(
    model=Echo(), columns=FeatureColumns(numeric=("load", "count"), categorical=()), fused=None
)


def rows(load: list[float | None], count: list[int | None]) -> pa.Table:
    return pa.table(
        {
            "id": list(range(len(load))),
            "load": pa.array(load, pa.float64()),
            "count": pa.array(count, pa.int64()),
        }
    )


def test_rows_without_a_probability_in_the_end_are_refused_with_their_reason() -> None:
    batch = rows(
        [0.5, float("inf"), 0.25, 1.5, None, float("-inf"), 1.0],
        [1, 2, 2**53 + 1, 4, 5, -(2**63), None],
    )
    found = predict(batch, ECHO, [])
    assert found.rows["id"].to_pylist() == [0, 6]
    assert found.prediction.tolist() == found.raw.tolist() == [0.5, 1.0]
    assert dict(zip(found.refused["id"].to_pylist(), found.reasons.to_pylist(), strict=True)) == {
        1: "feature load is infinite",
        2: "feature count is beyond 2^53",
        3: NOT_A_PROBABILITY,
        4: NOT_A_PROBABILITY,
        5: "feature load is infinite",
    }


def test_rules_see_sound_rows_only_and_what_they_refuse_is_refused() -> None:
    never = BusinessRule("never", "ops", "count = 3", "0.0", "it does not run")
    broken = BusinessRule("broken", "ops", "count = 4", "2.0", "a mistake")
    found = predict(rows([0.5, 0.25, float("inf"), 0.75], [3, 4, 3, 5]), ECHO, [never, broken])
    assert found.rows["id"].to_pylist() == [0, 3]
    assert found.raw.tolist() == [0.5, 0.75]
    assert found.prediction.tolist() == [0.0, 0.75]
    assert found.rule is not None
    assert found.rule.to_pylist() == ["never", None]
    assert sorted(found.refused["id"].to_pylist()) == [1, 2]
    assert "business rule 'broken': outside [0, 1]" in found.reasons.to_pylist()


@settings(deadline=None)  # a batch of rules is a DuckDB query each, and machines are busy
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(), st.floats(0, 1)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 5)),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_every_row_of_a_batch_is_predicted_or_refused_and_none_by_its_neighbours(
    drawn: list[tuple[float | None, int | None]],
    ruled: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    rules = [BusinessRule("half", "ops", "count < 3", "prediction / 2", "why not")] if ruled else []
    batch = rows([load for load, _ in drawn], [count for _, count in drawn])
    found = predict(batch, ECHO, rules)
    assert sorted([*found.rows["id"].to_pylist(), *found.refused["id"].to_pylist()]) == list(
        range(len(drawn))
    )
    assert len(found.reasons) == found.refused.num_rows
    assert len(found.raw) == len(found.prediction) == found.rows.num_rows
    assert ((found.prediction >= 0) & (found.prediction <= 1)).all()
    alone = [predict(batch.slice(number, 1), ECHO, rules) for number in range(len(drawn))]
    expected = [one.prediction.tolist() for one in alone if one.rows.num_rows]
    assert [[value] for value in found.prediction.tolist()] == expected
