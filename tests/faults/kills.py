"""Kills: an ingest of the shop in a process of its own, and what its lake holds afterwards."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from pipelines.adapters.failpoints import ARMED, REACHED
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests import shop
from tests.faults.forked import run_script

ROOT = Path(__file__).parent.parent.parent
LONGEST_SECONDS = 300

INGEST = """
import sys
from pathlib import Path
from tests.shop import at, settings_in, take_in
home, days = settings_in(Path(sys.argv[1])), int(sys.argv[2])
for day in range(1, days + 1):
    take_in(home, as_of=at(day))
"""
"""Takes in day after day, so that one process makes many commits."""

NAIVE = """
import sys
from pathlib import Path
from pipelines.adapters.delta import delta_tables
from pipelines.adapters import lake
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.landing.landing import deliveries, local_file
from pipelines.adapters.sources.csv import read
from pipelines.domain.contract import conform, silver_schema
from pipelines.domain.lineage import stamp
from tests.shop import ORDERS, at, settings_in
home, days = settings_in(Path(sys.argv[1])), int(sys.argv[2])
landed = deliveries(home.landing, "shop", ORDERS.files, lake.ledger(home, "landed_files"))
done = home.root / "done"
for delivery in sorted(landed.deliveries, key=lambda delivery: delivery.delivered_at):
    if delivery.delivered_at > at(days) or done.exists() and delivery.name in done.read_text():
        continue
    with local_file(delivery, ORDERS.files) as file:
        (part,) = read(file, ORDERS).parts
    rows = stamp(conform(part.rows, ORDERS).accepted, delivery)
    schema = silver_schema(ORDERS)
    delta_tables.commit_rows(
        lake.silver(home, "shop", "orders"),
        rows.select(schema.names).cast(schema),
        transactions={},
        metadata={},
    )
    failpoint("ingest.after_silver")
    with done.open("a") as file:
        file.write(delivery.name)
"""
"""The control: appends, then notes in a file what it did. A kill between the two must show."""


def deliver(home: Settings, days: int) -> Settings:
    """Deliver orders (with a row to quarantine, a repeat, a correction) and prices for each day."""
    for day in range(1, days + 1):
        lines = [
            shop.order(day),
            shop.order(day),
            shop.order(day - 1, amount="2.5"),
            shop.order(day, amount="N/A"),
            "1,2",
        ]
        shop.land_orders(home, f"{day:02}.csv", lines, shop.at(day))
        prices = shop.csv_of(shop.PRICES_HEADER, [f"tea,{day}"])
        shop.land(home, f"prices/{day:02}.csv", prices, shop.at(day))
    return home


def start(
    home: Settings,
    days: int,
    *,
    script: str = INGEST,
    failpoint: str = "",
    at_call: tuple[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start a process that runs ``script``, and dies at a failpoint or at a system call.

    ``at_call`` names the system call and the path below the lake that it must concern; an empty
    path means the first such call of all. strace kills on entry: the call itself does not happen.
    """
    command = [sys.executable, "-c", script, str(home.home), str(days)]
    if at_call:
        call, path = at_call
        where = ["-P", str(home.lake / path)] if path else []
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when=1"]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *where, *inject, *command]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        ARMED: failpoint,
        REACHED: str(home.root / "reached"),
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(
    home: Settings,
    days: int,
    *,
    script: str = INGEST,
    failpoint: str = "",
    at_call: tuple[str, str] | None = None,
) -> tuple[int, str]:
    """Run to the end, and return the exit status (negative: the signal) and what went wrong."""
    if at_call:
        process = start(home, days, script=script, failpoint=failpoint, at_call=at_call)
        _, errors = process.communicate(timeout=LONGEST_SECONDS)
        return process.returncode, errors
    arguments = (str(home.home), str(days))
    return run_script(script, *arguments, reached=home.root / "reached", failpoint=failpoint)


def run_whole(home: Settings, days: int, *, script: str = INGEST) -> None:
    """Run without a fault, and require that it ends well."""
    status, errors = run(home, days, script=script)
    assert status == 0, errors


def reached(home: Settings) -> list[str]:
    """Return the failpoints that killed, in order: proof that the fault landed."""
    path = home.root / "reached"
    return path.read_text().splitlines() if path.exists() else []


def contents(home: Settings) -> Counter[tuple[str, str]]:
    """Return every row of silver and quarantine, whole, with how often it is there."""
    found = Counter[tuple[str, str]]()
    for table in ("orders", "prices"):
        found.update(("silver", repr(row)) for row in shop.silver(home, table).to_pylist())
        found.update(("quarantine", repr(row)) for row in shop.quarantine(home, table))
    return found


def commits(home: Settings) -> int:
    """Return how many commits the lake's logs hold, without opening a table."""
    return sum(
        name.endswith(".json")
        for log in local(home.lake).glob("*/shop/*/_delta_log")
        for name in os.listdir(log)  # noqa: PTH208 - polled hundreds of times a second
    )
