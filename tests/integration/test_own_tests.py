"""What a team's own tests ask, of tables unlike those that `headframe new` drafts."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from headframe import testing
from pipelines.use_case import UseCase, load

ROOT = Path(__file__).parents[2]

ACCOUNTS = """account_id,region,industry,employees,since
a1,north,retail,40,2020-05-01
"""

REVIEWS = """review_date,opportunity_id,account_id,product,source,stage,amount,owner,created_at,review_at
2022-01-10,o1,a1,core,web,proposal,900,ann,2022-01-03T10:00:00Z,2022-01-10T09:00:00Z
2022-01-17,o1,a1,core,web,proposal,900,ann,2022-01-03T10:00:00Z,2022-01-17T09:00:00Z
2022-01-17,o2,a1,core,web,proposal,700,ann,2022-01-13T10:00:00Z,2022-01-17T09:00:00Z
2022-01-24,o2,a1,core,web,proposal,700,ann,2022-01-13T10:00:00Z,2022-01-24T09:00:00Z
"""
"""Each is asked about when it happens, on Mondays at 09:00."""

ACTIVITIES = [
    {
        "activity_id": "c1",
        "opportunity_id": "o2",
        "kind": "meeting",
        "happened_at": "2022-01-12T10:00:00Z",
        "minutes": 30,
    }
]

CHANGES = """opportunity_id,changed_at,from_stage,to_stage
o1,2022-01-11T10:00:00Z,lead,proposal
"""

CLOSINGS = """opportunity_id,closed_at,outcome,final_amount
o1,2022-01-14T10:00:00Z,won,880
"""


@pytest.fixture
def sales() -> UseCase:
    """Return the sales use case, but that outcomes are known a week after."""
    found = load(ROOT / "dags" / "sales_opportunities.py")
    assert found.label is not None
    return replace(found, label=replace(found.label, expected_after=timedelta(weeks=1)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a few rows of every table of the sales use case."""
    for name, text in {
        "accounts.csv": ACCOUNTS,
        "opportunities.csv": REVIEWS,
        "activities.jsonl": "".join(f"{json.dumps(row)}\n" for row in ACTIVITIES),
        "stage_changes.csv": CHANGES,
        "closings.csv": CLOSINGS,
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_an_outcome_of_several_looks_is_known_after_the_last_of_them(
    sales: UseCase, folder: Path
) -> None:
    """A week after 17 January: that of 10 January would have let the look of 17 January see it."""
    described = testing.feature_rows(sales, folder).select(
        ["review_date", "opportunity_id", "account_wins", "meetings"]
    )
    assert sorted(tuple(map(str, row.values())) for row in described.to_pylist()) == [
        ("2022-01-10", "o1", "0", "0"),
        ("2022-01-17", "o1", "0", "0"),
        ("2022-01-17", "o2", "0", "1"),
        ("2022-01-24", "o2", "1", "1"),
    ]
    assert testing.asked_rows(sales, folder) == described.num_rows


def test_a_table_of_json_lines_is_read_from_a_file_that_says_so(
    sales: UseCase, folder: Path
) -> None:
    assert testing.rows_set_aside(sales.table("activities"), folder / "activities.jsonl") == []
    assert testing.blocks_that_look_ahead(sales, folder) == []
