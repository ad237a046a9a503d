"""What every test shares: its threads, which Debian packages its marks need, and an object store."""

import gc
import os
import uuid
from collections.abc import Generator, Iterator

import pytest

from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.adapters.threads import BEFORE_IMPORT
from tests import stores
from tests.postgres import program

# As tasks run on the platform. With a thread a core for every worker, and every fit of some hundred
# rows, tests spent most of their time waiting for each other.
for name, value in (BEFORE_IMPORT | {"OPENBLAS_NUM_THREADS": "1"}).items():
    os.environ.setdefault(name, value)

LONGEST_FIRST = ("faults", "integration", "contracts")
"""Folders whose files take minutes: begun first, so that short ones fill what is left of the time."""

TOOLS = {
    "needs_chromium": "chromium",
    "needs_strace": "strace",
    "needs_postgres": "pg_ctl",
    "needs_redis": "redis-server",
}
"""Mark -> the program it needs."""

PACKAGES = {"pg_ctl": "postgresql"}
"""Program -> the Debian package that brings it, where that has another name."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector all that collecting imports.

    To look at every object of every library takes it a quarter of a second, each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; skip a test whose program is missing, or fail where it is required."""
    items.sort(key=_place)
    required = os.environ.get("HEADFRAME_REQUIRE_TOOLS") == "1"
    for item in items:
        if item.get_closest_marker("platform") and "e2e" not in item.path.parts:
            raise pytest.UsageError(f"{item.nodeid}: only tests/e2e may start the platform")
        for mark, tool in TOOLS.items():
            if item.get_closest_marker(mark) and program(tool) is None:
                package = PACKAGES.get(tool, tool)
                reason = f"{tool} is not installed (apt-get install {package})"
                if required:
                    raise pytest.UsageError(f"{item.nodeid}: {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("needs_root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="only root may mount a small disk"))


def _place(item: pytest.Item) -> int:
    """Return when a test's folder is begun; those within a folder stay in their order."""
    folders = [name for name in LONGEST_FIRST if name in item.path.parts]
    return LONGEST_FIRST.index(folders[0]) if folders else len(LONGEST_FIRST)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what disagrees about a champion be an error at once: no other process moves it here."""
    monkeypatch.setattr("pipelines.adapters.models.champion.PATIENCE", ())


@pytest.fixture(scope="session")
def store_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a SeaweedFS that serves the whole session."""
    with stores.seaweed(tmp_path_factory.mktemp("seaweed")) as address:
        yield address


@pytest.fixture
def store(store_address: str, monkeypatch: pytest.MonkeyPatch) -> StoreUrl:
    """Lend an empty folder in a store that the environment leads to."""
    for name, value in stores.environment(store_address).items():
        monkeypatch.setenv(name, value)
    return StoreUrl(f"s3://{stores.BUCKET}", f"t{uuid.uuid4().hex}")
