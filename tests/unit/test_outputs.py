"""Declared outputs: every mistake at once, and the columns that each shows."""

import dataclasses
from datetime import UTC, time
from typing import Any

import pyarrow as pa
import pytest

from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.output_problems import query_problems
from pipelines.domain.outputs import CsvFile, ParquetFile, PostgresTable, TopN, shown_columns
from pipelines.domain.promises import ArrivesBy, PredictionRange
from pipelines.use_case import Scoring
from tests.goldens import assert_golden
from tests.predicted import FEATURES, KEY, VISITS

TOP = TopN(10, name="watch_list", consumer="desk", by="p_missed", per="ward")
DESK = CsvFile(name="all_visits", consumer="desk")
HOUSE = PostgresTable(name="house", consumer="planning", connection="house", table="mart.visits")
CAP = BusinessRule("cap", owner="desk", when="true", then="least(prediction, 0.9)", reason="agreed")


def scoring(**fields: Any) -> Scoring:  # noqa: ANN401 - any field
    return Scoring(at=time(5), **fields)


WRONG: dict[str, Scoring] = {
    "outputs": scoring(
        outputs=[
            TopN(0, name="Watch", consumer=" ", by="", reasons=99, order="hihgest"),  # type: ignore[arg-type]
            dataclasses.replace(DESK, columns="ward"),
            dataclasses.replace(DESK, columns=["ward", "bed", "ward"]),
            ParquetFile(name="", consumer="desk"),
        ]
    ),
    "tables": scoring(
        outputs=[
            HOUSE,
            dataclasses.replace(HOUSE, name="again"),
            PostgresTable(
                name="address",
                consumer="x",
                connection="postgresql://me:secret@host/db",
                table="a.b.c",
            ),
            PostgresTable(name="quotes", consumer="x", connection="house", table='Visits"'),
        ]
    ),
    "rules_and_promises": scoring(
        rules=[
            CAP,
            CAP,
            BusinessRule("Cap it", owner="", when=" ", then="", reason=""),
        ],
        promises=[
            PredictionRange(0.9, 0.1),
            PredictionRange(-0.1, 1.1),
            ArrivesBy(time(6, tzinfo=UTC), "Europe/Berln"),
        ],
    ),
    "in_the_wrong_list": scoring(
        rules=[DESK], outputs=[PredictionRange(0.1, 0.9), "all_visits"], promises=[CAP]
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_is_reported_as_the_golden_text_says(name: str) -> None:
    problems = dataclasses.replace(VISITS, scoring=WRONG[name]).problems()
    assert_golden(f"declarations/outputs_{name}", "\n".join(map(str, problems)))


def test_no_message_repeats_what_may_be_an_address() -> None:
    problems = dataclasses.replace(VISITS, scoring=WRONG["tables"]).problems()
    assert "secret" not in "".join(map(str, problems))


def test_sound_outputs_have_no_problems() -> None:
    sound = scoring(
        rules=[CAP],
        outputs=[TOP, DESK, HOUSE],
        promises=[PredictionRange(0.01, 0.99), ArrivesBy(time(6), "Europe/Berlin")],
    )
    assert dataclasses.replace(VISITS, scoring=sound).problems() == []


def test_columns_that_the_feature_query_does_not_give_are_reported_with_the_nearest() -> None:
    problems = query_problems(
        [BusinessRule("old", owner="desk", when="aeg > 90", then="0.5", reason="agreed")],
        [
            TopN(3, name="typo", consumer="desk", by="p_mised", per=["ward", "insurrer"]),
            TopN(3, name="by_text", consumer="desk", by="insurer"),
            dataclasses.replace(DESK, columns=["bad", "scored_at", "age"]),
            HOUSE,
        ],
        key=KEY,
        label="missed",
        described=FEATURES,
        where="scoring",
    )
    assert_golden("declarations/outputs_columns", "\n".join(map(str, problems)))


@pytest.mark.parametrize("taken", ["p_missed", "run_key", "rank"])
def test_a_feature_under_a_name_that_outputs_use_is_refused(taken: str) -> None:
    described = FEATURES.append(pa.field(taken, pa.float64()))
    (found,) = query_problems(
        (), [DESK], key=KEY, label="missed", described=described, where="scoring"
    )
    assert repr(taken) in found.expected


USUAL = ("event_time", "raw_prediction", "rule", "model_version", "scored_for", "as_of")


@pytest.mark.parametrize(
    ("output", "columns"),
    [
        (TOP, ("ward", "day", "bed", "p_missed", "raw_prediction", "rule")),
        (dataclasses.replace(TOP, per=(), by="age"), ("day", "ward", "bed", "p_missed", "age", "raw_prediction", "rule")),
        (dataclasses.replace(TOP, columns=["stays"]), ("ward", "day", "bed", "p_missed", "stays")),
        (DESK, ("day", "ward", "bed", "p_missed", *USUAL)),
        (dataclasses.replace(DESK, columns=["bed", "age"]), ("bed", "age")),
        (
            HOUSE,
            ("day", "ward", "bed", "scored_for", "p_missed", *(n for n in USUAL if n != "scored_for")),
        ),
        (dataclasses.replace(HOUSE, columns=["age"]), ("day", "ward", "bed", "scored_for", "age")),
    ],
)  # fmt: skip
def test_an_output_shows_its_columns_in_order(
    output: TopN | CsvFile | PostgresTable, columns: tuple[str, ...]
) -> None:
    assert shown_columns(output, key=KEY, label="missed") == columns
