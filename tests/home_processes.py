"""Home processes: what the processes of a home say of themselves, those that end meanwhile left out."""

from contextlib import suppress
from pathlib import Path

import psutil

from pipelines.adapters.platform import process_state


def listening(root: Path) -> set[str]:
    """Return the IP addresses that processes of the home ``root`` listen on."""
    found = set()
    for process in process_state.owned(root):
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections(kind="inet")
            found |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def command_lines(root: Path) -> str:
    """Return the command lines of the home's processes, one a line."""
    told = []
    for process in process_state.owned(root):
        with suppress(psutil.NoSuchProcess):
            told.append(" ".join(process.cmdline()))
    return "\n".join(told)
