"""Draft tests: the text of a new use case's own tests, over the rows kept of its samples."""

from pipelines.domain.use_case_draft import Draft

OF_TABLES = '''"""Tests of {name}: its contract and suites hold on rows of a sample{more}."""

from pathlib import Path

import pytest

from headframe import testing
from pipelines.use_case import Table

USE_CASE = testing.use_case("{name}")
SAMPLE = Path(__file__).parent / "{name}"


@pytest.mark.parametrize("table", USE_CASE.tables, ids=lambda table: table.name)
def test_the_contract_accepts_the_sample(table: Table) -> None:
    assert testing.rows_set_aside(table, SAMPLE / f"{{table.name}}.csv") == []


@pytest.mark.parametrize("table", USE_CASE.tables, ids=lambda table: table.name)
def test_the_suite_refuses_nothing_of_the_sample(table: Table) -> None:
    assert testing.rules_that_refuse(USE_CASE, table, SAMPLE / f"{{table.name}}.csv") == []
'''

OF_FEATURES = """

def test_each_row_that_is_asked_for_is_described_once() -> None:
    described = testing.feature_rows(USE_CASE, SAMPLE)
    asked = testing.asked_rows(USE_CASE, SAMPLE)
    assert described.num_rows == asked > 0


def test_no_feature_looks_ahead() -> None:
    # By the known_at of each table: a column that is filled in after it is not found so.
    assert testing.blocks_that_look_ahead(USE_CASE, SAMPLE) == []
"""


def text_of_tests(draft: Draft) -> str:
    """Return the text of ``tests/use_cases/test_<name>.py``."""
    more = "" if draft.view is None else ", and no feature looks ahead"
    text = OF_TABLES.format(name=draft.name, more=more)
    return text if draft.view is None else text + OF_FEATURES
