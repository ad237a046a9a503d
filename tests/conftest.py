"""What every test shares: which Debian packages its marks need."""

import os
import shutil

import pytest

TOOLS = {
    "needs_chromium": "chromium",
    "needs_strace": "strace",
    "needs_postgres": "pg_ctl",
}
"""Mark -> the program it needs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip a test whose program is missing, by name; fail instead where tools are required."""
    required = os.environ.get("HEADFRAME_REQUIRE_TOOLS") == "1"
    for item in items:
        for mark, tool in TOOLS.items():
            if item.get_closest_marker(mark) and shutil.which(tool) is None:
                reason = f"{tool} is not installed (apt-get install {tool})"
                if required:
                    raise pytest.UsageError(f"{item.nodeid}: {reason}")
                item.add_marker(pytest.mark.skip(reason=reason))
