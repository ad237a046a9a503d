"""Check and list: a view that cannot be tried or identified is told, and hides no other use case."""

import json
from pathlib import Path

import pytest

from pipelines.adapters.settings import Settings
from tests import machines, shops
from tests.integration.test_command_line import headframe_in

SUMMED = "(select item, count(*) as visits, sum(seconds) as seconds from visits group by item) i"

NOT_TESTED = """
    counted = {"pen": 1}
    found = [counted[item] for (item,) in known.sql("select item from asked").fetchall()]
    return known.sql(f"select item, {len(found)}::bigint as n from asked")


def tree("""


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return machines.settings_in(tmp_path)


def test_check_reports_every_use_case_beside_ones_it_cannot_test(empty: Settings) -> None:
    shops.declare(empty.dags)
    books, shoes = (empty.dags / f"{name}.py" for name in shops.NAMES)
    rule = books.read_text().replace('"days", "int64"', '"days", "string"')
    books.write_text(rule.replace("days > 3", "days::int > 3"))
    text = shoes.read_text()
    start = text.index('    return known.sql("""')
    shoes.write_text(text[:start] + NOT_TESTED.lstrip("\n") + text.partition("def tree(")[2])
    found = json.loads(headframe_in(empty)("check", "--json").stdout)
    assert (found["use_cases"], found["problems"]) == (["books", "shoes"], [])
    assert [warning.rpartition("(")[2] for warning in found["warnings"]] == [
        "a conversion error of column days in DuckDB, in the label's rule)",
        "KeyError, raised by the function)",
    ]


def test_what_has_no_identity_is_found_by_check_and_hides_no_other_view(empty: Settings) -> None:
    opaque = "import numpy\n\nSECONDS = numpy.int64(60)"
    shops.declare(empty.dags, shops.SHARED.replace("SECONDS = 60", opaque))
    shoes = empty.dags / "shoes.py"
    text = shoes.read_text().replace("uses=[interest]", "reads=[visits, returns]")
    shoes.write_text(text.replace("reads=[returns], ", "").replace("interest i", SUMMED))
    found = json.loads(headframe_in(empty)("check", "--json", status=1).stdout)
    expected = "shared.orders.SECONDS, which a feature function uses"
    assert [problem["where"] for problem in found["problems"]] == [expected]
    result = headframe_in(empty)("list", "--features", "--json", status=1)
    assert [view["name"] for view in json.loads(result.stdout)] == ["shoes_features"]
    assert f"{expected}: expected a function" in " ".join(result.stderr.split())
