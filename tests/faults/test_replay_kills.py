"""A replay or reingest that is killed anywhere, and run again, leaves the lake of one clean run."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from pipelines.adapters import lake
from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import lake_audit
from tests import shop
from tests.faults.kills import contents, deliver, reached, run, run_whole

DAYS = 3
KILLED = -signal.SIGKILL

Rows = Counter[tuple[str, str]]

MENDED = """
import sys
from dataclasses import replace
from pathlib import Path
from pipelines.adapters.delta import delta_tables
from pipelines.adapters import lake
from pipelines.adapters.failpoints import failpoint
from pipelines.use_case import UseCase
from tests import shop
home = shop.settings_in(Path(sys.argv[1]))
columns = [
    replace(column, nullable=True) if column.name == "amount" else column
    for column in shop.ORDERS.columns
]
orders = replace(shop.ORDERS, columns=columns)
mended = UseCase(name=shop.NAME, owner="till", tables=[orders, shop.PRICES])
"""
"""The shop once its contract says that an amount may be empty."""

REPLAY = f"""{MENDED}
from pipelines.stages.replay import replay
replay(mended, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
"""

REINGEST = f"""{MENDED}
from pipelines.stages.reingest import reingest
reingest(mended, home, table="orders", as_of=shop.NEVER_ENDS, run="test")
"""

NAIVE = f"""{MENDED}
from pipelines.domain.contract import as_quarantine, silver_schema
import json
import pyarrow as pa
silver, quarantine = lake.silver(home, "shop", "orders"), lake.quarantine(home, "shop", "orders")
rows = delta_tables.read(quarantine, where="array_length(_failed) = 1").to_pylist()
rows = [row for row in rows if row["_failed"] == ["contract:not_null:amount"]]
schema = silver_schema(orders)
found = pa.table(
    {{name: [row.get(name, json.loads(row["_payload"]).get(name)) for row in rows]
     for name in schema.names if name not in ("sold_at", "day")}}
    | {{"sold_at": [shop.at(1)] * len(rows), "day": [shop.at(1).date()] * len(rows)}}
)
found = found.select(schema.names).cast(schema)
delta_tables.commit_rows(silver, found, transactions={{}}, metadata={{}})
failpoint("replay.between_silver_and_quarantine")
delta_tables.commit_rows(
    quarantine,
    delta_tables.read(quarantine).slice(0, 0),
    transactions={{}},
    metadata={{}},
    replace="true",
)
"""
"""The control: adds what quarantine holds, then empties it. A kill between the two must show."""


def set_aside(folder: Path) -> Settings:
    """Return a home that took in three days and set rows aside, some of which repeat others."""
    home = deliver(shop.settings_in(folder), DAYS)
    for day in range(1, DAYS + 1):
        empty = shop.order(100 + day, amount="")
        lines = [empty, empty, shop.order(200 + day), shop.order(300 + day)]
        shop.land_orders(home, f"{day:02}b.csv", lines, shop.at(day))
    shop.take_in(home)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return set_aside(tmp_path / "home")


@pytest.fixture(scope="module", params=[REPLAY, REINGEST], ids=["replay", "reingest"])
def script(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def clean(script: str, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Return what the script leaves in the lake when nothing happens."""
    home = set_aside(tmp_path_factory.mktemp("clean"))
    before = contents(home)
    run_whole(home, DAYS, script=script)
    zones = Counter(zone for zone, _ in contents(home).elements())
    was = Counter(zone for zone, _ in before.elements())
    # Of the two alike of a day one is taken, the other counted as its repeat.
    assert (zones["silver"], zones["quarantine"]) == (was["silver"] + 3, was["quarantine"] - 6)
    return contents(home)


@pytest.mark.parametrize("failpoint", ["between_silver_and_quarantine", "after_quarantine"])
def test_a_kill_between_the_commits_changes_nothing_in_the_end(
    home: Settings, script: str, clean: Rows, failpoint: str
) -> None:
    stage = "reingest" if script == REINGEST else "replay"
    name = f"{stage}.{failpoint}"
    assert run(home, DAYS, script=script, failpoint=name)[0] == KILLED
    assert reached(home) == [name]
    run_whole(home, DAYS, script=script)
    assert contents(home) == clean
    assert max(contents(home).values()) == 1
    assert found_wrong(home) == []
    run_whole(home, DAYS, script=script)
    assert contents(home) == clean
    assert found_wrong(home) == []


def test_an_audit_says_that_a_killed_run_is_to_be_finished(home: Settings, script: str) -> None:
    stage = "reingest" if script == REINGEST else "replay"
    name = f"{stage}.between_silver_and_quarantine"
    assert run(home, DAYS, script=script, failpoint=name)[0] == KILLED
    assert any(stage in problem for problem in found_wrong(home))


SILVER, QUARANTINE = "silver/shop/orders/_delta_log", "quarantine/shop/orders/_delta_log"


@pytest.mark.needs_strace
@pytest.mark.parametrize(
    ("zone", "call"),
    [
        (lake.silver, "unlink"),
        (lake.quarantine, "linkat"),
        pytest.param(lake.silver, "linkat", marks=pytest.mark.prove),
        pytest.param(lake.quarantine, "unlink", marks=pytest.mark.prove),
    ],
)
def test_a_kill_inside_a_commit_changes_nothing_in_the_end(
    home: Settings, script: str, clean: Rows, zone: object, call: str
) -> None:
    """Before linkat a commit is invisible; at unlink it is visible, and nobody was told."""
    log = SILVER if zone is lake.silver else QUARANTINE
    version = shop.versions(home)[f"{log.split('/')[0]}.shop.orders"] + 1
    path = f"{log}/{version:020}.json" + ("#1" if call == "unlink" else "")
    status, errors = run(home, DAYS, script=script, at_call=(call, path))
    assert status == KILLED, errors
    run_whole(home, DAYS, script=script)
    assert contents(home) == clean
    assert found_wrong(home) == []


def test_the_control_shows_the_fault_rows_that_are_added_without_a_name_are_doubled(
    home: Settings,
) -> None:
    name = "replay.between_silver_and_quarantine"
    assert run(home, DAYS, script=NAIVE, failpoint=name)[0] == KILLED
    run_whole(home, DAYS, script=NAIVE)
    assert max(contents(home).values()) == 2
    assert found_wrong(home) != []


def found_wrong(home: Settings) -> list[str]:
    return [
        str(problem) for problem in lake_audit.audit(home, shop.NAME, shop.SHOP.tables).problems
    ]
