"""Replay homes and journals: what a kill, a power cut or a person leaves of one, and what it costs."""

import os
import re
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.adapters.models import code_archive, environments
from pipelines.adapters.platform import processes
from pipelines.adapters.replay_home import FOLDER, PINNED, ReplayHome, asked_of, on_a_full_disk
from pipelines.adapters.replay_journal import Done, ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.cli.replay_costs import StepCosts
from pipelines.errors import CodeChanged, LakeError, PlatformError
from tests.empty_databases import place_mlflow
from tests.lakes import append
from tests.shop import ORDERS

SILVER = {"silver.shop.orders": 3}
"""Its version: one that makes the table, then one for each row."""

TABLES = {"orders": ORDERS}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return a home with one table in silver, and a library of one file."""
    found = Settings(
        home=tmp_path / "home", dags=tmp_path / "dags", expectations=tmp_path / "expectations"
    )
    append(silver(found), 1, 2, 3)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "one.py").write_text("ONE = 1\n")
    found.dags.mkdir()
    (found.dags / "shop.py").write_text("")
    monkeypatch.setattr(code_archive, "PACKAGE", tmp_path / "library")
    return found


def silver(settings: Settings) -> Path:
    return settings.root / "lake" / "silver" / "shop" / "orders"


def home_of(settings: Settings) -> ReplayHome:
    asked = asked_of(
        settings,
        "shop",
        "declared",
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 2, 1, tzinfo=UTC),
        every="week",
        fixed=True,
    )
    return ReplayHome(settings, asked)


def pinned(settings: Settings) -> tuple[ReplayHome, Settings]:
    """Return a replay whose tables are linked, and a policy's home in it."""
    home = home_of(settings)
    place_mlflow(home.settings().root / "mlflow" / "mlflow.db")
    assert home.pin(TABLES, "view") == SILVER
    return home, home.policy("never", SILVER, "view")


def test_a_replay_whose_throwing_away_was_cut_off_is_gone_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pinned(settings)
    plain, seen = os.unlink, []

    def killed(path: "os.PathLike[str] | str", **more: int) -> None:
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt
        plain(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            home.throw_away()
    assert len(seen) == 3
    assert not home.folder.exists()
    pinned(settings)
    home.throw_away()
    assert [path.name for path in (settings.root / FOLDER).iterdir()] == []


def test_what_cannot_be_thrown_away_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = pinned(settings)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(LakeError, match="found Permission denied"):
        home.throw_away()


def test_a_replay_without_what_its_first_run_linked_says_how_to_begin_anew(
    settings: Settings,
) -> None:
    home, _ = pinned(settings)
    shutil.rmtree(home.settings().root / "lake")
    for asked_again in (
        lambda: home.pin(TABLES, "view"),
        lambda: home.policy("monthly", SILVER, "view"),
    ):
        with pytest.raises(LakeError, match=r"without silver\.shop\.orders.*\n.*--fresh"):
            asked_again()
    assert (home.folder / PINNED).exists()


def test_a_policy_whose_table_is_behind_its_journal_is_not_gone_on_with(
    settings: Settings,
) -> None:
    _, own = pinned(settings)
    ledger = own.root / "lake" / "ledger" / "decisions"
    append(ledger, 1)
    append(ledger, 2)
    ReplayJournal(own).add(Done(step="first", cpu_s={"train": 1.0}, wall_s=2.0))
    append(ledger, 3)  # a step that was cut off: further than the journal is no harm
    assert "first" in ReplayJournal(own)
    for lost in (3, 2):
        (ledger / "_delta_log" / f"{lost:020}.json").unlink()
    with pytest.raises(LakeError, match=r"behind it: ledger\.decisions\..*\n.*--fresh"):
        ReplayJournal(own)


def test_what_tries_of_a_step_cost_is_added_up_and_no_other_steps(settings: Settings) -> None:
    _, own = pinned(settings)
    for _ in range(2):
        costs = StepCosts.of(ReplayJournal(own), "asked")
        with costs.counted("train"):
            spend(0.02)
    assert 0.04 <= costs.cpu_s["train"] < 0.4
    again = StepCosts.of(ReplayJournal(own), "asked")
    assert dict(again.cpu_s) == costs.cpu_s
    assert again.wall_s >= 0.04
    assert StepCosts.of(ReplayJournal(own), "monitor").cpu_s == {}


def spend(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_code_that_changed_while_a_replay_ran_is_refused(settings: Settings) -> None:
    home = home_of(settings)
    home.refuse_changed_code()
    (settings.dags / "shop.py").write_text("SHOP = 2\n")
    with pytest.raises(CodeChanged, match="other code, changed while it ran"):
        home.refuse_changed_code()
    (settings.dags / "shop.py").unlink()
    with pytest.raises(CodeChanged, match="other code, changed while it ran"):
        home.refuse_changed_code()


def test_other_packages_or_code_are_another_replay(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = home_of(settings)
    installed = environments.packages()
    monkeypatch.setattr(environments, "packages", lambda: installed | {"duckdb": "0.1"})
    assert home_of(settings).folder != first.folder
    assert replace(first.asked, code="other").digest != first.asked.digest


def test_who_holds_the_lock_of_a_replay_is_not_ended_with_the_platform(tmp_path: Path) -> None:
    lock = tmp_path / "replay.lock"
    told = "end it with Ctrl-C where it runs"
    with (
        processes.only_one(lock, what="the same replay"),
        pytest.raises(PlatformError, match=re.escape(told)),
        processes.only_one(lock, what="the same replay", end="with Ctrl-C where it runs"),
    ):
        pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "/somewhere"),
        OSError(122, "Disk quota exceeded"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_a_full_disk_is_told_and_says_how_to_go_on(error: Exception) -> None:
    told = r"replay of shop: expected room on the disk.*\n.*the same command goes on"
    with pytest.raises(LakeError, match=told), on_a_full_disk("shop"):
        raise error


def test_another_error_is_not_taken_for_a_full_disk() -> None:
    with pytest.raises(OSError, match="Permission denied"), on_a_full_disk("shop"):
        raise PermissionError(13, "Permission denied")
