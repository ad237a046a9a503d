"""Maintenance, backup and upgrade that are killed anywhere lose nothing, and a second run ends them."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.stages.maintain import Retention, maintain
from tests import lakes
from tests.faults.forked import run_script
from tests.integration import test_upgrade
from tests.lakes import age, append, orders, replace, rows

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL
AT_ONCE = Retention(files_hours=0, staging_hours=0, log_days=30)

MAINTAIN = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pipelines.stages.maintain import Retention, maintain
from tests.lakes import settings_in
now = datetime.now(UTC) + timedelta(seconds=5)
maintain(
    settings_in(Path(sys.argv[1])), now=now, run="test",
    retention=Retention(files_hours=0, staging_hours=0, log_days=30),
)
"""

BACKUP = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.adapters.stores.backups import backup
from tests.lakes import settings_in
backup(settings_in(Path(sys.argv[1])), Path(sys.argv[2]), now=datetime.now(UTC))
"""

UPGRADE = """
import sys
from pathlib import Path
from pipelines.adapters import lake
from pipelines.adapters.delta.table_formats import upgrade
from tests.integration.test_upgrade import FROM_ZERO
from tests.lakes import settings_in
upgrade(lake.table_paths(settings_in(Path(sys.argv[1]))), [FROM_ZERO])
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with work for every step of maintenance, and a model that needs version 25."""
    folder = tmp_path_factory.mktemp("template")
    found = lakes.settings_in(folder)
    lakes.use_registry(found, lakes.make_registry(folder))
    table = orders(found)
    for number in range(45):
        append(table, number)
        if delta_tables.version(table) in (10, 20, 40):
            DeltaTable(str(table)).create_checkpoint()
    replace(table, 1, 2)
    append(table, *range(3, 23))
    lakes.register_model(found, {"silver.shop.orders": 25})
    age(*(table / "_delta_log").iterdir())
    half = table / "part-0.parquet#1"
    half.write_bytes(b"half")
    age(half)
    append(prices(found), *range(20))
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Iterator[Settings]:
    """Return a fresh copy of the template; MLflow's address is forgotten afterwards."""
    shutil.copytree(template / "home", tmp_path / "home")
    yield lakes.settings_in(tmp_path)
    import mlflow

    mlflow.set_tracking_uri(None)


def prices(home: Settings) -> Path:
    folder = lake.silver(home, "shop", "prices")
    assert isinstance(folder, Path)
    return folder


def run(
    folder: Path, script: str, *arguments: str, failpoint: str = "", at_call: str = ""
) -> tuple[int, list[str]]:
    """Run ``script`` in a process; return its exit status and the failpoints that killed it."""
    reached = folder / "reached"
    reached.unlink(missing_ok=True)
    if at_call:
        status, errors = _run_traced(folder, script, at_call)
    else:
        status, errors = run_script(
            script, str(folder), *arguments, reached=reached, failpoint=failpoint
        )
    assert status in (0, KILLED), errors
    return status, reached.read_text().split() if reached.exists() else []


def _run_traced(folder: Path, script: str, at_call: str) -> tuple[int, str]:
    """Run ``script`` under strace, which kills on entry of the n-th of a system call."""
    call, _, number = at_call.partition(":")
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    command = ["strace", "-f", "-qq", "-o", "/dev/null", *inject,
               sys.executable, "-c", script, str(folder)]  # fmt: skip
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    return ended.returncode, ended.stderr


def finish(home: Settings) -> None:
    """Maintain once more, here, and require that it comes to its end."""
    now = datetime.now(UTC) + timedelta(seconds=5)
    assert maintain(home, now=now, run="again", retention=AT_ONCE).problems == ()
    assert_finished(home)


def assert_whole(home: Settings) -> None:
    """Everything that must be readable is, whatever was killed."""
    assert rows(orders(home)) == list(range(1, 23))
    assert rows(orders(home), 25) == list(range(25))
    assert rows(prices(home)) == list(range(20))


def assert_finished(home: Settings) -> None:
    """Nothing is left to do, and what must be gone is."""
    assert_whole(home)
    left = maintain(home, now=datetime.now(UTC), run="look", retention=AT_ONCE, dry_run=True)
    assert left.removed_bytes == 0
    assert left.problems == ()
    assert len(delta_tables.files(orders(home))) == 1
    assert not list(orders(home).glob("*#*"))
    # The files of version 25, and the one of the newest.
    assert len(list(orders(home).glob("*.parquet"))) == 26


@pytest.mark.parametrize(
    "failpoint",
    ["maintain.after_compact", "maintain.after_checkpoint", "maintain.after_vacuum",
     "maintain.after_log"],
)  # fmt: skip
def test_a_killed_maintenance_leaves_every_row_and_a_second_one_finishes(
    home: Settings, failpoint: str
) -> None:
    folder = home.root.parent
    assert run(folder, MAINTAIN, failpoint=failpoint) == (KILLED, [failpoint])
    assert_whole(home)
    append(prices(home), 20)
    replace(prices(home), *range(20))
    finish(home)


@pytest.mark.needs_strace
@pytest.mark.parametrize(
    "at_call",
    [
        "unlink:2",
        pytest.param("unlink:25", marks=pytest.mark.prove),
        pytest.param("linkat:1", marks=pytest.mark.prove),
    ],
)
def test_a_maintenance_killed_between_two_removals_loses_nothing(
    home: Settings, at_call: str
) -> None:
    folder = home.root.parent
    assert run(folder, MAINTAIN, at_call=at_call)[0] == KILLED
    assert_whole(home)
    finish(home)


def test_the_control_a_maintenance_that_is_not_killed_does_all_of_it(home: Settings) -> None:
    before = len(list(orders(home).glob("*.parquet")))
    assert run(home.root.parent, MAINTAIN) == (0, [])
    assert before == 66
    assert_finished(home)


@pytest.mark.parametrize(
    "failpoint",
    ["backup.after_registry", "backup.between_files_and_log", "backup.after_table"],
)
def test_a_killed_backup_is_marked_and_never_taken_for_one(home: Settings, failpoint: str) -> None:
    folder = home.root.parent
    copy = folder / "copy"
    assert run(folder, BACKUP, str(copy), failpoint=failpoint) == (KILLED, [failpoint])
    assert (copy / "backup.unfinished").exists()
    assert not (copy / "backup.json").exists()
    assert_whole(home)
    other = folder / "other"
    assert run(folder, BACKUP, str(other)) == (0, [])
    assert not (other / "backup.unfinished").exists()
    assert_whole(home.model_copy(update={"home": other}))


@pytest.mark.parametrize("failpoint", ["upgrade.between_change_and_format", "upgrade.after_format"])
def test_a_killed_upgrade_goes_on_where_it_stopped(tmp_path: Path, failpoint: str) -> None:
    home = lakes.settings_in(tmp_path)
    first = test_upgrade.make(orders(home), "0", 1, 2)
    second = test_upgrade.make(prices(home), "0", 3)
    assert run(tmp_path, UPGRADE, failpoint=failpoint) == (KILLED, [failpoint])
    assert run(tmp_path, UPGRADE, failpoint=failpoint) == (KILLED, [failpoint])
    assert run(tmp_path, UPGRADE) == (0, [])
    assert (rows(first), rows(second)) == ([1, 2], [3])
