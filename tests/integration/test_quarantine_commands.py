"""Quarantine commands: what was set aside is listed, shown and replayed from a terminal."""

import json
from pathlib import Path

import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.cli import terminal
from tests import shop
from tests.integration.test_command_line import headframe_in
from tests.integration.test_replay import BAD
from tests.shop import at, land_orders, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)

SINCE = ("2026-03-01", "12:00", "2026-03-01", "12:00")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave lines whole: where they wrap is the terminal's affair."""
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def shop_declared(home: Settings, *, nullable: bool) -> None:
    """Declare a shop of which an amount may, or may not, be empty."""
    home.dags.mkdir(parents=True, exist_ok=True)
    (home.dags / "shop.py").write_text(
        "from dataclasses import replace\n"
        "from tests.shop import ORDERS, PRICES\n"
        "from pipelines.use_case import UseCase\n"
        f"free = {['amount'] if nullable else []}\n"
        "columns = [replace(c, nullable=c.nullable or c.name in free) for c in ORDERS.columns]\n"
        "orders = replace(ORDERS, columns=columns)\n"
        'shop = UseCase(name="shop", owner="till", tables=[orders, PRICES])\n'
    )


def test_what_is_quarantined_is_listed_shown_and_replayed_by_hand(home: Settings) -> None:
    shop_declared(home, nullable=False)
    land_orders(home, "a.csv", BAD, at(1))
    headframe = headframe_in(home)
    assert "Nothing is quarantined." in headframe("quarantine", "list").stdout
    take_in(home)
    listed = headframe("quarantine", "list").stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["shop.orders", "contract:not_null:amount", "2", "1", *SINCE],
        ["shop.orders", "contract:columns", "1", "1", *SINCE],
        ["shop.orders", "contract:type:amount:double", "1", "1", *SINCE],
    ]
    (found,) = json.loads(headframe("quarantine", "list", "shop", "--json").stdout)[1:2]
    assert (found["table"], found["reason"], found["rows"]) == ("orders", "contract:columns", 1)
    told = headframe("quarantine", "show", "orders", "--reason", "contract:columns").stdout
    assert told == 'orders/a.csv row 4: contract:columns\n  {"line": "4,1.5"}\n'
    rows = json.loads(headframe("quarantine", "show", "orders", "--json", "--limit", "2").stdout)
    assert [(row["_row"], row["_payload"]["order_id"]) for row in rows] == [(2, 2), (3, "3")]
    shop_declared(home, nullable=True)
    assert "dry run" in headframe("quarantine", "replay", "orders", "--dry-run").stdout
    told = headframe("quarantine", "replay", "orders", "--use-case", "shop").stdout
    assert "4 rows of quarantine, 1 files read again: 2 accepted, 0 repeated, 2 remain" in told
    assert "the law holds" in headframe("check", "--lake").stdout
    assert "1 files read again" in headframe("reingest", "orders").stdout
    assert json.loads(headframe("check", "--lake", "--json").stdout)["lake"][0]["problems"] == 0


def test_a_lake_that_lost_rows_fails_the_check_with_what_to_do(home: Settings) -> None:
    shop_declared(home, nullable=False)
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    (path,) = delta_tables.files(lake.quarantine(home, "shop", "orders"))
    Path(path).unlink()
    said = headframe_in(home)("check", "--lake", "shop", status=1).stderr
    assert "table shop/orders: expected its data file to be there" in said
    assert headframe_in(home)("check", "shop").stderr == ""


def test_a_table_of_no_use_case_is_answered_with_those_there_are(home: Settings) -> None:
    shop_declared(home, nullable=False)
    said = headframe_in(home)("quarantine", "show", "order", status=1).stderr
    assert "expected one of orders, prices; found no such table (did you mean 'orders'?)" in said
