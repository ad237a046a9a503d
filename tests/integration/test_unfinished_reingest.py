"""An unfinished reingest: who comes after it is told to run it again, and nothing is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import unfinished_reingest
from pipelines.adapters.silver.intake import Places
from pipelines.errors import LakeError
from pipelines.stages import reingest as reingest_stage
from pipelines.stages.reingest import reingest
from pipelines.stages.replay import replay
from tests import shop
from tests.integration.test_replay import BAD, MENDED
from tests.shop import at, land_orders, order, take_in

# GX imports two modules of regular expressions that the standard library renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:module 'sre_(constants|parse)' is deprecated:DeprecationWarning"
)


class CutOffError(Exception):
    """Stands for a kill."""


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Return a home with rows in silver and in quarantine."""
    home = shop.settings_in(tmp_path)
    land_orders(home, "a.csv", BAD, at(1))
    take_in(home)
    return home


@pytest.fixture
def cut_off(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the home after a reingest that replaced silver and no more."""

    def killed(*_: object) -> NoReturn:
        raise CutOffError

    with monkeypatch.context() as patched:
        patched.setattr(reingest_stage, "_set_aside", killed)
        with pytest.raises(CutOffError):
            again(reingest, home)
    return home


def again(stage: Callable[..., object], home: Settings) -> object:
    return stage(MENDED, home, table="orders", as_of=shop.NEVER_ENDS, run="test")


def test_a_replay_says_that_the_reingest_is_to_be_run_again(cut_off: Settings) -> None:
    before = shop.versions(cut_off)
    with pytest.raises(LakeError) as caught:
        again(replay, cut_off)
    assert str(caught.value) == (
        "table shop/orders: expected the rows that a reingest set aside; found a reingest that was "
        "cut off before it wrote them, or still runs.\n"
        "  Run `headframe reingest orders` again, unless it still runs."
    )
    assert shop.versions(cut_off) == before


def test_once_the_reingest_was_run_again_a_replay_runs(cut_off: Settings) -> None:
    again(reingest, cut_off)
    land_orders(cut_off, "b.csv", [order(8), order(9), order(10, amount="N/A")], at(2))
    take_in(cut_off, use_case=MENDED)
    again(replay, cut_off)
    assert len(shop.quarantine(cut_off)) == 3


def test_a_table_that_was_never_reingested_or_to_the_end_is_not_refused(home: Settings) -> None:
    places = Places.of(shop.NAME, MENDED.table("orders"), home)
    unfinished_reingest.refuse(places)
    again(reingest, home)
    unfinished_reingest.refuse(places)
    again(reingest, home)
    unfinished_reingest.refuse(places)
