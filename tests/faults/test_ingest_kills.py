"""An ingest that is killed anywhere, and run again, leaves the lake of one clean run."""

import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests import shop
from tests.faults import kills
from tests.faults.kills import INGEST, NAIVE, commits, contents, deliver, reached, run, run_whole

DAYS = 2
KILLED = -signal.SIGKILL
MANY_DAYS = 28
ROUNDS = 60

Rows = Counter[tuple[str, str]]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Return what two days leave in the lake when nothing happens."""
    home = deliver(shop.settings_in(tmp_path_factory.mktemp("clean")), DAYS)
    run_whole(home, DAYS)
    return contents(home)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return deliver(shop.settings_in(tmp_path), DAYS)


def test_a_clean_run_leaves_what_was_delivered(clean: Rows) -> None:
    zones = Counter(zone for zone, _ in clean.elements())
    # A day's orders: one new, one corrected; its repeat is dropped, its two bad rows are set aside.
    assert zones == {"silver": DAYS * 3, "quarantine": DAYS * 2}
    assert set(clean.values()) == {1}


@pytest.mark.parametrize(
    "failpoint", ["ingest.between_quarantine_and_silver", "ingest.after_silver"]
)
def test_a_kill_between_the_commits_of_an_ingest_changes_nothing_in_the_end(
    home: Settings, clean: Rows, failpoint: str
) -> None:
    for kill in range(1, 4):
        assert run(home, DAYS, failpoint=failpoint)[0] == KILLED
        assert reached(home) == [failpoint] * kill
    run_whole(home, DAYS)
    assert contents(home) == clean
    before = shop.versions(home)
    run_whole(home, DAYS)
    assert shop.versions(home) == before


def test_the_control_shows_the_fault_an_append_without_transaction_doubles_rows(
    home: Settings, tmp_path: Path
) -> None:
    other = deliver(shop.settings_in(tmp_path / "control"), DAYS)
    run_whole(other, DAYS, script=NAIVE)
    assert run(home, DAYS, script=NAIVE, failpoint="ingest.after_silver")[0] == KILLED
    assert reached(home) == ["ingest.after_silver"]
    run_whole(home, DAYS, script=NAIVE)
    assert contents(home) != contents(other)
    assert (max(contents(other).values()), max(contents(home).values())) == (1, 2)


SILVER, QUARANTINE = "silver/shop/orders/_delta_log", "quarantine/shop/orders/_delta_log"
SEEN = "ledger/landed_files/_delta_log"


@pytest.mark.needs_strace
@pytest.mark.parametrize(
    ("call", "path"),
    [
        ("linkat", f"{SILVER}/{1:020}.json"),
        ("unlink", f"{SILVER}/{1:020}.json#1"),
        pytest.param("unlink", f"{QUARANTINE}/{1:020}.json#1", marks=pytest.mark.prove),
        ("linkat", f"{SEEN}/{0:020}.json"),
        ("rename", ""),
        pytest.param("linkat", f"{SILVER}/{0:020}.json", marks=pytest.mark.prove),
        pytest.param("linkat", f"{SILVER}/{2:020}.json", marks=pytest.mark.prove),
        pytest.param("unlink", f"{SILVER}/{2:020}.json#1", marks=pytest.mark.prove),
        pytest.param("linkat", f"{QUARANTINE}/{1:020}.json", marks=pytest.mark.prove),
        pytest.param("unlink", f"{SEEN}/{1:020}.json#1", marks=pytest.mark.prove),
    ],
)
def test_a_kill_inside_a_commit_changes_nothing_in_the_end(
    home: Settings, clean: Rows, call: str, path: str
) -> None:
    """Before linkat a commit is invisible; at unlink it is visible, and nobody was told."""
    status, errors = run(home, DAYS, at_call=(call, path))
    assert status == KILLED, errors
    if path:
        assert (local(home.lake) / path.removesuffix("#1")).exists() is (call == "unlink")
    run_whole(home, DAYS)
    assert contents(home) == clean


@pytest.mark.needs_strace
def test_the_control_shows_the_fault_of_a_kill_after_a_visible_commit(home: Settings) -> None:
    at_call = ("unlink", f"{SILVER}/{1:020}.json#1")
    assert run(home, DAYS, script=NAIVE, at_call=at_call)[0] == KILLED
    run_whole(home, DAYS, script=NAIVE)
    assert max(contents(home).values()) == 2


@pytest.mark.prove
@pytest.mark.parametrize("writers", [1, 2])
def test_random_kills_change_nothing_in_the_end(tmp_path: Path, writers: int) -> None:
    clean = deliver(shop.settings_in(tmp_path / "clean"), MANY_DAYS)
    run_whole(clean, MANY_DAYS)
    expected = contents(clean)
    found = kill_at_random(tmp_path, INGEST, rounds=ROUNDS // writers, writers=writers)
    assert found.with_progress >= found.rounds * 0.8, "too few kills hit an ingest at work"
    assert all(lake == expected for lake in found.lakes)


@pytest.mark.prove
def test_random_kills_double_rows_where_an_append_has_no_transaction(tmp_path: Path) -> None:
    found = kill_at_random(tmp_path, NAIVE, rounds=ROUNDS // 2, writers=1)
    assert found.with_progress >= found.rounds * 0.8, "too few kills hit an ingest at work"
    assert any(max(lake.values()) > 1 for lake in found.lakes)


class Killed:
    """What a series of kills did: rounds, those in which a commit was made, the lakes left."""

    def __init__(self) -> None:
        self.rounds = self.kills = self.with_progress = self.commits = 0
        self.lakes: list[Rows] = []


def kill_at_random(folder: Path, script: str, *, rounds: int, writers: int) -> Killed:
    """Kill ``rounds`` times at observed commits, plus up to 60 ms; finish each lake without kills.

    A lake whose ingest came to its end is kept, and the next one begun.
    """
    chance = random.Random(20261121)  # noqa: S311 - the same kills each time
    done = Killed()
    while done.rounds < rounds:
        home = shop.settings_in(folder / f"lake{len(done.lakes)}")
        deliver(home, MANY_DAYS)
        while done.rounds < rounds and not one_round(home, script, writers, chance, done):
            pass
        run_whole(home, MANY_DAYS, script=script)
        done.commits += commits(home)
        done.lakes.append(contents(home))
    sys.stdout.write(
        f"{writers} writers: {done.rounds} rounds, {done.kills} kills, {done.with_progress} rounds "
        f"with progress, {len(done.lakes)} lakes, {done.commits} commits\n"
    )
    return done


def one_round(
    home: Settings, script: str, writers: int, chance: random.Random, done: Killed
) -> bool:
    """Start writers and kill them at a commit; return True when they ended before it."""
    before = commits(home)
    wanted, delay = before + chance.randint(1, 4), chance.choice([0, chance.uniform(0, 0.06)])
    processes = [kills.start(home, MANY_DAYS, script=script) for _ in range(writers)]
    while commits(home) < wanted:
        if all(process.poll() is not None for process in processes):
            break
        time.sleep(0.002)
    time.sleep(delay)
    for process in processes:
        process.kill()
        process.communicate()
    killed = sum(process.returncode == KILLED for process in processes)
    if killed:
        done.rounds += 1
        done.kills += killed
        done.with_progress += commits(home) > before
    return not killed and all(process.returncode == 0 for process in processes)
