"""Quality commands: profile, suggest and try, on a small lake and on files that were not landed."""

import json
import math
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from pipelines.adapters.landing import unlanded
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.adapters.suites import profiles
from pipelines.cli import app, terminal
from pipelines.domain.contract import silver_schema
from pipelines.domain.profile import ColumnProfile, Frequent
from pipelines.errors import FileRefused, LakeError, QualityRefused
from tests import shop
from tests.lakes import tree

Headframe = Callable[..., Result]

AMOUNT_IS_POSITIVE: dict[str, Any] = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "amount", "min_value": 0},
}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave lines whole: where they wrap is the terminal's affair."""
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of an empty home that declares the shop."""
    found = shop.settings_in(tmp_path)
    found.dags.mkdir()
    (found.dags / "shop.py").write_text("from tests.shop import SHOP\n")
    return found


@pytest.fixture
def headframe(settings: Settings) -> Headframe:
    """Return a function that runs the command line, and must not show a stack."""
    environment = {
        "HEADFRAME_HOME": str(settings.home),
        "HEADFRAME_DAGS": str(settings.dags),
        "HEADFRAME_EXPECTATIONS": str(settings.expectations),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }

    def run(*arguments: str | Path, status: int = 0) -> Result:
        result = CliRunner(env=environment).invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    return run


def orders_file(folder: Path, lines: list[str], name: str = "new.csv") -> Path:
    path = folder / name
    path.write_bytes(shop.csv_of(shop.ORDERS_HEADER, lines))
    return path


def suite_file(folder: Path, *expectations: dict[str, Any], name: str = "orders.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": expectations}))
    return path


def profiled(settings: Settings, as_of: datetime | None = None) -> dict[str, ColumnProfile]:
    found = profiles.of_silver(settings, shop.NAME, shop.ORDERS, as_of=as_of)
    return {column.name: column for column in found.columns}


def test_a_profile_tells_what_the_rows_hold(settings: Settings, headframe: Headframe) -> None:
    first = [shop.order(n, amount=str(n), note="gift" if n > 3 else "") for n in range(1, 6)]
    shop.land_orders(settings, "a.csv", first, shop.at(1))
    shop.land_orders(settings, "b.csv", [shop.order(1, amount="100")], shop.at(3))
    shop.take_in(settings)
    found = json.loads(headframe("profile", "orders", "--json").stdout)
    columns = {column.pop("name"): column for column in found.pop("columns")}
    assert found == {
        "use_case": "shop",
        "table": "orders",
        "source": "silver.shop.orders, version 1",
        "as_of": None,
        "rows": 6,
        "deliveries": 2,
        "keys": 5,
        "repeated_keys": 1,
        "most_versions": 2,
        "known_from": "2026-03-01T12:00:00+00:00",
        "known_until": "2026-03-03T12:00:00+00:00",
    }
    amounts = [1.0, 2.0, 3.0, 4.0, 5.0, 100.0]
    amount = columns["amount"]
    assert (amount["minimum"], amount["maximum"], amount["missing"]) == (1.0, 100.0, 0)
    assert amount["mean"] == pytest.approx(statistics.mean(amounts))
    assert amount["deviation"] == pytest.approx(statistics.stdev(amounts))
    assert amount["quantiles"][3] == [0.5, 3.0]
    assert sum(found["rows"] for found in amount["bins"]) == 6
    assert amount["bins"][0] == {"low": 0, "high": 5, "rows": 4}
    note = columns["note"]
    assert (note["missing"], note["shortest"], note["longest"]) == (4, 4, 4)
    assert note["frequent"] == [{"value": "gift", "rows": 2}]
    assert note["most_missing"] == 1.0
    assert columns["paid"]["frequent"] == [{"value": True, "rows": 6}]
    assert columns["day"]["minimum"] == "2026-03-01"
    assert columns["sold_at"]["maximum"] == "2026-03-01T10:00:00+00:00"


def test_a_profile_at_a_time_leaves_out_what_was_not_known(
    settings: Settings, headframe: Headframe
) -> None:
    shop.land_orders(settings, "a.csv", [shop.order(1)], shop.at(1))
    shop.land_orders(settings, "b.csv", [shop.order(2)], shop.at(3))
    shop.take_in(settings)
    rows = {
        day: json.loads(headframe("profile", "orders", "--json", "--as-of", day).stdout)["rows"]
        for day in ("2026-03-01", "2026-03-02", "2026-03-04")
    }
    assert rows == {"2026-03-01": 0, "2026-03-02": 1, "2026-03-04": 2}


def test_the_terminal_shows_a_line_of_numbers_and_a_histogram_a_column(
    settings: Settings, headframe: Headframe
) -> None:
    lines = [shop.order(n, amount=str(n), note="[red]x") for n in range(9)]
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    shown = headframe("profile", "orders").stdout
    assert "silver.shop.orders, version 1: 9 rows, 9 keys" in shown
    assert "known at 2026-03-01 12:00 to 2026-03-01 12:00 UTC, 1 deliveries" in shown
    assert "5/50/95 %: 0, 4, 8" in shown
    assert "█ █ █" in shown
    assert "[red]x (100 %)" in shown


def staged_orders(folder: Path, **columns: list[Any]) -> str:
    """Write rows as they are staged, with these columns in place of plain ones."""
    count = len(next(iter(columns.values())))
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    plain: dict[str, list[Any]] = {
        "order_id": list(range(count)), "amount": [1.5] * count, "sold_at": [moment] * count,
        "day": [None] * count, "paid": [True] * count, "note": [None] * count,
        "known_at": [moment] * count, "_file": ["a"] * count, "_row": list(range(count)),
        "_sha256": ["0"] * count,
    }  # fmt: skip
    schema = silver_schema(shop.ORDERS)
    arrays = {name: pa.array(values) for name, values in {**plain, **columns}.items()}
    rows = pa.table({name: arrays[name].cast(schema.field(name).type) for name in schema.names})
    path = folder / "staged.parquet"
    pq.write_table(rows, path)
    return str(path)


def profiled_file(path: str) -> dict[str, ColumnProfile]:
    found = profiles.of_files([path], shop.NAME, shop.ORDERS, source="a file")
    return {column.name: column for column in found.columns}


def test_nan_and_infinity_are_counted_and_taint_nothing(tmp_path: Path) -> None:
    path = staged_orders(tmp_path, amount=[1.0, 3.0, math.nan, math.inf, -math.inf, None])
    amount = profiled_file(path)["amount"]
    assert (amount.missing, amount.not_finite, amount.distinct) == (1, 3, 2)
    assert (amount.minimum, amount.maximum, amount.mean) == (1.0, 3.0, 2.0)
    assert sum(found.rows for found in amount.bins) == 2
    # By a Parquet file's bounds, which leave NaN out, DuckDB 2.0 takes isnan() for always false.
    only_nan = profiled_file(staged_orders(tmp_path, amount=[1.0, 2.0, math.nan]))["amount"]
    assert (only_nan.not_finite, only_nan.maximum) == (1, 2.0)


def test_the_ends_of_every_type_are_profiled(tmp_path: Path) -> None:
    last = 253402300798_000000
    microseconds = [0, last, -62135596800_000000, 2**62]
    path = staged_orders(
        tmp_path,
        order_id=[1, 2, -(2**63), 2**63 - 1],
        amount=[1e300, -1e300, 5e-324, 0.0],
        sold_at=pa.array(microseconds, pa.int64()).cast(pa.timestamp("us", "UTC")),
        note=["", "'", "x" * 1000, None],
    )
    columns = profiled_file(path)
    assert (columns["order_id"].minimum, columns["order_id"].maximum) == (-(2**63), 2**63 - 1)
    assert sum(found.rows for found in columns["order_id"].bins) == 4
    assert sum(found.rows for found in columns["amount"].bins) == 4
    assert columns["amount"].deviation is not None
    assert columns["day"] == ColumnProfile(
        name="day", type="date", nullable=True, rows=4, missing=4, most_missing=1.0
    )
    assert columns["note"].longest == 1000
    sold_at = columns["sold_at"]
    assert (sold_at.not_finite, sold_at.distinct) == (1, 3)
    assert sold_at.minimum == datetime(1, 1, 1, tzinfo=UTC)
    assert sum(found.rows for found in sold_at.bins) == 3


def test_a_column_of_many_values_is_estimated_and_says_so(
    tmp_path: Path, settings: Settings
) -> None:
    lines = [shop.order(n, amount=str(n % 3), note=f"n{n}") for n in range(6000)]
    lines += [shop.order(n, note="same") for n in range(6000, 6500)]
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    note = profiled(settings)["note"]
    assert not note.distinct_is_exact
    assert note.distinct == pytest.approx(6001, rel=0.1)
    assert note.frequent[0] == Frequent(value="same", rows=500)  # counted, not estimated
    number = profiled(settings)["order_id"]
    assert number.quantile(0.5) == pytest.approx(3250, rel=0.02)
    assert sum(found.rows for found in number.bins) == 6500
    amount = profiled(settings)["amount"]
    assert amount.distinct_is_exact
    assert amount.frequent[0] == Frequent(value=0.0, rows=2000)


def test_missing_values_are_in_no_bin(settings: Settings) -> None:
    lines = ["1,1,2026-03-01T10:00:00Z,2026-03-01,true,", "2,1,2026-03-01T10:00:00Z,,true,"]
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    day = profiled(settings)["day"]
    assert (day.missing, [found.rows for found in day.bins]) == (1, [1])


def test_a_table_that_nothing_landed_for_is_told_so(
    settings: Settings, headframe: Headframe
) -> None:
    with pytest.raises(LakeError):
        profiles.of_silver(settings, shop.NAME, shop.ORDERS)
    assert headframe("profile", "orders", status=1).stderr.startswith("LakeError")


def test_a_table_that_is_not_declared_is_answered_with_the_nearest(headframe: Headframe) -> None:
    said = headframe("profile", "order", status=1).stderr
    assert "found no such table (did you mean 'orders'?)" in said


def test_a_table_of_two_use_cases_needs_the_use_case(
    settings: Settings, headframe: Headframe
) -> None:
    text = "from dataclasses import replace\nfrom tests.shop import SHOP\n"
    (settings.dags / "kiosk.py").write_text(
        text + "KIOSK = replace(SHOP, name='kiosk')\ndel SHOP\n"
    )
    shop.land_orders(settings, "a.csv", [shop.order(1)], shop.at(1))
    shop.take_in(settings)
    said = headframe("profile", "orders", status=1).stderr
    assert "found one in kiosk, shop" in said
    headframe("profile", "orders", "--use-case", "shop")


def test_a_lake_in_a_store_is_profiled_alike(
    tmp_path: Path, store: StoreUrl, settings: Settings
) -> None:
    lines = [shop.order(n, amount=str(n)) for n in range(50)]
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    there = settings.model_copy(update={"lake_folder": str(store)})
    shop.take_in(there)
    assert profiled(there) == profiled(settings)


def test_the_page_is_one_file_with_every_column(settings: Settings, headframe: Headframe) -> None:
    nasty = "<script>alert(1)</script>"
    shop.land_orders(settings, "a.csv", [shop.order(1, note=nasty)], shop.at(1))
    shop.take_in(settings)
    page = settings.home / "profile.html"
    assert "Page written to" in headframe("profile", "orders", "--page", page).stdout
    text = page.read_text("utf-8")
    assert nasty not in text
    assert "&lt;script&gt;" in text
    assert all(f">{column.name}<" in text for column in shop.ORDERS.columns)
    said = headframe("profile", "orders", "--page", settings.home, status=1).stderr
    assert "expected a file that can be written" in said


def test_a_local_file_is_profiled_as_its_table_reads_it(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    path = orders_file(tmp_path, [shop.order(1), shop.order(2, amount="dear"), shop.order(3)])
    found = json.loads(headframe("profile", "orders", "--file", path, "--json").stdout)
    assert found["rows"] == 2
    assert found["source"] == (
        "new.csv: 3 rows, of which 1 break the contract and 0 repeat another"
    )
    assert found["known_from"] is None


def many_orders(count: int = 400) -> list[str]:
    return [
        shop.order(n, amount=f"{10 + n % 90}", note="gift" if n % 4 else "own")
        for n in range(count)
    ]


def test_suggestions_are_a_suite_with_evidence(settings: Settings, headframe: Headframe) -> None:
    shop.land_orders(settings, "a.csv", many_orders(), shop.at(1))
    shop.take_in(settings)
    result = headframe("suggest", "orders")
    suite = json.loads(result.stdout)
    assert suite["name"] == "shop.orders"
    rules = {(rule["type"], rule["kwargs"]["column"]): rule for rule in suite["expectations"]}
    assert list(rules) == [
        ("expect_column_values_to_be_between", "amount"),
        ("expect_column_values_to_not_be_null", "day"),
        ("expect_column_values_to_not_be_null", "paid"),
        ("expect_column_values_to_not_be_null", "note"),
        ("expect_column_values_to_be_in_set", "note"),
    ]
    amount = rules["expect_column_values_to_be_between", "amount"]
    assert "0 of 400 values outside; range 10 to 99" in amount["meta"]["evidence"]
    assert {rule["severity"] for rule in suite["expectations"]} == {"warning"}
    assert "order_id: no rule; its numbers are names" in result.stderr


def test_written_suggestions_pass_check_and_their_own_rows(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    lines = many_orders()
    shop.land_orders(settings, "a.csv", lines, shop.at(1))
    shop.take_in(settings)
    said = headframe("suggest", "orders", "--write").stdout
    assert "5 rules written to expectations/shop/orders.json" in said
    headframe("check", "shop")
    suite = settings.expectations / "shop" / "orders.json"
    tried = headframe("try", suite, orders_file(tmp_path, lines)).stdout
    assert "ingest would publish all 400 rows that conform" in tried
    strange = orders_file(tmp_path, [shop.order(n, amount="9e9", note="other") for n in range(9)])
    tried = headframe("try", suite, strange).stdout
    assert tried.count("\nflag ") == 2


def test_a_suite_is_never_overwritten_unasked(settings: Settings, headframe: Headframe) -> None:
    shop.land_orders(settings, "a.csv", many_orders(), shop.at(1))
    shop.take_in(settings)
    suite = suite_file(settings.expectations / "shop", AMOUNT_IS_POSITIVE)
    before = suite.read_text()
    said = headframe("suggest", "orders", "--write", status=1).stderr
    assert "expected no suite yet; found one" in said
    headframe("suggest", "orders")
    assert suite.read_text() == before
    headframe("suggest", "orders", "--write", "--force")
    assert len(json.loads(suite.read_text())["expectations"]) == 5


def test_too_few_rows_suggest_nothing_and_say_so(settings: Settings, headframe: Headframe) -> None:
    shop.land_orders(settings, "a.csv", many_orders(50), shop.at(1))
    shop.take_in(settings)
    said = headframe("suggest", "orders", "--write", status=1).stderr
    assert said.startswith("NotEnoughData")
    assert "amount: too few values to judge: 50 of at least 100" in said
    assert not settings.expectations.exists()


RULES: list[dict[str, Any]] = [
    {**AMOUNT_IS_POSITIVE, "severity": "critical", "meta": {"on_fail": "quarantine"}},
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "note", "value_set": ["gift", "own"]},
        "severity": "warning",
    },
    {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "amount", "max_value": 50},
        "severity": "warning",
    },
]
TRIED = [
    shop.order(1, note="gift"),
    shop.order(2, amount="-5"),
    shop.order(3, amount="none"),
    shop.order(4, amount="-6", note="wrapped"),
    shop.order(1, note="gift"),
    shop.order(6, amount="70"),
]


def test_a_trial_tells_of_each_rule_what_would_happen(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    suite, file = suite_file(tmp_path, *RULES), orders_file(tmp_path, TRIED)
    shown = headframe("try", suite, file).stdout
    assert (
        "new.csv: 6 rows = 4 conform + 1 repeat another + 1 break the contract + 0 unparsed"
        in shown
    )
    assert "row 3: contract:type:amount:double" in shown
    assert [line.split()[0] for line in shown.splitlines() if ":" in line and "expect" in line][
        :3
    ] == ["quarantine", "flag", "flag"]
    assert "ingest would publish 2 rows, flagged, and set 2 aside" in shown
    assert "wrapped" in shown
    found = json.loads(headframe("try", suite, file, "--json").stdout)
    assert found["verdict"] == "publish_and_flag"
    assert [[row["row"] for row in rule["failing"]] for rule in found["rules"]] == [[2, 4], [4], []]
    assert found["rules"][0]["failing"][0]["cells"] == {"order_id": 2, "amount": -5.0}
    one = json.loads(headframe("try", suite, file, "--json", "--rows", "1").stdout)
    assert [row["row"] for row in one["rules"][0]["failing"]] == [2]


def test_a_trial_says_what_ingest_then_does(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    suite, file = suite_file(tmp_path, *RULES), orders_file(tmp_path, TRIED)
    found = json.loads(headframe("try", suite, file, "--json").stdout)
    suite_file(settings.expectations / "shop", *RULES)
    shop.land(settings, "orders/new.csv", file.read_bytes(), shop.at(1))
    law = shop.take_in(settings)["orders"].law
    aside = [row["row"] for row in found["rules"][0]["failing"]]
    assert found["rows"] == {
        "landed": law.landed,
        "accepted": law.accepted + len(aside),
        "repeated": law.repeated,
        "quarantined": law.quarantined - len(aside),
        "unparsed": law.unparsed,
    }
    assert [row["_row"] for row in shop.quarantine(settings)] == sorted([3, *aside])


def test_a_trial_of_a_file_that_ingest_refuses_ends_with_status_one(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    critical = {**AMOUNT_IS_POSITIVE, "severity": "critical"}
    suite, file = suite_file(tmp_path, critical), orders_file(tmp_path, TRIED)
    shown = headframe("try", suite, file, status=1).stdout
    assert "ingest would refuse: nothing would be published" in shown
    suite_file(settings.expectations / "shop", critical)
    shop.land(settings, "orders/new.csv", file.read_bytes(), shop.at(1))
    with pytest.raises(QualityRefused):
        shop.take_in(settings)


def test_a_trial_of_a_file_unlike_its_contract_tells_why(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    suite = suite_file(tmp_path, *RULES)
    broken = orders_file(tmp_path, [shop.order(n, amount="?") for n in range(3)])
    said = headframe("try", suite, broken, status=1).stderr
    assert "new.csv: expected at most 60% of its rows to break the contract; found 3 of 3" in said
    other = tmp_path / "other.csv"
    other.write_text("order_id,price\n1,2\n")
    said = headframe("try", suite, other, status=1).stderr
    assert "\nother.csv" in said
    assert "landing/" not in said
    said = headframe("try", suite, tmp_path / "gone.csv", status=1).stderr
    assert "gone.csv: expected a file; found one that cannot be read" in said


def test_a_trial_needs_a_table_and_a_sound_suite(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    file = orders_file(tmp_path, TRIED)
    named = suite_file(tmp_path, *RULES, name="new_rules.json")
    assert "no such table" in headframe("try", named, file, status=1).stderr
    headframe("try", named, file, "--table", "orders")
    misspelt = suite_file(tmp_path, {**AMOUNT_IS_POSITIVE, "kwargs": {"column": "amonut"}})
    said = headframe("try", misspelt, file, status=1).stderr
    assert said.startswith("SuiteError")
    assert "Did you mean 'amount'?" in said


def test_a_trial_and_a_profile_write_nothing_to_landing_or_the_lake(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    shop.land_orders(settings, "a.csv", many_orders(), shop.at(1))
    shop.take_in(settings)
    kept = ("lake", "landing")
    before = {name: tree(settings.home / name) for name in kept}
    headframe("profile", "orders")
    headframe("suggest", "orders")
    headframe("try", suite_file(tmp_path, *RULES), orders_file(tmp_path, TRIED))
    assert {name: tree(settings.home / name) for name in kept} == before
    shop.land_orders(settings, "b.csv", [shop.order(900)], shop.at(2))  # the control
    shop.take_in(settings)
    assert {name: tree(settings.home / name) for name in kept} != before


def test_a_file_without_rows_is_tried_and_profiled(
    tmp_path: Path, settings: Settings, headframe: Headframe
) -> None:
    empty = orders_file(tmp_path, [])
    shown = headframe("try", suite_file(tmp_path, *RULES[:2]), empty).stdout
    assert "0 rows = 0 conform" in shown
    assert "0 rows, 0 keys" in headframe("profile", "orders", "--file", empty).stdout


def test_a_refusal_leaves_no_staged_file_behind(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    broken = orders_file(tmp_path, [shop.order(n, amount="?") for n in range(3)])
    with pytest.raises(FileRefused), unlanded.staged(broken, shop.ORDERS):
        pass
    assert list(scratch.iterdir()) == []
